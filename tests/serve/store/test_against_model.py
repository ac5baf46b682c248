"""The queue against a plain model of it: any order of calls by several owners gives what the model says."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve.store import Store
from serve.store.jobs import NewEvent, NewJob
from serve.wire_jobs import ENDED
from tests.serve.store.conftest import SECOND, Clock

LEASE, ATTEMPTS = 30, 2


@dataclass
class Modelled:
    number: int
    priority: int
    state: str = "queued"
    attempt: int = 0
    spared: int = 0
    owner: str = ""
    lease: int = 0
    available: int = 0
    cancelling: bool = False
    events: int = 1

    def end(self, state, events):
        self.state, self.events = state, self.events + events

    def requeue(self, available):
        self.state, self.owner, self.available, self.events = "queued", "", available, self.events + 1

    @property
    def used_up(self):
        return self.attempt - self.spared >= ATTEMPTS


class Queue(RuleBasedStateMachine):
    """Submits, claims, waits, and writes by every owner that ever held a job."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = Store.open(f"sqlite:///{Path(self.folder.name) / 'emend.db'}", clock=self.clock)
        self.model, self.holders = {}, []

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority):
        job, new = self.store.jobs.submit(NewJob("repair", "{}", priority=priority))
        assert new
        self.model[job.id] = Modelled(len(self.model), priority, available=job.created)

    @rule(seconds=st.sampled_from([1, 20, 31]))
    def wait(self, seconds):
        self.clock.wait(seconds)

    @rule(owner=st.sampled_from("ab"))
    def claim(self, owner):
        now = self.clock.now
        for job in self.model.values():
            if job.state == "running" and job.lease < now and (job.cancelling or job.used_up):
                job.end(*(("cancelled", 1) if job.cancelling else ("failed", 2)))
        open_ones = [
            (-job.priority, job.number, job_id)
            for job_id, job in self.model.items()
            if (job.state == "queued" and job.available <= now) or (job.state == "running" and job.lease < now)
        ]
        taken = self.store.jobs.claim(owner, LEASE, ATTEMPTS)
        assert (taken.id if taken else None) == (min(open_ones)[2] if open_ones else None)
        if taken:
            job = self.model[taken.id]
            job.state, job.owner, job.attempt = "running", owner, job.attempt + 1
            job.lease, job.events = self.clock.now + LEASE * SECOND, job.events + 1
            assert taken.attempt == job.attempt
            self.holders.append((taken.id, owner, taken.attempt))

    def held(self, holder):
        job = self.model[holder[0]]
        mine = (job.owner, job.attempt) == holder[1:]
        return job, mine and job.state == "running"

    @precondition(lambda self: self.holders)
    @rule(
        data=st.data(), what=st.sampled_from(["succeeded", "failed", "cancelled", "retry", "release", "beat", "tell"])
    )
    def write(self, data, what):
        holder = data.draw(st.sampled_from(self.holders))
        job, held = self.held(holder)
        jobs = self.store.jobs
        match what:
            case "beat":
                said = jobs.heartbeat(*holder, LEASE)
                assert said == (("cancel" if job.cancelling else "go") if held else "lost")
                job.lease = self.clock.now + LEASE * SECOND if held else job.lease
            case "tell":
                assert jobs.tell(*holder, [NewEvent("candidate", "{}")] * 2) == held
                job.events += 2 * held
            case "retry":
                assert jobs.retry(*holder, "{}", 10) == held
                if held and not job.cancelling and not job.used_up:
                    job.requeue(self.clock.now + 10 * SECOND)
                elif held:
                    job.end(*(("cancelled", 1) if job.cancelling else ("infra_error", 2)))
            case "release":
                assert jobs.release(*holder) == held
                if held and job.cancelling:
                    job.end("cancelled", 1)
                elif held:
                    job.spared += 1
                    job.requeue(self.clock.now)
            case state:
                again = (job.owner, job.attempt, job.state) == (*holder[1:], state)
                assert jobs.finish(*holder, state, None if state == "cancelled" else "{}") == (held or again)
                if held:
                    job.end(state, 1 if state == "cancelled" else 2)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data):
        job_id = data.draw(st.sampled_from(sorted(self.model)))
        job = self.model[job_id]
        if job.state == "queued":
            job.end("cancelled", 1)
        elif job.state == "running":
            job.cancelling = True
        assert self.store.jobs.cancel(job_id) == job.state

    @invariant()
    def agrees(self):
        found = {job.id: (job.state, job.attempt, job.last_seq) for job in self.store.jobs.list(limit=500)[0]}
        assert found == {job_id: (job.state, job.attempt, job.events) for job_id, job in self.model.items()}

    @invariant()
    def ends_once(self):
        for job_id, job in self.model.items():
            events = self.store.jobs.events(job_id)
            assert [event.seq for event in events] == list(range(1, job.events + 1))
            states = [json.loads(event.data)["state"] for event in events if event.name == "state"]
            assert [state for state in states if state in ENDED] == [job.state] * (job.state in ENDED)


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=20, stateful_step_count=35, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate],  # shrinking would take minutes
)  # fmt: skip
