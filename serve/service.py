"""Service: everything behind the routes, made from settings, started and ended together.

Owns the order of starting and ending, and watches the model process; knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from repair.errors import EmendError, ModelError
from serve.explaining.host import ExplainHost
from serve.hosted import HostedModels
from serve.jobs import Dispatcher
from serve.journal.keeping import Keeper
from serve.modelhost import ModelHost, start_host
from serve.modelnames import Models
from serve.observe.metrics import Metrics, Snapshot
from serve.observe.runner import Counted
from serve.parts import Parts
from serve.pool import Pool
from serve.settings import Settings, database_url
from serve.store import Store

_log = structlog.get_logger("emend.service")
_LOOK_SECONDS = 1.0  # how often we look whether the model process lives
_READY_SECONDS = 4.0  # for a generation of a few tokens
_TIDY_SECONDS = 3600.0  # how often old jobs, replies and journal entries are deleted


class Service:
    """The processes and the store of one `emend serve` or `emend worker`."""

    def __init__(self, settings: Settings) -> None:
        """Opens the store. Raises StoreError."""
        self.settings = settings
        self.store = Store.open(database_url(settings))
        self._host: ModelHost | None = None
        self._pool: Pool | None = None
        self._dispatcher: Dispatcher | None = None
        self._explainer: ExplainHost | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.draining = asyncio.Event()
        self.metrics = Metrics()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Parts]:
        """Start everything, yield what routes work with, then drain and end. Raises ModelError, WorkerLost."""
        try:
            yield await self._started()
        finally:
            self.draining.set()
            await self._ended()

    async def _started(self) -> Parts:
        settings = self.settings
        self._host = await asyncio.to_thread(start_host, settings)
        place = {"address": self._host.address, "secret": self._host.secret.hex()}
        self._pool = Pool(settings, place, waited=self.metrics.waited)
        await self._pool.start()
        runner = Counted(self._pool, self.metrics)
        self.metrics.gauges(self._snapshot)
        keeper = Keeper(self.store.journal, on=settings.journal)
        self._dispatcher = Dispatcher(self.store, runner, settings, keeper=keeper)
        await self._dispatcher.start()
        self._tasks = [asyncio.create_task(self._watch(self._host)), asyncio.create_task(self._tidy())]
        self._explainer = ExplainHost(settings, tally=self.metrics) if settings.explanations else None
        models = HostedModels(settings, self._host.address, self._host.secret)
        return Parts(
            settings, runner, self.store, models, self._dispatcher, self.metrics, self.draining, self._checks(models),
            self._explainer,
        )  # fmt: skip

    async def _ended(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._dispatcher is not None:
            await self._dispatcher.stop(self.settings.drain_seconds)
        if self._explainer is not None:
            await self._explainer.close()
        if self._pool is not None:
            await self._pool.close()
        if self._host is not None:
            await asyncio.to_thread(self._host.stop, 2.0)
        await asyncio.to_thread(self.store.close)

    async def _watch(self, host: ModelHost) -> None:
        """Start the model process again when it has died; the repair processes find it at the same address."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not host.alive:
                _log.error("model process died, starting it again")
                with suppress(ModelError):
                    await asyncio.to_thread(host.restart)

    async def _tidy(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._prune)
            except EmendError as error:
                _log.warning("old records were not deleted", reason=str(error))
            await asyncio.sleep(_TIDY_SECONDS)

    def _prune(self) -> None:
        self.store.jobs.prune(self.settings.job_days)
        self.store.replies.prune(24.0)
        self.store.feedback.prune(max(self.settings.job_days, self.settings.journal_days))
        self.store.journal.prune(self.settings.journal_days)

    def _snapshot(self) -> Snapshot:
        pool, host = self._pool, self._host
        return Snapshot(
            waiting=pool.waiting if pool else 0,
            running=pool.running if pool else 0,
            workers=pool.alive if pool else 0,
            jobs={str(state): number for state, number in self.store.jobs.counts().items()},
            model_up=host.alive if host else None,
        )

    def _checks(self, models: Models) -> dict[str, Callable[[], Awaitable[str]]]:
        async def service() -> str:
            return "is draining" if self.draining.is_set() else ""

        async def workers() -> str:
            return "" if self._pool and self._pool.alive else "no repair process is alive"

        async def sandbox() -> str:
            if self.settings.unsafe_no_sandbox or (self._pool and self._pool.sandbox):
                return ""
            return f"no sandbox of tier {self.settings.sandbox_minimum} works here; see emend doctor"

        async def model() -> str:
            return await _said(lambda: models.ready(_READY_SECONDS))

        async def store() -> str:
            return await _said(self.store.check)

        return {"service": service, "workers": workers, "sandbox": sandbox, "model": model, "store": store}


async def _said(check: Callable[[], object]) -> str:
    """What a blocking check complains of."""
    try:
        await asyncio.to_thread(check)
    except EmendError as error:
        return str(error)
    return ""
