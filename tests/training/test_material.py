"""From the settings of a recipe to batches: splits, controls, steps of epochs, attacks, pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from repair.errors import InputError
from tests.training.commands import few, write_base, write_recipe, write_rows
from tests.training.pieces import record, records, rejected
from training.batches import Batch
from training.config import Recipe, read_recipe
from training.encoding import encoder_of
from training.material import example_losses, material, read_heldout, sources, with_steps


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    base = write_base("llama", tmp_path / "base")
    return read_recipe(write_recipe(tmp_path / "r.toml", base, few(tmp_path / "d.jsonl", heldout=3), tmp_path / "out"))


class Deaf:
    """An engine that cannot tell examples apart."""

    extras: Mapping[str, float] = {}
    parameters: Mapping[str, nn.Parameter] = {}

    def gradients(self, batch: Batch, denominator: float) -> float:
        return 0.0

    def loss(self, batch: Batch) -> tuple[float, float]:
        return 0.0, 1.0


class Long(Deaf):
    """An engine to which an example is as hard as it is long."""

    def example_losses(self, batch: Batch) -> NDArray[np.float32]:
        found = np.zeros((len(batch.ids), int(batch.segments.max())), np.float32)
        for row, number in np.ndindex(*found.shape):
            inside = batch.segments[row] == number + 1
            found[row, number] = inside.sum() * (batch.weights[row] * inside).sum()
        return found

    def log_margins(self, batch: Batch) -> NDArray[np.float32]:
        assert batch.preference is not None
        return np.full(len(batch.preference.reference), 0.5, np.float32)


def test_what_is_held_out_is_neither_limited_nor_shuffled(recipe: Recipe):
    plain = sources(recipe)
    data = replace(recipe.data, limit=4, control="shuffled")
    changed = sources(replace(recipe, data=data))
    assert plain.heldout_corpus is not None
    assert changed.heldout_corpus is not None
    assert (len(plain.examples), len(changed.examples)) == (8, 4)
    assert changed.heldout_corpus.digest == plain.heldout_corpus.digest
    assert len(read_heldout(replace(recipe, data=data), encoder_of(recipe.run.base))) == 3
    assert changed.corpus is not None
    assert changed.corpus.digest != plain.corpus.digest if plain.corpus else False


def test_epochs_become_steps_of_all_processes(recipe: Recipe):
    found = sources(recipe)
    twice = replace(recipe, run=replace(recipe.run, epochs=40.0), optim=replace(recipe.optim, warmup=100))
    alone, together = (with_steps(twice, found.examples, n) for n in (1, 2))
    assert alone.run.steps == 2 * together.run.steps > 10
    assert alone.optim.warmup == alone.run.steps // 10
    assert with_steps(recipe, found.examples, 1) == recipe


def test_of_each_group_the_example_with_the_highest_loss_is_learned(recipe: Recipe):
    found = sources(recipe)
    attacked = replace(recipe, objective=replace(recipe.objective, attacks=2), data=replace(recipe.data, rows=8))
    found = sources(attacked)
    engine = Long()
    corpus = found.corpus
    assert corpus is not None
    groups = [[corpus.example(n), *corpus.variants(n)] for n in range(len(corpus))]
    longest = sum(max(len(one.ids) for one in group) for group in groups)
    assert longest > sum(len(group[0].ids) for group in groups)
    batch = next(iter(material(attacked, found, engine).batches))
    assert (batch.segments > 0).sum() == longest
    lengths = [len(group[0].ids) for group in groups]
    measured = example_losses(engine, recipe.data, [group[0] for group in groups])
    assert np.argsort(measured, kind="stable").tolist() == np.argsort(lengths, kind="stable").tolist()


def test_attacks_and_pairs_want_an_engine_and_records(recipe: Recipe, tmp_path: Path):
    found = sources(recipe)
    with pytest.raises(InputError, match=r"objective\.attacks wants data\.dataset and run\.engine=torch"):
        material(replace(recipe, objective=replace(recipe.objective, attacks=2)), found, Deaf())
    with pytest.raises(InputError, match=r"objective\.preference wants run\.engine=torch"):
        material(replace(recipe, objective=replace(recipe.objective, preference="dataset")), found, Deaf())


def test_pairs_of_the_dataset_carry_the_margins_of_the_beginning(recipe: Recipe, tmp_path: Path):
    one = record(0)
    wrong = rejected(one, one.buggy.replace("left - right", "left * right"))
    rows = write_rows(tmp_path / "p.jsonl", train=[*records(3), wrong], validation=records(1))
    recipe = replace(
        recipe,
        data=replace(recipe.data, dataset=(str(rows),)),
        objective=replace(recipe.objective, preference="dataset"),
    )
    made = material(recipe, sources(recipe), Long())
    assert made.pairs is not None
    batch = next(iter(made.pairs))
    assert batch.preference is not None
    assert batch.preference.reference.tolist() == [0.5]
    assert len(list(recipe.run.out.glob("reference.*.npy"))) == 1
