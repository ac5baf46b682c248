import asyncio
from contextlib import aclosing

from serve.engine import Task
from serve.observe.metrics import Metrics
from serve.observe.runner import Counted
from serve.telling import Told
from tests.serve.observe.test_metrics import candidate, result, values


class Told3:
    """A runner that tells three events, and notes that it was closed."""

    closed = 0

    async def run(self, task, *, urgent=True):
        try:
            for told in (Told("suspects", "{}"), candidate(), result(test_runs=2)):
                yield told
        finally:
            self.closed += 1


def test_a_runner_is_measured_and_closed():
    metrics, runner = Metrics(), Told3()
    task = Task("repair", "rep_1", "{}")

    async def all_and_one():
        names = [told.name async for told in Counted(runner, metrics).run(task)]
        async with aclosing(Counted(runner, metrics).run(task, urgent=False)) as events:
            await anext(events)
        return names

    assert asyncio.run(all_and_one()) == ["suspects", "candidate", "result"]
    assert runner.closed == 2
    metrics.waited(0.2)
    found = values(metrics)
    assert found["emend_stage_seconds_count", "suspects"] == 2
    assert found["emend_stage_seconds_count", "repair"] == 1
    assert found["emend_stage_seconds_sum", "queue"] == 0.2
    assert found["emend_verdicts_total", "plausible"] == 1
    assert found["emend_test_runs_total",] == 2
