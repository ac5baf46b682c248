"""The engine that a recipe gets, and what it must offer: the result on disk, a model that can be asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from repair.errors import ModelError
from tests.training.commands import few, write_base, write_recipe
from training.adapter import train_adapter
from training.batches import Batch
from training.config import LoraConfig, ModelConfig, ObjectiveConfig, Recipe, read_recipe
from training.engine import TorchEngine
from training.hub import memory_errors
from training.llamas import hub_config
from training.loop import Surroundings, Trainer
from training.material import material, sources
from training.merged import MergedEngine, read_factors, write_adapter
from training.model import Llama
from training.tuned import only_cross_entropy, tuned_engine, why_not_native
from training.world import Alone

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    base = write_base("qwen2", tmp_path / "base")
    return read_recipe(write_recipe(tmp_path / "r.toml", base, few(tmp_path / "d.jsonl", heldout=2), tmp_path / "out"))


def test_a_base_of_another_class_is_left_to_torch(recipe: Recipe):
    engine, known = tuned_engine(recipe, Alone())
    assert known.run.engine == "torch"
    assert engine.vocabulary == engine.config.vocab_size
    with pytest.raises(ModelError, match=r"set run\.engine=torch"):
        tuned_engine(replace(recipe, run=replace(recipe.run, engine="native")), Alone())
    assert "lora.dropout" in why_not_native(replace(recipe, lora=replace(recipe.lora, dropout=0.1)))
    assert not only_cross_entropy(ObjectiveConfig(attacks=1))


def test_a_lean_llama_is_tuned_in_plain_torch_where_the_recipe_says_so(tmp_path: Path, recipe: Recipe):
    llama = Llama(ModelConfig(vocabulary=600, width=64, layers=1, heads=2, kv_heads=1, hidden=96, positions=2048))
    weights = {name: tensor.detach().contiguous() for name, tensor in llama.named_parameters()}
    base = write_base("qwen2", tmp_path / "lean")  # for its tokenizer
    (base / "config.json").write_text(json.dumps(hub_config(llama.config)))
    save_file(weights, base / "model.safetensors")
    wanted = replace(recipe, run=replace(recipe.run, base=str(base), engine="lean", dtype="float32"))
    assert not why_not_native(replace(wanted, run=replace(wanted.run, compile=True)))
    trained = train_adapter(wanted)
    assert trained.recipe.run.engine == "lean"
    factors, _ = read_factors(trained.candidate, LoraConfig())
    assert any(tensor.abs().max() > 0 for name, tensor in factors.items() if "lora_B" in name)


def test_the_model_of_a_run_answers_and_is_trained_on(recipe: Recipe):
    found = sources(recipe)
    engine, recipe = tuned_engine(recipe, Alone())
    assert found.heldout_corpus is not None
    view = found.heldout_corpus.pairs[0].view
    trainer = Trainer(engine, recipe, material(recipe, found, engine))
    with engine.asked() as model:
        before = model.locate(view)
    trainer.run()
    with engine.asked() as model:
        after = model.locate(view)
    assert before is not None
    assert after is not None
    assert before.lines.keys() == after.lines.keys()
    assert before.lines != after.lines


def test_whole_weights_are_a_checkpoint_that_loads(recipe: Recipe):
    recipe = replace(recipe, run=replace(recipe.run, method="full"))
    trained = train_adapter(recipe)
    again = replace(recipe, run=replace(recipe.run, base=str(trained.candidate), out=recipe.run.out / "next"))
    engine, _ = tuned_engine(again, Alone())
    held = material(again, sources(again), engine).heldout
    loss = sum(engine.loss(batch)[0] for batch in held) / sum(engine.loss(batch)[1] for batch in held)
    assert loss == pytest.approx(trained.state.best, rel=1e-3)


def test_factors_are_found_by_the_paths_that_peft_writes(tmp_path: Path):
    from tests.training.tiny import TINY
    from training.model import Llama

    paths = tuple(f"model.layers.{n}.self_attn.q_proj" for n in range(TINY.layers))
    lora = LoraConfig(rank=2, alpha=4, targets=paths)
    merged = MergedEngine(TorchEngine(Llama(TINY)), lora, seed=0)
    assert merged.modules == list(paths)
    assert MergedEngine(TorchEngine(Llama(TINY)), replace(lora, targets=("q_proj",)), 0).modules == list(paths)
    write_adapter(merged.parameters, lora, "base", tmp_path / "adapter")
    (tmp_path / "adapter" / "note").touch()
    factors, known = read_factors(tmp_path / "adapter", LoraConfig())
    assert MergedEngine(TorchEngine(Llama(TINY)), known, 1, factors).modules == list(paths)
    write_adapter(merged.parameters, lora, "base", tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "note").exists()  # replaced whole
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot save the model"):
        write_adapter(merged.parameters, lora, "base", tmp_path / "file" / "adapter")


class Greedy:
    """An engine whose batches want more memory than there is."""

    extras: Mapping[str, float] = {}

    def __init__(self) -> None:
        self.parameters = {"w": nn.Parameter(torch.ones(2))}

    def gradients(self, batch: Batch, denominator: float) -> float:
        with memory_errors():
            torch.empty(1 << 60)
        raise AssertionError

    def loss(self, batch: Batch) -> tuple[float, float]:
        return 1.0, 1.0


def test_out_of_memory_names_the_settings_and_leaves_a_checkpoint(recipe: Recipe):
    from training.checkpoint import latest, read_weights

    engine = Greedy()
    with pytest.raises(ModelError, match=r"lower data\.rows and raise optim\.accumulate"):
        Trainer(engine, recipe, material(recipe, sources(recipe), engine), Surroundings()).run()
    kept = latest(recipe.run.out)
    assert kept is not None
    assert read_weights(kept)["w"].tolist() == [1, 1]
