"""What was computed for the sources that were asked for last, bounded by how much text they are.

A tree takes some forty bytes for each character of its source, so a bound on their number alone says nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from typing import Generic, TypeVar

from repair.sources import Source

T = TypeVar("T")
MOST = 16  # sources
CHARACTERS = 1_000_000  # of all of them; the last one is kept whatever its size


class Recent(Generic[T]):
    """A function of a source that remembers its last results. Threads may share it."""

    def __init__(self, function: Callable[[Source], T]) -> None:
        self._function, self._lock = function, threading.Lock()
        self._kept: OrderedDict[Source, T] = OrderedDict()
        self._characters = 0
        update_wrapper(self, function)

    def __call__(self, source: Source) -> T:
        """The function's result; two threads may compute it at once, which costs time and nothing else."""
        with self._lock, suppress(KeyError):
            self._kept.move_to_end(source)
            return self._kept[source]
        result = self._function(source)
        with self._lock:
            if source not in self._kept:
                self._kept[source] = result
                self._characters += len(source.text)
            while len(self._kept) > 1 and (len(self._kept) > MOST or self._characters > CHARACTERS):
                old, _ = self._kept.popitem(last=False)
                self._characters -= len(old.text)
        return result

    @property
    def characters(self) -> int:
        """Of the sources that are remembered now."""
        return self._characters
