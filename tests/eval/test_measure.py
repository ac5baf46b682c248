"""Cases measured in a real sandbox, without a model."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from eval.measure import measure
from eval.measurement import Conditions, Status
from eval.suites.rows import Case
from repair.errors import SuiteError
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from serve.cli import app

FIXED = "def area(w, h):\n    return w * h\n"
CASE = Case(
    "area", "python", FIXED.replace("*", "+"), "assert area(3, 4) == 12\n",
    fixed_code=FIXED, held_out_tests="assert area(5, 6) == 30\nassert area(1, 1) == 1\n",
)  # fmt: skip
CONDITIONS = Conditions(candidates=40, seconds=300)


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


def test_repaired_and_correct(sandbox):
    found = measure(CASE, None, sandbox, CONDITIONS)
    assert (found.status, found.correct, found.reason) == (Status.REPAIRED, True, "")
    assert found.first_plausible <= found.first_correct <= found.judged <= 40
    assert found.fault_rank is not None
    assert found.test_runs >= found.judged
    assert "+    return w * h" in found.diff
    assert found.cpu_seconds > 0


def test_overfitting_is_plausible_and_not_correct(sandbox):
    odd = "def area(w, h):\n    return w * h + (w == 5)\n"  # out of reach of what passes the tests
    case = replace(CASE, fixed_code=odd, held_out_tests="assert area(5, 6) == 31\n")
    found = measure(case, None, sandbox, CONDITIONS)
    assert (found.status, found.correct, found.first_correct) == (Status.REPAIRED, False, None)
    assert found.first_plausible is not None


def test_without_held_out_tests_the_reference_decides(sandbox):
    assert measure(replace(CASE, held_out_tests=None), None, sandbox, CONDITIONS).correct is True


def test_without_reference_and_held_out_tests_it_is_unknown(sandbox):
    found = measure(replace(CASE, held_out_tests=None, fixed_code=None), None, sandbox, CONDITIONS)
    assert (found.status, found.correct, found.fault_rank) == (Status.REPAIRED, None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"buggy_code": FIXED}, "the buggy code passes the tests"),
        (
            {"fixed_code": "def area(w, h):\n    return 12 if w == 3 else 0\n"},
            "reference does not pass its held_out_tests",
        ),
        ({"fixed_code": "def area(w, h):\n    raise SystemExit(0)\n"}, "the reference does not pass its tests"),
    ],
)
def test_bad_cases_are_left_out(sandbox, change, reason):
    found = measure(replace(CASE, **change), None, sandbox, CONDITIONS)
    assert found.status is Status.LEFT_OUT
    assert reason in found.reason


def test_none_found(sandbox):
    case = replace(CASE, fixed_code=None, held_out_tests=None, tests="assert area(3, 4) == 'twelve'\n")
    found = measure(case, None, sandbox, replace(CONDITIONS, candidates=5))
    assert (found.status, found.correct, found.diff) == (Status.NONE_FOUND, False, "")


def here(*argv):
    """What the command prints, in this process."""
    done = CliRunner().invoke(
        app, ["eval", "run", *argv, "--model", "none", "--sandbox-minimum", "C"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_command_measures_stores_and_resumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = {"id": "area", "language": "python", "buggy_code": CASE.buggy_code, "tests": CASE.tests}
    rows = [{**row, "fixed_code": FIXED}]
    rows.append({**rows[0], "id": "passes", "buggy_code": FIXED})
    (tmp_path / "tiny.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "plausible" in here("tiny.jsonl", "-o", "out.jsonl", "--candidates", "40", "--limit", "1")
    first = (tmp_path / "out.jsonl").read_text()
    assert [json.loads(line)["id"] for line in first.split("\n")[:-1]] == ["area"]
    (summary,) = json.loads(here("tiny.jsonl", "-o", "out.jsonl", "--candidates", "40", "--json"))
    assert (summary["total"], summary["plausible"]["count"], summary["plausible"]["total"]) == (2, 1, 1)
    assert summary["left_out"] == [["passes", "the buggy code passes the tests"]]
    stored = (tmp_path / "out.jsonl").read_text()
    assert stored.startswith(first), "what was measured is not measured again"
    assert json.loads((tmp_path / "out.summary.json").read_text()) == [summary]


def test_command_refuses_a_bad_suite(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "language": "python"}\n')
    with pytest.raises(SuiteError, match="line 1: field 'id' must be a text"):
        here(str(tmp_path / "bad.jsonl"))
