"""Judges patches of one fault of a diagnosed repository: failing tests, then what the patch can touch, then all.

The baseline comes from the diagnosis, nothing of it is run again. A candidate costs one fork of a warm interpreter in
which the fault's tests run; only what repairs them meets the passing tests that execute what it changes, the most
specific first; only the winner meets the whole suite. Tests that failed or were flaky before may end either way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from repair.candidates import Candidate
from repair.edits import Patch
from repair.oracle import Baseline
from repair.oracles.commands import TestCommand, command_for
from repair.oracles.judging import (
    FAILED,
    ONLY_WHOLE,
    Settled,
    applied,
    ended_ids,
    spectrum_of,
    unlike_base,
)
from repair.oracles.suites import Selection, Suite, SuiteRun
from repair.oracles.territory import Territory, files_of_tests
from repair.oracles.tests import TestOracle, trouble, with_groups
from repair.oracles.testtext import test_source
from repair.projects.impact import Impact, closure, impacted, imported
from repair.projects.values import Groundwork, Project, Reproduction
from repair.sandbox import Limits, Sandbox
from repair.sources import Source
from repair.verdicts import Judgement, Observation, Outcome, TestResult, Verdict

_LIMITS = Limits(wall_seconds=600.0, cpu_seconds=600.0, disk_bytes=1024 * 1024 * 1024)
_TOLD_TOGETHER = 8  # so few failing tests all run for a candidate: it may repair one of several faults
_FIRST = 0.02  # part of all tests, at least _FIRST_LEAST, that a candidate meets before the rest of what it touches
_FIRST_LEAST = 20
_LEAST_TEST_SECONDS = 1.0
_UNKNOWN_TEST_SECONDS = 15.0
_LEAST_START_SECONDS = 0.5
_AGAIN = 2  # times that a test which failed in a whole run is run alone before it counts
_MANY = 10  # so many failing at once are no flakiness
_WHOLE = Selection(terse=True)


@dataclass(slots=True)
class Tally:
    """What judging took. `executed` counts single tests, `early` those of them before a winner's full run.

    `judged` are the candidates that tests were run for.
    """

    runs: int = 0
    whole: int = 0
    executed: int = 0
    early: int = 0
    judged: int = 0
    tests: int = 0  # of the whole suite
    seconds: float = 0.0  # of runs
    start_seconds: float = 0.0  # of these: beside the tests (fork, imports, collecting)

    @property
    def mean_share(self) -> float:
        """Part of all tests, 0..1, that was run for a candidate before a winner's full run, on average."""
        return self.early / (self.judged * self.tests) if self.judged and self.tests else 0.0


@dataclass(frozen=True, slots=True)
class ProjectOracle:
    """The tests of `project` for one fault, whose tests are `failing`; `sources` may change.

    `reproduction` is laid over the tree, its test being the failing one. Without it and without `failing`, patches are
    UNDECIDED at best. `hung` are tests that did not end. `limits` bound a whole run; smaller ones follow from the
    groundwork.
    """

    project: Project
    sources: tuple[Source, ...]
    groundwork: Groundwork
    sandbox: Sandbox
    failing: frozenset[str] = frozenset()
    reproduction: Reproduction | None = None
    hung: frozenset[str] = frozenset()
    limits: Limits = field(default=_LIMITS)
    tally: Tally = field(default_factory=Tally)

    @contextlib.contextmanager
    def open(self) -> Generator[ProjectBench]:
        """Raises OracleError when the command cannot exist here, SandboxError, InputError for an unusable tree."""
        laid = {self.reproduction.path: self.reproduction.text.encode()} if self.reproduction else {}
        project = self.project
        command: str | tuple[str, ...] = project.command
        if not command and self.reproduction:
            found = command_for([self.reproduction.path], pytest=True)
            command = ("python", "-m", found.tool.value, *found.args)
        tests = TestOracle(
            project.root, self.sources, self.sandbox, command or None, laid, python=project.python, limits=self.limits
        )
        with tests.staged() as (suite, read, root):
            yield ProjectBench(self, suite, read, root)


class ProjectBench:
    """A ProjectOracle made ready (implements `repair.oracle.Bench`)."""

    def __init__(self, oracle: ProjectOracle, suite: Suite, command: TestCommand, root: Path) -> None:
        self._oracle, self._suite, self._command, self._root = oracle, suite, command, root
        self._sources = {source.path: source for source in oracle.sources}
        self._ground, self.tally = oracle.groundwork, oracle.tally
        ground = self._ground
        given = oracle.reproduction
        self._failing = frozenset({given.test}) if given else oracle.failing
        self._tolerated = (ground.flaky | ground.failing) - self._failing
        self._baseline = self._told()
        doctests, test_files = files_of_tests((*ground.passing, *ground.failing, *ground.flaky))
        laid = {given.path} if given else set[str]()
        self._territory = Territory(oracle.project.root, self._sources, test_files | laid, doctests)
        self.tally.tests = max(self.tally.tests, len(ground.passing | ground.failing | ground.flaky))
        self._imports: Mapping[str, frozenset[str]] | None = None
        self._impact: dict[Patch, Impact] = {}
        self._alone = self._suite.selects and self._failing != ONLY_WHOLE  # whether parts of the tests say anything
        self._checked_alone = False
        self._found_plausible = False
        self.whole: dict[Patch, Observation] = {}  # the last whole run of each patch that had one

    @property
    def oracle(self) -> ProjectOracle:
        """What it was opened from."""
        return self._oracle

    @property
    def runs(self) -> int:
        """How often tests were run, in part or in whole."""
        return self.tally.runs

    def covers(self, patch: Patch) -> bool:
        """No test, no configuration of tests, no link, nothing but the request's sources."""
        return self._territory.covers(patch)

    def baseline(self) -> Baseline:
        """What the diagnosis saw; nothing is run."""
        return self._baseline

    @property
    def failing_elsewhere(self) -> frozenset[str]:
        """Tests that fail for other faults."""
        return self._ground.failing - self._failing

    def _told(self) -> Baseline:
        ground, failing = self._ground, self._failing
        settled = Settled(failing, ground.passing, self._tolerated)
        lines = {test: self._of_sources(files) for test, files in ground.lines.items()} if ground.traced else {}
        first = min(failing, default="")
        observation = Observation(False, tuple(TestResult(test, Outcome.FAILED) for test in sorted(failing)))
        return Baseline(
            observation,
            failing,
            ground.passing - failing,
            self._tolerated,
            spectrum=spectrum_of(lines, settled),
            test_text=test_source(self._root, first) if first else "",
        )

    def _of_sources(self, files: Mapping[str, frozenset[int]]) -> dict[str, frozenset[int]]:
        return {path: lines for path, lines in files.items() if path in self._sources}

    def impact(self, patch: Patch) -> Impact:
        """The passing tests that can notice a patch. Raises PatchError when it is not one of the sources."""
        found = self._impact.get(patch)
        if found is None:
            ground = self._ground
            lines = ground.lines if ground.traced else {}
            imports = self._import_graph() if lines else None
            passing = self._baseline.passing
            found = impacted(patch, self._sources, lines, passing, seconds=ground.seconds, imports=imports)
            self._impact[patch] = found
        return found

    def _import_graph(self) -> Mapping[str, frozenset[str]]:
        if self._imports is None:
            files = sorted(p.relative_to(self._root).as_posix() for p in self._root.rglob("*.py") if p.is_file())
            texts = {path: (self._root / path).read_text("utf-8", "replace") for path in files}
            known = frozenset(files)
            self._imports = closure({path: imported(path, text, known) for path, text in texts.items()})
        return self._imports

    def judge(self, candidate: Candidate, *, thorough: bool = False) -> Judgement:
        """The fault's tests, then those that the patch can touch; when `thorough`, both and then the whole suite."""
        changed = applied(candidate, self._sources, covered=self.covers(candidate.patch))
        if isinstance(changed, Judgement):
            return changed
        files = {path: source.to_bytes() for path, source in changed.items()}
        seen: list[Observation] = []
        before = self.tally.executed
        if thorough:
            verdict, reason = self._thorough(candidate.patch, files, seen)
        else:
            verdict, reason = self._quick(candidate.patch, files, seen)
            self.tally.judged += 1
            self.tally.early += self.tally.executed - before
        self._found_plausible |= verdict is Verdict.PLAUSIBLE
        return Judgement(candidate, verdict, tuple(seen), reason)

    def judge_whole(self, candidate: Candidate, failing: frozenset[str]) -> Judgement:
        """One whole run in which `failing` must pass and may be other tests than the fault's; for combinations."""
        changed = applied(candidate, self._sources, covered=self.covers(candidate.patch))
        if isinstance(changed, Judgement):
            return changed
        self._failing = failing
        self._tolerated = (self._ground.flaky | self._ground.failing) - failing
        self._baseline = self._told()
        seen: list[Observation] = []
        files = {path: source.to_bytes() for path, source in changed.items()}
        verdict, reason = self._whole_run(candidate.patch, files, seen)
        return Judgement(candidate, verdict, tuple(seen), reason)

    def _quick(self, patch: Patch, files: Mapping[str, bytes], seen: list[Observation]) -> tuple[Verdict, str]:
        if not self._alone:
            return self._whole_run(patch, files, seen)
        if self._failing:
            verdict, reason = self._part(files, self._failing, frozenset(), seen)
            if verdict is not Verdict.PLAUSIBLE:
                return verdict, reason
            if not self._fails_alone():
                return self._whole_run(patch, files, seen)
        tests = self.impact(patch).tests
        first = max(_FIRST_LEAST, round(_FIRST * self.tally.tests))
        parts = [tests[:first]] if self._found_plausible else [tests[:first], tests[first:]]
        ran = 0
        for part in parts:
            if part:
                verdict, reason = self._part(files, frozenset(), frozenset(part), seen)
                ran += len(part)
                if verdict is not Verdict.PLAUSIBLE:
                    return verdict, reason
        reason = f"{len(self._failing)} failing and {ran} passing tests pass"
        return (Verdict.PLAUSIBLE if self._failing else Verdict.UNDECIDED), reason

    def _fails_alone(self) -> bool:
        """Whether the fault's tests fail on the unchanged code without the others; asked once something passes."""
        if not self._checked_alone:
            self._checked_alone = True
            run = self._run({}, self._selection(self._failing), self._failing)
            self._alone = not self._failing <= self._read(run).ids(Outcome.PASSED)
        return self._alone

    def _thorough(self, patch: Patch, files: Mapping[str, bytes], seen: list[Observation]) -> tuple[Verdict, str]:
        if self._alone:
            touched = frozenset(self.impact(patch).tests)
            if self._failing | touched:
                verdict, reason = self._part(files, self._failing, touched, seen)
                if verdict is not Verdict.PLAUSIBLE:
                    return verdict, reason
        if not self._baseline.passing and self._oracle.reproduction:
            return self._part(files, self._failing, frozenset(), seen)
        return self._whole_run(patch, files, seen)

    def _part(
        self, files: Mapping[str, bytes], failing: frozenset[str], passing: frozenset[str], seen: list[Observation]
    ) -> tuple[Verdict, str]:
        """Run some tests; PLAUSIBLE when the failing ones pass now and the passing ones still do."""
        asked = failing | passing
        stop = bool(passing) or len(failing) > _TOLD_TOGETHER
        run = self._run(files, self._selection(asked, stop=stop), asked)
        after = self._read(run)
        seen.append(after)
        if found := trouble(run, after, self._sources, self._command):
            return found
        worse = sorted((ended_ids(after, *FAILED) & passing) - failing)
        if worse and (still := self._fails_again(files, worse)):
            return Verdict.REGRESSED, f"{still} passed before, now failing"
        if worse:  # it stopped at a flaky test: the others are still to be seen
            rest = asked - ended_ids(after, Outcome.PASSED) - frozenset(worse)
            return self._part(files, failing & rest, passing & rest, seen) if rest else (Verdict.PLAUSIBLE, "")
        base = replace(self._baseline, failing=failing, passing=passing)
        return unlike_base(base, after, partly=not passing)

    def _whole_run(
        self, patch: Patch, files: Mapping[str, bytes], seen: list[Observation], *, again: bool = False
    ) -> tuple[Verdict, str]:
        """Run everything. A test that fails here and not alone must fail here a second time to count."""
        self.tally.whole += 1
        run = self._run(files, replace(_WHOLE, test_seconds=self._test_seconds(self._all)), self._all)
        after = self._read(run)
        seen.append(after)
        if found := trouble(run, after, self._sources, self._command):
            return found
        if self._failing == ONLY_WHOLE:
            return (Verdict.PLAUSIBLE, "the tests pass") if after.passed else (Verdict.UNFIXED, after.reason)
        base = self._baseline
        if self._oracle.reproduction:  # the command may name other files; it has been seen to pass
            base = replace(base, failing=frozenset(), flaky=base.flaky | self._failing)
        worse = sorted(ended_ids(after, *FAILED) & base.passing)
        if worse and not again and self._suite.selects and len(worse) <= _MANY:
            if not self._fails_again(files, worse):
                return self._whole_run(patch, files, seen, again=True)
            return Verdict.REGRESSED, f"{worse[0]} passed before, now failing"
        verdict, reason = unlike_base(base, after)
        if verdict is Verdict.PLAUSIBLE:
            self.whole[patch] = after
            verdict = Verdict.PLAUSIBLE if self._failing else Verdict.UNDECIDED
        return verdict, reason

    @property
    def _all(self) -> frozenset[str]:
        return self._ground.passing | self._ground.failing | self._ground.flaky

    def _fails_again(self, files: Mapping[str, bytes], tests: Iterable[str]) -> str:
        """The first of the tests that fails alone every time, "" when each passes once."""
        left = frozenset(tests)
        for _ in range(_AGAIN):
            run = self._run(files, self._selection(left), left)
            left -= self._read(run).ids(Outcome.PASSED)
            if not left:
                return ""
        return min(left)

    def _read(self, run: SuiteRun) -> Observation:
        """The results, with files that can be collected now as tests; without those that another fault may fail."""
        after = with_groups(run.observation, self._failing)
        groups = tuple(f"{test}::" for test in self._tolerated if "::" not in test)
        kept = tuple(t for t in after.tests if not (groups and t.test_id.startswith(groups)))
        return after if len(kept) == len(after.tests) else replace(after, tests=kept)

    def _selection(self, tests: Collection[str], *, stop: bool = False) -> Selection:
        seconds = self._test_seconds(tests)
        return Selection(only=frozenset(tests), stop_first=stop, terse=True, test_seconds=seconds)

    def _test_seconds(self, tests: Collection[str]) -> float:
        """After how long a test hangs: a second, and five times the slowest (of its file, for one that fails)."""
        files = {test.partition("::")[0] for test in tests if test in self._failing}
        counted = self._baseline.passing | (self._failing - self._oracle.hung)
        took = {test: seconds for test, seconds in self._ground.seconds.items() if test in counted}
        near = [s for test, s in took.items() if test in tests or test.partition("::")[0] in files]
        slowest = max(near or took.values(), default=0.0)
        return _LEAST_TEST_SECONDS + 5 * slowest if took else _UNKNOWN_TEST_SECONDS

    def _bounds(self, selection: Selection, tests: Collection[str]) -> Limits:
        """Five times what the tests took on the unchanged code and time for one that hangs, within the oracle's."""
        ground, cap = self._ground, self._oracle.limits
        start = max(_LEAST_START_SECONDS, ground.start)
        took = sum(ground.seconds.get(test, 0.0) for test in tests if test not in self._oracle.hung)
        known = max(took + start, ground.cpu_seconds if selection.only is None else 0.0)
        cpu = min(cap.cpu_seconds, 5 * known + selection.test_seconds)
        wall = 5 * (ground.wall_seconds if selection.only is None else 0.0)
        return replace(cap, cpu_seconds=cpu, wall_seconds=min(cap.wall_seconds, max(3 * cpu, wall)))

    def _run(self, files: Mapping[str, bytes], selection: Selection, tests: Collection[str]) -> SuiteRun:
        """One run; repeated when something outside of the sandbox killed it."""
        bounds = self._bounds(selection, tests)
        run = self._counted(files, bounds, selection)
        return self._counted(files, bounds, selection) if run.infrastructure else run

    def _counted(self, files: Mapping[str, bytes], bounds: Limits, selection: Selection) -> SuiteRun:
        run = self._suite.run(files, bounds, selection)
        took = sum(t.seconds for t in run.observation.tests)
        self.tally.runs += 1
        self.tally.executed += len(run.observation.tests) or (0 if self._suite.selects else 1)
        self.tally.seconds += run.observation.seconds
        self.tally.start_seconds += max(0.0, run.observation.seconds - took)
        return run
