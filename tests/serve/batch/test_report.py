"""report.json is the same for equal runs, reads back as it was, and costs stand beside it."""

import json
from dataclasses import replace

import pytest

from repair.errors import InputError
from repair.projects.values import Spent, Standing, State
from serve.batch.report import RunInfo, costs_text, read_report, report_text, write_atomically
from tests.serve.batch.outcomes import RUN, everything


@pytest.fixture(scope="module")
def outcomes():
    return everything("/srv/humanize", "a" * 40)


def test_the_examples_cover_every_standing_and_state(outcomes):
    assert {o.standing for o in outcomes} == set(Standing)
    assert {fix.state for o in outcomes for fix in o.fixes} == set(State)


def test_what_was_written_reads_back(tmp_path, outcomes):
    path = tmp_path / "report.json"
    write_atomically(path, report_text(outcomes, RUN).encode())
    assert read_report(path) == tuple(sorted((o.timeless() for o in outcomes), key=lambda o: o.name))


def test_equal_runs_write_equal_bytes(outcomes):
    dear = tuple(
        replace(o, spent=Spent(99.0), fixes=tuple(replace(f, spent=Spent(7.0)) for f in o.fixes))
        for o in reversed(outcomes)
    )
    later = replace(RUN, started="2026-11-30 19:16")
    assert report_text(dear, later) == report_text(outcomes, RUN)
    assert costs_text(dear, later) != costs_text(outcomes, RUN)
    other = replace(outcomes[0], reason="another")
    assert report_text((other, *outcomes[1:]), RUN) != report_text(outcomes, RUN)


def test_costs_have_everything_that_was_spent(outcomes):
    told = {one["name"]: one for one in json.loads(costs_text(outcomes, RUN))["repositories"]}
    assert told["humanize"]["spent"]["seconds"] == 12.5
    assert told["humanize"]["diagnosis"]["executed"] == 640
    assert told["humanize"]["fixes"]["k1"]["prompt_tokens"] == 1000
    assert told["r-00"]["diagnosis"] is None


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("{", "report", "not JSON"),
        ("[]", "report", "give its report.json"),
        ('{"kind": "BatchReport", "version": 2, "repositories": []}', "version", "version is 2"),
        ('{"kind": "BatchReport", "version": 1, "repositories": [{"name": 1}]}', "name", "a string"),
    ],
)
def test_other_files_are_refused(tmp_path, text, field, says):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_report(path)
    assert caught.value.field == field


def test_a_missing_report_is_said(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_report(tmp_path / "report.json")


@pytest.mark.parametrize("author", ["Emend", "A <a@x>\nX-Evil: 1", "A <a@x> <b@x>", "<a@x>", ""])
def test_an_author_that_git_would_not_take_is_refused(author):
    with pytest.raises(InputError) as caught:
        RunInfo("1", author=author)
    assert caught.value.field == "author"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
