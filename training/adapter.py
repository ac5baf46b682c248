"""`train adapter`: an adapter, or a small model's weights, from a recipe and examples, through the one loop.

Owns the composition: recipe -> base, examples, engine, loop -> OUT/candidate. Whether a candidate becomes the adapter
is the gate's decision, not taken here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repair.errors import InputError
from training.batches import Examples
from training.checkpoint import State
from training.config import Recipe
from training.loop import Material, Observer, Surroundings, Trainer
from training.material import Sources, material, prepare, sources
from training.sampling import sampler
from training.tuned import tuned_engine
from training.world import world

CANDIDATE = "candidate"  # folder of what was trained, before the gate


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: where it stands, what it left, and what it was made from."""

    state: State
    candidate: Path
    recipe: Recipe  # with everything that "auto" and `epochs` stood for
    sources: Sources


Watch = Callable[[Recipe, int, Cost], Observer]
"""The recipe with its steps, the step that a run goes on from, the cost of a token -> who is told of the run."""


def train_adapter(recipe: Recipe, watch: Watch | None = None, found: Sources | None = None) -> Trained:
    """Train what the recipe says and leave it in OUT/candidate. Raises InputError, ModelError."""
    prepare(recipe)
    processes = world()
    found = found or sources(recipe)
    recipe, batches, heldout = material(recipe, found, processes.size)
    engine, recipe = tuned_engine(recipe)
    _vocabulary_check(found.examples, engine.vocabulary)
    samples = sampler(engine.model, found.heldout_corpus.pairs) if found.heldout_corpus else None
    around = Surroundings(processes, samples)
    trainer = Trainer(engine, recipe, Material(batches, heldout), around)
    state = trainer.run(watch(recipe, trainer.state.step) if watch and processes.rank == 0 else None)
    candidate = recipe.run.out / CANDIDATE
    if processes.rank == 0:
        engine.save(candidate)
    processes.wait()
    return Trained(state, candidate, recipe, found)


def _vocabulary_check(examples: Examples, vocabulary: int) -> None:
    highest = examples.highest
    if highest >= vocabulary:
        raise InputError(f"the examples hold token {highest}, the base has {vocabulary}: other tokenizer", field="data")
