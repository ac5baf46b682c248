import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from repair.errors import ModelError
from repair.models.decoding import Engine
from repair.models.huggingface import HuggingFaceNetwork
from repair.models.lean import LeanLlama, LlamaShape, read_lean
from tests.repair.models.conftest import tiny_llama

PROMPT = [5, 9, 300, 2, 77, 8, 8, 41]
TARGETS = [[4, 7, 1], [4, 7, 2, 9], [4], [600, 3, 3]]


def engines(directory: Path) -> tuple[Engine, Engine]:
    """The lean and the Hugging Face one, both fp32."""
    found = read_lean(directory, None)
    assert found is not None
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return Engine(LeanLlama(*found, torch.float32)), Engine(HuggingFaceNetwork(model.eval()))


def assert_same(one: Engine, other: Engine) -> None:
    first, second = one.read(PROMPT), other.read(PROMPT)
    torch.testing.assert_close(first.after, second.after, atol=1e-4, rtol=1e-4)
    assert one.score(first, TARGETS) == pytest.approx(other.score(second, TARGETS), abs=1e-3)
    assert (one.limit, one.vocabulary) == (other.limit, other.vocabulary)


def test_it_computes_what_hugging_face_computes(compact_directory: Path) -> None:
    assert_same(*engines(compact_directory))


@pytest.mark.parametrize("groups", [1, 4])
def test_other_shapes(tmp_path: Path, groups: int) -> None:
    """Untied head, odd head size, its own rotary base, one or as many groups as heads."""
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=704, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, head_dim=20,
        num_key_value_heads=groups, tie_word_embeddings=False, rms_norm_eps=1e-4, initializer_range=0.3,
        rope_parameters={"rope_type": "default", "rope_theta": 777.0},
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert_same(*engines(tmp_path))


@pytest.mark.parametrize("rslora", [False, True])
def test_a_plain_adapter_is_merged_as_peft_merges_it(compact_directory: Path, tmp_path: Path, rslora: bool) -> None:
    torch.manual_seed(5)
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules="all-linear", init_lora_weights=False, use_rslora=rslora
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(tiny_llama(704), config)
        adapted.save_pretrained(tmp_path)
        merged = adapted.merge_and_unload()
    found = read_lean(compact_directory, tmp_path)
    assert found is not None
    assert_same(Engine(LeanLlama(*found, torch.float32)), Engine(HuggingFaceNetwork(merged)))


def changed(key: str, value: object) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        table = json.loads((directory / "config.json").read_text())
        table[key] = value
        (directory / "config.json").write_text(json.dumps(table))

    return change


def without_norm(directory: Path) -> None:
    weights = load_file(directory / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change",
    [
        changed("model_type", "mistral"),
        changed("attention_bias", True),
        changed("hidden_act", "gelu"),
        changed("rope_parameters", {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}),
        changed("num_hidden_layers", 1),
        changed("num_attention_heads", 8),
        changed("num_attention_heads", None),
        changed("tie_word_embeddings", False),  # there is no head then
        changed("quantization_config", {"quant_method": "gptq"}),
        without_norm,
        lambda directory: (directory / "model.safetensors").unlink(),
        lambda directory: (directory / "config.json").write_text("{"),
    ],
)
def test_what_it_does_not_know_is_left_to_transformers(
    compact_directory: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(compact_directory, directory)
    assert read_lean(directory, None) is not None
    change(directory)
    assert read_lean(directory, None) is None


def test_an_odd_adapter_is_left_to_peft(compact_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": True})
    )
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    assert read_lean(compact_directory, tmp_path) is None
    assert read_lean(compact_directory, tmp_path / "missing") is None


def test_an_adapter_with_more_than_two_matrices_is_left_to_peft(compact_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"
    changes = {name.format("A"): torch.ones(4, 64), name.format("B"): torch.ones(96, 4)}
    save_file(changes, tmp_path / "adapter_model.safetensors")
    assert read_lean(compact_directory, tmp_path) is not None
    save_file(changes | {"base_model.model.lm_head.weight": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    assert read_lean(compact_directory, tmp_path) is None
    save_file(changes | {name.format("B"): torch.ones(96, 8)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="different ranks"):
        read_lean(compact_directory, tmp_path)
    save_file(changes | {name.format("B"): torch.ones(95, 4)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="does not fit the model"):
        read_lean(compact_directory, tmp_path)


def test_the_shape_defaults_are_those_of_llama(tmp_path: Path) -> None:
    table = {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(table))
    assert LlamaShape.read(tmp_path) == LlamaShape(2, 4, 4, 16, 10_000.0, 1e-6, 2048, tied=False)


def test_a_small_llama_is_loaded_without_transformers(compact_directory: Path) -> None:
    code = (
        "import sys; from repair.models.select import load_model; load_model(sys.argv[1], device='cpu');"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(compact_directory)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True False\n"
