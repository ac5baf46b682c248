from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models

from repair.embedded import expander
from repair.embedded.expander import dequantise, embedded_adapter, embedded_directory, expanded, quantise
from repair.errors import ModelError
from training.config import ModelConfig
from training.export import export_pieces, weight_error
from training.model import Llama

ROOT = Path(__file__).parents[2]
CONFIG = ModelConfig(vocabulary=64, width=64, layers=2, heads=2, kv_heads=1, hidden=96, positions=128)
SHIPPED = expander.HERE / "weights" / expander.MANIFEST
shipped = pytest.mark.skipif(not SHIPPED.is_file(), reason="this tree ships no weights")


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    vocabulary = {"<|pad|>": 0, "<|bos|>": 1, "<|eot|>": 2, **{f"w{n}": n for n in range(3, 64)}}
    Tokenizer(models.WordLevel(vocabulary, unk_token="w3")).save(str(tmp_path / "tokenizer.json"))
    export_pieces(Llama(CONFIG).state_dict(), CONFIG, tmp_path / "tokenizer.json", tmp_path / "weights", limit=60_000)
    return tmp_path / "weights"


def test_quantised_weights_are_within_one_percent():
    matrix = torch.randn(300, 200, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 3, 300)[:, None]
    rows, scale = quantise(matrix)
    assert rows.dtype == torch.int8
    back = dequantise({"w.int8": rows, "w.scale": scale})["w"]
    assert ((back - matrix).norm() / matrix.norm()) < 0.01
    assert (back - matrix).abs().max() <= scale.max() / 2 * 1.001
    assert weight_error({"w": matrix}) < 0.01
    assert quantise(torch.zeros(2, 3))[0].abs().sum() == 0


def test_pieces_become_a_plain_directory_that_transformers_loads(pieces: Path, tmp_path: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert len(list(pieces.glob("piece-*"))) > 1
    directory = expanded(pieces, (tmp_path / "cache",))
    model = AutoModelForCausalLM.from_pretrained(directory)
    assert model.dtype == torch.bfloat16
    torch.manual_seed(0)
    original = Llama(CONFIG).state_dict()
    found = model.state_dict()
    for name, tensor in original.items():
        assert (found[name].float() - tensor).norm() < 0.02 * tensor.norm(), name
    assert model.config.tie_word_embeddings
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert tokenizer.eos_token_id == 2
    assert model(input_ids=torch.tensor([[1, 5]])).logits.shape == (1, 2, 64)


def test_the_second_use_finds_the_first(pieces: Path, tmp_path: Path):
    caches = (tmp_path / "cache",)
    first = expanded(pieces, caches)
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert expanded(pieces, caches) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    assert [p.name for p in caches[0].iterdir()] == [first.name]


def test_half_a_directory_in_the_cache_is_made_anew(pieces: Path, tmp_path: Path):
    caches = (tmp_path / "cache",)
    directory = expanded(pieces, caches)
    (directory / "config.json").unlink()
    assert (expanded(pieces, caches) / "config.json").is_file()


def test_other_weights_get_another_directory(pieces: Path, tmp_path: Path):
    caches = (tmp_path / "cache",)
    first = expanded(pieces, caches)
    export_pieces(Llama(CONFIG).state_dict(), CONFIG, pieces / "tokenizer.json", tmp_path / "other")
    assert expanded(tmp_path / "other", caches) != first


@pytest.mark.parametrize("harm", ["flip", "remove", "manifest", "no manifest"])
def test_damage_is_told_and_leaves_nothing(pieces: Path, tmp_path: Path, harm: str):
    piece = pieces / "piece-00.safetensors"
    if harm == "flip":
        content = bytearray(piece.read_bytes())
        content[-1] ^= 1
        piece.write_bytes(content)
    elif harm == "remove":
        piece.unlink()
    elif harm == "manifest":
        (pieces / "manifest.json").write_text("{")
    else:
        (pieces / "manifest.json").unlink()
    with pytest.raises(ModelError, match="install Emend again"):
        expanded(pieces, (tmp_path / "cache",))
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_a_home_that_cannot_be_written_falls_back(pieces: Path, tmp_path: Path):
    (tmp_path / "file").write_text("no directory can be made under a file")
    fallback = tmp_path / "fallback"
    assert expanded(pieces, (tmp_path / "file" / "cache", fallback)).parent == fallback
    with pytest.raises(ModelError, match="XDG_CACHE_HOME"):
        expanded(pieces, (tmp_path / "file" / "cache",))


_RACE = "import sys; from pathlib import Path; from repair.embedded.expander import expanded; "
_RACE += "print(expanded(Path(sys.argv[1]), (Path(sys.argv[2]),)))"


def test_two_processes_at_once_end_with_one_directory(pieces: Path, tmp_path: Path):
    command = [sys.executable, "-c", _RACE, str(pieces), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    answers = {process.communicate()[0].strip() for process in both}
    assert len(answers) == 1
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [Path(answers.pop()).name]


@shipped
def test_the_shipped_model_expands_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    directory = embedded_directory()
    assert directory.parent == tmp_path / "emend"
    assert directory.stat().st_uid == os.getuid()
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.convert_tokens_to_ids(["<|pad|>", "<|bos|>", "<|eot|>"]) == [0, 1, 2]


@shipped
def test_shipped_files_are_small_and_no_pickles():
    files = [p for p in expander.HERE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert all(p.stat().st_size <= 15 * 2**20 for p in files)
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".md", ".py"}
    assert json.loads(SHIPPED.read_text())["weight_error"] < 0.01


@shipped
def test_the_shipped_adapter_fits_the_base():
    adapter = embedded_adapter()
    if adapter is None:
        pytest.skip("this version ships no adapter")
    width = json.loads(SHIPPED.read_text())["config"]["hidden_size"]
    tensors = load_file(adapter / "adapter_model.safetensors")
    assert all(t.shape[1] in (width,) or "down_proj" in n for n, t in tensors.items() if "lora_A" in n)
