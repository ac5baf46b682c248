"""The dispatcher on a real store, with a scripted runner: what becomes of jobs, and how soon."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from repair.errors import ModelError
from serve.jobs import Dispatcher, Pace, follow, job_out
from serve.jobs.scripted import ScriptedRunner
from serve.journal.keeping import Keeper
from serve.observe.metrics import Metrics
from serve.observe.runner import Counted
from serve.pool import Refused, WorkerLost
from serve.problems import BusyError, problem
from serve.store import Store, StoreError
from serve.store.jobs import NewJob
from serve.telling import Told
from serve.wire_jobs import ENDED
from tests.serve.store.conftest import SECOND, Clock

COST = {"seconds": 1.0, "prompt_tokens": 0, "completion_tokens": 0, "test_runs": 0, "candidates": 0}
FOUND = {"id": "job_1", "fault": [], "model": "small"}
SUSPECTS = Told("suspects", json.dumps(FOUND))
GOOD = Told("candidate", json.dumps({"verdict": "plausible"}))
BAD = Told("candidate", json.dumps({"verdict": "unfixed"}))
RESULT = Told("result", json.dumps({**FOUND, "cost": COST, "patches": [], "chosen": None, "notes": []}))
QUICK = Pace(poll=0.05, batch=0.02, back_off=0.02, away=0.1)
pytestmark = pytest.mark.asyncio


@dataclass(frozen=True)
class Limits:
    job_workers: int = 2
    job_attempts: int = 3
    lease_seconds: float = 600.0


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'emend.db'}")
    yield opened
    opened.close()


@pytest.fixture
def stopped(tmp_path):
    """A store and its clock, which stands still but for what the test waits: no lease ends by itself."""
    clock = Clock()
    opened = Store.open(f"sqlite:///{tmp_path / 'stopped.db'}", clock=clock)
    yield opened, clock
    opened.close()


def lease_of(store, job_id):
    query = f"SELECT lease FROM jobs WHERE id = '{job_id}'"
    return store._database.read(lambda connection: connection.exec_driver_sql(query).scalar_one())


@asynccontextmanager
async def dispatching(store, script, *, pace=QUICK, stop=90, keeper=None, measured=False, **limits):
    runner = ScriptedRunner(script)
    measured_runner = Counted(runner, Metrics()) if measured else runner
    dispatcher = Dispatcher(store, measured_runner, Limits(**limits), pace=pace, keeper=keeper)
    await dispatcher.start()
    try:
        yield dispatcher, runner
    finally:
        await dispatcher.stop(stop)


def submit(store, body="{}", **more):
    return store.jobs.submit(NewJob("repair", body, **more))[0].id


async def until(condition, seconds=90):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        await asyncio.sleep(0.01)


async def ended(store, *ids):
    await until(lambda: all(store.jobs.get(one).state in ENDED for one in ids))
    return [store.jobs.get(one) for one in ids]


async def test_a_job_is_done_told_and_shown(store):
    job_id = submit(store, '{"budget": {"deadline": 60}}', label="mine")
    async with dispatching(store, lambda task: [SUSPECTS, BAD, GOOD, RESULT]) as (_, runner):
        [job] = await ended(store, job_id)
    shown = job_out(job)
    assert (shown.state, shown.attempt, shown.label, shown.model) == ("succeeded", 1, "mine", "small")
    assert (shown.progress.candidates, shown.progress.plausible) == (2, 1)
    assert shown.result.model == "small" and shown.error is None
    assert shown.created.endswith("Z") and shown.created < shown.started < shown.finished
    [task] = runner.begun
    assert (task.id, task.kind, task.long) == (job_id, "repair", True)
    assert task.expires == pytest.approx(job.created / 1e6 + 60)
    names = [event.name for event in store.jobs.events(job_id)]
    assert names == ["state", "state", "suspects", "candidate", "candidate", "result", "state"]


async def test_a_localization_has_the_same_form(store):
    job_id = store.jobs.submit(NewJob("localization", "{}"))[0].id
    async with dispatching(store, lambda task: [Told("localization", json.dumps(FOUND))]):
        [job] = await ended(store, job_id)
    assert job_out(job).result.patches == [] and job_out(job).result.model == "small"


@pytest.mark.parametrize("on", [True, False])
async def test_a_job_that_succeeds_is_kept_where_the_journal_is_on(store, on):
    body = json.dumps({"files": [{"path": "a.py", "text": "x"}], "error": "KeyError: 'a'"})
    scripts = {submit(store, body, key_id="k"): [SUSPECTS, BAD, GOOD, RESULT], submit(store, body): [ModelError("no")]}
    keeper = Keeper(store.journal, on=on)
    async with dispatching(store, lambda task: scripts[task.id], keeper=keeper, measured=True, job_attempts=1) as (
        dispatcher,
        _,
    ):
        await ended(store, *scripts)
        await until(lambda: dispatcher.running == 0)
    kept = [store.journal.get(entry.id) for entry in store.journal.list()[0]]
    assert [entry.id for entry in kept] == list(scripts)[:on]
    for entry in kept:
        assert (entry.key_id, entry.facts.error_type, entry.facts.kind) == ("k", "KeyError", "repair")
        assert set(entry.facts.timing) == {"suspects", "first_candidate", "repair"}
        assert entry.summaries["repair"]["verdicts"] == {"unfixed": 1, "plausible": 1}


async def test_no_more_jobs_run_than_places(store):
    ids = [submit(store) for _ in range(7)]
    gate = asyncio.Event()
    async with dispatching(store, lambda task: [gate, RESULT], job_workers=3) as (_, runner):
        await until(lambda: runner.running == 3)
        await asyncio.sleep(0.2)  # in which one more would begin
        gate.set()
        await ended(store, *ids)
    assert runner.most == 3 and [task.id for task in runner.begun] == ids


async def test_a_notice_wakes_it_at_once(store):
    async with dispatching(store, lambda task: [RESULT], pace=Pace(poll=600, batch=0)) as (dispatcher, _):
        await asyncio.sleep(0.1)
        job_id = submit(store)
        dispatcher.notify()
        await ended(store, job_id)


async def test_jobs_of_others_are_found_without_a_notice(store):
    async with dispatching(store, lambda task: [RESULT]):
        await asyncio.sleep(0.1)
        [job] = await ended(store, submit(store))
    assert job.state == "succeeded"


@pytest.mark.parametrize(
    ("failure", "state", "attempts"),
    [
        (Refused(problem(422, "files.0 is empty", kind="bad-input")), "failed", 1),
        (Refused(problem(409, "all tests pass", kind="nothing-to-repair")), "failed", 1),
        (Refused(problem(504, "the deadline passed", kind="deadline")), "failed", 1),
        (Refused(problem(503, "no sandbox", kind="no-sandbox")), "infra_error", 3),
        (WorkerLost("the process died"), "infra_error", 3),
        (ModelError("the model does not answer"), "infra_error", 3),
        (KeyError("a bug of ours"), "infra_error", 3),
    ],
)
async def test_what_a_failure_means(store, failure, state, attempts):
    job_id = submit(store)
    async with dispatching(store, lambda task: [GOOD, failure]) as (_, runner):
        [job] = await ended(store, job_id)
    assert (job.state, job.attempt, len(runner.begun)) == (state, attempts, attempts)
    error = job_out(job).error
    assert error.detail == (str(failure) if not isinstance(failure, KeyError) else "internal error (KeyError)")
    states = [json.loads(event.data)["state"] for event in store.jobs.events(job_id) if event.name == "state"]
    assert states == ["queued", "running"] * attempts + [state]


async def test_a_lost_worker_costs_an_attempt_and_the_job_goes_on(store):
    job_id, tries = submit(store), []

    def script(task):
        tries.append(task)
        return [GOOD, WorkerLost("died")] if len(tries) < 3 else [BAD, RESULT]

    async with dispatching(store, script):
        [job] = await ended(store, job_id)
    assert (job.state, job.attempt, job.candidates, job.plausible) == ("succeeded", 3, 1, 0)


async def test_a_runner_that_closes_costs_no_attempt(store):
    job_id, tries = submit(store), []

    def script(task):
        tries.append(task)
        return [BusyError("closing")] if len(tries) < 6 else [RESULT]

    async with dispatching(store, script, job_attempts=1):
        [job] = await ended(store, job_id)
    assert job.state == "succeeded"


async def test_a_cancelled_job_ends_soon_and_its_work_is_closed(store):
    job_id = submit(store)
    async with dispatching(store, lambda task: [GOOD, 600.0, RESULT]) as (dispatcher, runner):
        await until(lambda: store.jobs.get(job_id).candidates == 1)
        assert store.jobs.cancel(job_id) == "running"
        dispatcher.notify()
        [job] = await ended(store, job_id)
        assert job.state == "cancelled" and runner.closed == [job_id]
    assert store.jobs.events(job_id)[-1].name == "state"


async def test_a_long_job_keeps_its_lease(stopped):
    (store, clock), gate = stopped, asyncio.Event()
    job_id = submit(store)
    async with dispatching(store, lambda task: [gate, RESULT], lease_seconds=0.3) as (_, runner):
        await until(lambda: runner.running == 1)
        for _ in range(3):
            clock.wait(0.2)
            held = clock.now + 0.29 * SECOND
            await until(lambda held=held: lease_of(store, job_id) > held)
        gate.set()
        [job] = await ended(store, job_id)
    assert (job.state, job.attempt, len(runner.begun)) == ("succeeded", 1, 1)


async def test_a_stop_lets_short_jobs_end(store):
    job_id = submit(store)
    async with dispatching(store, lambda task: [0.2, RESULT], job_attempts=1) as (_, runner):
        await until(lambda: len(runner.begun) == 1)
    assert store.jobs.get(job_id).state == "succeeded" and runner.closed == []


async def test_a_stop_gives_long_jobs_back(store):
    job_id = submit(store)
    async with dispatching(store, lambda task: [GOOD, 600.0], stop=0.2, job_attempts=1) as (dispatcher, runner):
        await until(lambda: dispatcher.running == 1 and len(runner.begun) == 1)
    assert store.jobs.get(job_id).state == "queued" and runner.closed == [job_id]
    async with dispatching(store, lambda task: [RESULT], job_attempts=1):
        [job] = await ended(store, job_id)
    assert (job.state, job.attempt) == ("succeeded", 2)


async def test_a_stop_at_once_gives_everything_back(store):
    job_id = submit(store)
    async with dispatching(store, lambda task: [600.0], stop=0):
        await until(lambda: store.jobs.get(job_id).state == "running")
    assert store.jobs.get(job_id).state == "queued"


async def test_whoever_lost_a_job_stops_and_writes_nothing(stopped):
    store, _ = stopped
    job_id = submit(store)
    async with dispatching(store, lambda task: [600.0, RESULT], lease_seconds=0.3) as (dispatcher, runner):
        await until(lambda: len(runner.begun) == 1)
        # as if this process had slept beyond its lease: another one took the job
        store._database.write(lambda c, now: c.exec_driver_sql("UPDATE jobs SET owner = 'other', attempt = 2"))
        await until(lambda: dispatcher.running == 0)
    assert runner.closed == [job_id]
    job = store.jobs.get(job_id)
    assert (job.state, job.attempt) == ("running", 2)


class Away:
    """A store that is away while told so: every call raises StoreError, before or after it took effect."""

    def __init__(self, store):
        self.jobs = self
        self._jobs, self.away, self.answers_lost, self.refused = store.jobs, False, False, []

    def __getattr__(self, name):
        real = getattr(self._jobs, name)

        def call(*args):
            if self.away:
                self.refused.append(name)
                if self.answers_lost:
                    real(*args)
                raise StoreError("the database is away")
            return real(*args)

        return call


@pytest.mark.parametrize("answers_lost", [False, True])
async def test_nothing_is_lost_while_the_database_is_away(store, answers_lost):
    away, gate = Away(store), asyncio.Event()
    away.answers_lost = answers_lost
    job_id = submit(store)
    async with dispatching(away, lambda task: [SUSPECTS, gate, GOOD, BAD, RESULT]) as (_, runner):
        await until(lambda: len(store.jobs.events(job_id)) == 3)
        away.away = True
        gate.set()
        await until(lambda: len(away.refused) > 3)
        away.away = False
        [job] = await ended(store, job_id)
    assert (job.state, job.attempt, job.candidates, len(runner.begun)) == ("succeeded", 1, 2, 1)
    names = [event.name for event in store.jobs.events(job_id)]
    assert names == ["state", "state", "suspects", "candidate", "candidate", "result", "state"]


async def test_a_job_outlasts_a_database_that_is_away_for_longer_than_its_lease(stopped):
    (store, clock), gate = stopped, asyncio.Event()
    away = Away(store)
    job_id = submit(store)
    async with dispatching(away, lambda task: [gate, RESULT], lease_seconds=0.3, job_attempts=1) as (_, runner):
        await until(lambda: len(runner.begun) == 1)
        away.away = True
        clock.wait(1)
        await until(lambda: {"claim", "heartbeat"} <= {*away.refused})
        away.away = False
        await until(lambda: lease_of(store, job_id) > clock.now)
        gate.set()
        [job] = await ended(store, job_id)
    assert (job.state, job.attempt, len(runner.begun)) == ("succeeded", 1, 1)


async def test_followers_see_everything_once_and_end(store):
    gate = asyncio.Event()
    job_id = submit(store)

    async def names(after):
        return [(event.seq, event.name) async for event in follow(store, job_id, after)]

    whole, rest = asyncio.create_task(names(0)), asyncio.create_task(names(3))
    async with dispatching(store, lambda task: [SUSPECTS, gate, GOOD, RESULT]):
        await until(lambda: len(store.jobs.events(job_id)) == 3)
        gate.set()
        seen = await asyncio.wait_for(whole, 90)
    kinds = ["state", "state", "suspects", "candidate", "result", "state"]
    assert seen == list(enumerate(kinds, 1))
    assert await asyncio.wait_for(rest, 90) == seen[3:]
    assert await asyncio.wait_for(names(6), 90) == []
    assert await asyncio.wait_for(names(2**53), 90) == []
    store.jobs.remove(job_id)
    assert await asyncio.wait_for(names(0), 90) == []


async def test_events_arrive_while_the_job_runs(store):
    gate = asyncio.Event()  # without a candidate that arrives, no result
    async with dispatching(store, lambda task: [GOOD, gate, RESULT], pace=Pace()) as (dispatcher, _):
        job_id = submit(store)
        dispatcher.notify()
        seen = []
        async with asyncio.timeout(90):
            async for event in follow(store, job_id):
                seen.append(event.name)
                if event.name == "candidate":
                    assert store.jobs.get(job_id).state == "running"
                    gate.set()
    assert seen == ["state", "state", "candidate", "result", "state"]


async def test_a_result_of_another_version_is_no_crash(store):
    job_id = submit(store)
    store.jobs.claim("me", 30)
    store.jobs.finish(job_id, "me", 1, "succeeded", '{"of": "another version"}')
    shown = job_out(store.jobs.get(job_id))
    assert shown.result is None and "another version" in shown.error.detail
