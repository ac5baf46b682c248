"""`train base`: makes the embedded base from token shards, from scratch or from a checkpoint.

Owns the composition: recipe -> shards, model, engine, loop. The command line calls `train_base`;
`python -m training.pretrain RECIPE.toml key=value` does the same.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from repair.errors import InputError, ModelError
from training.arriving import Ahead, Arriving
from training.batches import Examples, Shards, heldout_batches
from training.checkpoint import State
from training.config import Recipe, read_recipe
from training.engine import TorchEngine
from training.flops import Cost, flops_per_token, peak_flops, shape_of
from training.loop import Engine, Material, Surroundings, Trainer
from training.material import HELDOUT_BATCHES, Sources, material, prepare, with_steps
from training.model import Llama
from training.remembered import remember
from training.watch import Observer, Watch, observers
from training.world import world

TOKENIZER = "tokenizer.json"


def build_engine(recipe: Recipe) -> Engine:
    """The model of the recipe, freshly initialised, behind the engine it asks for."""
    torch.manual_seed(recipe.run.seed)
    model = Llama(recipe.model)
    if recipe.objective.z and recipe.run.engine == "native":
        raise InputError("objective.z wants run.engine=torch", field="objective.z")
    if recipe.run.engine not in ("torch", "lean") and not recipe.objective.z:
        from training.native import NativeEngine

        try:
            return NativeEngine(model)
        except ModelError:
            if recipe.run.engine == "native":
                raise
    device = "cuda" if recipe.run.device == "auto" and torch.cuda.is_available() else recipe.run.device
    where = torch.device("cpu" if device == "auto" else device)
    return TorchEngine(
        model.to(where), getattr(torch, recipe.run.dtype), compiled=recipe.run.compile, z=recipe.objective.z
    )


def _keep_tokenizer(recipe: Recipe) -> None:
    """The tokenizer that the shards were made with, where `emend data build` left it beside them."""
    beside = Path(recipe.data.shards[0]).with_name(TOKENIZER)
    kept = recipe.run.out / TOKENIZER
    if beside.is_file() and not kept.exists():
        shutil.copyfile(beside, kept)


def _vocabulary_check(highest: int, vocabulary: int) -> None:
    if highest >= vocabulary:
        raise InputError(
            f"the shards hold token {highest}, model.vocabulary is {vocabulary}: take the tokenizer's size",
            field="model.vocabulary",
        )


def _found(recipe: Recipe, held: Examples | None, engine: Engine, processes: int) -> tuple[Recipe, Material, float]:
    """The recipe with its steps, what is learned, and the mean length of an example in tokens."""
    if recipe.data.arriving:
        stream = Arriving(recipe.data.shards[0], recipe.data, recipe.run.seed)
        ids, _, segments = stream.rows(stream.wait(0))
        _vocabulary_check(int(ids.max()), recipe.model.vocabulary)
        heldout = heldout_batches(held, recipe.data, HELDOUT_BATCHES) if held else ()
        length = float((segments > 0).sum() / segments.max(axis=1).astype(np.int64).sum())
        return recipe, Material(Ahead(stream), heldout), length
    found = Sources(Shards(recipe.data.shards, recipe.data), held)
    recipe = with_steps(recipe, found.examples, processes)
    _vocabulary_check(found.examples.highest, recipe.model.vocabulary)
    return recipe, material(recipe, found, engine), float(found.examples.lengths.mean())


def train_base(recipe: Recipe, watch: Watch | None = None, engine: Engine | None = None) -> State:
    """Run the recipe to its end, or on from its last checkpoint. Raises InputError, ModelError.

    `engine` is one that an earlier stage has used, compiled: its weights are where the run begins, unless the recipe
    says from where.
    """
    prepare(recipe)
    processes = world()
    if not recipe.data.shards:
        raise InputError("data.shards: a base is made from token shards (`emend data build`)", field="data.shards")
    held = Shards(recipe.data.heldout, recipe.data, "data.heldout") if recipe.data.heldout else None
    if processes.rank == 0:
        remember(recipe)
        _keep_tokenizer(recipe)
    engine = engine or build_engine(recipe)
    recipe, learned, length = _found(recipe, held, engine, processes.size)
    cost = Cost(
        flops_per_token(shape_of(recipe.model), length),
        peak_flops(next(iter(engine.parameters.values())).device, getattr(torch, recipe.run.dtype)),
    )
    around = Surroundings(processes, cost=cost, vocabulary=recipe.model.vocabulary)
    trainer = Trainer(engine, recipe, learned, around)
    observer = watch(recipe, trainer.state.step, cost) if watch and processes.rank == 0 else None
    try:
        return trainer.run(observer)
    finally:
        if observer:
            observer.close()


def main(arguments: Sequence[str]) -> None:
    """RECIPE.toml and `section.key=value` overrides."""

    def told(recipe: Recipe, start: int, cost: Cost | None) -> Observer:
        return observers(recipe, recipe.run.steps, cost=cost, start=start)

    train_base(read_recipe(Path(arguments[0]), arguments[1:]), told)


if __name__ == "__main__":
    main(sys.argv[1:])
