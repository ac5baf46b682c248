"""Batches of packed shards that another process is still making, and batches that are made ahead of their use.

Owns the order in which shards that arrive are read, and the waiting. Must not know who makes them (`data.arriving`).
A shard is taken as it was packed: its rows in an order drawn from the seed, those left over from the last batch not.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repair.errors import InputError, ModelError
from training.batches import Batch, Position
from training.config import DataConfig
from training.loop import Stream

_LOOK = 0.2  # seconds between two looks for a shard
_PATIENCE = 300.0  # seconds without a new shard after which nobody is making any
_Made = queue.Queue[tuple[Batch, Position] | Exception]


class Arriving:
    """An endless, deterministic stream of batches over NAME-00000, NAME-00001, ... (implements `training.loop.Stream`).

    Begins again with the first shard where NAME.end says that all are there.
    """

    def __init__(
        self, pattern: str, config: DataConfig, seed: int, *,
        sleep: Callable[[float], object] = time.sleep, patience: float = _PATIENCE,
    ) -> None:  # fmt: skip
        self.folder, name = Path(pattern).parent, Path(pattern).name
        self.name = name.removesuffix("-*.ids.npy")
        self.config, self.seed, self.position = config, seed, Position()
        self._sleep, self._patience = sleep, patience

    def _path(self, number: int, part: str) -> Path:
        return self.folder / f"{self.name}-{number:05d}.{part}.npy"

    def _made(self) -> int | None:
        """How many shards there are in all, once that is known."""
        try:
            return int(json.loads((self.folder / f"{self.name}.end").read_text(encoding="utf-8"))["shards"])
        except FileNotFoundError:
            return None

    def wait(self, pool: int) -> int:
        """The number of the shard of a pool, once it is there. Raises ModelError: it does not come."""
        waited = 0.0
        while True:
            made = self._made()
            number = pool % made if made else pool
            if self._path(number, "ids").exists():
                return number
            if waited >= self._patience:
                path = self._path(number, "ids")
                raise ModelError(f"{path} has not come for {waited:.0f} s: is `python -m data.arriving` running?")
            self._sleep(_LOOK)
            waited += _LOOK

    def rows(self, number: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]]:
        """Ids, weights in tenths and segments of a shard, each (rows, length). Raises InputError: no such shard."""
        path = self._path(number, "ids")
        try:
            ids, weights, segments = (np.load(self._path(number, n)) for n in ("ids", "weights", "segments"))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path} is no shard: {error}", field="data.shards") from error
        if ids.shape[1] != self.config.row_length or not ids.shape == weights.shape == segments.shape:
            raise InputError(
                f"{path} has rows of {ids.shape[1]} tokens, data.row_length is {self.config.row_length}",
                field="data.row_length",
            )
        return ids, weights, segments

    def __iter__(self) -> Iterator[Batch]:
        while True:
            pool, size = self.position.pool, self.config.rows
            arrays = self.rows(self.wait(pool))
            order = np.random.default_rng((self.seed, pool)).permutation(len(arrays[0]))
            for batch in range(self.position.batch, max(1, len(order) // size)):
                self.position = Position(pool, batch + 1)
                chosen = order[batch * size : (batch + 1) * size]
                yield packed_batch(arrays[0][chosen], arrays[1][chosen], arrays[2][chosen], self.config)
            self.position = Position(pool + 1, 0)


def packed_batch(
    ids: NDArray[np.uint16], tenths: NDArray[np.uint8], segments: NDArray[np.uint8], config: DataConfig
) -> Batch:
    """Packed rows (rows, length) as a batch of `config.rows`; rows that are missing are padding."""
    shape, rows = (config.rows, config.row_length), len(ids)
    found = Batch(
        np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    )
    found.ids[:rows], found.segments[:rows] = ids, segments
    found.labels[:rows, :-1] = ids[:, 1:]
    weights = tenths[:, 1:] / np.float32(10)
    weights = np.where(weights < 1, weights * np.float32(config.background), weights)
    within = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)  # the first token of an example is given
    found.weights[:rows, :-1] = np.where(within, weights, 0)
    return found


class Ahead:
    """The batches of a stream, made by a thread while the device computes; `position` is that of what was taken."""

    def __init__(self, stream: Stream, depth: int = 4) -> None:
        self._stream, self._depth = stream, depth
        self.position = stream.position

    def __iter__(self) -> Generator[Batch]:
        made: _Made = queue.Queue(self._depth)
        over = threading.Event()
        self._stream.position = self.position
        thread = threading.Thread(target=self._make, args=(made, over), name="batches", daemon=True)
        thread.start()
        try:
            while True:
                found = made.get()
                if isinstance(found, Exception):
                    raise found
                batch, self.position = found
                yield batch
        finally:
            over.set()

    def _make(self, made: _Made, over: threading.Event) -> None:
        """Ends when nobody takes batches any more; an error is handed on to who takes them."""
        try:
            for batch in self._stream:
                if not _put(made, (batch, replace(self._stream.position)), over):
                    return
        except Exception as error:  # noqa: BLE001 - raised again where the batch was awaited
            _put(made, error, over)


def _put(made: _Made, item: tuple[Batch, Position] | Exception, over: threading.Event) -> bool:
    """Whether it was taken up before nobody takes batches any more."""
    while not over.is_set():
        try:
            made.put(item, timeout=_LOOK)
        except queue.Full:
            continue
        return True
    return False
