from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.errors import InputError
from training.batches import Batches, Position, Shards, pack
from training.config import DataConfig

CONFIG = DataConfig(row_length=16, rows=2, pool=8)


def write_stream(path: Path, lengths: list[int]) -> None:
    documents = [[1, *range(10, 9 + length)] for length in lengths]
    np.save(path, np.array([t for d in documents for t in d], np.uint16))


def write_packed(stem: Path) -> None:
    ids = np.arange(12, dtype=np.uint16).reshape(2, 6)
    np.save(f"{stem}.weights.npy", np.full((2, 6), 3, np.uint8))
    np.save(f"{stem}.segments.npy", np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 0, 0]], np.uint8))
    np.save(f"{stem}.ids.npy", ids)


@given(st.lists(st.integers(1, 50), max_size=60))
def test_packing_places_each_example_once_and_overflows_nothing(lengths: list[int]):
    rows = pack(lengths, 50)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 50 for row in rows)


def test_packing_fills_rows():
    rng = np.random.default_rng(0)
    lengths = [int(n) for n in rng.integers(20, 500, 500)]
    assert sum(lengths) / (512 * len(pack(lengths, 512))) > 0.9


def test_a_flat_stream_is_cut_at_documents_and_at_the_row(tmp_path: Path):
    write_stream(tmp_path / "s.npy", [5, 40, 3])
    shards = Shards((str(tmp_path / "s.npy"),), CONFIG)
    assert [len(shards.example(i).ids) for i in range(len(shards))] == [5, 16, 16, 8, 3]


def test_packed_rows_become_examples_with_their_weights(tmp_path: Path):
    write_packed(tmp_path / "p")
    shards = Shards((str(tmp_path / "*.ids.npy"),), CONFIG)
    assert [shards.example(i).ids.tolist() for i in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert shards.example(0).weights.tolist() == pytest.approx([0.3] * 3)
    quiet = Shards((str(tmp_path / "*.ids.npy"),), replace(CONFIG, background=0.5))
    assert quiet.example(0).weights.tolist() == pytest.approx([0.15] * 3)


def test_long_examples_are_counted_not_cut(tmp_path: Path):
    write_packed(tmp_path / "p")
    shards = Shards((str(tmp_path / "*.ids.npy"),), replace(CONFIG, row_length=3))
    assert (len(shards), shards.too_long) == (2, 1)


def test_labels_are_the_next_token_and_end_with_the_example(tmp_path: Path):
    write_stream(tmp_path / "s.npy", [4, 5])
    shards = Shards((str(tmp_path / "s.npy"),), CONFIG)
    batch = next(iter(Batches(shards, CONFIG, 0)))
    for row in range(CONFIG.rows):
        for segment in set(batch.segments[row]) - {0}:
            at = np.flatnonzero(batch.segments[row] == segment)
            assert (batch.labels[row, at[:-1]] == batch.ids[row, at[1:]]).all()
            assert batch.weights[row, at].tolist() == [1.0] * (len(at) - 1) + [0.0]
    assert (batch.weights[batch.segments == 0] == 0).all()
    assert batch.tokens == 9


def test_a_stream_goes_on_from_any_position_as_if_never_stopped(tmp_path: Path):
    write_stream(tmp_path / "s.npy", [5, 9, 3, 12, 16, 4, 7] * 5)
    shards = Shards((str(tmp_path / "s.npy"),), CONFIG)
    whole = list(islice(Batches(shards, CONFIG, 3), 40))
    stream = Batches(shards, CONFIG, 3)
    positions: list[Position] = []
    for _ in islice(stream, 40):
        positions.append(stream.position)
    assert positions[-1].pool > len(shards) // CONFIG.pool  # went over into the next epoch
    for stop in (1, 7, 20):
        resumed = Batches(shards, CONFIG, 3)
        resumed.position = positions[stop - 1]
        rest = islice(resumed, 40 - stop)
        assert all((a.ids == b.ids).all() for a, b in zip(rest, whole[stop:], strict=True))


def test_an_epoch_is_as_many_batches_as_its_packing_makes(tmp_path: Path):
    write_stream(tmp_path / "s.npy", [5, 9, 3, 12, 16, 4, 7] * 5)
    batches = Batches(Shards((str(tmp_path / "s.npy"),), CONFIG), CONFIG, 3)
    seen = 0
    for _ in batches:
        if batches.position.pool * CONFIG.pool >= len(batches.examples):
            break
        seen += 1
    assert batches.an_epoch() == seen


@pytest.mark.parametrize("content", [b"", b"not an array"])
def test_a_broken_shard_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npy is no shard"):
        Shards((str(tmp_path / "*.npy"),), CONFIG)


def test_no_shard_and_no_fitting_example_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no shard matches"):
        Shards((str(tmp_path / "*.npy"),), CONFIG)
    write_packed(tmp_path / "p")
    with pytest.raises(InputError, match="at most 2 tokens"):
        Shards((str(tmp_path / "*.ids.npy"),), replace(CONFIG, row_length=2))
