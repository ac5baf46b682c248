"""The host of the explaining process against processes that die, hang and fill up."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from serve.explaining.host import ExplainHost, Pace
from serve.pool import Refused, WorkerLost
from serve.problems import BusyError, DeadlineError
from serve.settings import Settings

FAKE = (sys.executable, str(Path(__file__).with_name("fake_explainer.py")))


class Tally(list):
    def explainer_ended(self, reason):
        self.append(reason)


@asynccontextmanager
async def hosting(tally, *, pace=None, **settings):
    host = ExplainHost(Settings(**settings), tally=tally, command=FAKE, pace=pace)
    try:
        yield host
    finally:
        await host.close()


async def ask(host, word, seconds=30.0):
    answer = await host.explain(json.dumps({"error": word}), seconds)
    return json.loads(answer.values)


def run(work):
    return asyncio.run(asyncio.wait_for(work, 60))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_it_starts_with_the_first_question_and_stays():
    async def work():
        async with hosting(tally := Tally()) as host:
            assert host.pid == 0
            first, second = await ask(host, "a"), await ask(host, "b")
            assert first["pid"] == second["pid"] == host.pid
            pid = host.pid
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert tally == []

    run(work())


def test_one_that_was_killed_meanwhile_is_replaced():
    async def work():
        async with hosting(tally := Tally()) as host:
            before = await ask(host, "a")
            os.kill(host.pid, signal.SIGKILL)
            after = await ask(host, "a")
            assert before["pid"] != after["pid"]
            assert tally == ["crash"]

    run(work())


def test_a_question_that_is_cut_off_is_asked_once_more(tmp_path):
    async def work():
        async with hosting(tally := Tally()) as host:
            answer = await ask(host, f"die-once {tmp_path / 'died'}")
            assert answer["word"] == "die-once"
            assert tally == ["crash"]
            with pytest.raises(WorkerLost, match="died; ask again"):
                await ask(host, "die")
            assert tally == ["crash", "crash", "crash"]
            assert (await ask(host, "a"))["word"] == "a"

    run(work())


def test_a_process_has_a_number_of_rounds():
    async def work():
        async with hosting(tally := Tally(), pace=Pace(rounds=2)) as host:
            pids = [(await ask(host, "a"))["pid"] for _ in range(5)]
            assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]
            assert tally == ["recycled", "recycled"]

    run(work())


def test_one_that_ran_out_of_memory_is_replaced():
    async def work():
        async with hosting(tally := Tally()) as host:
            with pytest.raises(Refused) as refusal:
                await ask(host, "memory")
            assert refusal.value.problem["status"] == 503
            assert tally == ["memory"]
            assert (await ask(host, "a"))["word"] == "a"

    run(work())


def test_what_takes_too_long_is_stopped():
    async def work():
        async with hosting(tally := Tally(), pace=Pace(overtime=0.0)) as host:
            with pytest.raises(DeadlineError, match="ask for fewer parts"):
                await ask(host, "hang", seconds=0.05)
            assert tally == ["late"]

    run(work())


def test_a_full_queue_refuses(tmp_path):
    async def work():
        async with hosting(Tally(), explanations_waiting=1) as host:
            busy = asyncio.ensure_future(ask(host, f"begin {tmp_path / 'a'}"))
            await until((tmp_path / "a").exists)
            waiting = asyncio.ensure_future(ask(host, "b"))
            await until(lambda: host.waiting == 1)
            with pytest.raises(BusyError):
                await ask(host, "c")
            (tmp_path / "a.go").touch()
            assert [(await one)["word"] for one in (busy, waiting)] == ["begin", "b"]

    run(work())


async def left(host, path):
    """Ask, wait until it is at work, and leave."""
    asked = asyncio.ensure_future(ask(host, f"begin {path}"))
    await until(path.exists)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


def test_what_nobody_waits_for_may_end_by_itself_and_keeps_the_process(tmp_path):
    async def work():
        async with hosting(tally := Tally(), pace=Pace(grace=30.0)) as host:
            pid = (await ask(host, "a"))["pid"]
            await left(host, tmp_path / "a")
            following = asyncio.ensure_future(ask(host, "b"))
            await until(lambda: host.waiting == 1)
            (tmp_path / "a.go").touch()
            assert (await following)["pid"] == pid
            assert tally == []

    run(work())


def test_what_nobody_waits_for_is_killed_where_it_goes_on(tmp_path):
    async def work():
        async with hosting(tally := Tally(), pace=Pace(grace=0.01)) as host:
            pid = (await ask(host, "a"))["pid"]
            await left(host, tmp_path / "a")
            (tmp_path / "a").unlink()
            assert (await ask(host, "b"))["pid"] != pid
            assert tally == ["left"]
            assert not (tmp_path / "a").exists()  # not asked again in the new process

    run(work())


def test_who_leaves_the_queue_takes_no_turn(tmp_path):
    async def work():
        async with hosting(Tally()) as host:
            busy = asyncio.ensure_future(ask(host, f"begin {tmp_path / 'a'}"))
            await until((tmp_path / "a").exists)
            waiting = asyncio.ensure_future(ask(host, "b"))
            await until(lambda: host.waiting == 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert host.waiting == 0
            (tmp_path / "a.go").touch()
            await busy
            assert (await ask(host, "c"))["word"] == "c"

    run(work())
