"""A batch run as a discrete-event simulation: workers, model actors, one coordinator with its store, lost workers.

What `scale.py` checks its formula with. Items and their order are those of a run: a repository is diagnosed, then its
faults are mended (taken before repositories that wait), then the fixes are laid together. A worker that asks a model
actor waits for it. The coordinator takes results one after the other and writes them; only then it hands out more,
at most AHEAD items a worker being unacknowledged. A worker lost at an item costs all that was done of it; the item is
tried once more, and a second loss gives it up.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf

AHEAD = 2  # as in repair.executors
ATTEMPTS = 2
RESTART = 30.0


@dataclass(frozen=True, slots=True)
class Mend:
    """The repair of one fault: seconds of a worker's own work and of a model's, which it asks `rounds` times."""

    worker: float
    model: float = 0.0
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Repository:
    """Seconds of the steps of one repository."""

    diagnose: float
    mends: tuple[Mend, ...]
    combine: float

    @property
    def chain(self) -> float:
        """The least seconds it takes with any number of workers."""
        return self.diagnose + max((m.worker + m.model for m in self.mends), default=0.0) + self.combine

    @property
    def occupancy(self) -> float:
        """Seconds of workers, those at which they wait for a model that answers at once included."""
        return self.diagnose + sum(m.worker + m.model for m in self.mends) + self.combine


@dataclass(frozen=True, slots=True)
class Cluster:
    """What works. `actors` 0: each worker has the model in itself.

    `store` is results a second, `loss` how often an hour a worker is lost, `restart` seconds until it is replaced.
    """

    workers: int
    actors: int = 0
    store: float = inf
    loss: float = 0.0
    restart: float = RESTART


@dataclass(slots=True)
class Simulated:
    """How it went; seconds. `waiting` is for model actors, `redone` was lost with workers."""

    seconds: float = 0.0
    busy: float = 0.0  # of workers, waiting included
    waiting: float = 0.0
    redone: float = 0.0
    losses: int = 0
    given_up: int = 0
    items: int = 0
    half_idle: float = 0.0  # seconds at the end at which less than half of the workers had anything to do
    most_waiting: int = 0  # items that the coordinator held back


class _Kind(IntEnum):
    STEP = 0  # a worker's phase ends
    ANSWER = 1  # a model actor's
    WRITTEN = 2
    LOST = 3
    BACK = 4


class _Role(IntEnum):
    """Smaller is handed out first."""

    COMBINE = 0
    MEND = 1
    DIAGNOSE = 2


@dataclass(slots=True)
class _Item:
    repository: int
    role: _Role
    phases: tuple[tuple[bool, float], ...]  # whether the model is asked, seconds
    attempt: int = 1


@dataclass(slots=True)
class _Worker:
    item: _Item | None = None
    phase: int = 0
    began: float = 0.0
    alive: bool = True
    turn: int = 0  # counts its items and losses: an event of an earlier turn is void


@dataclass(slots=True)
class _Run:
    repositories: tuple[Repository, ...]
    cluster: Cluster
    draw: random.Random
    now: float = 0.0
    result: Simulated = field(default_factory=Simulated)
    events: list[tuple[float, int, _Kind, int, int]] = field(default_factory=list[tuple[float, int, _Kind, int, int]])
    count: int = 0
    pending: list[tuple[_Role, int, _Item]] = field(default_factory=list[tuple[_Role, int, _Item]])
    handed: deque[_Item] = field(default_factory=deque[_Item])
    in_flight: int = 0
    workers: list[_Worker] = field(default_factory=list[_Worker])
    idle: list[int] = field(default_factory=list[int])
    free_actors: int = 0
    asked: deque[tuple[int, int, float, float]] = field(default_factory=deque[tuple[int, int, float, float]])
    results: deque[tuple[_Item, bool]] = field(default_factory=deque[tuple[_Item, bool]])
    left: list[int] = field(default_factory=list[int])
    unended: int = 0
    half_since: float = 0.0

    def at(self, seconds: float, kind: _Kind, who: int = 0, turn: int = 0) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, kind, who, turn))

    def wait(self, item: _Item) -> None:
        self.count += 1
        heapq.heappush(self.pending, (item.role, self.count, item))

    def go(self) -> Simulated:
        cluster = self.cluster
        self.free_actors = cluster.actors
        self.workers = [_Worker() for _ in range(cluster.workers)]
        self.idle = list(range(cluster.workers))[::-1]
        self.left = [len(r.mends) for r in self.repositories]
        self.unended = len(self.repositories)
        for number, repository in enumerate(self.repositories):
            self.wait(_Item(number, _Role.DIAGNOSE, ((False, repository.diagnose),)))
        for number in range(cluster.workers):
            self.doom(number)
        self.hand_out()
        while self.unended:
            self.now, _, kind, who, turn = heapq.heappop(self.events)
            self.happen(kind, who, turn)
            self.hand_out()
        self.result.seconds = self.now
        self.result.half_idle = self.now - self.half_since
        return self.result

    def doom(self, number: int) -> None:
        if self.cluster.loss > 0:
            self.at(self.draw.expovariate(self.cluster.loss / 3600), _Kind.LOST, number)

    def hand_out(self) -> None:
        while self.pending and self.in_flight < AHEAD * self.cluster.workers:
            self.handed.append(heapq.heappop(self.pending)[2])
            self.in_flight += 1
        self.result.most_waiting = max(self.result.most_waiting, len(self.pending))
        while self.handed and self.idle:
            number = self.idle.pop()
            if self.workers[number].alive:
                worker = self.workers[number]
                worker.item, worker.phase, worker.began = self.handed.popleft(), 0, self.now
                worker.turn += 1
                self.result.items += 1
                self.work(number)
        if 2 * len(self.idle) <= self.cluster.workers:
            self.half_since = self.now

    def work(self, number: int) -> None:
        """Begin the worker's phase, or end its item."""
        worker = self.workers[number]
        item = worker.item
        assert item is not None
        if worker.phase == len(item.phases):
            self.finish(number, lost=False)
            return
        model, seconds = item.phases[worker.phase]
        if model and self.cluster.actors:
            self.asked.append((number, worker.turn, seconds, self.now))
            self.answer()
        else:
            self.at(seconds, _Kind.STEP, number, worker.turn)

    def answer(self) -> None:
        while self.asked and self.free_actors:
            number, turn, seconds, since = self.asked.popleft()
            if self.workers[number].turn == turn:
                self.free_actors -= 1
                self.result.waiting += self.now - since
                self.at(seconds, _Kind.ANSWER, number, turn)

    def finish(self, number: int, *, lost: bool) -> None:
        worker = self.workers[number]
        item = worker.item
        assert item is not None
        self.result.busy += self.now - worker.began
        worker.item = None
        worker.turn += 1
        if lost:
            self.result.redone += self.now - worker.began
            if item.attempt < ATTEMPTS:
                item.attempt += 1
                self.handed.appendleft(item)
                return
            self.result.given_up += 1
        else:
            self.idle.append(number)
        self.results.append((item, not lost))
        if len(self.results) == 1:
            self.at(1 / self.cluster.store, _Kind.WRITTEN)

    def happen(self, kind: _Kind, who: int, turn: int) -> None:
        worker = self.workers[who]
        match kind:
            case _Kind.STEP if worker.turn == turn:
                worker.phase += 1
                self.work(who)
            case _Kind.ANSWER:
                self.free_actors += 1  # an actor ends its answer even when nobody waits for it any more
                self.answer()
                if worker.turn == turn:
                    worker.phase += 1
                    self.work(who)
            case _Kind.WRITTEN:
                self.written(*self.results.popleft())
                if self.results:
                    self.at(1 / self.cluster.store, _Kind.WRITTEN)
            case _Kind.LOST:
                self.result.losses += 1
                worker.alive = False
                if worker.item is not None:
                    self.finish(who, lost=True)
                elif who in self.idle:
                    self.idle.remove(who)
                self.at(self.cluster.restart, _Kind.BACK, who)
            case _Kind.BACK:
                worker.alive = True
                self.idle.append(who)
                self.doom(who)
            case _:
                pass  # of an earlier turn

    def written(self, item: _Item, done: bool) -> None:
        """The coordinator knows a result: what follows from it waits to be handed out."""
        self.in_flight -= 1
        repository = self.repositories[item.repository]
        if item.role is _Role.DIAGNOSE and done and repository.mends:
            for mend in repository.mends:
                phases = ((True, mend.model / mend.rounds), (False, mend.worker / mend.rounds)) * mend.rounds
                self.wait(_Item(item.repository, _Role.MEND, phases if mend.model else ((False, mend.worker),)))
            return
        if item.role is _Role.MEND:
            self.left[item.repository] -= 1
            if not self.left[item.repository]:
                self.wait(_Item(item.repository, _Role.COMBINE, ((False, repository.combine),)))
            return
        self.unended -= 1


def simulate(repositories: Iterable[Repository], cluster: Cluster, seed: int = 0) -> Simulated:
    """The whole run; the same for the same seed. `cluster.workers` must be at least 1."""
    if cluster.workers < 1:
        raise ValueError("a run needs at least one worker")
    return _Run(tuple(repositories), cluster, random.Random(seed)).go()
