"""One claimed job at work: its events are written in batches, its lease is held, its end is written once.

Every write names owner and attempt, so a job that was lost meanwhile cannot be harmed; while the database is away all
writes wait for it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from repair.errors import EmendError
from serve.engine import Task
from serve.jobs.following import ring
from serve.jobs.shown import deadline_of, located
from serve.journal.keeping import Keeper
from serve.journal.knowing import Noting
from serve.pool import Refused, Runner, WorkerLost
from serve.problems import BusyError, of_error, problem
from serve.store import Store, StoreError
from serve.store.jobs import Job, NewEvent
from serve.telling import Told
from serve.wire_jobs import JobState

_log = structlog.get_logger("emend.jobs")

Call = Callable[..., Awaitable[Any]]  # runs a blocking function in a thread of the dispatcher
Why = Literal["cancel", "lost", "release"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How quick the dispatcher is, in seconds."""

    poll: float = 0.5  # between looks for jobs of other processes
    batch: float = 0.2  # how long an event may wait for others
    back_off: float = 1.0  # before the second attempt; doubles with each
    most: float = 60.0  # of back-off
    away: float = 2.0  # between tries when the database is away, at most


@dataclass(frozen=True, slots=True)
class _End:
    """How a job ended: a final state with its body, or back to the queue ("again": costs an attempt)."""

    how: JobState | Literal["again", "release"]
    body: str | None = None


class Run:
    """A job that this process has claimed."""

    def __init__(
        self, job: Job, owner: str, store: Store, call: Call, pace: Pace, keeper: Keeper | None = None
    ) -> None:
        self.job = job
        self._keeper = keeper
        self._noting: Noting | None = None
        self._mine = (job.id, owner, job.attempt)
        self._store, self._call, self._pace = store, call, pace
        self._seq = job.last_seq
        self._events: list[NewEvent] = []
        self._result: str | None = None
        self._told = asyncio.Event()
        self._done = False
        self._why: Why | None = None
        self._work: asyncio.Task[_End] | None = None

    async def work(self, runner: Runner, lease_seconds: float) -> None:
        """Do the job and write how it ended; never raises but when cancelled."""
        ring(self.job.id)
        self._work = asyncio.create_task(self._worked(runner))
        if self._why is not None:
            self._work.cancel()
        beating = asyncio.create_task(self._beat(lease_seconds))
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait({self._work})
            end = self._stopped() if self._work.cancelled() else self._work.result()
            self._done = True
            self._told.set()
            if self._why == "release":
                self._events.clear()
            await writing
            if self._why != "lost":
                await self._ended(end)
        finally:
            for task in (self._work, beating, writing):
                task.cancel()
            await asyncio.gather(self._work, beating, writing, return_exceptions=True)
            ring(self.job.id)

    def end(self, why: Why) -> None:
        """Stop the work: it is cancelled, lost to another, or given back."""
        if self._why is None or why == "lost":
            self._why = why
            if self._work is not None:
                self._work.cancel()

    async def renew(self, lease_seconds: float) -> None:
        """Hold the lease now. Raises StoreError."""
        await self._call(self._store.jobs.heartbeat, *self._mine, lease_seconds)

    def _stopped(self) -> _End:
        return _End("cancelled" if self._why == "cancel" else "release")

    async def _worked(self, runner: Runner) -> _End:
        job = self.job
        begun = time.monotonic()
        self._noting = self._keeper.begin(job.id, job.key_id, job.kind) if self._keeper else None
        try:
            deadline = deadline_of(job.body)
            expires = None if deadline is None else job.created / 1e6 + deadline
            task = Task(job.kind, job.id, job.body, expires=expires, long=True)
            async with aclosing(runner.run(task, urgent=False)) as events:
                async for told in events:
                    self._take(told, time.monotonic() - begun)
        except asyncio.CancelledError:
            return self._stopped()
        except Exception as error:  # noqa: BLE001 - a job must end, whatever fails
            return _failed(error)
        if self._result is None:
            return _End("again", json.dumps(problem(500, "the repair ended without a result", kind="internal")))
        return _End("succeeded", self._result)

    def _take(self, told: Told, seconds: float) -> None:
        if self._noting is not None:
            self._noting.observe(told)
        if told.name == "result":
            self._result = told.data
            return
        if told.name == "localization":
            self._result = located(told.data, seconds)
            return
        said = json.loads(told.data)
        plausible = told.name == "candidate" and said.get("verdict") == "plausible"
        model = str(said.get("model", "")) if told.name == "suspects" else ""
        self._events.append(NewEvent(told.name, told.data, plausible, model))
        self._told.set()

    async def _write(self) -> None:
        """Append events as they come, those of a short time together, until the work is done."""
        while not (self._done and not self._events):
            await self._told.wait()
            if not self._done:
                await asyncio.sleep(self._pace.batch)
            self._told.clear()
            batch = tuple(self._events)
            if batch and not await self._until_answered(self._store.jobs.tell, *self._mine, batch, self._seq):
                self._events.clear()
                self.end("lost")
                return
            self._seq += len(batch)
            del self._events[: len(batch)]
            if self._done or self._events:
                self._told.set()
            ring(self.job.id)

    async def _beat(self, lease_seconds: float) -> None:
        """Hold the lease, and hear of a cancellation."""
        pause = lease_seconds / 3
        while True:
            await asyncio.sleep(pause * random.uniform(0.8, 1.0))
            answer = await self._until_answered(self._store.jobs.heartbeat, *self._mine, lease_seconds)
            if answer != "go":
                self.end(answer)

    async def _ended(self, end: _End) -> None:
        jobs = self._store.jobs
        match end.how:
            case "again":
                again = min(self._pace.most, self._pace.back_off * 2 ** min(self.job.attempt - 1, 16))
                delay = again * random.uniform(0.75, 1.25)
                kept = await self._until_answered(jobs.retry, *self._mine, end.body, delay)
            case "release":
                kept = await self._until_answered(jobs.release, *self._mine)
            case state:
                kept = await self._until_answered(jobs.finish, *self._mine, state, end.body)
                if kept and self._keeper is not None and state == "succeeded":
                    await self._until_answered(self._keeper.keep, self._noting, self.job.body, end.body)
        _log.info("job ended" if kept else "job lost", job=self.job.id, attempt=self.job.attempt, state=end.how)

    async def _until_answered(self, ask: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - of any question
        """The store's answer; while the database is away we wait."""
        pause = self._pace.away / 16
        while True:
            try:
                return await self._call(ask, *args)
            except StoreError as error:
                _log.warning("database is away", job=self.job.id, reason=str(error))
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(2 * pause, self._pace.away)


def _failed(error: Exception) -> _End:
    """What an error means for its job: it failed, or what works on it did and it is tried again."""
    match error:
        case BusyError():
            return _End("release")
        case Refused():
            return _End("again" if _passes(error.problem) else "failed", json.dumps(error.problem))
        case WorkerLost():
            return _End("again", json.dumps(problem(503, str(error), kind="worker-lost")))
        case EmendError():
            body = of_error(error)
            return _End("again" if _passes(body) else "failed", json.dumps(body))
        case _:
            _log.error("job failed", exc_info=error)
            kind = type(error).__name__
            return _End("again", json.dumps(problem(500, f"internal error ({kind})", kind="internal")))


def _passes(body: dict[str, Any]) -> bool:
    """Whether another attempt may go well: what is not the caller's doing, but for a deadline, which stays passed."""
    return int(body.get("status", 500)) >= 500 and body.get("type") != "urn:emend:deadline"
