"""Jobs in the store, on both databases: who gets which, who may write, and that each ends once."""

import json

import pytest

from repair.errors import InputError
from serve.store import DuplicateError
from serve.store.jobs import NewEvent, NewJob

BODY = '{"files": []}'


def submit(store, **more):
    return store.jobs.submit(NewJob("repair", BODY, **more))[0]


def told(store, job_id, after=0):
    return [(event.name, json.loads(event.data)) for event in store.jobs.events(job_id, after)]


def test_a_job_goes_from_the_queue_to_its_result(store, clock):
    job = submit(store, key_id="k1", label="a label", model="small")
    assert (job.state, job.attempt, job.body, job.key_id) == ("queued", 0, BODY, "k1")
    clock.wait(5)
    taken = store.jobs.claim("me", 30)
    assert (taken.id, taken.state, taken.attempt, taken.body) == (job.id, "running", 1, BODY)
    events = [
        NewEvent("suspects", "{}", model="large"),
        NewEvent("candidate", "[1]", plausible=True),
        NewEvent("candidate", "[2]"),
    ]
    assert store.jobs.tell(job.id, "me", 1, events)
    assert store.jobs.finish(job.id, "me", 1, "succeeded", '{"patches": []}')
    done = store.jobs.get(job.id)
    assert (done.state, done.candidates, done.plausible, done.model) == ("succeeded", 2, 1, "large")
    assert done.result == '{"patches": []}' and done.error is None
    assert done.created < done.started < done.finished
    assert done.started - done.created >= 5_000_000
    assert [event.seq for event in store.jobs.events(job.id)] == list(range(1, 8))
    assert told(store, job.id) == [
        ("state", {"state": "queued", "attempt": 0}), ("state", {"state": "running", "attempt": 1}), ("suspects", {}),
        ("candidate", [1]), ("candidate", [2]), ("result", {"patches": []}),
        ("state", {"state": "succeeded", "attempt": 1}),
    ]  # fmt: skip
    assert told(store, job.id, after=6) == [("state", {"state": "succeeded", "attempt": 1})]
    assert store.jobs.mark(job.id).ended and store.jobs.mark(job.id).last_seq == 7


def test_higher_priority_goes_first_then_age(store):
    low, first, second = submit(store, priority=-1), submit(store), submit(store)
    high = submit(store, priority=3)
    order = [store.jobs.claim("me", 30).id for _ in range(4)]
    assert order == [high.id, first.id, second.id, low.id]
    assert store.jobs.claim("me", 30) is None


def test_who_lost_a_lease_can_write_nothing(store, clock):
    job = submit(store)
    store.jobs.claim("slow", 30)
    clock.wait(29)
    assert store.jobs.claim("quick", 30) is None
    clock.wait(2)
    assert store.jobs.claim("quick", 30).attempt == 2
    assert store.jobs.heartbeat(job.id, "slow", 1, 30) == "lost"
    assert not store.jobs.tell(job.id, "slow", 1, [NewEvent("candidate", "{}")])
    assert not store.jobs.finish(job.id, "slow", 1, "succeeded", "{}")
    assert not store.jobs.release(job.id, "slow", 1)
    assert not store.jobs.retry(job.id, "slow", 1, "{}", 0)
    assert store.jobs.get(job.id).state == "running"
    assert store.jobs.finish(job.id, "quick", 2, "succeeded", "{}")
    assert [name for name, _ in told(store, job.id)] == ["state", "state", "state", "result", "state"]


def test_the_same_owner_is_fenced_by_its_attempt(store, clock):
    job = submit(store)
    store.jobs.claim("me", 30)
    clock.wait(31)
    assert store.jobs.claim("me", 30).attempt == 2
    assert not store.jobs.finish(job.id, "me", 1, "succeeded", "{}")
    assert store.jobs.heartbeat(job.id, "me", 2, 30) == "go"


def test_a_heartbeat_holds_a_job(store, clock):
    job = submit(store)
    store.jobs.claim("me", 30)
    for _ in range(5):
        clock.wait(20)
        assert store.jobs.heartbeat(job.id, "me", 1, 30) == "go"
        assert store.jobs.claim("other", 30) is None


def test_a_job_that_takes_its_workers_down_is_given_up(store, clock):
    job = submit(store)
    for attempt in (1, 2, 3):
        assert store.jobs.claim("me", 30, 3).attempt == attempt
        clock.wait(31)
    assert store.jobs.claim("me", 30, 3) is None
    given_up = store.jobs.get(job.id)
    assert given_up.state == "failed" and "3 processes were lost" in json.loads(given_up.error)["detail"]
    assert told(store, job.id)[-1] == ("state", {"state": "failed", "attempt": 3})
    assert not store.jobs.finish(job.id, "me", 3, "succeeded", "{}")


def test_a_new_attempt_begins_its_counts_anew(store, clock):
    job = submit(store)
    store.jobs.claim("me", 30)
    store.jobs.tell(job.id, "me", 1, [NewEvent("candidate", "{}", plausible=True)])
    clock.wait(31)
    again = store.jobs.claim("other", 30)
    assert (again.candidates, again.plausible) == (0, 0)


def test_finishing_twice_says_the_same_and_writes_once(store):
    job = submit(store)
    store.jobs.claim("me", 30)
    assert store.jobs.finish(job.id, "me", 1, "succeeded", '{"n": 1}')
    assert store.jobs.finish(job.id, "me", 1, "succeeded", '{"n": 2}')  # the answer was lost: asked again
    assert not store.jobs.finish(job.id, "me", 1, "failed", "{}")
    assert store.jobs.get(job.id).result == '{"n": 1}'
    assert len(told(store, job.id)) == 4


def test_telling_again_after_a_lost_answer_appends_once(store):
    job = submit(store)
    taken = store.jobs.claim("me", 30)
    events = [NewEvent("candidate", "[1]"), NewEvent("candidate", "[2]")]
    assert store.jobs.tell(job.id, "me", 1, events, taken.last_seq)
    assert store.jobs.tell(job.id, "me", 1, events, taken.last_seq)
    assert [name for name, _ in told(store, job.id)] == ["state", "state", "candidate", "candidate"]
    assert store.jobs.get(job.id).candidates == 2


def test_a_release_costs_no_attempt(store, clock):
    job = submit(store)
    for _ in range(5):
        taken = store.jobs.claim("me", 30, 1)
        assert store.jobs.release(job.id, "me", taken.attempt)
    assert store.jobs.get(job.id).state == "queued"
    last = store.jobs.claim("me", 30, 1)
    assert last.attempt == 6
    clock.wait(31)
    assert store.jobs.claim("me", 30, 1) is None
    assert store.jobs.get(job.id).state == "failed"


def test_a_retry_waits_and_ends_as_infra_error(store, clock):
    job = submit(store)
    store.jobs.claim("me", 30, 2)
    assert store.jobs.retry(job.id, "me", 1, '{"detail": "no model"}', 10)
    assert store.jobs.claim("me", 30, 2) is None
    clock.wait(11)
    assert store.jobs.claim("me", 30, 2).attempt == 2
    assert store.jobs.retry(job.id, "me", 2, '{"detail": "no model"}', 10)
    ended = store.jobs.get(job.id)
    assert (ended.state, json.loads(ended.error)) == ("infra_error", {"detail": "no model"})
    assert told(store, job.id)[-2:] == [
        ("error", {"detail": "no model"}),
        ("state", {"state": "infra_error", "attempt": 2}),
    ]


def test_cancelling_what_waits_ends_it(store):
    job = submit(store)
    assert store.jobs.cancel(job.id) == "cancelled"
    assert store.jobs.claim("me", 30) is None
    assert told(store, job.id)[-1] == ("state", {"state": "cancelled", "attempt": 0})
    assert store.jobs.cancel(job.id) == "cancelled"
    assert store.jobs.cancel("job_" + "0" * 32) is None
    assert store.jobs.remove(job.id)
    assert store.jobs.get(job.id) is None and store.jobs.events(job.id) == () and store.jobs.mark(job.id) is None


def test_cancelling_what_runs_asks_its_owner(store):
    job = submit(store)
    store.jobs.claim("me", 30)
    assert store.jobs.cancel(job.id) == "running"
    assert store.jobs.get(job.id).cancelling
    assert not store.jobs.remove(job.id)
    assert store.jobs.heartbeat(job.id, "me", 1, 30) == "cancel"
    assert store.jobs.finish(job.id, "me", 1, "cancelled")


@pytest.mark.parametrize("how", ["release", "retry", "lost"])
def test_a_cancelled_job_never_goes_back_to_the_queue(store, clock, how):
    job = submit(store)
    store.jobs.claim("me", 30)
    store.jobs.cancel(job.id)
    if how == "release":
        store.jobs.release(job.id, "me", 1)
    elif how == "retry":
        store.jobs.retry(job.id, "me", 1, "{}", 0)
    else:
        clock.wait(31)
        assert store.jobs.claim("other", 30) is None
    assert store.jobs.get(job.id).state == "cancelled"


def test_an_idempotency_key_is_one_job(store):
    first, new = store.jobs.submit(NewJob("repair", BODY, key_id="a", idempotency_key="x"))
    assert new
    again, new = store.jobs.submit(NewJob("repair", BODY, key_id="a", idempotency_key="x"))
    assert not new and again == first
    other, new = store.jobs.submit(NewJob("repair", BODY, key_id="b", idempotency_key="x"))
    assert new and other.id != first.id
    with pytest.raises(DuplicateError) as refused:
        store.jobs.submit(NewJob("localization", BODY, key_id="a", idempotency_key="x"))
    assert isinstance(refused.value, InputError) and refused.value.field == "Idempotency-Key"
    assert store.jobs.counts()["queued"] == 2


def test_lists_are_newest_first_and_go_on(store):
    made = [submit(store, key_id="a" if n % 2 else "b").id for n in range(7)]
    found, before = [], None
    while True:
        page, before = store.jobs.list(None, None, 3, before)
        found += [job.id for job in page]
        if before is None:
            break
    assert found == made[::-1]
    assert [job.id for job in store.jobs.list("a")[0]] == made[5::-2]
    assert store.jobs.list("nobody") == ((), None)
    store.jobs.claim("me", 30)
    assert [job.id for job in store.jobs.list(None, "running")[0]] == made[:1]
    assert store.jobs.list(None, "running")[0][0].body == ""


def test_a_job_belongs_to_its_key(store):
    job = submit(store, key_id="a")
    assert store.jobs.get(job.id, "a") is not None
    assert store.jobs.get(job.id, "b") is None
    assert store.jobs.get("job_\0\ud800") is None


def test_counts_and_age(store, clock):
    assert store.jobs.oldest_queued_seconds() == 0
    submit(store)
    clock.wait(12)
    submit(store)
    assert 12 <= store.jobs.oldest_queued_seconds() < 13
    store.jobs.claim("me", 30)
    assert store.jobs.counts() == {
        "queued": 1, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0, "infra_error": 0,
    }  # fmt: skip


def test_only_what_ended_long_ago_is_deleted(store, clock):
    old, late, waits, runs = submit(store), submit(store), submit(store), submit(store)
    for job in (old, late):
        assert store.jobs.claim("me", 10**7).id == job.id
    store.jobs.finish(old.id, "me", 1, "succeeded", "{}")
    clock.wait(8 * 86400)
    store.jobs.finish(late.id, "me", 1, "succeeded", "{}")
    assert store.jobs.claim("me", 30).id == waits.id
    assert store.jobs.prune(7) == 1
    assert store.jobs.get(old.id) is None and store.jobs.events(old.id) == ()
    assert {job.id for job in store.jobs.list()[0]} == {late.id, waits.id, runs.id}


def test_text_that_a_database_refuses_is_kept_readable(store):
    job = submit(store, label="nul \0, half \ud800, whole \U0001f600", idempotency_key="\0")
    assert store.jobs.get(job.id).label == "nul \ufffd, half ?, whole \U0001f600"
