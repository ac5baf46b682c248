from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.tiny import TINY, write_words
from training.average import main
from training.config import ModelConfig
from training.export import export_plain
from training.model import Llama

NAME = "model.layers.0.mlp.up_proj.weight"


def write_model(out: Path, seed: int, config: ModelConfig = TINY) -> Path:
    torch.manual_seed(seed)
    export_plain(Llama(config).state_dict(), config, write_words(out.with_suffix(".json")), out)
    return out


def weight(directory: Path) -> torch.Tensor:
    return load_file(directory / "model.safetensors")[NAME]


def test_the_base_moves_by_the_share_of_the_difference(tmp_path: Path):
    base, new, old = (write_model(tmp_path / name, seed) for seed, name in enumerate(("base", "new", "old")))
    out = tmp_path / "out"
    assert main([str(base), str(new), str(old), "0.25", str(out)]) == 0
    torch.testing.assert_close(weight(out), weight(base) + 0.25 * (weight(old) - weight(new)))
    assert not torch.equal(weight(out), weight(base))
    assert (out / "config.json").read_text() == (base / "config.json").read_text()


@pytest.mark.parametrize("wrong", ["shape", "missing", "share"])
def test_what_cannot_be_averaged_is_refused(tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]):
    base = write_model(tmp_path / "base", 0)
    wider = ModelConfig(vocabulary=64, width=64, layers=2, heads=2, kv_heads=1, hidden=128, positions=128)
    other = write_model(tmp_path / "other", 1, wider if wrong == "shape" else TINY)
    if wrong == "missing":
        (other / "model.safetensors").unlink()
    share = "much" if wrong == "share" else "0.5"
    assert main([str(base), str(base), str(other), share, str(tmp_path / "out")]) == 2
    told = {"shape": "OLD is another model", "missing": "holds no model.safetensors", "share": "SHARE OUT"}[wrong]
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
