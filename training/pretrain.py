"""`train base`: makes the embedded base from token shards, from scratch or from a checkpoint.

Owns the composition: recipe -> shards, model, engine, loop. The command line calls `train_base`;
`python -m training.pretrain RECIPE.toml key=value` does the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from training.batches import Batches, Shards, heldout_batches
from training.checkpoint import State
from training.config import Recipe, read_recipe
from training.engine import TorchEngine
from training.loop import Engine, Log, Trainer
from training.memory import keep_memory
from training.model import Llama

HELDOUT_BATCHES = 8


def build_engine(recipe: Recipe) -> Engine:
    """The model of the recipe, freshly initialised, behind the engine it asks for."""
    torch.manual_seed(recipe.run.seed)
    model = Llama(recipe.model)
    if recipe.run.engine == "native":
        from training.native import NativeEngine

        return NativeEngine(model)
    return TorchEngine(model, getattr(torch, recipe.run.dtype), compiled=recipe.run.compile)


def train_base(recipe: Recipe, echo: Callable[[str], None] | None = None) -> State:
    """Run the recipe to its end, or on from its last checkpoint. Raises InputError, ModelError."""
    keep_memory()
    torch.set_num_threads(recipe.run.threads)
    shards = Shards(recipe.data.shards, recipe.data)
    heldout = ()
    if recipe.data.heldout:
        heldout = heldout_batches(Shards(recipe.data.heldout, recipe.data), recipe.data, HELDOUT_BATCHES)
    log = Log(recipe.run.out / "log.jsonl", echo)
    log.write({"examples": len(shards), "too_long": shards.too_long})
    batches = Batches(shards, recipe.data, recipe.run.seed)
    try:
        return Trainer(build_engine(recipe), recipe, batches, heldout, log).run()
    finally:
        log.close()


def main(arguments: Sequence[str]) -> None:
    """RECIPE.toml and `section.key=value` overrides."""
    train_base(read_recipe(Path(arguments[0]), arguments[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
