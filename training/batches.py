"""Token shards to batches: memory-mapped, packed, shuffled by a seed, resumable at an exact position.

Owns the shard formats and the packing. Knows no model and no loss. Two formats:

    NAME.npy        a flat uint16 stream, each document begins with <|bos|>; every next token counts 1
    NAME.ids.npy    uint16 (rows, length), with NAME.weights.npy (uint8: tenths that a token counts as a target)
                    and NAME.segments.npy (uint8: 1, 2, ... for the examples of a row, 0 for padding)

Examples never see each other: rows carry a segment number per token (0 is padding).
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from repair.errors import InputError
from training.config import DataConfig

_PACKED = ".ids.npy"
Ids = NDArray[np.uint16 | np.uint32]
Weights = NDArray[np.float32]


class Example(NamedTuple):
    """Token ids (n,) and the loss weight of predicting each of them (n,); the first is never predicted."""

    ids: Ids
    weights: Weights


class Examples(Protocol):
    """Examples by number: mapped shards, or a dataset encoded for a model."""

    too_long: int  # examples left out because they exceed a row

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, (examples,)."""
        ...

    @property
    def highest(self) -> int:
        """The largest token id: it must lie below the vocabulary of a model."""
        ...

    def example(self, index: int) -> Example:
        """One example."""
        ...


@dataclass(frozen=True, slots=True)
class Preference:
    """Which examples of a batch are the two sides of a pair (Rafailov et al. 2023).

    `pair` and `side` are (rows, length): the number of a token's pair in this batch, or -1, and +1 on target tokens of
    the better repair, -1 on those of the worse one, 0 elsewhere; aligned with `Batch.labels`.
    `reference` is (pairs,): log P(better) - log P(worse) of the model before training, nats.
    """

    pair: NDArray[np.int64]
    side: NDArray[np.float32]
    reference: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows. All arrays are (rows, length); `labels` is the next token, `weights` 0 where none counts."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    segments: NDArray[np.int64]  # 1, 2, ... per row in order; 0 is padding
    preference: Preference | None = None  # a preference step: both sides of each pair lie in this batch

    @property
    def tokens(self) -> int:
        """Tokens that are no padding."""
        return int((self.segments > 0).sum())

    @property
    def weight(self) -> float:
        """All token weights together."""
        return float(self.weights.sum())


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream of batches stands: the next batch is number `batch` of pool `pool`."""

    pool: int = 0
    batch: int = 0


class Shards:
    """All examples of some shard files, as spans of memory-mapped arrays; nothing is read before it is used."""

    def __init__(self, patterns: Sequence[str], config: DataConfig, name: str = "data.shards") -> None:
        paths = sorted({Path(p) for pattern in patterns for p in glob.glob(pattern)})  # noqa: PTH207 - absolute patterns
        if not paths:
            raise InputError(f"no shard matches {', '.join(patterns) or 'the empty list'}", field=name)
        self.paths = tuple(paths)
        self._background = np.float32(config.background)
        self.too_long = 0
        self._ids: list[Ids] = []
        self._weights: list[NDArray[np.uint8] | None] = []
        spans = [self._open(index, path, config) for index, path in enumerate(paths)]
        self.spans = np.concatenate(spans)  # (examples, 3): shard, start, end
        if not len(self.spans):
            raise InputError(f"no example of at most {config.row_length} tokens", field=name)

    def _open(self, index: int, path: Path, config: DataConfig) -> NDArray[np.int64]:
        try:
            ids: Ids = np.load(path, mmap_mode="r").reshape(-1)
            if path.name.endswith(_PACKED):
                stem = path.name.removesuffix(_PACKED)
                self._weights.append(np.load(path.with_name(f"{stem}.weights.npy"), mmap_mode="r").reshape(-1))
                rows = np.load(path.with_name(f"{stem}.segments.npy"))
                spans = _examples(rows)
            else:
                self._weights.append(None)
                spans = _windows(ids, config)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path} is no shard: {error}", field="data.shards") from error
        self._ids.append(ids)
        lengths = spans[:, 1] - spans[:, 0]
        self.too_long += int((lengths > config.row_length).sum())
        spans = spans[(lengths <= config.row_length) & (lengths > 1)]
        return np.insert(spans, 0, index, axis=1)

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, (examples,)."""
        return self.spans[:, 2] - self.spans[:, 1]

    @property
    def highest(self) -> int:
        """The largest token id of all shards: it must lie below the vocabulary of a model."""
        return max(int(ids.max()) for ids in self._ids)

    def example(self, index: int) -> Example:
        """One example, copied out of the map."""
        shard, start, end = (int(v) for v in self.spans[index])
        ids = np.asarray(self._ids[shard][start:end])
        source = self._weights[shard]
        if source is None:
            return Example(ids, np.ones(len(ids), np.float32))
        weights = np.asarray(source[start:end] / np.float32(10), np.float32)
        return Example(ids, np.where(weights < 1, weights * self._background, weights))


def _windows(ids: Ids, config: DataConfig) -> NDArray[np.int64]:
    """Spans (n, 2) of a flat stream: each document, cut every `row_length` tokens."""
    documents = np.flatnonzero(np.asarray(ids) == config.bos)
    if not len(documents) or documents[0]:
        documents = np.insert(documents, 0, 0)
    ends = np.append(documents[1:], len(ids))
    starts = np.concatenate([np.arange(a, b, config.row_length) for a, b in zip(documents, ends, strict=True)])
    return np.stack([starts, np.append(starts[1:], len(ids))], axis=1)


def _examples(segments: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Spans (n, 2), in the flattened rows, of the runs of one segment number above 0 within one row."""
    length = segments.shape[1]
    flat = segments.reshape(-1).astype(np.int64)
    changes = np.flatnonzero(np.diff(flat)) + 1
    borders = np.union1d(changes, np.arange(0, len(flat) + 1, length))
    spans = np.stack([borders[:-1], borders[1:]], axis=1)
    return spans[flat[spans[:, 0]] > 0]


def pack(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Indices of examples for each row of `room` tokens: longest first, each into the fullest row that has room."""
    rows: list[list[int]] = []
    by_free: list[list[int]] = [[] for _ in range(room + 1)]  # rows by their free tokens
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        need = lengths[index]
        free = next((f for f in range(need, room) if by_free[f]), None)
        if free is None:
            rows.append([])
            row, free = len(rows) - 1, room
        else:
            row = by_free[free].pop()
        rows[row].append(index)
        by_free[free - need].append(row)
    return rows


def assemble(rows: Sequence[Sequence[Example]], config: DataConfig) -> Batch:
    """Rows of examples as one batch; rows that are missing are padding, so that every batch has one shape."""
    shape = (config.rows, config.row_length)
    ids = np.full(shape, config.pad, np.int64)
    labels, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    weights = np.zeros(shape, np.float32)
    for row, examples in enumerate(rows):
        at = 0
        for number, example in enumerate(examples, 1):
            end = at + len(example.ids)
            ids[row, at:end] = example.ids
            labels[row, at : end - 1] = example.ids[1:]
            weights[row, at : end - 1] = example.weights[1:]
            segments[row, at:end] = number
            at = end
    return Batch(ids, labels, weights, segments)


Choose = Callable[[int, Sequence[int]], list[Example]]
"""Pool number and the examples drawn for it -> what is learned in their place (the hardest variant of each)."""


class Batches:
    """An endless, deterministic stream of batches over shards; `position` is that of the next batch."""

    def __init__(self, examples: Examples, config: DataConfig, seed: int, choose: Choose | None = None) -> None:
        self.examples, self.config, self.seed = examples, config, seed
        self.position = Position()
        self._choose = choose

    def an_epoch(self) -> int:
        """Batches in which every example comes once; a little less or more in later epochs, packed otherwise."""
        per_epoch = -(-len(self.examples) // self.config.pool)
        lengths = self.examples.lengths
        rows = (pack(lengths[self._chosen(n)].tolist(), self.config.row_length) for n in range(per_epoch))
        return sum(-(-len(pool) // self.config.rows) for pool in rows)

    def _chosen(self, number: int) -> NDArray[np.int64]:
        """Which examples make pool `number`."""
        per_epoch = -(-len(self.examples) // self.config.pool)
        epoch, part = divmod(number, per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.examples))
        return order[part * self.config.pool : (part + 1) * self.config.pool]

    def _pool(self, number: int) -> list[list[Example]]:
        chosen = [int(i) for i in self._chosen(number)]
        examples = self._choose(number, chosen) if self._choose else [self.examples.example(i) for i in chosen]
        rows = pack([len(e.ids) for e in examples], self.config.row_length)
        shuffled = np.random.default_rng((self.seed, number, 1)).permutation(len(rows))
        return [[examples[i] for i in rows[r]] for r in shuffled]

    def __iter__(self) -> Iterator[Batch]:
        while True:
            rows = self._pool(self.position.pool)
            size = self.config.rows
            for batch in range(self.position.batch, -(-len(rows) // size)):
                self.position = replace(self.position, batch=batch + 1)
                yield assemble(rows[batch * size : (batch + 1) * size], self.config)
            self.position = Position(self.position.pool + 1, 0)


def heldout_batches(examples: Examples, config: DataConfig, limit: int) -> list[Batch]:
    """The first `limit` batches of held-out examples in a fixed order, none twice: the same for every evaluation."""
    batches = Batches(examples, config, seed=0)
    stream = iter(batches)
    return [next(stream) for _ in range(min(limit, batches.an_epoch()))]
