"""What a run learns from: a recipe's examples, encoded and batched, and the settings of the process.

Owns the way from `data.*` of a recipe to batches. Must not know engines or the loop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from training.batches import Batch, Batches, Examples, Shards, heldout_batches
from training.config import Recipe
from training.corpus import Corpus, read_corpus
from training.encoding import ExampleEncoder, encoder_of
from training.memory import keep_memory
from training.places import base_directory

HELDOUT_BATCHES = 8


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run learns from: training examples, held-out ones, and the records behind both where there are some."""

    examples: Examples
    heldout: Examples | None
    corpus: Corpus | None = None
    heldout_corpus: Corpus | None = None


def sources(recipe: Recipe) -> Sources:
    """Training and held-out examples of a recipe, encoded for its base. Raises InputError, ModelError."""
    if not recipe.data.dataset:
        held = Shards(recipe.data.heldout, recipe.data, "data.heldout") if recipe.data.heldout else None
        return Sources(Shards(recipe.data.shards, recipe.data), held)
    encoder = encoder_of(base_directory(recipe))
    corpus = read_corpus(recipe, recipe.data.split, encoder)
    heldout = read_heldout(recipe, encoder)
    return Sources(corpus, heldout, corpus, heldout)


def read_heldout(recipe: Recipe, encoder: ExampleEncoder) -> Corpus:
    """The held-out split, as it is: neither limited nor resampled nor shuffled."""
    plain = replace(recipe.data, limit=0, clean_share=-1.0, control="")
    return read_corpus(replace(recipe, data=plain), recipe.data.heldout_split, encoder)


def prepare(recipe: Recipe) -> None:
    """Settings of this process: memory, threads, seed."""
    keep_memory()
    torch.set_num_threads(recipe.run.threads or os.cpu_count() or 1)
    torch.manual_seed(recipe.run.seed)


def material(recipe: Recipe, found: Sources, processes: int) -> tuple[Recipe, Batches, Sequence[Batch]]:
    """Batches, held-out batches, and the recipe with `steps` for its `epochs`."""
    batches = Batches(found.examples, recipe.data, recipe.run.seed)
    heldout = heldout_batches(found.heldout, recipe.data, HELDOUT_BATCHES) if found.heldout else ()
    if recipe.run.epochs:
        each = recipe.optim.accumulate * processes
        steps = max(1, math.ceil(recipe.run.epochs * batches.an_epoch() / each))
        warmup = min(recipe.optim.warmup, steps // 10)
        recipe = replace(recipe, run=replace(recipe.run, steps=steps), optim=replace(recipe.optim, warmup=warmup))
    return recipe, batches, heldout
