"""Who starts, watches and ends the explaining process, and lets requests wait for it. Never imports torch.

The process starts with the first explanation. It computes for one request at a time; requests are pure, so one that a
crash cut off is asked once more. What is not wanted any more is given a moment to end, then the process is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import structlog

from serve import frames
from serve.explaining.computing import Answer
from serve.frames import Frame
from serve.pool import Refused, WorkerLost
from serve.problems import BusyError, DeadlineError
from serve.settings import Settings

_log = structlog.get_logger("emend.explaining")
_LARGEST = 1 << 28  # bytes of a message
_OPEN_SECONDS = 300.0  # a checkpoint of many gigabytes is read in that time
_OVERTIME = 30.0  # beyond its seconds an explanation is stopped: they bound the perturbations only
_GRACE = 5.0  # for what nobody waits for any more: most explanations end by then, and the opened model is kept
_ROUNDS = 200  # explanations of one process
_COMMAND = (sys.executable, "-P", "-m", "serve.explaining.worker")
Reason = Literal["crash", "recycled", "late", "memory", "left"]


class Explainer(Protocol):
    """Explains (`ExplainHost`, `serve.explaining.scripted`)."""

    async def explain(self, body: str, seconds: float) -> Answer:
        """The answer to the JSON of an ExplanationIn; cancelling gives it up.

        Raises BusyError, Refused with its problem, WorkerLost, DeadlineError.
        """
        ...


class Tally(Protocol):
    """Who is told of restarts."""

    def explainer_ended(self, reason: str) -> None:
        """The process has ended for this reason; the next request starts another."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of the host."""

    opening: float = _OPEN_SECONDS
    overtime: float = _OVERTIME
    grace: float = _GRACE
    rounds: int = _ROUNDS  # explanations of one process


@dataclass(eq=False, slots=True)
class _Worker(frames.Piped):
    rounds: int = 0


class ExplainHost:
    """The process and its queue. Use it in one event loop, and `close` it there."""

    def __init__(
        self,
        settings: Settings,
        *,
        tally: Tally | None = None,
        command: Sequence[str] = _COMMAND,
        pace: Pace | None = None,
    ) -> None:
        self._settings, self._tally, self._command, self._pace = settings, tally, command, pace or Pace()
        self._turn = asyncio.Lock()
        self._worker: _Worker | None = None
        self._cleaning: set[asyncio.Task[None]] = set()
        self._closing = False
        self.waiting = 0

    @property
    def pid(self) -> int:
        """Of the process, 0 while there is none."""
        return self._worker.process.pid if self._worker is not None and self._worker.alive else 0

    async def explain(self, body: str, seconds: float) -> Answer:
        """As `Explainer.explain`."""
        await self._turned()
        task: asyncio.Task[Answer] | None = None
        try:
            task = asyncio.ensure_future(self._twice(body, seconds))
            return await asyncio.shield(task)
        finally:
            if task is None or task.done():
                self._turn.release()
            else:
                self._later(self._given_up(task))

    async def close(self) -> None:
        """End the process; what runs is cut off."""
        self._closing = True
        await self._end("")
        for task in tuple(self._cleaning):
            task.cancel()
        await asyncio.gather(*self._cleaning, return_exceptions=True)

    async def _turned(self) -> None:
        """Wait for one's turn. Raises BusyError where too many wait, or it does not come in time."""
        if self._closing or (self._turn.locked() and self.waiting >= self._settings.explanations_waiting):
            raise BusyError("all places for explanations are taken, come again")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._settings.max_explanation_seconds + self._pace.overtime):
                await self._turn.acquire()
        except TimeoutError:
            raise BusyError("others' explanations take too long, come again") from None
        finally:
            self.waiting -= 1

    async def _given_up(self, task: asyncio.Task[Answer]) -> None:
        """Nobody waits for this any more: let it end, or end the process."""
        with suppress(Exception):  # whatever it would have said
            async with asyncio.timeout(self._pace.grace):
                await asyncio.shield(task)
        if not task.done():
            task.cancel()  # first: it would ask again in a new process, which the next question would then share
            await asyncio.gather(task, return_exceptions=True)
            await self._end("left")
        self._turn.release()

    async def _twice(self, body: str, seconds: float) -> Answer:
        try:
            return await self._once(body, seconds)
        except WorkerLost:
            if self._closing:
                raise
        return await self._once(body, seconds)

    async def _once(self, body: str, seconds: float) -> Answer:
        worker = await self._started()
        frame: Frame = {}
        try:
            await worker.send({"body": body})
            async with asyncio.timeout(self._pace.opening):
                frame = await worker.receive()
            if "opened" in frame:
                async with asyncio.timeout(seconds + self._pace.overtime):
                    frame = await worker.receive()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await self._end("crash")
            raise WorkerLost("the process that explained this died; ask again, or for fewer parts") from error
        except TimeoutError as error:
            await self._end("late")
            raise DeadlineError("the explanation took too long and was stopped: ask for fewer parts") from error
        worker.rounds += 1
        if frame.get("spent"):
            await self._end("memory")
        elif worker.rounds >= self._pace.rounds:
            await self._end("recycled")
        if "problem" in frame:
            raise Refused(cast("Mapping[str, object]", frame["problem"]))
        return Answer(**cast("dict[str, str]", frame["answer"]))

    async def _started(self) -> _Worker:
        """The process, started now where there is none."""
        if self._worker is not None and self._worker.alive:
            return self._worker
        if self._worker is not None:  # it died while it had nothing to do
            await self._end("crash")
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LARGEST,
            env=_environment(),
        )  # fmt: skip
        self._worker = _Worker(process)
        with suppress(ConnectionError):  # it is dead already: the question finds that out
            await self._worker.send({"settings": self._settings.model_dump_json()})
        return self._worker

    async def _end(self, reason: Reason | Literal[""]) -> None:
        """End the process, if there is one; `reason` "" is not worth telling."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if worker.alive:
            with suppress(ProcessLookupError):
                worker.process.kill()
        await worker.process.wait()
        if reason:
            _log.info("the explaining process ended", reason=reason, rounds=worker.rounds)
            if self._tally is not None:
                self._tally.explainer_ended(reason)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)


def _environment() -> dict[str, str]:
    """That of the service without what only it needs to know; `-P` and the path keep other folders `serve` out."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("EMEND_") or name == "EMEND_API_KEY"
    }
    few = {"OMP_NUM_THREADS": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}
    return {**few, **kept, "PYTHONPATH": os.pathsep.join(paths)}
