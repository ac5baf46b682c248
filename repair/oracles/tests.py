"""TestOracle: a project's own tests, by its test command or by test files alone.

Owns the order of runs: baseline twice, then for each candidate the reproduction tests with an early stop,
then everything. How a suite runs is `suites.py`, what follows from a run is `judging.py`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from repair.candidates import Candidate
from repair.defects import Evidence, FailingTest
from repair.edits import Patch
from repair.errors import NothingToRepair, OracleError
from repair.oracle import Baseline
from repair.oracles.commands import TestCommand, Tool, command_for, is_test_name, parse_command
from repair.oracles.interpreters import Interpreter, environment_folders, find_python, has_module
from repair.oracles.judging import (
    FAILED,
    ONLY_WHOLE,
    Settled,
    applied,
    candidate_limits,
    spectrum_of,
    steady,
    unlike_base,
)
from repair.oracles.reports import trace_of
from repair.oracles.suites import EVERYTHING, Place, Selection, Suite, SuiteRun, open_suite
from repair.oracles.territory import Territory, files_of_tests
from repair.oracles.testtext import test_source
from repair.sandbox import Limits, Sandbox
from repair.sources import Source
from repair.spectrum import Spectrum
from repair.traces import parse_error
from repair.verdicts import Judgement, Observation, Outcome, TestResult, Verdict
from repair.workspace import LINKED, workspace

TEST_LIMITS = Limits(wall_seconds=120.0, cpu_seconds=120.0)
_EVIDENCE = 3  # failing tests told
_ALL = Selection(terse=True)
_HANGING_SECONDS = 15.0
_TOLD_TOGETHER = 5  # so few failing tests all run for a candidate: it may repair one of several faults
_TRACED_SECONDS = 20.0  # a baseline slower than this is not run a third time for coverage


@dataclass(frozen=True, slots=True)
class TestOracle:
    """Tests of the project at `project`, of which `sources` may change.

    `command` is the test command, a line or words; without it the runner follows from the names of the
    test files. `tests` are laid over the project's copy (test files that come with the request). `python`
    is the interpreter or virtual environment of the tests; else the project's own, else PATH's.
    `limits` bound the unpatched code's run; a candidate gets five times what that took, within them. `only`
    are the ids of the tests that count where the runner tells single ones; without it all do.
    """

    __test__ = False

    project: Path
    sources: tuple[Source, ...]
    sandbox: Sandbox
    command: str | Sequence[str] | None = None
    tests: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    python: Path | None = None
    limits: Limits = field(default=TEST_LIMITS)
    only: frozenset[str] | None = None

    @contextlib.contextmanager
    def open(self) -> Generator[TestBench]:
        """Raises OracleError when the command cannot exist here, InputError for an unusable project."""
        with self.staged() as (suite, command, root):
            yield TestBench(self, suite, command, root)

    @contextlib.contextmanager
    def staged(self) -> Generator[tuple[Suite, TestCommand, Path]]:
        """The warm suite, its command and the copy of the project that it runs on; raises as `open`."""
        overlay = {**{s.path: s.to_bytes() for s in self.sources}, **self.tests}
        limit = self.limits.disk_bytes // 2
        with workspace(self.project, files=overlay, max_bytes=limit) as root:
            command, python = self._command(root)
            linked = tuple((name, p.resolve()) for name in LINKED if (p := self.project / name).is_dir())
            place = Place(
                self.sandbox,
                root,
                python,
                self.limits,
                tuple(target for _, target in linked),
                environment_folders(python, self.project.resolve()),
                linked,
            )
            with open_suite(place, command) as suite:
                yield suite if self.only is None else _Counted(suite, self.only), command, root

    def _command(self, staged: Path) -> tuple[TestCommand, Interpreter]:
        if self.command is not None:
            command = parse_command(self.command)
            return command, self._python(command, needed=command.tool is not Tool.PROGRAM)
        python = self._python(None, needed=True)
        given = sorted(self.tests)  # perhaps with what the tests need: a whole project may come with a request
        names = [path for path in given if is_test_name(path)] or given or sorted(_test_files(staged))
        return command_for(names, pytest=has_module(python, "pytest")), python

    def _python(self, command: TestCommand | None, *, needed: bool) -> Interpreter:
        try:
            return find_python(self.python, self.project, command.python if command else "")
        except OracleError:
            if needed:
                raise
            return Interpreter(Path(shutil.which("true") or "/bin/true"))


CommandOracle = TestOracle


@dataclass(frozen=True, slots=True)
class _Counted:
    """A suite of which some tests count and no others run."""

    suite: Suite
    only: frozenset[str]

    @property
    def selects(self) -> bool:
        """See Suite."""
        return self.suite.selects

    def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:
        """See Suite."""
        if selection.only is None:
            selection = replace(selection, only=self.only)
        return self.suite.run(files, limits, selection)


def _test_files(root: Path) -> Iterator[str]:
    """Test files of a project by their names."""
    for path in root.rglob("*"):
        if path.is_file() and not LINKED & set(path.parts) and is_test_name(path.name):
            yield path.relative_to(root).as_posix()


class TestBench:
    """A TestOracle made ready (implements `repair.oracle.Bench`)."""

    __test__ = False

    def __init__(self, oracle: TestOracle, suite: Suite, command: TestCommand, staged: Path) -> None:
        self._oracle, self._suite, self._command, self._staged = oracle, suite, command, staged
        self._sources = {source.path: source for source in oracle.sources}
        self._limits = oracle.limits
        self._baseline: Baseline | None = None
        self._test_files = frozenset({*oracle.tests, *(a for a in command.args if is_test_name(a))})
        self._doctests = frozenset[str]()
        self._runs = 0

    @property
    def runs(self) -> int:
        """How often tests were run, in part or in whole."""
        return self._runs

    def covers(self, patch: Patch) -> bool:
        """No test, no configuration of tests, no link, nothing but the request's sources."""
        return Territory(self._oracle.project, self._sources, self._test_files, self._doctests).covers(patch)

    def observe(self) -> Observation:
        """Run the unpatched code once. Raises OracleError when that says nothing about it, SandboxError."""
        return self._base_run(self._hanging_after(())).observation

    def baseline(self) -> Baseline:
        """Run the unpatched code twice (see `steady`), once more for coverage.

        Raises NothingToRepair, OracleError (the tests cannot be run, or all that fails is flaky), SandboxError.
        """
        runs: list[SuiteRun] = []

        def once() -> Observation:
            runs.append(self._base_run(self._hanging_after(runs)))
            return runs[-1].observation

        observation, settled = steady(once)
        if observation.passed:
            raise NothingToRepair(f"the tests pass as they are ({self._command.shown}): nothing to repair")
        wall = max(run.observation.seconds for run in runs[-1:])
        self._limits = candidate_limits(self._oracle.limits, wall, max(run.cpu_seconds for run in runs[-1:]))
        self._doctests, files = files_of_tests(runs[0].report.collected or ())
        self._test_files |= files
        spectrum, notes = self._spectrum(settled, runs)
        if settled.flaky:
            notes += (f"{len(settled.flaky)} tests pass in some runs only and do not count: {min(settled.flaky)}, ...",)
        failing = sorted(settled.failing)
        self._baseline = Baseline(
            observation,
            settled.failing,
            settled.passing,
            settled.flaky,
            _evidence(runs[0], failing),
            spectrum,
            test_source(self._staged, failing[0]) if failing else "",
            notes,
        )
        return self._baseline

    def judge(self, candidate: Candidate, *, thorough: bool = False) -> Judgement:
        """Run the reproduction tests, then all tests; all of it twice when `thorough`."""
        base = self._baseline or self.baseline()
        changed = applied(candidate, self._sources, covered=self.covers(candidate.patch))
        if isinstance(changed, Judgement):
            return changed
        files = {path: source.to_bytes() for path, source in changed.items()}
        seen: list[Observation] = []
        verdict, reason = Verdict.UNDECIDED, ""
        for _ in range(2 if thorough else 1):
            for selection in self._stages(base):
                run = self._run(files, selection)
                observation = with_groups(run.observation, base.failing)
                seen.append(observation)
                verdict, reason = self._verdict(base, run, observation, partly=selection is not _ALL)
                if verdict is not Verdict.PLAUSIBLE:
                    return Judgement(candidate, verdict, tuple(seen), reason)
        return Judgement(candidate, verdict, tuple(seen), reason)

    def _stages(self, base: Baseline) -> tuple[Selection, ...]:
        """The reproduction tests alone first, where that saves running others."""
        if not self._suite.selects or not base.passing or base.failing == ONLY_WHOLE:
            return (_ALL,)
        many = len(base.failing) > _TOLD_TOGETHER
        return (Selection(only=base.failing, stop_first=many, terse=True), _ALL)

    def _verdict(self, base: Baseline, run: SuiteRun, after: Observation, *, partly: bool) -> tuple[Verdict, str]:
        if found := trouble(run, after, self._sources, self._command):
            return found
        if base.failing == ONLY_WHOLE:
            if after.passed:
                return Verdict.PLAUSIBLE, "the tests pass"
            return Verdict.UNFIXED, after.reason or _first_failure(after)
        return unlike_base(base, after, partly=partly)

    def _run(self, files: Mapping[str, bytes], selection: Selection) -> SuiteRun:
        """One run; repeated when something outside of the sandbox killed it."""
        self._runs += 1
        run = self._suite.run(files, self._limits, selection)
        if run.infrastructure:
            self._runs += 1
            run = self._suite.run(files, self._limits, selection)
        return run

    def _base_run(self, test_seconds: float) -> SuiteRun:
        """One run of the unpatched code. Raises OracleError when it says nothing about the code."""
        self._runs += 1
        run = self._suite.run({}, self._oracle.limits, Selection(test_seconds=test_seconds))
        if run.fault:
            raise OracleError(run.fault)
        if run.infrastructure:
            raise OracleError(f"{run.infrastructure}; run again")
        if not run.observation.complete and not run.left_early:
            advice = "name fewer or quicker tests, or raise the limit"
            raise OracleError(f"{run.observation.reason} on the unpatched code; {advice}")
        return run

    def _hanging_after(self, runs: Sequence[SuiteRun]) -> float:
        """Seconds after which a test of the unpatched code hangs: less once it is known how long the others take."""
        first = min(_HANGING_SECONDS, self._oracle.limits.wall_seconds / 4)
        if not runs or not _hung(runs[0]):
            return first
        others = [t.seconds for t in runs[0].observation.tests if t.outcome is Outcome.PASSED]
        return min(first, max(2.0, 5 * max(others, default=0.0)))

    def _spectrum(self, settled: Settled, runs: Sequence[SuiteRun]) -> tuple[Spectrum | None, tuple[str, ...]]:
        if not self._suite.selects or settled.failing == ONLY_WHOLE:
            return None, ()
        if runs[-1].cpu_seconds > _TRACED_SECONDS:
            return None, (f"no coverage was taken: the tests take {runs[-1].cpu_seconds:.0f} s",)
        self._runs += 1
        selection = Selection(trace=tuple(self._sources), test_seconds=self._hanging_after(runs))
        run = self._suite.run({}, self._oracle.limits, selection)
        found = spectrum_of(run.report.lines, settled)
        return found, () if found else ("no coverage could be taken of the failing tests",)


def _hung(run: SuiteRun) -> bool:
    return any(trace.error_type == "Timeout" for trace in run.report.traces.values())


def _first_failure(after: Observation) -> str:
    failed = [t for t in after.tests if t.outcome in FAILED]
    return f"{failed[0].test_id} fails" if failed else "the run does not succeed"


def trouble(
    run: SuiteRun, after: Observation, sources: Container[str], command: TestCommand
) -> tuple[Verdict, str] | None:
    """What forbids to read a candidate's single results: the run broke off, or the changed code ended it."""
    if run.infrastructure:
        return Verdict.UNDECIDED, run.infrastructure
    if not after.complete:  # a hang, a limit or an early end is the candidate's doing: the baseline ended
        return Verdict.UNFIXED, after.reason
    # SystemExit out of a changed module is no end of a script's tests
    if any(path in sources and path not in command.args for path in run.report.exits):
        return Verdict.UNFIXED, "the changed code itself ended the run"
    return None


def with_groups(after: Observation, failing: frozenset[str]) -> Observation:
    """`after` with a result for each file that could not even be collected before and can be now.

    It passes when at least one of its tests does and none fails.
    """
    known = {t.test_id for t in after.tests}
    added: list[TestResult] = []
    for group in failing - known - ONLY_WHOLE:
        inside = [t for t in after.tests if t.test_id.startswith(_prefixes(group))]
        if inside:
            bad = any(t.outcome in FAILED for t in inside)
            good = any(t.outcome is Outcome.PASSED for t in inside)
            added.append(TestResult(group, Outcome.PASSED if good and not bad else Outcome.FAILED))
    return replace(after, tests=after.tests + tuple(added)) if added else after


def _prefixes(group: str) -> tuple[str, ...]:
    """How ids of tests inside begin: `test_x.py` -> `test_x.py::`, `import of test_x` -> `test_x.`."""
    return (f"{group}::", f"{group.removeprefix('import of ')}.")


def _evidence(run: SuiteRun, failing: list[str]) -> tuple[Evidence, ...]:
    """Failing tests with their traces; what the output says where there are no single tests."""
    results = {t.test_id: t for t in run.observation.tests}
    told = [results[test_id] for test_id in failing if test_id in results][:_EVIDENCE]
    if told:
        return tuple(FailingTest(t.test_id, t.message, trace_of(run.report, t)) for t in told)
    found = run.report.failure or run.report.broken
    if found and found.trace:
        return (found.trace,)
    return parse_error(run.observation.output).evidence
