"""Batches of preference pairs: both sides of a pair in one batch, in an order that a seed decides, resumable.

Owns the batching and the reference margins, which are measured once, before training, and kept. Must not know
models: margins come from a function of a batch. A margin is log P(better) - log P(worse) under one model, in nats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.store import write_array
from repair.errors import InputError
from training.batches import Batch, Example, Position, Preference, assemble, pack
from training.config import DataConfig, ObjectiveConfig
from training.encoding import ExampleEncoder
from training.preference import PreferencePair, Side, encode_pair

Margins = NDArray[np.float32]
LogMargins = Callable[[Batch], NDArray[np.floating]]
"""Log P(better) - log P(worse) of each pair of a batch, (pairs,)."""


class EncodedPairs:
    """Pairs that fit into a batch; `too_long` counts the others."""

    def __init__(
        self, pairs: Sequence[PreferencePair], encoder: ExampleEncoder, objective: ObjectiveConfig, config: DataConfig
    ) -> None:
        found = [encode_pair(pair, encoder, objective, config.row_length) for pair in pairs]
        self.sides = [both for both in found if both and _fits([both], config)]
        self.too_long = len(pairs) - len(self.sides)
        if not self.sides:
            raise InputError(
                f"none of {len(pairs)} preference pairs fits into {config.rows} rows of {config.row_length} tokens: "
                "raise data.row_length or data.rows",
                field="objective.preference",
            )

    def __len__(self) -> int:
        return len(self.sides)

    @property
    def digest(self) -> str:
        """Depends on every token."""
        content = hashlib.sha256()
        for side in (side for both in self.sides for side in both):
            content.update(side.example.ids.astype("<u4").tobytes() + b"|")
        return content.hexdigest()


def _fits(pairs: Sequence[tuple[Side, Side]], config: DataConfig) -> bool:
    lengths = [len(side) for both in pairs for side in both]
    if sum(lengths) > config.rows * config.row_length:
        return False
    return len(pack(lengths, config.row_length)) <= config.rows


def _groups(sides: Sequence[tuple[Side, Side]], order: Sequence[int], config: DataConfig) -> Iterator[list[int]]:
    """Numbers of pairs for each batch: as many as fit, in order."""
    group: list[int] = []
    for number in order:
        if group and not _fits([sides[n] for n in (*group, number)], config):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _batch(chosen: Sequence[tuple[Side, Side]], reference: Margins, config: DataConfig) -> Batch:
    """One batch of pairs; `Preference.pair` counts from 0 within it."""
    sides = [
        (number, sign, side) for number, both in enumerate(chosen) for sign, side in zip((1, -1), both, strict=True)
    ]
    rows = [[sides[i] for i in row] for row in pack([len(side) for _, _, side in sides], config.row_length)]
    batch = assemble([[side.example for _, _, side in row] for row in rows], config)
    # `assemble` moves weights to the labels: what else belongs to tokens goes the same way.
    signs = assemble(
        [[Example(s.example.ids, s.answer * np.float32(sign)) for _, sign, s in row] for row in rows], config
    )
    whose = assemble(
        [[Example(s.example.ids, np.full(len(s), n + 1, np.float32)) for n, _, s in row] for row in rows], config
    )
    pair = whose.weights.astype(np.int64) - 1
    return replace(batch, preference=Preference(pair, signs.weights, reference))


class PreferenceBatches:
    """An endless, deterministic stream of preference batches; `position` is that of the next one.

    `reference` is (pairs,): the margins of the model before training (see `margins`).
    """

    def __init__(
        self, pairs: EncodedPairs, reference: Margins, config: DataConfig, seed: int, position: Position | None = None
    ) -> None:
        if len(reference) != len(pairs):
            raise ValueError(f"{len(reference)} reference margins of {len(pairs)} pairs")
        self.pairs, self.reference, self.config, self.seed = pairs, reference, config, seed
        self.position = position or Position()

    def _pool(self, number: int) -> list[list[int]]:
        """The batches of one pass over all pairs."""
        order = np.random.default_rng((self.seed, number, 5)).permutation(len(self.pairs))
        return list(_groups(self.pairs.sides, order.tolist(), self.config))

    def __iter__(self) -> Iterator[Batch]:
        while True:
            groups = self._pool(self.position.pool)
            for batch in range(self.position.batch, len(groups)):
                self.position = replace(self.position, batch=batch + 1)
                chosen = groups[batch]
                yield _batch([self.pairs.sides[n] for n in chosen], self.reference[chosen], self.config)
            self.position = Position(self.position.pool + 1, 0)


def margins(pairs: EncodedPairs, config: DataConfig, log_margins: LogMargins) -> Margins:
    """The margin of each pair under a model, (pairs,). Raises InputError for one that is no number."""
    found = np.zeros(len(pairs), np.float32)
    for group in _groups(pairs.sides, range(len(pairs)), config):
        batch = _batch([pairs.sides[n] for n in group], np.zeros(len(group), np.float32), config)
        found[group] = log_margins(batch)
    if not np.isfinite(found).all():
        raise InputError("the model gives a preference pair no finite probability", field="objective.preference")
    return found


def remembered_margins(path: Path, pairs: EncodedPairs, config: DataConfig, log_margins: LogMargins) -> Margins:
    """`margins`, measured once and kept in `path`: a run that goes on must not measure its own, trained model."""
    path = path.with_name(f"{path.name}.{pairs.digest[:16]}.npy")
    try:
        found: Margins = np.load(path)
        if found.shape == (len(pairs),):
            return found
    except (OSError, ValueError, EOFError):
        pass  # never measured
    found = margins(pairs, config, log_margins)
    write_array(path, found)
    return found


def figures(found: NDArray[np.floating]) -> dict[str, float]:
    """Of held-out pairs: the share whose margin is positive, and the mean margin in nats."""
    return {"pairs": len(found), "preferred": float((found > 0).mean()), "margin": float(found.mean())}
