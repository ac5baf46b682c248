"""Counted: a runner whose tasks are measured. Knows nothing of who asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve.engine import Task
from serve.observe.metrics import Metrics
from serve.pool import Runner
from serve.telling import Told


class Counted:
    """A `serve.pool.Runner` around another: stages, verdicts, tokens and test runs go into the metrics."""

    def __init__(self, runner: Runner, metrics: Metrics) -> None:
        self._runner, self._metrics = runner, metrics

    async def run(self, task: Task, *, urgent: bool = True) -> AsyncGenerator[Told]:
        """As the other's."""
        course = self._metrics.course()
        async with aclosing(self._runner.run(task, urgent=urgent)) as events:
            async for told in events:
                course.observe(told)
                yield told
