"""Real repair processes: tasks, cancelling, deaths, deadlines, the queue."""

import asyncio
import json
import os
import signal
import time
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from serve.engine import Task
from serve.pool import Pool, Refused, WorkerLost
from serve.problems import BusyError
from serve.settings import Settings

CODE = {"path": "mean.py", "text": "def mean(a, b):\n    return (a - b) / 2\n"}
SLOW = "import time\n\n\ndef test():\n    time.sleep({})\n    assert False\n"


def task(number=0, **fields):
    body = {"files": [CODE], "error": "AssertionError", "budget": {"candidates": 3}, **fields}
    return Task("repair", f"rep_{number:032x}", json.dumps(body))


def slow(seconds=30, number=0):
    return task(
        number, budget={"candidates": 1}, test={"files": [{"path": "test_mean.py", "text": SLOW.format(seconds)}]}
    )


def running(check, **settings):
    async def main():
        pool = Pool(Settings(model="none", sandbox_minimum="C", **settings))
        await pool.start()
        try:
            await check(pool)
        finally:
            await pool.close()

    asyncio.run(main())


async def told(pool, wanted, **options):
    return [event async for event in pool.run(wanted, **options)]


async def until(condition):
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.02)


def workers():
    return [p for p in psutil.Process().children() if "serve.worker" in p.cmdline()]


def test_a_task_is_told_from_suspects_to_result():
    async def check(pool):
        events = await told(pool, task())
        assert [event.name for event in events] == ["suspects", *["candidate"] * 3, "result"]
        assert json.loads(events[-1].data)["id"] == task().id
        assert (pool.running, pool.alive) == (0, 1)
        assert pool.sandbox in {"A", "B", "C"}

    running(check, workers=1)


def test_answers_go_to_those_who_asked():
    async def check(pool):
        answers = await asyncio.gather(*(told(pool, task(n)) for n in range(12)))
        assert [json.loads(events[-1].data)["id"] for events in answers] == [task(n).id for n in range(12)]

    running(check, workers=2)


def test_a_refusal_is_a_problem():
    async def check(pool):
        with pytest.raises(Refused) as refused:
            await told(pool, task(options={"model": "unheard"}))
        assert refused.value.problem["status"] == 422
        assert refused.value.problem["errors"][0]["field"] == "options.model"
        assert await told(pool, task())  # the process goes on

    running(check, workers=1)


def test_leaving_ends_the_work_and_leaves_nothing():
    async def check(pool):
        (worker,) = workers()
        folder = Path(worker.environ()["TMPDIR"])
        asking = asyncio.create_task(told(pool, slow()))
        await until(lambda: len(worker.children(recursive=True)) > 0)
        inside = worker.children(recursive=True)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await told(pool, task())
        await until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in inside))
        assert not folder.exists() or not list(folder.iterdir())  # gone with its process, or empty again

    running(check, workers=1)


def test_closing_the_events_early_cancels():
    async def check(pool):
        async with aclosing(pool.run(task(budget={"candidates": 500}))) as events:
            assert (await anext(events)).name == "suspects"
        assert await told(pool, task())

    running(check, workers=1)


def test_a_killed_process_is_replaced():
    async def check(pool):
        asking = asyncio.create_task(told(pool, slow()))
        await until(lambda: pool.running)
        await asyncio.sleep(0.2)
        os.kill(workers()[0].pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="ask again"):
            await asking
        assert await told(pool, task())
        os.kill(workers()[0].pid, signal.SIGKILL)  # while it has nothing to do
        await until(lambda: pool.alive == 0)
        assert await told(pool, task())

    running(check, workers=1)


def test_full_means_busy_but_jobs_wait():
    async def check(pool):
        first = asyncio.create_task(told(pool, slow()))
        await until(lambda: pool.running)
        job = asyncio.create_task(told(pool, task(1), urgent=False))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await told(pool, task(2))
        assert pool.waiting == 1
        first.cancel()
        assert await job

    running(check, workers=1, waiting=0)


def test_who_is_urgent_goes_first():
    async def check(pool):
        ended = []

        async def one(number, urgent):
            await told(pool, task(number), urgent=urgent)
            ended.append(number)

        first = asyncio.create_task(told(pool, slow()))
        await until(lambda: pool.running)
        rest = []
        for number, urgent in ((1, False), (2, True), (3, False), (4, True)):
            rest.append(asyncio.create_task(one(number, urgent)))
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(*rest)
        assert ended == [2, 4, 1, 3]

    running(check, workers=1)


def test_a_deadline_counts_the_waiting():
    async def check(pool):
        first = asyncio.create_task(told(pool, slow()))
        await until(lambda: pool.running)
        late = Task("repair", task(1).id, task(1).body, time.time() + 0.2)
        with pytest.raises(Refused) as refused:
            await told(pool, late)
        assert refused.value.problem["status"] == 504
        assert not first.done()
        first.cancel()

    running(check, workers=1)


def test_a_process_that_cannot_start_is_told():
    async def main():
        pool = Pool(Settings(model="none"), {"address": "/nowhere", "secret": "no hexadecimal"})
        with pytest.raises(WorkerLost, match="did not start"):
            await pool.start()
        assert workers() == []

    asyncio.run(main())


def test_secrets_of_the_service_stay_with_it(monkeypatch):
    monkeypatch.setenv("EMEND_DATABASE", "postgresql://emend:hunter2@db/emend")

    async def check(pool):
        assert pool.alive == 1
        assert "EMEND_DATABASE" not in workers()[0].environ()

    running(check, workers=1)
