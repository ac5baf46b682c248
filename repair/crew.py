"""A crew: worker processes that are given one item at a time, and what is done when one is lost.

Owns processes and their pipes. A lost worker (killed, out of memory, ended by the function) takes only its own item
with it. That item is done once more, in a new process and alone: whatever used up the memory before, if it is lost
again, it is the one to blame.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from repair.errors import BoundaryError
from repair.flow import Done, Ended, shown

if TYPE_CHECKING:
    from typing import Any

T = TypeVar("T")
R = TypeVar("R")
_PATIENCE = 5.0  # seconds that a worker has to clean up after it was told to end
_UNSTARTED = 3  # workers in succession that ended before they could take an item
_READY = b""


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ready: bool = False


@dataclass(frozen=True, slots=True)
class _Task(Generic[T]):
    worker: _Worker
    item: T
    again: bool


class Crew(Generic[T, R]):
    """At most `size` processes, started when they are needed (`repair.flow.Flight`)."""

    def __init__(
        self, size: int, function: Callable[[T], R], *, named: Callable[[T], object] = lambda item: item
    ) -> None:
        self._size = size
        self._function, self._named = function, named
        self._context = multiprocessing.get_context("spawn")  # forking a process with threads can hang it
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Task[T]] = {}
        self._apart: deque[T] = deque()  # lost once
        self._alone = False
        self._unstarted = 0

    @property
    def size(self) -> int:
        """As it was given."""
        return self._size

    def room(self) -> int:
        """As `Flight.room`."""
        return 0 if self._alone else self._size - len(self._busy)

    def __len__(self) -> int:
        return len(self._busy) + len(self._apart)

    def start(self, item: T) -> None:
        """As `Flight.start`."""
        self._give(item, self._idle.pop() if self._idle else self._hired(), again=False)

    def wait(self) -> Ended[T, R]:
        """As `Flight.wait`."""
        while True:
            if not self._busy:
                self._dismiss(self._idle)  # what they hold in memory is what this one may lack
                self._alone = True
                self._give(self._apart.popleft(), self._hired(), again=True)
            # a worker's end is read from its pipe, too, after whatever it had sent
            for pipe in wait(list(self._busy)):
                assert isinstance(pipe, Connection)
                task = self._busy[pipe]
                try:
                    answer = pipe.recv_bytes()
                except (EOFError, OSError):
                    ended = self._lost(task)
                else:
                    ended = self._answered(task, answer)
                if ended:
                    return ended

    def close(self) -> None:
        """As `Flight.close`: workers are told to end, and made to after `_PATIENCE` seconds."""
        atexit.unregister(self.close)
        busy = [task.worker for task in self._busy.values()]
        self._busy.clear()
        self._apart.clear()
        for worker in busy:
            worker.process.terminate()
        self._dismiss(self._idle + busy)

    def _hired(self) -> _Worker:
        atexit.unregister(self.close)
        atexit.register(self.close)  # or else the interpreter would wait for idle workers at its end
        ours, theirs = self._context.Pipe()
        with theirs:  # closed here, so that our end tells when the worker has gone
            process = self._context.Process(target=_work, args=(theirs, self._function, os.getpid()))
            process.start()
        return _Worker(process, ours)

    def _give(self, item: T, worker: _Worker, *, again: bool) -> None:
        self._busy[worker.pipe] = task = _Task(worker, item, again)
        if worker.ready:
            self._send(task)

    def _send(self, task: _Task[T]) -> None:
        content = pickle.dumps(task.item)
        with suppress(OSError):  # it has gone: `wait` will read that
            task.worker.pipe.send_bytes(content)

    def _answered(self, task: _Task[T], answer: bytes) -> Ended[T, R] | None:
        if answer == _READY:
            task.worker.ready, self._unstarted = True, 0
            self._send(task)
            return None
        del self._busy[task.worker.pipe]
        self._idle.append(task.worker)
        self._alone = False
        result, raised = pickle.loads(answer)
        return Ended(Done(task.item, result), raised)

    def _lost(self, task: _Task[T]) -> Ended[T, R] | None:
        del self._busy[task.worker.pipe]
        self._alone = False
        code = _ended([task.worker])[0]
        if not task.worker.ready:  # the item was never seen by it
            self._unstarted += 1
            if self._unstarted == _UNSTARTED:
                raise BoundaryError(f"worker processes cannot start ({_how(code)}); what they wrote stands above")
        elif task.again:
            reason = f"a worker was lost twice at {shown(self._named(task.item))} ({_how(code)})"
            return Ended(Done(task.item, None, reason))
        self._apart.append(task.item)
        return None

    def _dismiss(self, workers: list[_Worker]) -> None:
        for worker in workers:
            worker.pipe.close()  # an idle worker ends when it reads that
        _ended(workers)
        self._idle = []


def _ended(workers: Iterable[_Worker]) -> list[int]:
    """Exit codes of workers that are ending, killed when they take too long."""
    until = time.monotonic() + _PATIENCE
    codes: list[int] = []
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join()
        codes.append(worker.process.exitcode or 0)
        worker.process.close()
        worker.pipe.close()
    return codes


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed: is there enough memory?"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def _work(pipe: Connection, function: Callable[[Any], object], parent: int) -> None:
    """The life of a worker: read an item, answer with (result, None) or (None, exception), until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt goes to all processes; the parent alone answers it
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    try:
        pipe.send_bytes(_READY)
        while True:
            pipe.send_bytes(_answer(function, pipe.recv_bytes()))
    except (EOFError, OSError):
        return  # the parent does not want more


def _answer(function: Callable[[Any], object], content: bytes) -> bytes:
    try:
        return pickle.dumps((function(pickle.loads(content)), None))
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        return _portable(error)


def _portable(error: Exception) -> bytes:
    try:
        content = pickle.dumps((None, error))
        pickle.loads(content)
    except Exception:  # noqa: BLE001 - an exception with arguments of its own need not survive pickling
        text = f"{type(error).__name__}: {error}"
        return pickle.dumps((None, BoundaryError(text)))
    return content


def _leave(signum: int, frame: object) -> NoReturn:
    """Let `finally` and `with` clean up (processes, folders)."""
    del frame
    sys.exit(128 + signum)


def _watch(parent: int) -> None:
    """End a worker whose parent was killed: nobody would ever take its result, nor tell it to stop."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)
