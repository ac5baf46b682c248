"""Pool: the repair processes, seen from the event loop. Starts them, gives each one task at a time, replaces lost ones.

Owns processes, pipes and who is next; knows nothing of what a task means. Cancelling: the process is asked, then told
to end (so that it removes its sandbox), then killed; its place is taken by a new one.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, cast

from repair.errors import EmendError
from serve import frames
from serve.engine import Task
from serve.frames import Frame
from serve.problems import BusyError, problem
from serve.settings import Settings
from serve.telling import Told

_LARGEST = 1 << 28  # bytes of a message; the answer's own limit lies far below
_ASKED_SECONDS = 1.0  # for a process to end a cancelled task by itself
_TERM_SECONDS = 5.0  # for it to clean up and end
_START_SECONDS = 120.0
_OVERTIME = 60.0  # beyond its budget a task is stopped: starting and ending take time, too
_ENV_KEPT = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "EMEND_API_KEY", "JAVA_HOME"}
)


class Refused(Exception):
    """The task cannot be done; `problem` is the problem+json that says why."""

    def __init__(self, problem: Mapping[str, object]) -> None:
        super().__init__(str(problem.get("detail", "")))
        self.problem = dict(problem)


class WorkerLost(EmendError):
    """The process that worked on a task died. Tasks are pure: it may be done again."""


class Runner(Protocol):
    """Does tasks (`Pool`, `serve.jobs.scripted`)."""

    def run(self, task: Task, *, urgent: bool = True) -> AsyncGenerator[Told]:
        """What happens, as it happens; closing it cancels. Raises BusyError, Refused, WorkerLost."""
        ...


@dataclass(eq=False, slots=True)
class _Worker(frames.Piped):
    folder: Path
    sandbox: str = ""
    ready: bool = False


class Pool:
    """Repair processes. Use it in one event loop: `start`, `run`..., `close`."""

    def __init__(
        self,
        settings: Settings,
        host: Mapping[str, str] | None = None,
        *,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`host`: address and secret of the model process; `waited` is told the seconds that each task queued."""
        self._settings = settings
        self._waited = waited
        self._first: Frame = {"settings": settings.model_dump_json(), "host": dict(host) if host else None}
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._queue: list[tuple[bool, int, asyncio.Future[_Worker]]] = []
        self._order = 0
        self._cleaning: set[asyncio.Task[None]] = set()
        self._closing = False
        self.running = 0

    @property
    def waiting(self) -> int:
        """Tasks in the queue."""
        return sum(not future.done() for _, _, future in self._queue)

    @property
    def alive(self) -> int:
        """Processes that are ready or at work."""
        return sum(worker.alive and worker.ready for worker in self._workers)

    @property
    def sandbox(self) -> str:
        """Tier of the sandbox, "" where tests cannot be run."""
        return next((worker.sandbox for worker in self._workers if worker.alive), "")

    async def start(self) -> None:
        """Start all processes and wait until each is warm. Raises WorkerLost when one does not come up."""
        made = await asyncio.gather(*(self._add() for _ in range(self._settings.workers)), return_exceptions=True)
        for failure in made:
            if isinstance(failure, BaseException):
                await self.close()
                raise failure

    async def close(self) -> None:
        """End all processes; what runs is cancelled."""
        self._closing = True
        for _, _, future in self._queue:
            future.cancel()
        await asyncio.gather(*(_end(worker) for worker in tuple(self._workers)))
        for task in tuple(self._cleaning):
            task.cancel()
        await asyncio.gather(*self._cleaning, return_exceptions=True)

    async def run(self, task: Task, *, urgent: bool = True) -> AsyncGenerator[Told]:
        """What happens, as it happens; closing it cancels the task. Raises BusyError, Refused, WorkerLost."""
        arrived = time.monotonic()
        worker = await self._taken(urgent=urgent, expires=task.expires)
        self._waited(time.monotonic() - arrived)
        self.running += 1
        ended = False
        limit = (self._settings.max_job_seconds if task.long else self._settings.max_seconds) + _OVERTIME
        try:
            await worker.send({"task": asdict(task)})
            async with asyncio.timeout(limit):
                while not (ended := "told" not in (frame := await worker.receive())):
                    name, data = cast("list[str]", frame["told"])
                    yield Told(name, data)
            if "problem" in frame:
                raise Refused(cast("dict[str, object]", frame["problem"]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WorkerLost("the process that repaired this died; ask again") from error
        except TimeoutError as error:
            raise WorkerLost(f"the repair did not end within {limit:g} seconds and was stopped") from error
        finally:
            self.running -= 1
            self._clean(self._returned(worker, task, ended=ended))

    async def _taken(self, *, urgent: bool, expires: float | None) -> _Worker:
        """A worker of one's own. Raises BusyError when the queue is full, Refused when the deadline comes first."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        if self._closing or (urgent and self.waiting >= self._settings.waiting):
            raise BusyError("all places are taken, come again")
        self._order += 1
        future: asyncio.Future[_Worker] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (not urgent, self._order, future))
        try:
            async with asyncio.timeout(None if expires is None else max(0.0, expires - time.time())):
                return await future
        except TimeoutError:
            detail = "the deadline passed while the request waited for a free place"
            raise Refused(problem(504, detail, kind="deadline")) from None
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._free(future.result())
            raise

    def _free(self, worker: _Worker) -> None:
        """Give a worker to whoever waits, or keep it."""
        while self._queue:
            _, _, future = heapq.heappop(self._queue)
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    async def _returned(self, worker: _Worker, task: Task, *, ended: bool) -> None:
        """Free a worker whose task has ended; else make it end, in the worst case the process."""
        if not ended and worker.alive:
            ended = await _cancelled(worker, task.id)
        if ended and worker.alive and not self._closing:
            self._free(worker)
        else:
            await self._replaced(worker)

    async def _replaced(self, worker: _Worker) -> None:
        await _end(worker)
        self._workers.discard(worker)
        pause = 0.1
        while not self._closing:
            try:
                await self._add()
            except WorkerLost:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 10.0)
            else:
                return

    async def _add(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="emend-worker-"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "serve.worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LARGEST, env=_environment(folder),
        )  # fmt: skip
        worker = _Worker(process, folder)
        self._workers.add(worker)
        try:
            await worker.send(self._first)
            async with asyncio.timeout(_START_SECONDS):
                frame = await worker.receive()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            await _end(worker)
            self._workers.discard(worker)
            raise WorkerLost("a repair process did not start; its error stands above") from error
        worker.sandbox = cast("dict[str, str]", frame["ready"])["sandbox"]
        worker.ready = True
        self._clean(self._watched(worker))
        self._free(worker)

    async def _watched(self, worker: _Worker) -> None:
        """Replace a worker that dies while it has nothing to do."""
        await worker.process.wait()
        if worker in self._idle and not self._closing:
            self._idle.remove(worker)
            await self._replaced(worker)

    def _clean(self, work: object) -> None:
        task = asyncio.ensure_future(cast("asyncio.Future[None]", work))
        self._cleaning.add(cast("asyncio.Task[None]", task))
        task.add_done_callback(self._cleaning.discard)


def _environment(folder: Path) -> dict[str, str]:
    """What a repair process needs to know; secrets of the service (database, tokens) are not among it."""
    kept = {name: value for name, value in os.environ.items() if name in _ENV_KEPT}
    return {**kept, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}


async def _cancelled(worker: _Worker, task_id: str) -> bool:
    """Whether a worker ended a task by itself when asked to."""
    with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
        await worker.send({"cancel": task_id})
        async with asyncio.timeout(_ASKED_SECONDS):
            while "told" in await worker.receive():
                pass
        return True
    return False


async def _end(worker: _Worker) -> None:
    """End a process and remove its folder."""
    for stop in (worker.process.terminate, worker.process.kill):
        if worker.alive:
            with suppress(ProcessLookupError, TimeoutError):
                stop()
                await asyncio.wait_for(worker.process.wait(), _TERM_SECONDS)
    await asyncio.to_thread(shutil.rmtree, worker.folder, ignore_errors=True)
