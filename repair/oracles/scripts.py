"""ScriptOracle: `code + blank line + tests` as one script that must run to its very end (DESIGN.md §4).

Python runs in a zygote through `inside/emend_inside.py`, JavaScript with a preloaded `emend_node.cjs`, Java
compiled with a launcher. Each announces the end over the report pipe with a nonce that the script cannot
read, so that `exit(0)`, `os._exit(0)`, a crash or a hang are failures whatever the exit status says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from repair.candidates import Candidate
from repair.defects import Evidence, FailingTest
from repair.edits import Patch
from repair.errors import NothingToRepair
from repair.oracle import Baseline
from repair.oracles.judging import (
    FAILED,
    Settled,
    applied,
    candidate_limits,
    first_lines,
    spectrum_of,
    steady,
)
from repair.oracles.programs import Program, Programs, Run
from repair.oracles.reports import Report, trace_in, trace_of
from repair.sandbox import Limits, Sandbox
from repair.sources import Source
from repair.traces import parse_error
from repair.verdicts import Judgement, Observation, Outcome, TestResult, Verdict

SCRIPT_LIMITS = Limits(wall_seconds=10.0, cpu_seconds=5.0)
_EVIDENCE = 3  # failing assertions told


@dataclass(frozen=True, slots=True)
class ScriptOracle:
    """Tests that follow the code in one script. Only `source` may be changed.

    `limits` bound the unpatched code; a candidate gets what that took, times five, within them.
    """

    source: Source
    tests: str
    sandbox: Sandbox
    limits: Limits = field(default=SCRIPT_LIMITS)
    probe: bool = True  # take Python tests apart for per-assertion results and coverage

    @contextlib.contextmanager
    def open(self) -> Generator[ScriptBench]:
        """Raises OracleError where the language has no interpreter here."""
        with warm_programs(self.sandbox, self.source.language) as programs:
            yield ScriptBench(self, programs)


def warm_programs(sandbox: Sandbox, language: str) -> contextlib.AbstractContextManager[Programs]:
    """A warm runner for many scripts of one language. Raises OracleError without an interpreter for it."""
    return Programs.warm(sandbox, language)


def run_script(
    place: Sandbox | Programs, language: str, code: str, tests: str, limits: Limits = SCRIPT_LIMITS
) -> Observation:
    """Run `code + tests` once; passed only when it ran to its very end. Raises OracleError, SandboxError.

    With `Programs` (see `warm_programs`) a run costs a fork, with a Sandbox it starts all anew.
    """
    program = Program(code, tests)
    if isinstance(place, Programs):
        return place.run(program, limits).observation
    with warm_programs(place, language) as programs:
        return programs.run(program, limits).observation


@dataclass(frozen=True, slots=True)
class _Units:
    """What the probe saw: single assertions in the order of running, with text, outcome and coverage."""

    report: Report
    order: tuple[str, ...]
    settled: Settled
    seconds: float  # CPU time of the traced run
    hung: bool

    def of_line(self, line: int) -> str | None:
        """The id of the unit whose asserting statement begins at that line, where only one call made it."""
        name = f"line {line}"
        return name if name in self.order and f"{name} (2)" not in self.order else None


class ScriptBench:
    """A ScriptOracle made ready (implements `repair.oracle.Bench`)."""

    def __init__(self, oracle: ScriptOracle, programs: Programs) -> None:
        self._oracle = oracle
        self._programs = programs
        self._source = oracle.source
        self._limits = oracle.limits
        self._units: _Units | None = None

    @property
    def runs(self) -> int:
        """How often the script was run."""
        return self._programs.runs

    def covers(self, patch: Patch) -> bool:
        """Only the code before the tests may change."""
        return patch.paths == (self._source.path,)

    def baseline(self) -> Baseline:
        """Take the tests of the unpatched script apart, then run it whole twice.

        Raises NothingToRepair, OracleError, SandboxError.
        """
        whole: list[Run] = []
        program = self._program(self._source)
        self._units = units = self._probe(program)
        # Where an assertion hangs the whole script will hang too: it gets a candidate's time only.
        limits = self._limits_from([], units) if units and units.hung else self._oracle.limits

        def once() -> Observation:
            if whole and not whole[0].observation.complete:
                return whole[0].observation  # a hang is not waited for twice
            whole.append(self._programs.run(program, limits))
            return whole[-1].observation

        observation, settled = steady(once)
        if observation.passed:
            raise NothingToRepair("the tests pass as they are: nothing to repair")
        self._limits = self._limits_from(whole, units)
        if units is None:
            return self._whole_baseline(whole[0], settled)
        return self._unit_baseline(whole[0], units)

    def judge(self, candidate: Candidate, *, thorough: bool = False) -> Judgement:
        """Run the whole script on the patched code, twice when `thorough`."""
        changed = applied(candidate, {self._source.path: self._source}, covered=self.covers(candidate.patch))
        if isinstance(changed, Judgement):
            return changed
        program = self._program(changed[self._source.path])
        seen: list[Observation] = []
        for _ in range(2 if thorough else 1):
            run = self._programs.run(program, self._limits)
            if run.infrastructure:
                run = self._programs.run(program, self._limits)
            observation = self._with_units(run, program)
            seen.append(observation)
            if not observation.passed:
                verdict, reason = self._verdict(run, observation)
                return Judgement(candidate, verdict, tuple(seen), reason)
        return Judgement(candidate, Verdict.PLAUSIBLE, tuple(seen), "the tests pass")

    def _program(self, source: Source) -> Program:
        return Program(source.text, self._oracle.tests, source.path)

    def _verdict(self, run: Run, observation: Observation) -> tuple[Verdict, str]:
        if run.report.broken:
            return Verdict.BROKEN, run.report.broken.headline
        if run.infrastructure:
            return Verdict.UNDECIDED, run.infrastructure
        failed = observation.ids(*FAILED)
        if self._units and failed and failed <= self._units.settled.passing:
            return Verdict.REGRESSED, f"{min(failed)} passed before"
        return Verdict.UNFIXED, observation.reason

    def _with_units(self, run: Run, program: Program) -> Observation:
        """A script stops at its first failing assertion: those before it passed, if each ran once."""
        units = self._units
        failure = run.report.failure
        trace = (failure.trace or trace_in(failure.message)) if failure else None
        if units is None or trace is None or failure is None:
            return run.observation
        shift = program.tests_from - self._program(self._source).tests_from
        for frame in reversed(trace.frames):
            inside = frame.path == self._source.path and frame.line >= program.tests_from
            failed = units.of_line(frame.line - shift) if inside else None
            if failed is not None:
                passed = units.order[: units.order.index(failed)]
                tests = (
                    *(TestResult(unit, Outcome.PASSED) for unit in passed),
                    TestResult(failed, Outcome.FAILED, failure.message),
                )
                return replace(run.observation, tests=tests)
        return run.observation

    def _probe(self, program: Program) -> _Units | None:
        """Single assertions of a Python script, None where it cannot be taken apart or all of them pass."""
        if not self._oracle.probe:
            return None
        run = self._programs.probe(program, self._oracle.limits)
        if run is None or not run.report.begun:
            return None
        report = _with_hung(run.report)
        ended = {t.test_id: t.outcome for t in report.tests}
        failing = frozenset(t for t, outcome in ended.items() if outcome in FAILED)
        passing = frozenset(t for t, outcome in ended.items() if outcome is Outcome.PASSED)
        if not failing:
            return None  # the fault shows outside of single assertions
        order = tuple(test_id for test_id, _ in report.begun)
        hung = any(trace.error_type == "Timeout" for trace in report.traces.values()) or not run.observation.complete
        return _Units(report, order, Settled(failing, passing, frozenset()), run.cpu_seconds, hung)

    def _limits_from(self, whole: list[Run], units: _Units | None) -> Limits:
        ended = [run for run in whole if run.observation.complete]
        wall = max((run.observation.seconds for run in ended), default=0.0)
        cpu = [run.cpu_seconds for run in ended]
        if units and not units.hung:
            cpu.append(units.seconds / 3)  # traced code runs several times slower
        return candidate_limits(self._oracle.limits, wall, max(cpu, default=0.0))

    def _whole_baseline(self, run: Run, settled: Settled) -> Baseline:
        found = run.report.broken or run.report.failure
        evidence = parse_error(found.message if found else run.observation.output).evidence
        if found and found.trace:
            evidence = (found.trace,)
        elif not run.observation.complete or not evidence:
            evidence = (FailingTest(self._source.path, run.observation.reason),)
        text = first_lines(self._oracle.tests.strip())
        return Baseline(run.observation, settled.failing, settled.passing, evidence=evidence, test_text=text)

    def _unit_baseline(self, run: Run, units: _Units) -> Baseline:
        texts = dict(units.report.begun)
        failed = [t for t in units.report.tests if t.test_id in units.settled.failing]
        evidence: tuple[Evidence, ...] = tuple(
            FailingTest(t.test_id, t.message, trace_of(units.report, t), texts.get(t.test_id, ""))
            for t in failed[:_EVIDENCE]
        )
        return Baseline(
            replace(run.observation, tests=units.report.tests),
            units.settled.failing,
            units.settled.passing,
            evidence=evidence,
            spectrum=spectrum_of(units.report.lines, units.settled),
            test_text=first_lines(texts.get(failed[0].test_id, "")),
        )


def _with_hung(report: Report) -> Report:
    """A unit that began and never ended (the sandbox stopped it) has failed."""
    ended = {t.test_id for t in report.tests}
    hung = [unit for unit, _ in report.begun[-1:] if unit not in ended]
    results = tuple(TestResult(unit, Outcome.FAILED, "it did not end in its time") for unit in hung)
    return replace(report, tests=report.tests + results)
