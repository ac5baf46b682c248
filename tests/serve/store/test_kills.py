"""Several processes on one store, and kills of them and of the database: each job ends once, with its result."""

import json
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from serve.store import Store
from serve.store.jobs import NewJob
from serve.wire_jobs import ENDED

ROOT = Path(__file__).resolve().parents[3]
CLAIM = """
import sys
from serve.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
first = True
while job := store.jobs.claim(sys.argv[2], 3600):
    print(job.id, flush=True)
    if first:
        sys.stdin.readline()
        first = False
    assert store.jobs.finish(job.id, sys.argv[2], job.attempt, "succeeded", "{}")
"""


@contextmanager
def processes(number, *argv):
    """Python processes that have said "ready"; killed at the end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    started = [subprocess.Popen([sys.executable, *argv, f"p{n}"], cwd=ROOT, **pipes) for n in range(number)]
    try:
        for process in started:
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def tell(started):
    """All that wait for a line go on."""
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()


def submit(url, number):
    store = Store.open(url)
    return store, [store.jobs.submit(NewJob("repair", "{}", label=str(n)))[0].id for n in range(number)]


def wait_until(store, condition, seconds=90):
    ends = time.monotonic() + seconds
    while not condition(store.jobs.counts()):
        assert time.monotonic() < ends, store.jobs.counts()
        time.sleep(0.02)


def wait_until_ended(store, ids):
    wait_until(store, lambda counts: sum(counts[state] for state in ENDED) == len(ids))


def assert_each_ended_once(store, ids):
    for job_id in ids:
        job = store.jobs.get(job_id)
        assert (job.state, json.loads(job.result)["id"]) == ("succeeded", job_id)
        events = store.jobs.events(job_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        states = [json.loads(event.data) for event in events if event.name == "state"]
        assert [said["state"] for said in states if said["state"] in ENDED] == ["succeeded"]
        assert states[-1] == {"state": "succeeded", "attempt": job.attempt} and events[-1].name == "state"
        assert sum(event.name == "result" for event in events) == 1
        begun = max(n for n, event in enumerate(events) if '"running"' in event.data)
        assert [event.name for event in events[begun + 1 :]] == ["suspects", *3 * ["candidate"], "result", "state"]


def test_four_processes_never_claim_the_same(url):
    store, ids = submit(url, 60)
    with processes(4, "-c", CLAIM, url) as claiming:
        tell(claiming)
        first = [process.stdout.readline().strip() for process in claiming]  # each holds one when the rest is shared
        tell(claiming)
        rest = [process.communicate(timeout=240)[0].split() for process in claiming]
    assert all(process.returncode == 0 for process in claiming)
    assert len(set(first)) == 4
    assert sorted([*first, *(one for some in rest for one in some)]) == sorted(ids)
    assert store.jobs.counts()["succeeded"] == len(ids)
    store.close()


def test_what_a_killed_dispatcher_left_another_finishes(url):
    store, ids = submit(url, 20)
    chance = random.Random(7)
    lost = set()
    for _ in range(2):
        with processes(1, "-m", "tests.serve.store.dispatching", url, "stuck") as [dispatcher]:
            for _ in range(4):  # have begun, of which the last never ends
                dispatcher.stdout.readline()
            time.sleep(chance.uniform(0, 0.2))
            dispatcher.kill()
            dispatcher.wait()
            lost |= {(job.id, job.attempt) for job in store.jobs.list(None, "running")[0]}
        store._database.write(lambda c, _: c.exec_driver_sql("UPDATE jobs SET lease = 0 WHERE state = 'running'"))
    with processes(1, "-m", "tests.serve.store.dispatching", url, "long"):
        wait_until_ended(store, ids)
    assert lost and sum(store.jobs.get(one).attempt for one in ids) == len(ids) + len(lost)
    assert_each_ended_once(store, ids)
    store.close()


def test_a_killed_database_loses_nothing(postgres):
    url = postgres.url()
    store, ids = submit(url, 24)
    with processes(2, "-m", "tests.serve.store.dispatching", url, "short"):
        for _ in range(2):
            left = store.jobs.counts()["queued"]
            wait_until(store, lambda counts, left=left: counts["queued"] < max(1, left - 2))  # some have begun
            postgres.kill()
            time.sleep(0.3)
            postgres.start()
            ids.append(store.jobs.submit(NewJob("repair", "{}"))[0].id)  # by a connection that was lost
        wait_until_ended(store, ids)
    assert_each_ended_once(store, ids)
    store.close()
