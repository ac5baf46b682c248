"""A runner that does what a script says: for tests of everything around repairs, without models and processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from serve.engine import Task
from serve.telling import Told

Step = Told | float | asyncio.Event | Exception


class ScriptedRunner:
    """Takes the steps that `script` gives for a task: tells, waits (seconds, or for an event), or raises.

    `begun` has the tasks in order, `closed` the ids of those that were cancelled, `most` how many ran at a time.
    """

    def __init__(self, script: Callable[[Task], Sequence[Step]]) -> None:
        self._script = script
        self.begun: list[Task] = []
        self.closed: list[str] = []
        self.running = 0
        self.most = 0

    async def run(self, task: Task, *, urgent: bool = True) -> AsyncGenerator[Told]:  # noqa: ARG002 - a Runner
        """The steps of a task."""
        self.begun.append(task)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for step in self._script(task):
                match step:
                    case Told():
                        yield step
                    case asyncio.Event():
                        await step.wait()
                    case Exception():
                        raise step
                    case seconds:
                        await asyncio.sleep(seconds)
        except (GeneratorExit, asyncio.CancelledError):
            self.closed.append(task.id)
            raise
        finally:
            self.running -= 1
