"""Dispatcher: takes jobs from the store and does them on a runner, some at a time, in one event loop.

Owns when to look for jobs; what happens to one that was taken stands in `running`. Any number of dispatchers, in any
number of processes, may share a store.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import structlog

from serve.jobs.running import Pace, Run
from serve.journal.keeping import Keeper
from serve.pool import Runner
from serve.store import Store, StoreError
from serve.store.jobs import Job

__all__ = ["Dispatcher", "Limits", "Pace"]

_log = structlog.get_logger("emend.jobs")
_RELEASE_SECONDS = 10.0  # for jobs to be given back at the end of a stop


class Limits(Protocol):
    """What of `Settings` is ours."""

    @property
    def job_workers(self) -> int:
        """Jobs at a time."""
        ...

    @property
    def job_attempts(self) -> int:
        """How often a job is tried."""
        ...

    @property
    def lease_seconds(self) -> float:
        """How long a job stays ours without a heartbeat."""
        ...


class Dispatcher:
    """Does the jobs of a store. Use it in one event loop: `start`, then `stop`."""

    def __init__(
        self, store: Store, runner: Runner, limits: Limits, *, pace: Pace | None = None, keeper: Keeper | None = None
    ) -> None:
        self._store, self._runner, self._limits = store, runner, limits
        self._pace, self._keeper = pace or Pace(), keeper
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._runs: dict[Run, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._looking: asyncio.Task[None] | None = None
        # threads of our own: while a database does not answer, the routes must not wait for ours
        self._threads = ThreadPoolExecutor(2 * limits.job_workers + 2, thread_name_prefix="emend-jobs")

    @property
    def running(self) -> int:
        """How many jobs are at work here."""
        return len(self._runs)

    async def start(self) -> None:
        """Begin to take jobs."""
        self._looking = asyncio.create_task(self._look())

    def notify(self) -> None:
        """Look at the store now: a job waits, or is to be cancelled. Call it in the event loop."""
        self._wake.set()

    async def stop(self, seconds: float) -> None:
        """Take no more jobs, give those at work so long to end, and put the rest back into the queue."""
        self._stopping = True
        self._wake.set()
        if self._looking is not None:
            await self._looking
        await self._wait(seconds)
        for run in tuple(self._runs):
            run.end("release")
        await self._wait(_RELEASE_SECONDS)
        left = tuple(self._runs.values())  # the database is away: their leases will end
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait(self, seconds: float) -> None:
        if self._runs:
            await asyncio.wait(tuple(self._runs.values()), timeout=seconds)

    async def _look(self) -> None:
        away = 0.0
        while not self._stopping:
            self._wake.clear()
            try:
                if away:  # our leases may have ended meanwhile: hold them before we take what seems lost
                    await asyncio.gather(*(run.renew(self._limits.lease_seconds) for run in tuple(self._runs)))
                await self._claim()
                await self._cancel()
                away = 0.0
            except StoreError as error:
                away = min(2 * away or 0.1, self._pace.away)
                _log.warning("no jobs are taken: database is away", reason=str(error))
            pause = (away or self._pace.poll) * random.uniform(0.75, 1.25)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _claim(self) -> None:
        """Take as many jobs as there are places."""
        limits = self._limits
        while len(self._runs) < limits.job_workers and not self._stopping:
            job: Job | None = await self._call(
                self._store.jobs.claim, self.owner, limits.lease_seconds, limits.job_attempts
            )  # fmt: skip
            if job is None:
                return
            _log.info("job begins", job=job.id, attempt=job.attempt)
            run = Run(job, self.owner, self._store, self._call, self._pace, self._keeper)
            task = asyncio.create_task(run.work(self._runner, limits.lease_seconds))
            self._runs[run] = task
            task.add_done_callback(partial(self._over, run))

    async def _cancel(self) -> None:
        """End the jobs at work that somebody cancelled."""
        if not self._runs:
            return
        cancelled = await self._call(self._store.jobs.cancelled, self.owner)
        for run in tuple(self._runs):
            if run.job.id in cancelled:
                run.end("cancel")

    def _over(self, run: Run, task: asyncio.Task[None]) -> None:
        del self._runs[run]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("job was dropped, its lease will end", job=run.job.id, exc_info=error)

    async def _call(self, ask: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - of any question
        """Ask the store in a thread of ours."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(ask, *args))
