"""What a run learns from: a recipe's examples, encoded and batched, and the settings of the process.

Owns the way from `data.*` and `objective.*` of a recipe to batches. Must not know which engine it is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from repair.errors import InputError
from training.attacks import hardest
from training.batches import Batch, Batches, Example, Examples, Shards, assemble, heldout_batches, pack
from training.config import DataConfig, Recipe
from training.contrast import EncodedPairs, PreferenceBatches, remembered_margins
from training.corpus import Corpus, read_corpus
from training.encoding import ExampleEncoder, encoder_of
from training.loop import Engine, Material
from training.memory import keep_memory
from training.places import base_directory
from training.preference import pairs_of_records, read_pairs
from training.records import open_dataset

HELDOUT_BATCHES = 8
DATASET = "dataset"  # objective.preference: the rejected repairs of the dataset against the accepted ones


@runtime_checkable
class Weighing(Engine, Protocol):
    """An engine that tells single examples apart."""

    def example_losses(self, batch: Batch) -> NDArray[np.float32]:
        """(rows, most examples of a row): weighted loss sum of each example."""
        ...

    def log_margins(self, batch: Batch) -> NDArray[np.float32]:
        """(pairs,): log P(better) - log P(worse) of a preference batch."""
        ...


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
    given = os.environ.get("OMP_NUM_THREADS", "")  # who shares a machine says so there
    torch.set_num_threads(recipe.run.threads or (int(given) if given.isdigit() else os.cpu_count()) or 1)
    torch.manual_seed(recipe.run.seed)


def with_steps(recipe: Recipe, examples: Examples, processes: int) -> Recipe:
    """The recipe with `steps` for its `epochs`, and a warm-up of a tenth of them at most."""
    if not recipe.run.epochs:
        return recipe
    each = recipe.optim.accumulate * processes
    epoch = Batches(examples, recipe.data, recipe.run.seed).an_epoch()
    steps = max(1, math.ceil(recipe.run.epochs * epoch / each))
    warmup = min(recipe.optim.warmup, steps // 10)
    return replace(recipe, run=replace(recipe.run, steps=steps), optim=replace(recipe.optim, warmup=warmup))


def material(recipe: Recipe, found: Sources, engine: Engine) -> Material:
    """Batches of what is learned and held out, and of preference pairs. Raises InputError."""
    heldout = heldout_batches(found.heldout, recipe.data, HELDOUT_BATCHES) if found.heldout else ()
    return Material(_batches(recipe, found, engine), heldout, _pairs(recipe, engine))


def _batches(recipe: Recipe, found: Sources, engine: Engine) -> Batches:
    corpus = found.corpus
    if not recipe.objective.attacks:
        return Batches(found.examples, recipe.data, recipe.run.seed)
    if corpus is None or not isinstance(engine, Weighing):
        raise InputError("objective.attacks wants data.dataset and run.engine=torch", field="objective.attacks")
    per_epoch, losses = -(-len(corpus) // recipe.data.pool), partial(example_losses, engine, recipe.data)

    def choose(pool: int, chosen: Sequence[int]) -> list[Example]:
        groups = [[corpus.example(i), *corpus.variants(i, pool // per_epoch)] for i in chosen]
        return hardest(groups, losses)

    return Batches(corpus, recipe.data, recipe.run.seed, choose)


def example_losses(engine: Weighing, config: DataConfig, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Loss of each example under the engine as it is, nats a target token, (examples,)."""
    found = np.zeros(len(examples), np.float64)
    rows = pack([len(one.ids) for one in examples], config.row_length)
    for begin in range(0, len(rows), config.rows):
        part = rows[begin : begin + config.rows]
        sums = engine.example_losses(assemble([[examples[i] for i in row] for row in part], config))
        for number, row in enumerate(part):
            found[row] = sums[number, : len(row)]
    return found / np.maximum([float(one.weights[1:].sum()) for one in examples], 1e-6)


def _pairs(recipe: Recipe, engine: Engine) -> PreferenceBatches | None:
    """Preference pairs with the margins of the model as the run found it."""
    wanted, objective = recipe.objective.preference, recipe.objective
    if not wanted:
        return None
    if not isinstance(engine, Weighing):
        raise InputError("objective.preference wants run.engine=torch", field="objective.preference")
    if wanted == DATASET:
        records = (record for _, record in open_dataset(recipe.data.dataset, recipe.data.split).records())
        pairs = list(pairs_of_records(records))
    else:
        pairs = read_pairs(Path(wanted))
    encoded = EncodedPairs(pairs, encoder_of(base_directory(recipe)), objective, recipe.data)
    reference = remembered_margins(recipe.run.out / "reference", encoded, recipe.data, engine.log_margins)
    return PreferenceBatches(encoded, reference, recipe.data, recipe.run.seed)
