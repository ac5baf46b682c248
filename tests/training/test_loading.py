from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repair.errors import InputError, ModelError
from tests.training.families import VOCABULARY, tiny, write_checkpoint
from tests.training.tiny import random_batch
from training import loading
from training.attention import BLOCKS
from training.config import DataConfig, LoraConfig, ObjectiveConfig, Recipe, RunConfig
from training.loading import linear_modules, load_hub

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("qwen2", tmp_path_factory.mktemp("qwen2"))


def recipe_of(base: Path | str, lora: LoraConfig | None = None, **run: object) -> Recipe:
    settings = RunConfig(base=str(base), dtype="float32", device="cpu")
    return Recipe(
        data=DataConfig(row_length=64, rows=2), lora=lora or LoraConfig(rank=4), run=replace(settings, **run)
    )  # fmt: skip


def attention(engine: object) -> str:
    return engine.base.config._attn_implementation


def test_a_recipe_becomes_an_engine_whose_start_follows_from_the_seed(base: Path):
    batch = random_batch(VOCABULARY, ((20, 30), (40,)))
    first, second, other = (load_hub(recipe_of(base, seed=seed)) for seed in (1, 1, 2))
    assert attention(first) == BLOCKS
    assert len(first.parameters) == 2 * 2 * 7
    assert first.loss(batch)[0] == pytest.approx(second.loss(batch)[0])
    for name, parameter in first.parameters.items():
        assert torch.equal(parameter, second.parameters[name])
    assert any(not torch.equal(p, other.parameters[name]) for name, p in first.parameters.items())


def test_an_adapter_is_gone_on_from(base: Path, tmp_path: Path):
    batch = random_batch(VOCABULARY, ((20, 30), (40,)))
    engine = load_hub(recipe_of(base))
    for parameter in engine.parameters.values():
        parameter.data += 0.05
    engine.save(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        base
    )
    again = load_hub(recipe_of(base, adapter=str(tmp_path / "adapter")))
    assert set(again.parameters) == set(engine.parameters)
    assert again.loss(batch)[0] == pytest.approx(engine.loss(batch)[0])


def test_the_embedded_base_and_its_adapter_are_trained_without_a_path(tmp_path: Path):
    engine = load_hub(replace(recipe_of("", LoraConfig(rank=2)), data=DataConfig(row_length=512)))
    engine.save(tmp_path / "adapter")
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "emend-embedded"
    going_on = load_hub(recipe_of("", adapter="embedded"))
    assert next(iter(going_on.parameters.values())).shape[0] == 32


@pytest.mark.parametrize("kind", ["rslora", "dora"])
def test_kinds_of_lora(base: Path, kind: str):
    engine = load_hub(recipe_of(base, LoraConfig(rank=4, targets=("q_proj",), **{kind: True})))
    batch = random_batch(VOCABULARY, ((20, 30),))
    engine.gradients(batch, 1.0)
    assert all("q_proj" in name for name in engine.parameters)
    assert any("magnitude" in name for name in engine.parameters) == (kind == "dora")
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in engine.parameters.values())


def test_full_fine_tuning_trains_all_in_fp32_and_saves_the_tokenizer(base: Path, tmp_path: Path):
    engine = load_hub(recipe_of(base, method="full", dtype="bfloat16"))
    assert {p.dtype for p in engine.parameters.values()} == {torch.float32}
    assert "model.embed_tokens.weight" in engine.parameters
    exact = load_hub(recipe_of(base, method="full"))
    batch = random_batch(VOCABULARY, ((20, 30),))
    assert engine.loss(batch)[0] == pytest.approx(exact.loss(batch)[0], rel=0.05)
    engine.save(tmp_path / "tuned")
    assert load_hub(recipe_of(tmp_path / "tuned")).loss(batch)[0] == pytest.approx(exact.loss(batch)[0], rel=1e-4)


def test_a_model_that_no_memory_holds_is_warned_about(base: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "_BYTES_FULL", 1 << 40)
    with pytest.warns(UserWarning, match=r"use run\.method=lora"):
        load_hub(recipe_of(base, method="full"))


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_a_quantised_base_learns_on_the_cpu(tmp_path: Path, kind: str):
    pytest.importorskip("bitsandbytes")
    base = write_checkpoint("wide", tmp_path / "wide")
    engine = load_hub(recipe_of(base, quantise=kind))
    batch = random_batch(VOCABULARY, ((20, 30), (40,)))
    whole = load_hub(recipe_of(base)).loss(batch)
    assert engine.loss(batch)[0] == pytest.approx(whole[0], rel=0.15)
    optimizer = torch.optim.AdamW(engine.parameters.values(), lr=1e-2)
    engine.gradients(batch, whole[1])
    assert all(p.grad is not None and p.grad.abs().max() > 0 for n, p in engine.parameters.items() if "lora_B" in n)
    seen: list[float] = []
    for _ in range(12):
        optimizer.zero_grad()
        seen.append(engine.gradients(batch, whole[1]))
        optimizer.step()
    assert seen[-1] < seen[0] - 0.3


def test_what_is_missing_of_a_base_is_named(base: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="no-such is not a directory"):
        load_hub(recipe_of(tmp_path / "no-such"))
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_hub(recipe_of(tmp_path))
    tiny("llama").save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="no tokenizer"):
        load_hub(recipe_of(tmp_path / "bare"))
    from safetensors.torch import load_file, save_file

    lacking = write_checkpoint("llama", tmp_path / "lacking")
    weights = load_file(lacking / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights.*up_proj"):
        load_hub(recipe_of(lacking))
    (lacking / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="not a causal language model that transformers can load"):
        load_hub(recipe_of(lacking))
    with pytest.raises(ModelError, match="vocabularies differ"):
        load_hub(recipe_of(write_checkpoint("llama", tmp_path / "other", vocabulary=VOCABULARY + 5)))


def test_an_adapter_of_another_base_names_both(base: Path, tmp_path: Path):
    load_hub(recipe_of(write_checkpoint("gemma", tmp_path / "gemma"))).save(tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"adapter .*adapter does not fit the base .*qwen2"):
        load_hub(recipe_of(base, adapter=str(tmp_path / "adapter")))
    with pytest.raises(ModelError, match="give a PEFT directory"):
        load_hub(recipe_of(base, adapter=str(tmp_path)))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "PREFIX_TUNING"}')
    with pytest.raises(ModelError, match="PREFIX_TUNING"):
        load_hub(recipe_of(base, adapter=str(tmp_path)))


def test_settings_that_do_not_fit_the_model_are_named(base: Path):
    with pytest.raises(InputError, match="no module qkv; there are down_proj, gate_proj") as caught:
        load_hub(recipe_of(base, LoraConfig(targets=("qkv",))))
    assert caught.value.field == "lora.targets"
    recipe = replace(recipe_of(base), objective=ObjectiveConfig(entropy=0.1, layers=(9,)))
    with pytest.raises(InputError, match="none of the 2 layers"):
        load_hub(recipe)
    with pytest.raises(ModelError, match=r"run\.device=cuda:7"):
        load_hub(recipe_of(base, device="cuda:7"))
    with pytest.raises(ModelError, match=r"run\.attention=flash_attention_2 does not work here"):
        load_hub(recipe_of(base, attention="flash_attention_2"))


def test_linear_modules_leave_the_head_out():
    assert linear_modules(tiny("starcoder2")) == ["c_fc", "c_proj", "k_proj", "o_proj", "q_proj", "v_proj"]
