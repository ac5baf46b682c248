from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig

from data.tokenizer import train_tokenizer
from repair.embedded.expander import MANIFEST, dequantise, embedded_adapter, embedded_directory, expanded
from repair.errors import InputError, ModelError
from repair.prompts import SPECIALS
from tests.training.test_merging import largest_file, write_adapter, write_base
from training.config import ModelConfig
from training.export import export_model, export_pieces, export_plain, weight_error
from training.model import Llama

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
SIZE = len(SPECIALS) + 300
CONFIG = ModelConfig(SIZE, width=64, layers=2, heads=2, kv_heads=1, hidden=96, positions=128)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plain")
    train_tokenizer([Path(__file__).read_text()], SIZE).save(str(directory / "tokenizer.json"))
    torch.manual_seed(0)
    export_plain(Llama(CONFIG).state_dict(), CONFIG, directory / "tokenizer.json", directory / "base")
    return directory / "base"


@pytest.fixture(scope="module")
def run(plain: Path) -> Path:
    """What a run leaves: a directory with the adapter in it."""
    write_adapter(plain, plain.parent / "run" / "adapter")
    return plain.parent / "run"


def test_pieces_come_back_within_the_error_that_is_told(plain: Path, tmp_path: Path):
    done = export_model(plain, "pieces", tmp_path / "pieces")
    weights = load_file(plain / "model.safetensors")
    back = load_file(expanded(tmp_path / "pieces", (tmp_path / "cache",)) / "model.safetensors")
    assert back.keys() == weights.keys()
    matrices = [name for name, tensor in weights.items() if tensor.ndim == 2]
    difference = sum(float((back[n].float() - weights[n]).square().sum()) for n in matrices)
    norm = sum(float(weights[n].square().sum()) for n in matrices)
    told = json.loads((tmp_path / "pieces" / MANIFEST).read_text())
    assert done.weight_error == pytest.approx(weight_error(weights))
    assert told["weight_error"] == pytest.approx(done.weight_error, abs=1e-6)
    assert 0.001 < done.weight_error < 0.01
    assert (difference / norm) ** 0.5 == pytest.approx(done.weight_error, rel=0.1)  # bf16 adds its own
    for name in weights.keys() - set(matrices):
        torch.testing.assert_close(back[name].float(), weights[name], atol=0, rtol=4e-3)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "cache" / next((tmp_path / "cache").iterdir()).name)


def test_a_piece_is_no_larger_than_the_limit(plain: Path, tmp_path: Path):
    weights = load_file(plain / "model.safetensors")
    limit = SIZE * 64 // 2  # half of the embeddings, which cannot be divided
    export_pieces(weights, CONFIG, plain / "tokenizer.json", tmp_path, limit=limit)
    pieces = [load_file(path) for path in sorted(tmp_path.glob("piece-*"))]
    sizes = [sum(t.numel() * t.element_size() for t in piece.values()) for piece in pieces]
    assert len(pieces) > 3
    assert [size for size in sizes if size > limit] == [SIZE * 64 + SIZE * 4]
    together = [name for piece in pieces for name in dequantise(piece)]
    assert sorted(together) == sorted(weights)


def test_the_manifest_names_each_file_by_its_digest(plain: Path, tmp_path: Path):
    weights = load_file(plain / "model.safetensors")
    export_pieces(weights, CONFIG, plain / "tokenizer.json", tmp_path, limit=20_000)
    export_pieces(weights, CONFIG, plain / "tokenizer.json", tmp_path)  # fewer pieces: the old ones go
    files = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert set(files) == {"tokenizer.json", "piece-00.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {*files, MANIFEST}
    for name, digest in files.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
        assert (tmp_path / name).stat().st_mode & 0o444 == 0o444


def test_an_adapter_ships_alone_in_half_the_bytes(run: Path, tmp_path: Path):
    done = export_model(run, "pieces", tmp_path / "out")
    assert done.weight_error is None
    before = load_file(run / "adapter" / "adapter_model.safetensors")
    after = load_file(tmp_path / "out" / "adapter_model.safetensors")
    for name, tensor in before.items():
        assert after[name].dtype == torch.bfloat16
        torch.testing.assert_close(after[name].float(), tensor, atol=1e-6, rtol=4e-3)
    assert set(json.loads((tmp_path / "out" / MANIFEST).read_text())["files"]) == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip


def test_a_run_becomes_a_merged_model_and_a_gguf_file(run: Path, plain: Path, tmp_path: Path):
    gguf = pytest.importorskip("gguf")
    merged = export_model(run, "merged", tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").dtype == torch.float32  # as its base
    assert merged.bytes == sum(path.stat().st_size for path in (tmp_path / "merged").iterdir())
    export_model(run, "gguf", tmp_path / "run.gguf", dtype="f32")
    export_model(tmp_path / "merged", "gguf", tmp_path / "merged.gguf", dtype="f32")
    tensors = {
        name: {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(tmp_path / name).tensors}
        for name in ("run.gguf", "merged.gguf")
    }
    assert tensors["run.gguf"] == tensors["merged.gguf"]
    export_model(plain, "gguf", tmp_path / "base.gguf", dtype="q8_0")
    assert (tmp_path / "base.gguf").stat().st_size < (tmp_path / "run.gguf").stat().st_size / 2
    assert len(list(tmp_path.iterdir())) == 4  # nothing else was left


def test_the_shipped_adapter_and_base_become_a_gguf_file(tmp_path: Path):
    gguf = pytest.importorskip("gguf")
    if embedded_adapter() is None:
        pytest.skip("this version ships no adapter")
    export_model("embedded", "gguf", tmp_path / "emend.gguf", base="emend-embedded", dtype="q8_0")
    told = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "emend.gguf").fields.items()}
    assert told["general.name"] == "emend"
    assert told["general.license"] == "apache-2.0"
    assert told["llama.vocab_size"] == json.loads((embedded_directory() / "config.json").read_text())["vocab_size"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "onnx"}, "exported to merged, gguf, pieces"),
        ({"to": "merged", "dtype": "q8_0"}, "q8_0: merged is written as auto, float32"),
        ({"to": "pieces", "dtype": "f16"}, "f16: pieces is written as int8"),
        ({"to": "merged"}, "nothing to merge"),
        ({"to": "gguf", "base": "x"}, "has no base"),
    ],
)
def test_what_makes_no_sense_is_refused(plain: Path, tmp_path: Path, settings: dict, message: str):
    with pytest.raises(InputError, match=message):
        export_model(plain, out=tmp_path / "out", **settings)
    assert not list(tmp_path.iterdir())


def test_what_is_no_source_or_no_place_is_refused(plain: Path, run: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"neither an adapter .* nor a model"):
        export_model(tmp_path, "gguf", tmp_path / "out")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        export_model(run, "gguf", tmp_path / "out")
    with pytest.raises(ModelError, match="nothing was left"), largest_file(20_000):
        export_model(plain, "pieces", tmp_path / "out", force=True)
    assert (tmp_path / "out").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_base_that_is_not_told_or_not_there_is_asked_for(run: Path, plain: Path, tmp_path: Path):
    shutil.copytree(run / "adapter", tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    for recorded, message in ((None, "give --base"), ("/gone/base", "/gone/base is neither a directory nor a model")):
        changed = settings | {"base_model_name_or_path": recorded}
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            export_model(tmp_path / "adapter", "merged", tmp_path / "out")
    export_model(tmp_path / "adapter", "merged", tmp_path / "out", base=str(plain))  # /gone/base: the same name
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_pieces_hold_no_other_llama(tmp_path: Path):
    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    base = write_base(LlamaConfig(**shape, num_attention_heads=4, attention_bias=True), tmp_path / "base")
    with pytest.raises(InputError, match="attention_bias = True, which the lean Llama has not"):
        export_model(base, "pieces", tmp_path / "out")
