"""What follows from observations: pure rules."""

from __future__ import annotations

import pytest

from repair.errors import OracleError
from repair.oracle import Baseline
from repair.oracles.judging import (
    WHOLE,
    candidate_limits,
    settle,
    spectrum_of,
    steady,
    stopped_reason,
    unlike_base,
)
from repair.oracles.tests import with_groups
from repair.sandbox import Execution, Limits, Stop
from repair.verdicts import Observation, Outcome, TestResult, Verdict


def seen(**outcomes: str) -> Observation:
    tests = tuple(TestResult(name, Outcome(outcome)) for name, outcome in outcomes.items())
    return Observation(all(o == "passed" for o in outcomes.values()), tests)


def baseline(failing: set[str], passing: set[str], flaky: set[str] = frozenset()) -> Baseline:
    return Baseline(Observation(False), frozenset(failing), frozenset(passing), frozenset(flaky))


def test_settle_needs_the_same_outcome_every_time():
    settled = settle([seen(a="failed", b="passed", c="failed"), seen(a="error", b="passed", c="passed")])
    assert (settled.failing, settled.passing, settled.flaky) == ({"a"}, {"b"}, {"c"})


def test_a_run_without_single_tests_is_one_test():
    assert settle([Observation(False), Observation(False)]).failing == {WHOLE}
    assert settle([Observation(True), Observation(False)]).flaky == {WHOLE}


@pytest.mark.parametrize(("answers", "runs"), [([False, False], 2), ([True, True], 2), ([True, False, False], 3)])
def test_a_third_run_only_on_disagreement(answers, runs):
    left = [seen(a="passed" if answer else "failed", b="failed") for answer in answers]
    _, settled = steady(lambda: left.pop(0))
    assert len(answers) == runs
    assert not left
    assert "b" in settled.failing


def test_only_flaky_failures_are_refused():
    left = [Observation(True), Observation(False), Observation(False)]
    with pytest.raises(OracleError, match="flaky"):
        steady(lambda: left.pop(0))


def test_an_exit_status_that_no_test_explains_is_refused():
    after = Observation(False, seen(a="passed").tests, output="all fine\nTOTAL 30 %, needs 90 %\n")
    with pytest.raises(OracleError, match="needs 90 %"):
        steady(lambda: after)


def test_a_run_of_the_failing_tests_alone_says_nothing_of_the_others():
    after = Observation(False, seen(bad="passed").tests)
    assert unlike_base(baseline({"bad"}, {"good"}), after, partly=True)[0] is Verdict.PLAUSIBLE
    assert unlike_base(baseline({"bad"}, {"good"}), after)[0] is Verdict.REGRESSED
    assert unlike_base(baseline({"bad"}, {"good"}), seen(bad="failed"), partly=True)[0] is Verdict.UNFIXED


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (seen(bad="passed", good="passed"), Verdict.PLAUSIBLE),
        (seen(bad="passed", good="passed", luck="failed"), Verdict.PLAUSIBLE),
        (seen(bad="failed", good="passed"), Verdict.UNFIXED),
        (seen(good="passed"), Verdict.UNFIXED),
        (seen(bad="skipped", good="passed"), Verdict.UNFIXED),
        (seen(bad="passed", good="failed"), Verdict.REGRESSED),
        (seen(bad="passed"), Verdict.REGRESSED),
        (seen(bad="passed", good="skipped"), Verdict.REGRESSED),
        (seen(bad="passed", good="passed", new="failed"), Verdict.REGRESSED),
        (Observation(False, seen(bad="passed", good="passed").tests), Verdict.UNFIXED),
        (Observation(False, seen(bad="passed", good="passed").tests, complete=False), Verdict.UNDECIDED),
    ],
)
def test_verdicts_against_the_baseline(after, verdict):
    assert unlike_base(baseline({"bad"}, {"good"}, {"luck"}), after)[0] is verdict


def test_a_file_that_can_be_collected_again_counts_by_its_tests():
    failing = frozenset({"t.py", "import of u"})
    fixed = with_groups(seen(**{"t.py::a": "passed", "u.T.b": "passed"}), failing)
    assert fixed.ids(Outcome.PASSED) >= failing
    assert "t.py" in with_groups(seen(**{"t.py::a": "passed", "t.py::b": "failed"}), failing).ids(Outcome.FAILED)
    assert "t.py" not in with_groups(seen(**{"tt.py::a": "passed"}), failing).ids(Outcome.PASSED)


def test_limits_of_a_candidate():
    cap = Limits(wall_seconds=60, cpu_seconds=40)
    quick = candidate_limits(cap, 0.01, 0.01)
    assert (quick.cpu_seconds, quick.wall_seconds) == (1.0, 3.0)
    slow = candidate_limits(cap, 10, 4)
    assert (slow.cpu_seconds, slow.wall_seconds) == (20, 60)
    assert candidate_limits(cap, 100, 100).cpu_seconds == 40


def test_spectrum_counts_tests_that_are_steady():
    lines = {
        "bad": {"f.py": frozenset({1, 2})},
        "good": {"f.py": frozenset({1})},
        "luck": {"f.py": frozenset({9})},
    }
    spectrum = spectrum_of(
        lines,
        settle([seen(bad="failed", good="passed", luck="passed"), seen(bad="failed", good="passed", luck="failed")]),
    )
    assert spectrum is not None
    assert (spectrum.failing, spectrum.passing) == (1, 1)
    assert spectrum.ochiai("f.py", 2) == 1.0
    assert spectrum.ochiai("f.py", 9) == 0.0
    assert spectrum_of({"good": lines["good"]}, settle([seen(bad="failed", good="passed")])) is None


@pytest.mark.parametrize("stop", Stop)
def test_every_stop_has_its_sentence(stop):
    assert stopped_reason(Execution(-9, stopped=stop), Limits()).strip()
    assert stopped_reason(Execution(0), Limits()) == ""
