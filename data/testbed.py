"""A project's tests made ready to judge many broken versions of its files: baseline, coverage, what breaks.

Owns the runs and their reading: which tests pass every time, which lines each of them executes, which of them a
changed file breaks. Must not know how faults are made or what becomes of the answer. Runs happen in forks of a warm
interpreter in the sandbox, on a temporary copy; the user's checkout is only read.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from repair.defects import Defect, FailingTest, Frame
from repair.errors import OracleError, SandboxError
from repair.oracles.commands import TestCommand, Tool, parse_command
from repair.oracles.interpreters import Interpreter, environment_folders, find_python
from repair.oracles.judging import FAILED, settle
from repair.oracles.reports import trace_of
from repair.oracles.suites import Place, Selection, Suite, SuiteRun, open_suite
from repair.sandbox import Limits, Sandbox
from repair.sources import Source
from repair.traces import headline
from repair.verdicts import Outcome
from repair.workspace import LINKED, workspace

Lines = Mapping[str, Mapping[str, frozenset[int]]]  # test -> path -> executed lines
_MARGIN = re.compile(r"^E\s+")  # pytest's, before what it does not raise as an exception (`Failed: DID NOT RAISE`)
_LOST_IN_A_ROW = 5  # so many runs killed by something outside mean that the sandbox, not a mutant, is broken
_LEAST_TEST_SECONDS = 0.5
_LEAST_START_SECONDS = 0.3
_HANGS_ALLOWED = 3  # tests that may hang one after the other before the whole run is given up
_TRACE_SLOWDOWN = 10.0
_TRACED_AT_ONCE = 1000  # the lines of many thousand tests are more than a sandbox lets a report be


@dataclass(frozen=True, slots=True)
class Ground:
    """The unchanged project: tests that pass in every run, and the lines that each executes (None: not told)."""

    passing: frozenset[str]
    left_out: frozenset[str]  # fail, pass in some runs only, or take too long
    lines: Lines | None
    seconds: float
    each: Mapping[str, float]  # seconds of single passing tests
    start: float  # CPU seconds of a run beside its tests: imports and collecting

    def covered(self, path: str) -> frozenset[int]:
        """Lines of a file that some passing test executes."""
        return frozenset[int]().union(*(files.get(path, frozenset()) for files in (self.lines or {}).values()))

    def tests_of(self, path: str, lines: range) -> frozenset[str]:
        """Passing tests that execute one of the lines; all of them where coverage was not told."""
        if self.lines is None:
            return self.passing
        wanted = set(lines)
        return frozenset(t for t, files in self.lines.items() if not wanted.isdisjoint(files.get(path, ())))


@dataclass(frozen=True, slots=True)
class Failure:
    """The first failing test as it was seen: `frames` innermost first, without those of the test runner."""

    test_id: str
    error: str
    error_type: str
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Breakage:
    """What a changed file does to the tests; without `failure` it is not kept, and `reason` says why."""

    reason: str
    fail_to_pass: tuple[str, ...] = ()
    pass_to_pass: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(slots=True)
class Testbed:
    """Tests of one project, warm. Made by `open_testbed`."""

    __test__ = False

    root: Path  # the temporary copy, for reading tests
    suite: Suite
    command: TestCommand
    limits: Limits
    ground: Ground = field(default_factory=lambda: Ground(frozenset(), frozenset(), None, 0.0, {}, 0.0))
    runs: int = 0
    _lost: int = 0

    def survey(self, sources: Sequence[Source], *, slowest: float = 0.0) -> Ground:
        """Run the unchanged code twice, and once more for coverage.

        Tests that take more than `slowest` seconds (0: any) are left out. Raises OracleError when the tests
        cannot be run, tell no single tests, or none passes every time.
        """
        first, second = self._base(Selection()), self._base(Selection())
        if not first.observation.tests:
            advice = "give a command of pytest, unittest or `node --test`"
            raise OracleError(f"{self.command.shown} tells no single tests; {advice}")
        settled = settle((first.observation, second.observation))
        seconds = {t.test_id: t.seconds for t in first.observation.tests if t.test_id in settled.passing}
        passing = frozenset(t for t, took in seconds.items() if not slowest or took <= slowest)
        if not passing:
            raise OracleError(f"no test of {self.command.shown} passes on the code as it is; repair that first")
        left_out = settled.failing | settled.flaky | (settled.passing - passing)
        lines = self._coverage(sources, passing) if self.suite.selects else None
        took = max(first.observation.seconds, second.observation.seconds)
        cpu = max(first.cpu_seconds, second.cpu_seconds)
        idle = max(_LEAST_START_SECONDS, cpu - sum(t.seconds for t in first.observation.tests))
        self.ground = Ground(passing, left_out, lines, took, {t: seconds[t] for t in passing}, idle)
        return self.ground

    def judge(self, source: Source, tests: frozenset[str], others: frozenset[str], *, first: bool = False) -> Breakage:
        """What a changed file breaks among `tests` (those that reach the change) and `others`.

        With `first` the former run alone first, which saves running many others for a fault that nothing notices.
        """
        files = {source.path: source.to_bytes()}
        if first and self.suite.selects and not others <= tests:
            run = self._run(files, self._told(tests), self._bounds(tests))
            if reason := _unusable(run):
                return Breakage(reason)
            if tests <= run.observation.ids(Outcome.PASSED):
                return Breakage("no test fails")
        asked = tests | others if self.suite.selects else self.ground.passing
        run = self._run(files, self._told(asked), self._bounds(asked))
        reason = _unusable(run)
        return Breakage(reason) if reason else self._breakage(run, asked)

    def _told(self, tests: frozenset[str]) -> Selection:
        every = not self.suite.selects or (tests == self.ground.passing and not self.ground.left_out)
        return Selection(only=None if every else tests, terse=True, test_seconds=self._test_seconds)

    @property
    def _test_seconds(self) -> float:
        """After how long a test counts as hanging."""
        return max(_LEAST_TEST_SECONDS, 5 * max(self.ground.each.values(), default=0.0))

    def _bounds(self, tests: frozenset[str]) -> Limits:
        """Five times what these tests take on the unchanged code, and time for some that hang; within the limits."""
        ground, cap = self.ground, self.limits
        cpu = 5 * (ground.start + sum(ground.each[t] for t in tests)) + _HANGS_ALLOWED * self._test_seconds
        cpu = min(cap.cpu_seconds, cpu)
        return replace(cap, cpu_seconds=cpu, wall_seconds=min(cap.wall_seconds, 3 * cpu))

    def _breakage(self, run: SuiteRun, asked: frozenset[str]) -> Breakage:
        passed = run.observation.ids(Outcome.PASSED) & asked
        failed = asked - passed
        if not failed:
            return Breakage("no test fails")
        if not passed:
            return Breakage("no test passes any more")
        failure = self._first_failure(run)
        if failure is None:
            return Breakage("tests vanish without a failure")
        return Breakage("kept", tuple(sorted(failed)), tuple(sorted(passed)), failure)

    def _first_failure(self, run: SuiteRun) -> Failure | None:
        """Of the tests that passed before, else of a file of theirs that cannot be collected any more."""
        bad = [t for t in run.observation.tests if t.outcome in FAILED and t.test_id not in self.ground.left_out]
        bad.sort(key=lambda t: t.test_id not in self.ground.passing)
        for result in bad:
            trace = trace_of(run.report, result)
            error = headline(Defect((FailingTest(result.test_id, result.message, trace),)))
            error = _MARGIN.sub("", error)
            if error:
                name = trace.error_type.rpartition(".")[2] if trace else error.partition(":")[0]
                frames = trace.frames[::-1] if trace and name != "Timeout" else ()  # where a hang was cut is chance
                return Failure(result.test_id, error, name, frames)
        return None

    def _base(self, selection: Selection, slowdown: float = 1.0) -> SuiteRun:
        cap = self.limits
        bounds = replace(cap, wall_seconds=slowdown * cap.wall_seconds, cpu_seconds=slowdown * cap.cpu_seconds)
        run = self._run({}, selection, bounds)
        if run.fault:
            raise OracleError(run.fault)
        if not run.observation.complete:
            raise OracleError(f"{run.observation.reason} on the unchanged code; name fewer tests or raise the limits")
        return run

    def _coverage(self, sources: Sequence[Source], passing: frozenset[str]) -> Lines:
        lines: dict[str, Mapping[str, frozenset[int]]] = {}
        tests, trace = sorted(passing), tuple(s.path for s in sources)
        for first in range(0, len(tests), _TRACED_AT_ONCE):
            only = frozenset(tests[first : first + _TRACED_AT_ONCE])
            run = self._base(Selection(only=only, trace=trace, terse=True), _TRACE_SLOWDOWN)
            lines.update((test, files) for test, files in run.report.lines.items() if test in only)
        return lines

    def _run(self, files: Mapping[str, bytes], selection: Selection, bounds: Limits) -> SuiteRun:
        """One run, repeated when something outside killed it. Raises SandboxError when that does not end."""
        run = self._counted(files, selection, bounds)
        return self._counted(files, selection, bounds) if run.infrastructure else run

    def _counted(self, files: Mapping[str, bytes], selection: Selection, bounds: Limits) -> SuiteRun:
        self.runs += 1
        run = self.suite.run(files, bounds, selection)
        self._lost = self._lost + 1 if run.infrastructure else 0
        if self._lost >= _LOST_IN_A_ROW:
            raise SandboxError(f"{run.infrastructure}, {self._lost} runs in a row; see `emend doctor`")
        return run


def _unusable(run: SuiteRun) -> str:
    """Why nothing follows from a run of a mutant, "" when something does."""
    if run.infrastructure:
        return "killed from outside"
    if run.left_early:
        return "the process ended early"
    return "" if run.observation.complete else "over a limit"


@contextlib.contextmanager
def open_testbed(
    project: Path, command: str, sandbox: Sandbox, *, python: Path | None = None, limits: Limits
) -> Generator[Testbed]:
    """The tests of a project on a temporary copy; nothing of it is left at the end.

    Hash seeds are fixed, so that the same code gives the same failures. Raises OracleError, InputError, SandboxError.
    """
    read = parse_command(command)
    read = replace(read, env={"PYTHONHASHSEED": "0", **read.env})
    needed = read.tool in (Tool.PYTEST, Tool.UNITTEST, Tool.PYTHON)
    found = find_python(python, project, read.python) if needed or python else Interpreter(Path("/bin/true"))
    with workspace(project, max_bytes=limits.disk_bytes // 2) as root:
        linked = tuple((name, p.resolve()) for name in LINKED if (p := project / name).is_dir())
        place = Place(
            sandbox,
            root,
            found,
            limits,
            tuple(target for _, target in linked),
            environment_folders(found, project.resolve()),
            linked,
        )
        with open_suite(place, read) as suite:
            yield Testbed(root, suite, read, limits)
