from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repair.errors import ModelError
from tests.training.tiny import TINY, random_batch
from training import native
from training.config import ModelConfig
from training.engine import TorchEngine
from training.model import Llama

AMX = "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
needs_amx = pytest.mark.skipif(not AMX, reason="this processor has no amx_bf16")
SHAPES = (TINY, ModelConfig(vocabulary=96, width=192, layers=2, heads=6, kv_heads=2, hidden=64, positions=256))


def spread(config: ModelConfig) -> Llama:
    torch.manual_seed(0)
    model = Llama(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@needs_amx
@pytest.mark.parametrize("config", SHAPES, ids=("heads-32-groups-1", "heads-32-groups-2"))
@pytest.mark.parametrize("chunk", [64, 2048])
def test_loss_and_gradients_are_those_of_the_torch_engine(
    config: ModelConfig, chunk: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(native, "CHUNK", chunk)
    model = spread(config)
    batch = random_batch(config.vocabulary, ((100,), (2, 33, 64), (31, 32, 1), (5,)), length=100)
    expected = TorchEngine(model)
    loss = expected.gradients(batch, batch.weight)
    gradients = {name: p.grad.clone() for name, p in expected.parameters.items() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    engine = native.NativeEngine(model)
    assert engine.gradients(batch, batch.weight) == pytest.approx(loss, rel=3e-3)
    for name, parameter in engine.parameters.items():
        assert parameter.grad is not None
        error = (parameter.grad - gradients[name]).norm() / gradients[name].norm()
        assert error < 0.05, f"{name}: {error:.4f}"  # products are bf16
    total, count = engine.loss(batch)
    assert total / count == pytest.approx(loss, rel=3e-3)


@needs_amx
def test_shapes_that_do_not_fit_the_tiles_are_refused():
    with pytest.raises(ModelError, match="divide by 32"):
        native.NativeEngine(Llama(replace(TINY, hidden=90)))


def test_a_batch_without_padding_keeps_its_examples():
    flat = native.Flat(random_batch(64, ((3, 4), (64,), (1,)), length=64))
    assert flat.starts.tolist() == [0, 3, 7, 71, 72]
    assert flat.chunks()[0][0] == 0
    assert flat.chunks()[-1][1] == 4
