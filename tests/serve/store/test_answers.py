"""Replies, feedback and the journal in the store, on both databases."""

import pytest

from repair.errors import InputError
from serve.store.journal import Entry
from serve.store.replies import Fresh, InFlight, Mismatch, Replay


def test_a_repeated_request_gets_the_first_answer(store, clock):
    assert store.replies.begin("k", "x", "hash", 60) == Fresh()
    assert store.replies.begin("k", "x", "hash", 60) == InFlight()
    assert store.replies.begin("k", "x", "other", 60) == Mismatch()
    assert store.replies.begin("other", "x", "other", 60) == Fresh()
    store.replies.finish("k", "x", 200, "application/json", "{}")
    store.replies.finish("k", "x", 500, "text/plain", "late")
    clock.wait(61)
    assert store.replies.begin("k", "x", "hash", 60) == Replay(200, "application/json", "{}")
    assert store.replies.begin("k", "x", "other", 60) == Mismatch()


def test_an_abandoned_request_is_done_anew(store, clock):
    store.replies.begin("k", "x", "hash", 60)
    store.replies.abandon("k", "x")
    assert store.replies.begin("k", "x", "hash", 60) == Fresh()
    clock.wait(61)  # the server was killed
    assert store.replies.begin("k", "x", "hash", 60) == Fresh()
    assert store.replies.begin("k", "x", "hash", 60) == InFlight()
    store.replies.finish("k", "x", 200, "a/b", "")
    store.replies.abandon("k", "x")
    assert store.replies.begin("k", "x", "hash", 60) == Replay(200, "a/b", "")


def test_old_answers_are_deleted_and_work_is_not(store, clock):
    store.replies.begin("k", "old", "hash", 60)
    store.replies.finish("k", "old", 200, "a/b", "")
    store.replies.begin("k", "lost", "hash", 60)
    store.replies.begin("k", "long", "hash", 10**6)
    clock.wait(7200)
    store.replies.begin("k", "new", "hash", 60)
    assert store.replies.prune(1) == 2
    assert store.replies.begin("k", "old", "hash", 60) == Fresh()
    assert store.replies.begin("k", "long", "hash", 60) == InFlight()


def test_the_last_word_on_a_patch_counts(store):
    store.feedback.add("k", "job_1", 1, True, "good")
    store.feedback.add("k", "job_1", 0, False)
    store.feedback.add("other", "job_1", 1, False)
    store.feedback.add("k", "job_1", 1, False, "no, bad")
    store.feedback.add("k", "job_2", 0, True)
    said = {(one.key_id, one.patch): (one.accepted, one.comment) for one in store.feedback.of("job_1")}
    assert said == {("k", 0): (False, ""), ("k", 1): (False, "no, bad"), ("other", 1): (False, "")}


def test_the_journal_keeps_lists_and_forgets(store, clock):
    for n in range(5):
        store.journal.add(f"rep_{n}", "k", f'{{"n": {n}}}', "{}")
    store.journal.add("rep_0", "k", "second", "second")
    first = store.journal.get("rep_0")
    assert (first.request, first.answer, first.key_id) == ('{"n": 0}', "{}", "k")
    page, before = store.journal.list(3)
    assert [entry.id for entry in page] == ["rep_4", "rep_3", "rep_2"] and page[0].request == ""
    page, before = store.journal.list(3, before)
    assert [entry.id for entry in page] == ["rep_1", "rep_0"] and before is None
    store.feedback.add("k", "rep_0", 0, True, "mine")
    assert store.journal.remove("rep_0") and not store.journal.remove("rep_0")
    assert store.journal.get("rep_0") is None and store.feedback.of("rep_0") == []
    clock.wait(2 * 86400)
    store.journal.add("rep_5", "k", "{}", "{}")
    assert store.journal.prune(1) == 4
    assert store.journal.list() == ((Entry("rep_5", "k", store.journal.get("rep_5").created),), None)


@pytest.mark.parametrize("before", ["", "x", "9" * 30 + ".rep", "٣.rep"])
def test_a_place_of_elsewhere_is_refused(store, before):
    with pytest.raises(InputError) as refused:
        store.journal.list(3, before)
    assert refused.value.field == "before"


def test_old_feedback_is_deleted(store, clock):
    store.feedback.add("k", "rep_1", 0, True)
    clock.wait(86400 * 3)
    store.feedback.add("k", "rep_2", 0, True)
    assert store.feedback.prune(2) == 1
    assert store.feedback.of("rep_1") == [] and len(store.feedback.of("rep_2")) == 1
