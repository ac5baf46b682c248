"""Executors: where the work of a run is done - here, in processes, on a Ray cluster - with the same results.

Owns the choice. Must not know what is computed: functions are pure or write only where it does not matter how often,
they and their items and results can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from repair.cluster import LOCAL, Cluster
from repair.crew import Crew
from repair.errors import InputError
from repair.flow import AHEAD, Done, More, Numbered, Waiting, flow_through, map_through, unnumbered
from repair.shelves import FolderShelf, Shelf, Ticket, passing_shelf

__all__ = ["AHEAD", "LOCAL", "Cluster", "Done", "Executor", "Processes", "Serial", "Shelf", "Ticket", "executor"]

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Applies a function to items lazily: few items are taken before their results are asked for.

    Closing what `map` and `flow` return ends what is in flight.
    """

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results in the order of the items. Raises what the function raises, BoundaryError for lost workers."""
        ...

    def flow(self, function: Callable[[T], R], items: Iterable[T], more: More[T, R]) -> Iterator[Done[T, R]]:
        """Results as they come; `more` says which items a result brings, they are taken before waiting ones.

        `more` is called in this process, before its result is given, not for lost items. An item whose worker is
        lost again and again is Done with an error, the others go on. Raises what the function raises.
        """
        ...

    def shelf(self) -> Shelf:
        """Where tasks leave bytes for others."""
        ...


@dataclass(frozen=True, slots=True)
class Serial:
    """In this process. `folder` is the shelf's; None: one that goes with this process."""

    folder: Path | None = None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """One after the other."""
        return map(function, items)

    def flow(self, function: Callable[[T], R], items: Iterable[T], more: More[T, R]) -> Iterator[Done[T, R]]:
        """One after the other."""
        waiting = Waiting(items)
        while taken := waiting.take():
            result = function(taken[0])
            waiting.bring(more(taken[0], result))
            yield Done(taken[0], result)

    def shelf(self) -> Shelf:
        """Files."""
        return FolderShelf(self.folder) if self.folder else passing_shelf()


@dataclass(frozen=True, slots=True)
class Processes:
    """In `jobs` new processes. What a lost one (killed, out of memory) was doing is done once more, alone.

    `folder` is the shelf's; None: one that goes with this process.
    """

    jobs: int
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}; it must be at least 1", field="jobs")

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """An item a process is in flight, AHEAD items a process are taken before their turn."""
        return map_through(Crew(self.jobs, Numbered(function), named=unnumbered), items)

    def flow(self, function: Callable[[T], R], items: Iterable[T], more: More[T, R]) -> Iterator[Done[T, R]]:
        """An item a process is in flight."""
        return flow_through(Crew(self.jobs, function), items, more)

    def shelf(self) -> Shelf:
        """Files."""
        return FolderShelf(self.folder) if self.folder else passing_shelf()


@contextmanager
def executor(jobs: int = 1, ray: str = "", *, folder: Path | None = None) -> Generator[Executor]:
    """The executor that `--jobs` and `--ray` ask for, closed at the end. `folder` is for a local shelf."""
    if not ray:
        yield Serial(folder) if jobs == 1 else Processes(jobs, folder)
        return
    cluster = Cluster(ray, jobs if ray == LOCAL else 0)
    try:
        yield cluster
    finally:
        cluster.close()
