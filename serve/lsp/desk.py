"""Desk: the one thread that long work is done in, a task after the other, so that the event loop never waits.

Cancelling a task sets its flag and kills what it runs. Knows nothing of what the tasks do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from repair.errors import EmendError
from repair.sandboxes.processes import tree

_LOOK_SECONDS = 0.05  # between two looks whether a cancelled task still runs something


class CancelledByUser(EmendError):
    """The task was given up; nobody needs to be told why."""


@dataclass(slots=True)
class Stop:
    """The flag that says a task is not wanted any more, and the one that its processes may be killed for it.

    Killed while a sandbox is tried out, that sandbox would be taken for one that does not work.
    """

    flag: Event = field(default_factory=Event)
    killable: Event = field(default_factory=Event)

    def check(self) -> None:
        """Raises CancelledByUser once the task was cancelled."""
        if self.flag.is_set():
            raise CancelledByUser("the work was cancelled")


@dataclass(slots=True)
class Task:
    """One piece of work; `done` belongs to the event loop."""

    work: Callable[[Stop], Any]
    done: asyncio.Future[Any]
    stop: Stop = field(default_factory=Stop)
    wake: Event = field(default_factory=Event)

    def cancel(self) -> None:
        """Ask for its end. May be called from any thread, more than once, and after its end."""
        self.stop.flag.set()
        self.wake.set()


class Desk:
    """Tasks by a key; a newer task of the same key takes the place of the older."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._tasks: dict[str, Task] = {}
        self._now: Task | None = None
        self._wake = Event()
        self._worker = Thread(target=self._serve, name="emend-desk", daemon=True)
        self._killer = Thread(target=self._watch, name="emend-stop", daemon=True)

    def submit(self, key: str, work: Callable[[Stop], Any]) -> Task:
        """Do `work` in the thread; await `done` for what it returns or raises. Called in the event loop."""
        if not self._worker.is_alive():
            self._worker.start()
            self._killer.start()
        if (older := self._tasks.get(key)) is not None:
            older.cancel()
        task = Task(work, asyncio.get_running_loop().create_future(), wake=self._wake)
        self._tasks[key] = task
        self._queue.put(task)
        return task

    def close(self, seconds: float = 5.0) -> None:
        """Cancel all and wait until no process is left, at most `seconds`."""
        for task in self._tasks.values():
            task.cancel()
        if self._worker.is_alive():
            self._queue.put(None)
            self._worker.join(seconds)

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None:
            self._now = task
            try:
                task.stop.check()
                value, error = task.work(task.stop), None
            except BaseException as raised:  # noqa: BLE001 - it is raised again where it is waited for
                value, error = None, raised
            self._now = None
            if task.stop.flag.is_set():
                value, error = None, CancelledByUser("the work was cancelled")
            with suppress(RuntimeError):  # the loop has ended
                task.done.get_loop().call_soon_threadsafe(_settle, task.done, value, error)

    def _watch(self) -> None:
        """Kill the processes of a cancelled task until it gives up; only tasks start processes here."""
        while self._wake.wait():
            self._wake.clear()
            while (task := self._now) is not None and task.stop.flag.is_set():
                for pid in tree(os.getpid())[1:]:
                    if self._now is task and task.stop.killable.is_set():
                        with suppress(OSError):
                            os.kill(pid, signal.SIGKILL)
                time.sleep(_LOOK_SECONDS)


def _settle(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:  # noqa: ANN401
    if done.done():
        return
    if error is None:
        done.set_result(value)
    else:
        done.set_exception(error)
