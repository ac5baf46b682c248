"""What does a task: the pool of repair processes, or a script of the tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from repair.errors import EmendError
from serve.telling import Told


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do: `body` is the JSON of a RepairIn, `expires` the time (Unix seconds) of its deadline."""

    kind: Literal["repair", "localization"]
    id: str
    body: str
    expires: float | None = None
    long: bool = False  # a job: its limit of seconds is max_job_seconds


class Refused(Exception):
    """The task cannot be done; `problem` is the problem+json that says why."""

    def __init__(self, problem: Mapping[str, object]) -> None:
        super().__init__(str(problem.get("detail", "")))
        self.problem = dict(problem)


class WorkerLost(EmendError):
    """The process that worked on a task died. Tasks are pure: it may be done again."""


class Runner(Protocol):
    """Does tasks (`serve.pool.Pool`, `serve.jobs.scripted`)."""

    def run(self, task: Task, *, urgent: bool = True) -> AsyncGenerator[Told]:
        """What happens, as it happens; closing it cancels. Raises BusyError, Refused, WorkerLost."""
        ...
