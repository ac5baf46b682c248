"""The run: gives items to an executor, writes each result before it is told, keeps to budgets, ends in order.

Owns the coordinator's life: its lease, its pulse, what an interrupt does. Knows neither repositories (that is
`work.Steps`) nor what a report looks like (a callable).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Protocol, Self

from repair.executors import Done, Executor
from repair.projects.values import Order, Outcome, Spent, Standing
from serve.batch.budget import Prices, RunBounds, exhausted
from serve.batch.control import Stops
from serve.batch.desk import Desk
from serve.batch.items import Ended
from serve.batch.outcomes import Stop
from serve.batch.owners import Owner
from serve.batch.pulse import PERIOD, Enough, Pulse, interrupts, wake
from serve.batch.store import Row, RunStore
from serve.batch.work import Item, Result, Steps, Work
from serve.store.errors import StoreError

GRACE = 5.0  # seconds that running items have to hear of a stop; then their workers are ended
_RESUME = "go on with --resume"
BEAT = 3.0  # seconds between two renewals of the lease


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is. `run` is its id, `settings` JSON; `grace` and `period` are seconds."""

    run: str
    orders: tuple[Order, ...]
    control: Stops
    settings: str = "{}"
    bounds: RunBounds = field(default_factory=RunBounds)
    prices: Prices = field(default_factory=Prices)
    grace: float = GRACE
    period: float = PERIOD


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `seconds` of all coordinators, `waiting` says what it was asked to end for."""

    seconds: float
    spent: Spent
    bounds: RunBounds
    prices: Prices
    ending: str = ""


class Watch(Protocol):
    """Hears of a run. Called from one thread, `tick` from another."""

    def begun(self, item: Item) -> None:
        """An item is in flight."""
        ...

    def ended(self, item: Item, row: Row) -> None:
        """An item came back, and is stored."""
        ...

    def tick(self, progress: Progress) -> None:
        """About once a second."""
        ...


class Unwatched:
    """A Watch that says nothing."""

    def begun(self, item: Item) -> None:
        """Nothing."""

    def ended(self, item: Item, row: Row) -> None:
        """Nothing."""

    def tick(self, progress: Progress) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: `stop` and `why` are "" when everything was done."""

    outcomes: tuple[Outcome, ...]
    stop: Stop
    why: str


def run_batch(
    plan: Plan,
    store: RunStore,
    executor: Executor,
    steps: Steps,
    report: Callable[[Sequence[Outcome]], None],
    watch: Watch | None = None,
) -> Ending:
    """Do a run, or what is left of it, and report. Everything done is stored, whatever ends this process.

    Raises InputError when another coordinator has the run, StoreError, and what `Work` raises.
    """
    owner = Owner.here()
    known = store.known(plan.run)
    store.begin(plan.run, plan.settings, plan.orders, owner)
    ending = None
    try:
        with _Coordinator(plan, store, owner, watch or Unwatched(), known.seconds if known else 0.0) as coordinator:
            ending = coordinator.work(executor, steps)
        report(ending.outcomes)
        return ending
    finally:
        with suppress(StoreError):
            store.end(plan.run, owner, finished=ending is not None and not ending.stop)


class _Coordinator:
    def __init__(self, plan: Plan, store: RunStore, owner: Owner, watch: Watch, seconds: float) -> None:
        self._plan, self._store, self._owner, self._watch = plan, store, owner, watch
        self._desk = Desk(plan.orders, store.rows(plan.run), plan.prices)
        self._before, self._begun = seconds, time.monotonic()
        self._beaten = 0.0  # seconds since the lease was renewed
        self._stop: Stop = ""
        self._why = ""
        self._stopped = 0.0
        self._waits = self._settles = False
        self._pulse = Pulse(self._tick, period=plan.period)

    def __enter__(self) -> Self:
        self._plan.control.clear()
        self._cancel()
        self._pulse.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulse.__exit__()
        with suppress(StoreError):
            self._store.beat(self._plan.run, self._owner, self._beaten)

    @property
    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._begun

    def work(self, executor: Executor, steps: Steps) -> Ending:
        """Until nothing waits or the run is to end."""
        work = Work(steps, self._plan.control)
        with interrupts(self._interrupted):
            while not self._stop and (first := self._next()):
                supply = _Supply(first, self._next)
                with suppress(Enough), closing(executor.flow(work, supply, self._more)) as flow:  # pyright: ignore[reportArgumentType] - an Iterator with close
                    for done in self._each(flow):
                        self._take(done)
                self._pulse.check()
        return Ending(self._desk.outcomes(self._stop, self._why), self._stop, self._why)

    def _each(self, flow: Iterator[Done[Item, Result]]) -> Iterator[Done[Item, Result]]:
        """The results; an interrupt may end the wait for one, and nothing else."""
        while True:
            self._waits = True
            try:
                done = next(flow, None)
            finally:
                self._waits = False
            if done is None:
                return
            yield done

    def _next(self) -> Item | None:
        """The next item, if the run goes on."""
        self._settles = True
        try:
            if self._stop:
                return None
            item = self._desk.take()
            if item is not None and (reached := self._reached()):
                self._desk.put_back(item)
                self._halt("over budget", reached)
                return None
            if item is not None:
                self._store.start(self._plan.run, self._owner, (item.ref,))
                self._watch.begun(item)
            return item
        finally:
            self._settles = False

    def _more(self, item: Item, result: Result) -> tuple[Item, ...]:
        """Store a result. What follows from it waits at the desk, where budgets are looked at when it begins."""
        self._settles = True
        try:
            row, following = self._desk.settle(item, result)
            self._store.finish(self._plan.run, self._owner, row, following)
            if self._desk.repositories[item.ref.name].over:
                self._plan.control.stop(item.ref.name)
            self._watch.ended(item, row)
        finally:
            self._settles = False
        return ()

    def _take(self, done: Done[Item, Result]) -> None:
        """A result was stored by `_more`, but not that there is none."""
        if done.result is None:
            lost = Result(Ended(standing=Standing.LOST, reason=done.error), done.item.kept, failed=True)
            self._more(done.item, lost)

    def _reached(self) -> str:
        """The bound of the run that is reached, "" while none is."""
        return exhausted(self._plan.bounds, self._desk.spent, self._seconds, self._plan.prices)

    def _halt(self, stop: Stop, why: str) -> None:
        """Begin no item any more, ask those in flight to end."""
        if self._stop:
            return
        budget = f"the run's bound of {why} was reached; {_RESUME} and a larger one"
        self._why = budget if stop == "over budget" else f"{why}; {_RESUME}"
        self._stop, self._stopped = stop, time.monotonic()
        self._plan.control.stop()

    def _interrupted(self) -> None:
        """In the main thread: the user, or our pulse, which does not wait any longer."""
        late = bool(self._stop) and time.monotonic() - self._stopped >= self._plan.grace
        again = self._stop == "interrupted"
        self._halt("interrupted", "the run was interrupted")
        if self._waits and not self._settles and (late or again or self._pulse.error):
            self._waits = False  # only once: what is in flight is ended now, and that may take seconds
            raise Enough

    def _tick(self, seconds: float) -> None:
        """In the thread of the pulse."""
        self._beaten += seconds
        if self._beaten >= BEAT:
            self._store.beat(self._plan.run, self._owner, self._beaten)
            self._beaten = 0.0
        self._cancel()
        if not self._stop and self._desk.flying and (reached := self._reached()):
            self._halt("over budget", reached)
        if self._stop and time.monotonic() - self._stopped >= self._plan.grace:
            wake()
        plan = self._plan
        self._watch.tick(Progress(self._seconds, self._desk.spent, plan.bounds, plan.prices, self._why))

    def _cancel(self) -> None:
        """What somebody asked to end by --cancel."""
        asked = self._store.cancelled(self._plan.run)
        for name in asked.names & self._desk.repositories.keys():
            if not self._desk.repositories[name].cancelled:
                self._desk.repositories[name].cancelled = True
                self._plan.control.stop(name)
        if asked.all:
            self._halt("cancelled", "the run was cancelled")


class _Supply:
    """Items as they are asked for. It may have none now and some after the next result, as `flow` asks again."""

    def __init__(self, first: Item, following: Callable[[], Item | None]) -> None:
        self._first: Item | None = first
        self._following = following

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item, self._first = self._first or self._following(), None
        if item is None:
            raise StopIteration
        return item
