"""`train adapter`: an adapter, or a small model's weights, from a recipe and examples, through the one loop.

Owns the composition: recipe -> base, examples, engine, loop -> OUT/candidate. Whether a candidate becomes the adapter
is the gate's decision, not taken here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from repair.errors import InputError
from training.batches import Examples
from training.checkpoint import State
from training.config import Recipe
from training.flops import Cost, flops_per_token, peak_flops, shape_of
from training.loop import Surroundings, Trainer
from training.material import Sources, material, prepare, sources, with_steps
from training.remembered import remember
from training.sampling import sampler
from training.tuned import Tuned, tuned_engine
from training.watch import Watch
from training.world import world

_LOOKED_AT = 100  # examples that tell which share of tokens reaches the head
CANDIDATE = "candidate"  # folder of what was trained, before the gate


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: where it stands, what it left, and what it was made from."""

    state: State
    candidate: Path
    recipe: Recipe  # with everything that "auto" and `epochs` stood for
    sources: Sources
    first: bool  # of several processes: the one that saves, gates and reports


def train_adapter(recipe: Recipe, watch: Watch | None = None, found: Sources | None = None) -> Trained:
    """Train what the recipe says and leave it in OUT/candidate. Raises InputError, ModelError."""
    prepare(recipe)
    processes = world()
    found = found or sources(recipe)
    if processes.rank == 0:
        remember(recipe)
    recipe = with_steps(recipe, found.examples, processes.size)
    engine, recipe = tuned_engine(recipe, processes)
    _vocabulary_check(found.examples, engine.vocabulary)
    samples = sampler(engine.asked, found.heldout_corpus.pairs) if found.heldout_corpus else None
    cost = cost_of(engine, recipe, found.examples)
    trainer = Trainer(
        engine, recipe, material(recipe, found, engine), Surroundings(processes, samples, cost, engine.vocabulary)
    )
    observer = watch(recipe, trainer.state.step, cost) if watch and processes.rank == 0 else None
    try:
        state = trainer.run(observer)
    finally:
        if observer:
            observer.close()
    candidate = recipe.run.out / CANDIDATE
    if processes.rank == 0:
        engine.save(candidate)
    processes.wait()
    return Trained(state, candidate, recipe, found, processes.rank == 0)


def cost_of(engine: Tuned, recipe: Recipe, examples: Examples) -> Cost:
    """What a token of these examples costs, and what the device could do."""
    rank = recipe.lora.rank if recipe.run.method == "lora" else 0
    learned = [examples.example(number).weights > 0 for number in range(min(len(examples), _LOOKED_AT))]
    shape, context, labelled = shape_of(engine.config), float(examples.lengths.mean()), np.concatenate(learned).mean()
    per_token = flops_per_token(shape, context, rank=rank, labelled=float(labelled))
    return Cost(per_token, peak_flops(engine.device, getattr(torch, recipe.run.dtype)))


def _vocabulary_check(examples: Examples, vocabulary: int) -> None:
    highest = examples.highest
    if highest >= vocabulary:
        raise InputError(f"the examples hold token {highest}, the base has {vocabulary}: other tokenizer", field="data")
