"""The order of runs and what follows from them, on a suite that is a table: no process runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from repair.candidates import Candidate
from repair.edits import patch_between
from repair.oracles.commands import parse_command
from repair.oracles.suites import EVERYTHING, Selection, SuiteRun
from repair.projects.bench import ProjectBench, ProjectOracle
from repair.projects.values import Groundwork, Order, Project
from repair.sandbox import Limits
from repair.sandboxes.recorded import RecordedSandbox
from repair.sources import Source
from repair.verdicts import Judgement, Observation, Outcome, TestResult, Verdict

CODE = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
SOURCE = Source("m.py", CODE)
PATCH = patch_between({"m.py": CODE}, {"m.py": CODE.replace("1", "3")})
F, G = {"m.py": frozenset({2})}, {"m.py": frozenset({6})}
TESTS = {"t::bad": F, **{f"t::f{i:03}": F for i in range(40)}, **{f"t::g{i:03}": G for i in range(959)}}
PASSING = frozenset(TESTS) - {"t::bad"}
Fails = Callable[[int, frozenset[str]], frozenset[str]]  # number of the run and what runs -> what fails


@dataclass
class TableSuite:
    """Fails what `fails` says in each run; `asked` are the runs."""

    fails: Fails
    selects: bool = True
    asked: list[frozenset[str]] = field(default_factory=list)
    limits: list[Limits] = field(default_factory=list)

    def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:
        """See Suite."""
        tests = frozenset(TESTS) if selection.only is None else selection.only
        self.asked.append(tests)
        self.limits.append(limits)
        failing = self.fails(len(self.asked), tests) if files else frozenset({"t::bad"}) & tests
        results: list[TestResult] = []
        for test in sorted(tests):
            results.append(TestResult(test, Outcome.FAILED if test in failing else Outcome.PASSED))
            if selection.stop_first and test in failing:
                break
        return SuiteRun(Observation(not failing, tuple(results)))


def judged(
    fails: Fails, *, thorough: bool = False, selects: bool = True, kind: type[TableSuite] = TableSuite
) -> tuple[Judgement, TableSuite, ProjectBench]:
    root = Path("/nowhere")
    project = Project(Order("x", "x"), root, "", "", "python", "pytest", "pytest", "")
    ground = Groundwork(PASSING, frozenset({"t::bad"}), lines=TESTS, seconds=dict.fromkeys(TESTS, 0.01), traced=True)
    oracle = ProjectOracle(project, (SOURCE,), ground, RecordedSandbox(()), frozenset({"t::bad"}))
    suite = kind(fails, selects)
    bench = ProjectBench(oracle, suite, parse_command("pytest"), root)
    return bench.judge(Candidate(PATCH, "given"), thorough=thorough), suite, bench


def nothing(_: int, __: frozenset[str]) -> frozenset[str]:
    return frozenset()


def always(*tests: str) -> Fails:
    return lambda _, __: frozenset(tests)


def test_an_unfixed_candidate_costs_the_failing_test_alone():
    judgement, suite, bench = judged(always("t::bad"))
    assert (judgement.verdict, suite.asked) == (Verdict.UNFIXED, [frozenset({"t::bad"})])
    assert bench.tally.mean_share == 1 / 1000
    assert suite.limits[0].cpu_seconds < 5


def test_a_plausible_one_meets_what_it_touches_and_no_more():
    judgement, suite, bench = judged(nothing)
    assert judgement.verdict is Verdict.PLAUSIBLE
    # the unchanged code's failing test once, to see that it fails alone; then the touched ones in two parts
    assert [len(tests) for tests in suite.asked] == [1, 1, 20, 20]
    assert not any(test.startswith("t::g") for tests in suite.asked for test in tests)
    assert (bench.tally.whole, bench.tally.judged, bench.tally.early) == (0, 1, 42)
    bench.judge(Candidate(PATCH, "given"))  # a challenger meets the first part only
    assert [len(tests) for tests in suite.asked[4:]] == [1, 20]


def test_the_winner_meets_everything_once():
    judgement, suite, bench = judged(nothing, thorough=True)
    assert judgement.verdict is Verdict.PLAUSIBLE
    assert [len(tests) for tests in suite.asked] == [41, 1000]
    assert (bench.tally.whole, bench.tally.judged, list(bench.whole)) == (1, 0, [PATCH])


def test_a_regression_stops_its_part_and_is_named():
    judgement, suite, _ = judged(always("t::f003"))
    assert (judgement.verdict, "t::f003 passed before" in judgement.reason) == (Verdict.REGRESSED, True)
    assert [len(tests) for tests in suite.asked[3:]] == [1, 1]  # alone, twice


@pytest.mark.parametrize("thorough", [False, True])
def test_a_test_that_fails_once_condemns_nobody(thorough):
    def once(number: int, tests: frozenset[str]) -> frozenset[str]:
        seen = "t::f003" in tests and not used
        used.extend([number] * seen)
        return frozenset({"t::f003"} if seen else ())

    used: list[int] = []
    judgement, suite, _ = judged(once, thorough=thorough)
    assert (judgement.verdict, len(used)) == (Verdict.PLAUSIBLE, 1)
    assert frozenset({"t::f003"}) in suite.asked


def test_a_test_that_fails_in_whole_runs_only_counts():
    judgement, suite, bench = judged(lambda _, tests: frozenset({"t::g001"} if len(tests) > 50 else ()), thorough=True)
    assert judgement.verdict is Verdict.REGRESSED
    assert [len(tests) for tests in suite.asked] == [41, 1000, 1, 1000]
    assert not bench.whole


def test_a_vanished_test_is_a_regression():
    class Shrunk(TableSuite):
        def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:
            found = super().run(files, limits, selection)
            kept = tuple(t for t in found.observation.tests if t.test_id != "t::g001")
            return SuiteRun(Observation(found.observation.passed, kept))

    found, _, _ = judged(nothing, thorough=True, kind=Shrunk)
    assert (found.verdict, "t::g001 passed before, now gone" in found.reason) == (Verdict.REGRESSED, True)


def test_a_suite_that_selects_nothing_runs_whole():
    judgement, suite, bench = judged(nothing, selects=False)
    assert (judgement.verdict, [len(t) for t in suite.asked]) == (Verdict.PLAUSIBLE, [1000])
    assert bench.tally.mean_share == 1.0


def test_the_baseline_is_the_diagnosis_and_runs_nothing():
    _, suite, bench = judged(always("t::bad"))
    base = bench.baseline()
    assert (base.failing, base.passing, len(suite.asked)) == ({"t::bad"}, PASSING, 1)
    assert base.spectrum is not None and base.spectrum.ochiai("m.py", 2) == pytest.approx(1 / 41**0.5)
