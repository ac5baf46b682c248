"""Shards that arrive: their order, the waiting, what a batch holds; and batches made ahead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from data.pack import Encoded, write_packed
from repair.errors import InputError, ModelError
from tests.training.tiny import TINY, random_batch
from training import varlen
from training.arriving import Ahead, Arriving, packed_batch
from training.batches import Batch, Example, Position, assemble
from training.checkpoint import latest, read_state
from training.config import DataConfig, ObjectiveConfig, OptimConfig, Recipe, RunConfig
from training.engine import TorchEngine
from training.model import Llama, block_bounds
from training.pretrain import train_base

CONFIG = DataConfig(row_length=16, rows=2, background=0.5)


def write_shard(folder: Path, number: int, rows: int = 5) -> None:
    """Rows of two examples: the first of 7 tokens that all say the shard's number, the second of 4."""
    examples = [
        Encoded(np.full(n, 10 + number, np.uint16), np.array([3] * (n - 2) + [10, 30], np.uint8))
        for _ in range(rows)
        for n in (7, 9)
    ]
    write_packed(folder, f"a-{number:05d}", examples, 16)


def end(folder: Path, shards: int) -> None:
    (folder / "a.end").write_text(json.dumps({"shards": shards}))


def stream(folder: Path, seed: int = 0, **given: float) -> Arriving:
    return Arriving(f"{folder}/a-*.ids.npy", CONFIG, seed, sleep=lambda _: None, **given)


def numbers(batches: Iterator[Batch], count: int) -> list[int]:
    return [int(batch.ids[0, 0]) - 10 for batch in islice(batches, count)]


def test_shards_are_read_in_order_and_again_after_the_end(tmp_path: Path):
    for number in range(2):
        write_shard(tmp_path, number)
    end(tmp_path, 2)
    assert numbers(iter(stream(tmp_path)), 6) == [0, 0, 1, 1, 0, 0]  # of five rows the fifth is left over


def test_a_shard_that_is_not_there_yet_is_waited_for(tmp_path: Path):
    write_shard(tmp_path, 0)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            write_shard(tmp_path, 1)

    found = Arriving(f"{tmp_path}/a-*.ids.npy", CONFIG, 0, sleep=sleep)
    assert numbers(iter(found), 4) == [0, 0, 1, 1]
    assert len(looks) == 3


def test_who_waits_in_vain_says_for_what(tmp_path: Path):
    with pytest.raises(ModelError, match=r"a-00000\.ids\.npy has not come for 1 s.*data\.arriving"):
        next(iter(stream(tmp_path, patience=1.0)))


def test_rows_of_another_length_are_refused(tmp_path: Path):
    write_shard(tmp_path, 0)
    other = Arriving(f"{tmp_path}/a-*.ids.npy", replace(CONFIG, row_length=32), 0)
    with pytest.raises(InputError, match=r"rows of 16 tokens, data\.row_length is 32"):
        next(iter(other))


def test_a_stream_goes_on_where_it_stood(tmp_path: Path):
    for number in range(3):
        write_shard(tmp_path, number)
    end(tmp_path, 3)
    whole, again = stream(tmp_path, seed=4), stream(tmp_path, seed=4)
    expected = list(islice(iter(whole), 5))
    first = stream(tmp_path, seed=4)
    list(islice(iter(first), 3))
    again.position = first.position
    for found, wanted in zip(islice(iter(again), 2), expected[3:], strict=True):
        np.testing.assert_array_equal(found.ids, wanted.ids)


def test_a_packed_batch_is_what_its_examples_make():
    rng = np.random.default_rng(0)
    ids = rng.integers(3, 60, (1, 16)).astype(np.uint16)
    segments = np.array([[1] * 7 + [2] * 5 + [0] * 4], np.uint8)
    ids[segments == 0] = 0
    tenths = np.where(segments > 0, rng.choice([0, 3, 10, 30], (1, 16)), 0).astype(np.uint8)
    weights = np.where(tenths < 10, tenths * 0.05, tenths / 10).astype(np.float32)
    expected = assemble([[Example(ids[0, a:b], weights[0, a:b]) for a, b in ((0, 7), (7, 12))]], CONFIG)
    found = packed_batch(ids, tenths, segments, CONFIG)
    for name in ("ids", "segments", "weights"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-7)
    counted = expected.weights > 0
    np.testing.assert_array_equal(found.labels[counted], expected.labels[counted])
    assert counted.any()


def test_batches_made_ahead_are_the_same_and_stand_where_they_were_taken(tmp_path: Path):
    for number in range(3):
        write_shard(tmp_path, number)
    end(tmp_path, 3)
    ahead = Ahead(stream(tmp_path))
    expected = list(islice(iter(stream(tmp_path)), 3))
    batches = iter(ahead)
    for wanted in expected:
        np.testing.assert_array_equal(next(batches).ids, wanted.ids)
    assert ahead.position == Position(1, 1)
    resumed = Ahead(stream(tmp_path))
    resumed.position = ahead.position
    np.testing.assert_array_equal(next(iter(resumed)).ids, next(batches).ids)


def test_an_error_of_the_stream_reaches_who_takes_batches(tmp_path: Path):
    with pytest.raises(ModelError, match="has not come"):
        next(iter(Ahead(stream(tmp_path, patience=0.5))))


def test_a_base_is_trained_on_shards_that_arrive_and_goes_on(tmp_path: Path):
    for number in range(2):
        write_shard(tmp_path, number, rows=20)
    end(tmp_path, 2)
    recipe = Recipe(
        TINY,
        replace(CONFIG, shards=(f"{tmp_path}/a-*.ids.npy",), arriving=True),
        ObjectiveConfig(z=1e-4),
        OptimConfig(lr=1e-2, warmup=2),
        run=RunConfig(tmp_path / "run", steps=6, dtype="float32", engine="torch", threads=1),
    )
    assert train_base(recipe).position == Position(0, 6)
    state = train_base(replace(recipe, run=replace(recipe.run, steps=12)))
    assert (state.step, state.position) == (12, Position(1, 2))
    found = latest(tmp_path / "run")
    assert found is not None
    assert read_state(found) == state


def test_boundaries_are_those_of_segments_within_rows():
    segments = np.array([[1, 1, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1]])
    assert block_bounds(segments).tolist() == [0, 2, 4, 6, 12]


def test_boundaries_and_mask_give_the_same_gradients():
    torch.manual_seed(0)
    model = Llama(TINY)
    batch = random_batch(TINY.vocabulary, ((20, 30), (64,)))
    found: list[dict[str, torch.Tensor]] = []
    for bounded in (False, True):
        engine = TorchEngine(model, z=0.01)
        engine.varlen = bounded
        model.zero_grad(set_to_none=True)
        engine.gradients(batch, batch.weight)
        found.append({name: p.grad.clone() for name, p in engine.parameters.items() if p.grad is not None})
    assert len(found[0]) == len(found[1]) > 10
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-4)


def test_z_loss_adds_the_squared_normaliser_and_its_gradient():
    torch.manual_seed(0)
    model = Llama(TINY)
    batch = random_batch(TINY.vocabulary, ((20, 30),))
    engine = TorchEngine(model, z=0.1)
    found = engine.gradients(batch, batch.weight)
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    cos, sin = engine._tables(64)  # pyright: ignore[reportPrivateUsage]
    ids = torch.from_numpy(batch.ids)
    logits = model(ids, cos, sin, engine._blocks(batch.segments)).flatten(0, 1)  # pyright: ignore[reportPrivateUsage]
    nll = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels).flatten(), reduction="none")
    weights = torch.from_numpy(batch.weights).flatten()
    expected = ((nll + 0.1 * logits.logsumexp(-1).square()) * weights).sum() / weights.sum()
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-5)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-4)
    total, count = engine.loss(batch)
    assert total / count == pytest.approx(float(((nll * weights).sum() / weights.sum()).detach()), rel=1e-5)


def test_the_difference_of_a_kernel_is_that_of_half_precision_or_tells_a_wrong_one():
    cpu, shape = torch.device("cpu"), (4, 2, 16)
    assert varlen.difference(cpu, torch.float32, shape) < 1e-5
    assert 1e-4 < varlen.difference(cpu, torch.bfloat16, shape) < 2e-2

    def across(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, blocks: tuple[torch.Tensor, int],
        scale: float | None,
    ) -> torch.Tensor:  # fmt: skip
        return varlen.attend(query, key, value, (blocks[0][[0, -1]], blocks[1]), scale)  # sees the block before

    assert varlen.difference(cpu, torch.float32, shape, across) > 0.1
