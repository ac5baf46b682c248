"""What is known of a repair when it ends, and what of it the journal keeps."""

import base64
import io
import json
import zipfile
from datetime import UTC, datetime

import pytest

from repair.errors import InputError
from serve.journal.asking import JournalAsk
from serve.journal.keeping import Keeper
from serve.journal.knowing import Noting, facts_of, summary_of
from serve.journal.rows import Count, export_rows
from serve.observe import stages
from serve.store import Store
from serve.telling import Told

SPAN = {"start_line": 2, "start_column": 5, "end_line": 2, "end_column": 9}
EMPTY = {**SPAN, "end_column": 5}
REQUEST = {"files": [{"path": "a.py", "text": "x"}], "error": "Traceback (most recent call last):\nKeyError: 'a'"}


def edit(text="y", span=SPAN, path="a.py"):
    return {"path": path, "span": span, "text": text}


def patch(score, *edits, verdict="plausible", origin="model:divergence"):
    return {"edits": list(edits or [edit()]), "score": score, "verdict": verdict, "origin": origin, "diff": ""}


def answer(*patches, shares=(0.5, 0.25, 0.25), chosen=0):
    faults = [{"path": "a.py", "span": SPAN, "suspiciousness": share, "reasons": []} for share in shares]
    return {"fault": faults, "patches": list(patches), "chosen": chosen, "model": "emend", "no_fault": 0.1}


def noting(*events, identity="rep_1"):
    found = Noting(identity, "k", "repair", "r-1", {"suspects": 0.5})
    for verdict, origin in events:
        found.observe(Told("candidate", json.dumps({"verdict": verdict, "origin": origin})))
    return found


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'emend.db'}")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("edits", "kind"),
    [
        ([edit()], "replace"), ([edit("")], "delete"), ([edit("y", EMPTY)], "insert"),
        ([edit(), edit()], "several edits"), ([edit(), edit(path="b.py")], "several files"),
    ],
)  # fmt: skip
def test_edits_have_a_kind(edits, kind):
    assert facts_of(REQUEST, answer(patch(1, *edits)), noting()).edit_kind == kind


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (REQUEST["error"], ("KeyError", "traceback", "key-error")),
        ("AssertionError: 1 != 2", ("AssertionError", "traceback", "assertion-error")),
        ("it does not work", ("", "report", "")),
        (None, ("", "none", "")),
    ],
)
def test_errors_have_a_type_and_a_kind(error, known):
    facts = facts_of({**REQUEST, "error": error}, answer(patch(1)), noting())
    assert (facts.error_type, facts.error_kind, facts.suggested) == known


def test_an_operator_tells_the_class_of_the_fault():
    from repair.mutate.catalogue import REPAIRS

    origin = f"mutation:{REPAIRS[0].name}"
    assert facts_of(REQUEST, answer(patch(1, origin=origin)), noting()).suggested == REPAIRS[0].bug_class
    unsure = answer(patch(1, origin=origin, verdict="undecided"))
    assert facts_of(REQUEST, unsure, noting()).suggested == "key-error"


def test_facts_are_of_the_chosen_patch_and_of_a_localization():
    facts = facts_of(REQUEST, answer(patch(1, verdict="unfixed"), patch(0.5), chosen=1), noting())
    assert (facts.verdict, facts.language, facts.model, facts.request_id) == ("plausible", "python", "emend", "r-1")
    assert facts.timing == {"suspects": 0.5}
    located = {"fault": answer()["fault"], "model": "emend", "no_fault": None}
    assert facts_of(REQUEST, located, noting()).verdict == "none"
    assert summary_of(REQUEST, located, noting())["chosen_margin"] is None


def test_the_summary_tells_how_sure_it_was():
    events = [("unfixed", "model:sample"), ("plausible", "mutation:a"), ("unfixed", "model:sample")]
    told = summary_of(REQUEST, answer(patch(0.9), patch(0.2), patch(0.4)), noting(*events))
    assert told["location_entropy_bits"] == 1.5
    assert told["chosen_margin"] == pytest.approx(0.5)
    assert told["verdicts"] == {"unfixed": 2, "plausible": 1}
    assert told["origins"] == {"model:sample": 2, "mutation:a": 1}
    assert told["suspects"][0] == {"path": "a.py", "line": 2, "probability": 0.5}
    assert told["no_fault"] == 0.1


@pytest.mark.parametrize(("shares", "bits"), [((), None), ((1.0,), 0.0), ((0.5,), 1.0), ((0.25, 0.25), 1.5)])
def test_the_entropy_counts_what_was_left_out(shares, bits):
    assert summary_of(REQUEST, answer(patch(1), shares=shares), noting())["location_entropy_bits"] == bits


def test_of_an_archive_only_what_the_answer_is_about_is_kept_and_no_secret(store):
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", f'KEY = "{secret}"\nx = 1\n')
        archive.writestr("secret.py", "y = 2\n")
    body = {
        "archive": base64.b64encode(packed.getvalue()).decode(),
        "paths": ["a.py", "secret.py"],
        "error": "KeyError",
    }
    diff = "--- a/a.py\n+++ b/a.py\n@@ -2 +2 @@\n-x = 1\n+x = 2\n"
    found = {**answer({**patch(1), "diff": diff})}
    Keeper(store.journal, on=True).keep(noting(), json.dumps(body), json.dumps(found))
    kept = store.journal.get("rep_1")
    request = json.loads(kept.request)
    assert "archive" not in request and "base64" in request["archive_left_out"]
    assert [file["path"] for file in request["files"]] == ["a.py"]
    assert secret not in kept.request and "x = 1" in kept.request
    store.feedback.add("k", "rep_1", 0, True)
    (row,) = export_rows(store, Count())
    assert row["text_after"] == row["text_before"].replace("x = 1", "x = 2")


def test_nothing_is_kept_where_it_is_off(store):
    keeper = Keeper(store.journal, on=False)
    keeper.keep(keeper.begin("rep_1", "k", "repair"), json.dumps(REQUEST), json.dumps(answer()))
    assert store.journal.list() == ((), None)


def test_stages_are_measured_for_who_follows_them():
    stages.ended("queue", 1.0)  # nobody follows
    first = stages.followed()
    stages.ended("queue", 0.12345)
    second = stages.followed()
    stages.ended("repair", 2.0)
    assert (first, second) == ({"queue": 0.1235}, {"repair": 2.0})


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2026-11-25", at(2026, 11, 25), at(2026, 11, 26)),
        ("2026-11-25T16:00:00Z", at(2026, 11, 25, 16), at(2026, 11, 25, 16)),
        ("2026-11-25T16:00:00+02:00", at(2026, 11, 25, 14), at(2026, 11, 25, 14)),
    ],
)
def test_a_day_counts_from_its_begin_to_its_end(text, since, until):
    wanted = JournalAsk(since=text, until=text).wanted()
    assert (wanted.since, wanted.until) == (since, until)


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "9999-12-31", "2026-11-25T99:00"])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(InputError) as refused:
        JournalAsk(until=text).wanted()
    assert refused.value.field == "until"
