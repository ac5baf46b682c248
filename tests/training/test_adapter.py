from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from repair.errors import InputError, ModelError
from tests.training.tiny import TINY, random_batch, write_words
from training.adapter import Trained
from training.adapter import train_adapter as train
from training.config import LoraConfig, Recipe
from training.engine import TorchEngine
from training.export import export_plain
from training.hub import HubEngine
from training.llamas import load_lean
from training.merged import MergedEngine, read_factors, write_adapter
from training.model import Llama
from training.watch import METRICS, JsonLines

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
LORA = LoraConfig(rank=4, alpha=8)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    export_plain(Llama(TINY).state_dict(), TINY, write_words(tmp_path / "tokenizer.json"), tmp_path / "base")
    return tmp_path / "base"


def train_adapter(recipe: Recipe) -> Trained:
    return train(recipe, lambda known, _start, _cost: JsonLines(known.run.out / METRICS))


def records(recipe: Recipe) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in (recipe.run.out / METRICS).read_text().splitlines()]


def test_merged_factors_have_the_gradients_that_peft_has(base: Path, tmp_path: Path):
    batch = random_batch(TINY.vocabulary, ((20, 30), (64,)))
    merged = MergedEngine(TorchEngine(load_lean(base)), LORA, seed=3)
    with torch.no_grad():
        for name, parameter in merged.parameters.items():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    write_adapter(merged.parameters, LORA, str(base), tmp_path / "adapter")
    from peft import PeftModel

    hub = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(hub, tmp_path / "adapter", is_trainable=True)
    engine = HubEngine(theirs, hub)
    assert len(engine.parameters) == len(merged.parameters) == 2 * 7 * TINY.layers
    ours, others = (one.gradients(batch, batch.weight) for one in (merged, engine))
    assert ours == pytest.approx(others, rel=1e-5)
    for name, parameter in merged.parameters.items():
        other = engine.parameters["base_model.model." + name.replace(".weight", ".default.weight")]
        torch.testing.assert_close(parameter.grad, other.grad, atol=1e-6, rtol=1e-3)
    assert merged.loss(batch) == pytest.approx(engine.loss(batch), rel=1e-5)


def test_an_adapter_learns_and_loads_through_peft(base: Path, tiny_recipe: Recipe):
    recipe = replace(tiny_recipe, lora=LORA, run=replace(tiny_recipe.run, base=str(base), steps=30))
    trained = train_adapter(recipe)
    seen = [float(str(row["loss"])) for row in records(recipe) if "loss" in row]
    assert seen[-1] < seen[0] - 0.3
    from peft import PeftModel

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = torch.tensor([[1, 5, 6, 7]])
    before = plain(input_ids=ids).logits
    tuned = PeftModel.from_pretrained(plain, trained.candidate).merge_and_unload()
    assert not torch.allclose(tuned(input_ids=ids).logits, before, atol=1e-2)


def test_unknown_targets_are_refused_with_those_that_exist(base: Path):
    with pytest.raises(InputError, match="gate_proj"):
        MergedEngine(TorchEngine(load_lean(base)), LoraConfig(targets=("qkv",)), 0)


def test_a_run_goes_on_from_an_adapter(base: Path, tiny_recipe: Recipe, tmp_path: Path):
    first = replace(tiny_recipe, lora=LORA, run=replace(tiny_recipe.run, base=str(base), steps=20))
    found = train_adapter(first).candidate
    factors, lora = read_factors(found, LoraConfig())
    assert (lora.rank, lora.alpha, len(factors)) == (4, 8, 2 * 7 * TINY.layers)
    merged = MergedEngine(TorchEngine(load_lean(base)), lora, seed=1, start=factors)
    assert all(torch.equal(merged.parameters[name], factor) for name, factor in factors.items())
    run = replace(first.run, adapter=str(found), out=tmp_path / "second", steps=1)
    second = replace(first, run=run, lora=LoraConfig())
    train_adapter(second)
    losses = [[row["loss"] for row in records(recipe) if "loss" in row] for recipe in (first, second)]
    assert float(str(losses[1][0])) < float(str(losses[0][0])) - 0.2


def test_an_adapter_of_another_shape_is_refused(base: Path):
    factors = {"model.layers.0.mlp.up_proj.lora_A.weight": torch.zeros(4, 5)}
    with pytest.raises(ModelError, match="does not fit the base"):
        MergedEngine(TorchEngine(load_lean(base)), LORA, seed=1, start=factors)


def test_shards_of_another_tokenizer_are_refused(base: Path, tiny_recipe: Recipe):
    np.save(Path(tiny_recipe.data.shards[0]).parent / "shard-9.npy", np.array([1, 99, 98] * 3000, np.uint16))
    with pytest.raises(InputError, match="other tokenizer"):
        train_adapter(replace(tiny_recipe, run=replace(tiny_recipe.run, base=str(base))))


def test_a_base_that_is_not_there_is_a_clear_error(tiny_recipe: Recipe, tmp_path: Path):
    with pytest.raises(ModelError, match="nowhere"):
        train_adapter(replace(tiny_recipe, run=replace(tiny_recipe.run, base=str(tmp_path / "nowhere"))))
