from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaConfig,
    LlamaConfig,
    PreTrainedModel,
    Qwen2Config,
    Starcoder2Config,
)

from repair.embedded.expander import embedded_adapter, embedded_directory
from repair.errors import InputError, ModelError
from training.merging import merge

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SHAPE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "starcoder2": Starcoder2Config(**SHAPE),
    "gemma": GemmaConfig(**SHAPE, head_dim=8),
}
IDS = torch.tensor([[1, 5, 9, 33, 60, 2]])


def write_base(config, directory: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():  # the initial values are so small that a wrong merge would hardly show
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(directory)
    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": 2, **{f"w{n}": n for n in range(3, 64)}}
    Tokenizer(models.WordLevel(vocabulary, unk_token="w3")).save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def write_adapter(base: Path, directory: Path, **settings) -> Path:
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | settings
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    wrapped = get_peft_model(model, LoraConfig(**settings))
    torch.manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name or "magnitude" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    wrapped.save_pretrained(directory)
    return directory


@torch.no_grad()
def logits(model: PreTrainedModel) -> torch.Tensor:
    return model.eval()(input_ids=IDS).logits


def adapted(base: Path, adapter: Path) -> torch.Tensor:
    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The disk takes `size` bytes of a file and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(CONFIGS["llama"], tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture(scope="module")
def adapter(llama: Path) -> Path:
    return write_adapter(llama, llama.parent / "adapter")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {}),
        ("llama", {"use_rslora": True}),
        ("llama", {"use_dora": True, "target_modules": ["q_proj", "down_proj"]}),
        ("qwen2", {"bias": "lora_only"}),
        ("starcoder2", {}),
        ("gemma", {}),
    ],
)
def test_merged_gives_the_logits_of_base_and_adapter(tmp_path: Path, kind: str, settings: dict):
    base = write_base(CONFIGS[kind], tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", **settings)
    merge(base, adapter, tmp_path / "merged", "float32")
    model, told = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    assert type(model).__module__.startswith("transformers")
    torch.testing.assert_close(logits(model), adapted(base, adapter), atol=1e-4, rtol=1e-4)
    plain = logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))
    assert (logits(model) - plain).abs().max() > 0.1
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["architectures"] == [type(model).__name__]
    assert model.config.tie_word_embeddings == CONFIGS[kind].tie_word_embeddings


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`:UserWarning")
@pytest.mark.parametrize("changed", [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["lm_head"]}])
def test_a_head_that_the_adapter_changes_gets_its_own_weights(llama: Path, tmp_path: Path, changed: dict):
    adapter = write_adapter(llama, tmp_path / "adapter", **changed)
    merge(llama, adapter, tmp_path / "merged", "float32")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(model), adapted(llama, adapter), atol=1e-4, rtol=1e-4)
    before = load_file(llama / "model.safetensors")["model.embed_tokens.weight"]
    torch.testing.assert_close(model.model.embed_tokens.weight.detach(), before)


def test_the_rest_of_the_directory_comes_along_in_shards(llama: Path, adapter: Path, tmp_path: Path):
    merge(llama, adapter, tmp_path / "merged", "bfloat16", shard_bytes=20_000)
    shards = list((tmp_path / "merged").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert all(shard.stat().st_size < 24_000 for shard in shards)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").eos_token == "<eos>"
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (llama / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_the_embedded_model_and_its_adapter_become_one(tmp_path: Path):
    if embedded_adapter() is None:
        pytest.skip("this version ships no adapter")
    merge("", "embedded", tmp_path / "merged", "float32")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    expected = adapted(embedded_directory(), embedded_adapter())
    torch.testing.assert_close(logits(model), expected, atol=1e-3, rtol=1e-3)
    assert "base_model: emend-embedded" in (tmp_path / "merged" / "README.md").read_text()


def test_an_adapter_of_another_base_is_refused(llama: Path, adapter: Path, tmp_path: Path):
    other = write_base(LlamaConfig(**SHAPE | {"hidden_size": 64}), tmp_path / "other")
    with pytest.raises(InputError, match=r"trained on .*, not on .*other: give that base"):
        merge(other, adapter, tmp_path / "out")
    with pytest.raises(InputError, match=r"another shape: .*lora_B.weight is \(32, 4\), the base needs \(64, 4\)"):
        merge(other, adapter, tmp_path / "out", force=True)
    starcoder = write_base(CONFIGS["starcoder2"], tmp_path / "starcoder")
    with pytest.raises(InputError, match=r"another base: it has base_model.*down_proj.* no place for"):
        merge(starcoder, adapter, tmp_path / "out", force=True)
    narrow = write_adapter(starcoder, tmp_path / "narrow", target_modules=["c_fc"])
    with pytest.raises(InputError, match=r"another base: Target modules .*c_fc.* not found"):
        merge(llama, narrow, tmp_path / "out", force=True)
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_vocabulary_is_refused(llama: Path, tmp_path: Path):
    larger = write_base(LlamaConfig(**SHAPE | {"vocab_size": 80}), tmp_path / "base")
    adapter = write_adapter(larger, tmp_path / "adapter", modules_to_save=["embed_tokens"])
    with pytest.raises(InputError, match=r"another vocabulary: .*embed_tokens"):
        merge(llama, adapter, tmp_path / "out")
    own = write_adapter(llama, tmp_path / "own")
    Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(own / "tokenizer.json"))
    with pytest.raises(InputError, match="other tokens"):
        merge(llama, own, tmp_path / "out")


def test_a_part_of_an_adapter_is_refused(llama: Path, adapter: Path, tmp_path: Path):
    own = write_adapter(llama, tmp_path / "own")
    tensors = load_file(own / "adapter_model.safetensors")
    tensors.pop(next(name for name in tensors if "v_proj.lora_B" in name))
    save_file(tensors, own / "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"no .*v_proj.lora_B"):
        merge(llama, own, tmp_path / "out")
    (own / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="own cannot be read"):
        merge(llama, own, tmp_path / "out")
    (own / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no adapter_model.safetensors"):
        merge(llama, own, tmp_path / "out")


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_half_a_base_is_refused(adapter: Path, tmp_path: Path, missing: str):
    base = write_base(CONFIGS["llama"], tmp_path / "base")
    (base / missing).unlink()
    with pytest.raises(InputError, match=f"base .*{missing.removesuffix('.json')}") as caught:
        merge(base, adapter, tmp_path / "out")
    assert caught.value.field == "base"


def test_a_quantised_base_is_refused(adapter: Path, tmp_path: Path):
    base = write_base(CONFIGS["llama"], tmp_path / "base")
    config = json.loads((base / "config.json").read_text()) | {"quantization_config": {"quant_method": "gptq"}}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="is quantised"):
        merge(base, adapter, tmp_path / "out")


def test_what_is_there_is_kept_unless_forced(llama: Path, adapter: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    merge(llama, adapter, out)  # empty: nothing to lose
    (out / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="not empty"):
        merge(llama, adapter, out)
    assert (out / "mine.txt").exists()
    merge(llama, adapter, out, force=True)
    assert not (out / "mine.txt").exists()
    for place in (llama, adapter.parent, Path.cwd()):
        with pytest.raises(InputError, match="would be lost"):
            merge(llama, adapter, place, force=True)
    with pytest.raises(InputError, match="float64: the type"):
        merge(llama, adapter, tmp_path / "other", "float64")


def test_a_full_disk_leaves_the_old_directory(llama: Path, adapter: Path, tmp_path: Path):
    out = tmp_path / "out"
    merge(llama, adapter, out, "float32")
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="nothing was left"), largest_file(30_000):
        merge(llama, adapter, out, "float32", force=True)
    assert (out / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
