"""Flow: what waits, what is in flight, what has ended - the same rules for processes and for a cluster.

Owns the order in which items are taken and results given. Must not know where an item is computed: that is a Flight's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from repair.errors import BoundaryError

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 2  # items of a `map` in flight or done before their turn, for each worker
More = Callable[[T, R], Iterable[T]]


@dataclass(frozen=True, slots=True)
class Done(Generic[T, R]):
    """The end of one item. `error` is "" with a result; else it says how its workers were lost, result None."""

    item: T
    result: R | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ended(Generic[T, R]):
    """What a flight says of an item: done (or lost), or what the function raised."""

    done: Done[T, R]
    raised: BaseException | None = None


class Flight(Protocol[T, R]):
    """Items that are being computed. Losses are dealt with inside: an item that ends is never tried again."""

    @property
    def size(self) -> int:
        """How many items may be in flight, as things are now."""
        ...

    def room(self) -> int:
        """How many items may be started now; at most 0 while a lost item is done again alone."""
        ...

    def start(self, item: T) -> None:
        """Put an item in flight. Only with room."""
        ...

    def wait(self) -> Ended[T, R]:
        """The next item that ends. Only while there are any. Raises BoundaryError when no worker works at all."""
        ...

    def __len__(self) -> int:
        """Items in flight, those that wait for being done again included."""
        ...

    def close(self) -> None:
        """End what is in flight: its results are not wanted any more. Without effect the second time."""
        ...


class Waiting(Generic[T]):
    """Items to be taken: what results brought, oldest first, then the rest, read only when it is needed."""

    def __init__(self, items: Iterable[T]) -> None:
        self._brought: deque[T] = deque()
        self._rest = iter(items)

    def bring(self, items: Iterable[T]) -> None:
        """Items that go before the rest."""
        self._brought.extend(items)

    def take(self) -> tuple[T, ...]:
        """The next item, or nothing when there is none (now)."""
        if self._brought:
            return (self._brought.popleft(),)
        for item in self._rest:
            return (item,)
        return ()


@dataclass(frozen=True, slots=True)
class Numbered(Generic[T, R]):
    """A function of items that carry their number."""

    function: Callable[[T], R]

    def __call__(self, pair: tuple[int, T]) -> R:
        """The result for the item."""
        return self.function(pair[1])


def unnumbered(pair: tuple[int, T]) -> T:
    """The item, for messages."""
    return pair[1]


def nothing(item: object, result: object) -> tuple[()]:
    """The `more` of results that bring no further items."""
    del item, result
    return ()


def flow_through(flight: Flight[T, R], items: Iterable[T], more: More[T, R]) -> Iterator[Done[T, R]]:
    """Results in order of completion; what they bring is put in flight before they are given.

    Raises what the function raises, after the flight is closed.
    """
    waiting = Waiting(items)
    try:
        while True:
            while flight.room() > 0 and (taken := waiting.take()):
                flight.start(taken[0])
            if not len(flight):
                return
            ended = flight.wait()
            if ended.raised is not None:
                raise ended.raised
            if not ended.done.error:
                waiting.bring(more(ended.done.item, ended.done.result))  # pyright: ignore[reportArgumentType] - no error, so an R
            while flight.room() > 0 and (taken := waiting.take()):
                flight.start(taken[0])  # no worker waits while the caller is busy with this result
            yield ended.done
    finally:
        flight.close()


def map_through(flight: Flight[tuple[int, T], R], items: Iterable[T]) -> Iterator[R]:
    """Results in the order of the items, AHEAD * size of them in flight or kept at most.

    Raises what the function raises and BoundaryError for a lost item, each at its turn.
    """
    waiting = Waiting(enumerate(items))
    kept: dict[int, Ended[tuple[int, T], R]] = {}
    turn = taken = 0
    try:
        while True:
            while flight.room() > 0 and taken < turn + AHEAD * flight.size and (first := waiting.take()):
                flight.start(first[0])
                taken += 1
            if turn in kept:
                yield _result(kept.pop(turn))
                turn += 1
            elif len(flight):
                ended = flight.wait()
                kept[ended.done.item[0]] = ended
            else:
                return
    finally:
        flight.close()


def _result(ended: Ended[tuple[int, T], R]) -> R:
    if ended.raised is not None:
        raise ended.raised
    if ended.done.error:
        raise BoundaryError(f"{ended.done.error}; run it again with --jobs 1")
    return ended.done.result  # pyright: ignore[reportReturnType] - no error, so an R


def shown(item: object) -> str:
    """An item in a message: its name where it has one, short."""
    text = str(getattr(item, "name", item))
    return text if len(text) <= 80 else f"{text[:80]}…"
