"""Trials of a search: one recipe each, run where a crash harms no other, and what they tell while they run.

Owns the processes and the words between them and the search: a trial reports held-out losses and is told whether to go
on; it ends as Finished, Cut or Failed. Must not know how recipes are chosen, nor Optuna (a worker never loads it).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from repair.errors import EmendError, InputError
from training.config import Recipe

ERROR = "error.txt"  # the traceback of a trial that failed, in its directory
_GRACE = 5.0  # seconds that an ended or stopped process may take to leave


class Pruned(Exception):
    """The search wants no more of this trial; raised by `report`, to be let through."""


Report = Callable[[int, float], None]  # (step, held-out loss, lower is better whatever the goal); raises Pruned
RunTrial = Callable[[Recipe, Report], float]  # trains, measures, returns the goal; can be pickled


@dataclass(frozen=True, slots=True)
class Reported:
    """A held-out loss; the trial waits for `answer`."""

    number: int
    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial came to its end with this value of the goal."""

    number: int
    value: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A trial was ended early because it looked worse than others."""

    number: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial broke; `usage` tells that its settings are at fault, not the machine."""

    number: int
    error: str
    usage: bool = False


Outcome = Finished | Cut | Failed
Event = Reported | Outcome


class Crew(Protocol):
    """Runs trials side by side."""

    def start(self, number: int, recipe: Recipe) -> None:
        """Begin a trial."""
        ...

    def events(self, seconds: float) -> Iterator[Event]:
        """What has happened; waits at most so long for the first."""
        ...

    def answer(self, number: int, *, prune: bool) -> None:
        """Answer the report of a trial."""
        ...

    def close(self) -> None:
        """Stop what still runs."""
        ...


def attempt(run_trial: RunTrial, number: int, recipe: Recipe, unwanted: Callable[[Reported], bool]) -> Outcome:
    """Run one trial in this process; whatever it raises is an outcome. `unwanted` passes a report on."""

    def report(step: int, loss: float) -> None:
        if unwanted(Reported(number, step, float(loss))):
            raise Pruned

    try:
        value = float(run_trial(recipe, report))
    except Pruned:
        return Cut(number)
    except Exception as error:  # noqa: BLE001 - a trial fails in its own ways, the search goes on
        _keep(recipe, traceback.format_exc())
        told = str(error) if isinstance(error, EmendError) else f"{type(error).__name__}: {error}"
        return Failed(number, told.strip().split("\n", 1)[0], isinstance(error, InputError))
    if not math.isfinite(value):
        return Failed(number, f"the goal is {value}")
    return Finished(number, value)


def _keep(recipe: Recipe, text: str) -> None:
    try:
        recipe.run.out.mkdir(parents=True, exist_ok=True)
        (recipe.run.out / ERROR).write_text(text, encoding="utf-8")
    except OSError:
        return  # the error itself is told; perhaps it was this disk


def _leave_with_parent() -> None:
    """End this process when the search was killed: nobody would take its result."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _work(pipe: Connection, run_trial: RunTrial, number: int, recipe: Recipe) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the search alone answers it
    threading.Thread(target=_leave_with_parent, daemon=True).start()

    def unwanted(reported: Reported) -> bool:
        pipe.send(reported)
        return bool(pipe.recv())

    pipe.send(attempt(run_trial, number, recipe, unwanted))


class Processes:
    """Each trial in a new process: its memory is given back, and a crash or the kernel's killer takes only itself."""

    def __init__(self, run_trial: RunTrial) -> None:
        self._run_trial = run_trial
        self._context = multiprocessing.get_context("spawn")  # forking a process with threads can hang it
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}

    def start(self, number: int, recipe: Recipe) -> None:
        """As `Crew.start`."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._run_trial, number, recipe))
        process.start()
        theirs.close()
        self._running[number] = process, ours

    def events(self, seconds: float) -> Iterator[Event]:
        """As `Crew.events`."""
        numbers = {pipe: number for number, (_, pipe) in self._running.items()}
        for pipe in wait(list(numbers), seconds):
            yield self._event(numbers[pipe])  # pyright: ignore[reportArgumentType] - these are the pipes given

    def _event(self, number: int) -> Event:
        process, pipe = self._running[number]
        try:
            event: Event = pipe.recv()
        except (EOFError, ConnectionResetError):
            process.join(_GRACE)
            event = Failed(number, _death(process.exitcode))
        if not isinstance(event, Reported):
            del self._running[number]
            _end(process, pipe, patience=_GRACE)
        return event

    def answer(self, number: int, *, prune: bool) -> None:
        """As `Crew.answer`."""
        try:
            self._running[number][1].send(prune)
        except OSError:
            return  # it died meanwhile, which `events` will tell

    def close(self) -> None:
        """As `Crew.close`."""
        for process, _ in self._running.values():
            process.terminate()
        for process, pipe in self._running.values():
            _end(process, pipe, patience=_GRACE)
        self._running.clear()


def _end(process: SpawnProcess, pipe: Connection, *, patience: float) -> None:
    pipe.close()
    process.join(patience)
    if process.exitcode is None:
        process.kill()
        process.join()
    process.close()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name}: is there enough memory for tune.jobs trials?"
    return f"its process ended with exit code {code}"
