from __future__ import annotations

from pathlib import Path

import pytest
import torch

from repair.errors import ModelError
from tests.training.tiny import TINY, random_batch
from training.engine import TorchEngine
from training.export import export_plain
from training.llamas import load_lean
from training.model import Llama, block_mask, rotary


@pytest.fixture
def tiny_directory(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    (tmp_path / "tokenizer.json").write_text("{}")
    model = Llama(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    export_plain(model.state_dict(), TINY, tmp_path / "tokenizer.json", tmp_path / "plain")
    return tmp_path / "plain"


def test_logits_are_those_of_hugging_face(tiny_directory: Path):
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tiny_directory, dtype=torch.float32).eval()
    ours = load_lean(tiny_directory)
    ids = torch.randint(0, TINY.vocabulary, (2, 50), generator=torch.Generator().manual_seed(1))
    cos, sin = rotary(TINY, 50, torch.float32)
    with torch.no_grad():
        expected = theirs(input_ids=ids).logits
        found = ours(ids, cos, sin, block_mask(torch.ones(2, 50, dtype=torch.long)))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_packed_examples_do_not_see_each_other(tiny_directory: Path):
    model = load_lean(tiny_directory)
    batch = random_batch(TINY.vocabulary, ((20, 30),))
    alone = random_batch(TINY.vocabulary, ((20, 30),))
    alone.ids[0, :20] = 5
    cos, sin = rotary(TINY, 64, torch.float32)
    bias = block_mask(torch.from_numpy(batch.segments))
    with torch.no_grad():
        one, other = (model(torch.from_numpy(b.ids), cos, sin, bias) for b in (batch, alone))
    torch.testing.assert_close(one[0, 20:50], other[0, 20:50])
    assert not torch.allclose(one[0, :20], other[0, :20])


def test_the_loss_is_the_weighted_mean_of_cross_entropies(tiny_directory: Path):
    model = load_lean(tiny_directory)
    batch = random_batch(TINY.vocabulary, ((20, 30), (64,)))
    cos, sin = rotary(TINY, 64, torch.float32)
    logits = model(torch.from_numpy(batch.ids), cos, sin, block_mask(torch.from_numpy(batch.segments)))
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(batch.labels).flatten(), reduction="none"
    )
    weights = torch.from_numpy(batch.weights).flatten()
    expected = (losses * weights).sum() / weights.sum()
    expected.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    engine = TorchEngine(model)
    assert engine.gradients(batch, batch.weight) == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in engine.parameters.items():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-6, rtol=1e-4)
    total, count = engine.loss(batch)
    assert total / count == pytest.approx(expected.item(), rel=1e-5)


def test_a_directory_of_another_kind_is_refused(tiny_directory: Path):
    (tiny_directory / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="no Llama"):
        load_lean(tiny_directory)
