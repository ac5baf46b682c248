"""Traced runs in parts and within a bound, over a suite that plays its part; and the tracers of both kinds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repair.oracles.programs import INSIDE
from repair.oracles.reports import Report
from repair.oracles.suites import SuiteRun
from repair.projects.coverage import Wanted, trace
from repair.sandbox import Limits
from repair.verdicts import Observation, Outcome, TestResult


class Played:
    """Each test executes as many lines of a.py as `lines` says; more than `most` tests are too much for a report."""

    selects = True

    def __init__(self, lines: int = 3, most: int = 10_000) -> None:
        self.lines, self.most = lines, most
        self.now = 0.0
        self.parts: list[frozenset[str]] = []
        self.killers: frozenset[str] = frozenset()

    def run(self, files, limits, selection) -> SuiteRun:
        self.parts.append(selection.only)
        self.now += 1.0
        if len(selection.only) > self.most:
            return SuiteRun(Observation(False, complete=False))
        ran = []
        for test in sorted(selection.only):
            if test in self.killers:
                break
            ran.append(test)
        lines = {test: {"a.py": frozenset(range(self.lines))} for test in ran if not test.endswith("idle")}
        results = tuple(TestResult(test, Outcome.PASSED) for test in ran)
        return SuiteRun(Observation(True, results, complete=len(ran) == len(selection.only)), Report(lines=lines))


def traced(suite: Played, failing=(), passing=(), seconds: float = 100.0):
    wanted = Wanted(failing, passing, ("a.py",), 1.0)
    return trace(suite, Limits(), wanted, seconds=seconds, clock=lambda: suite.now)


def names(count: int, file: str = "t.py") -> list[str]:
    return [f"{file}::test_{n:05}" for n in range(count)]


def test_every_test_is_traced_the_failing_and_their_neighbours_first():
    suite = Played()
    found = traced(suite, ["b.py::test_f"], [*names(2000, "a.py"), *names(2, "b.py")])
    assert found.lines.keys() == {"b.py::test_f", *names(2000, "a.py"), *names(2, "b.py")}
    assert {"b.py::test_f", *names(2, "b.py")} <= suite.parts[0]
    assert found.runs == len(suite.parts) <= 6
    assert found.executed == 2003


def test_a_test_without_lines_is_known_to_have_none():
    assert traced(Played(), (), ["t.py::test_idle"]).lines == {"t.py::test_idle": {}}


def test_what_is_too_much_for_one_report_is_cut_smaller():
    suite = Played(most=30)
    assert traced(suite, (), names(150)).lines.keys() == set(names(150))
    assert len(suite.parts[0]) == 150


def test_tests_that_execute_many_lines_run_in_small_parts():
    suite = Played(lines=20_000)
    traced(suite, (), names(400))
    assert max(len(part) for part in suite.parts[1:]) == 50  # a million lines


def test_one_test_that_ends_the_run_costs_itself_only():
    suite = Played()
    suite.killers = frozenset({"t.py::test_00007"})
    assert set(names(50)) - traced(suite, (), names(50)).lines.keys() == suite.killers


def test_nothing_starts_after_the_bound():
    suite = Played()
    found = traced(suite, (), names(5000), seconds=2.0)
    assert len(suite.parts) == 2
    assert len(found.lines) == 600
    assert found.seconds == 2.0


SCRIPT = """
import sys
sys.path[:0] = [{inside!r}, {here!r}]
import emend_trace, traced_module as m
for tracer in (emend_trace.tracer([m.__file__]), emend_trace.Tracer([m.__file__])):
    seen = []
    walk = m.walk(3)
    for run in (lambda: m.loop(2), lambda: (next(walk), m.small(1), m.small(2)), lambda: next(walk), lambda: None):
        tracer.start()
        run()
        seen.append([sorted(lines) for lines in tracer.stop().values()])
    print(type(tracer).__name__, seen)
"""
MODULE = """def small(x):
    return x + 1

def loop(n):
    total = 0
    for i in range(n):
        if i == 5:
            total -= 1
        total = small(total)
    return total

def walk(n):
    for i in range(n):
        yield i
"""


@pytest.mark.parametrize("python", [sys.executable, "python3.12"])
def test_both_tracers_see_the_same_lines_in_each_test(tmp_path, python):
    if shutil.which(python) is None:
        pytest.skip(f"{python} is not here")
    (tmp_path / "traced_module.py").write_text(MODULE)
    script = SCRIPT.format(inside=str(INSIDE), here=str(tmp_path))
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False, cwd=Path(tmp_path))
    if "not found" in done.stderr:
        pytest.skip(done.stderr)
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    expected = "[[[2, 5, 6, 7, 9, 10]], [[2, 13, 14]], [[13, 14]], []]"
    assert [seen for _, _, seen in lines] == [expected, expected], done.stderr
