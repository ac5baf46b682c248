"""From failures to ranked faults: what one repository's runs, report, sources and history say together.

Reads sources of the tree and asks the history; runs nothing. Every file that no failing test executes and no traceback
names stays unread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from repair.campaign import survey
from repair.defects import Defect, Evidence, FailingTest, RepairRequest, Traceback
from repair.errors import InputError
from repair.model import Model
from repair.oracles.judging import ONLY_WHOLE, WHOLE
from repair.oracles.reports import trace_of
from repair.oracles.suites import SuiteRun
from repair.oracles.testtext import test_source
from repair.projects import levels
from repair.projects.baseline import Baseline
from repair.projects.coverage import Traced
from repair.projects.grouping import Failure, Group, Lines, Owners, group, passing_counts
from repair.projects.history import History
from repair.projects.levels import Clue, Past
from repair.projects.repairable import is_test
from repair.projects.reported import key_and_title, read_report
from repair.projects.values import Diagnosis, Fault, Groundwork, Project, Refusal, Spent, Standing
from repair.sources import Source, read_source
from repair.spectrum import Spectrum
from repair.traces import headline, parse_error
from repair.verdicts import TestResult

_EVIDENCE = 3  # failing tests told of one fault
_BLAMED = 30  # lines of which the history is asked
_LEAST_START = 0.3
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_PLACE = re.compile(r"^(\S.{0,500}?):(\d{1,9}): in (.{1,200})$")


@dataclass(slots=True)
class Case:
    """All that was seen of one repository, on its way to a Diagnosis. `baseline` is None where there are no tests."""

    project: Project
    model: Model | None
    past: History
    paths: tuple[str, ...]
    baseline: Baseline | None
    traced: Traced
    _counts: Mapping[tuple[str, int], int] | None = None
    _files: Past | None = None

    @property
    def owners(self) -> Owners:
        """Whose files frames lie in."""
        return Owners(self.paths)

    def groups(self) -> tuple[Group, ...]:
        """Failing tests by fault."""
        if self.baseline is None:
            return ()
        owners, run = self.owners, self.baseline.runs[0]
        failures = [_failure(t, run, owners, self.traced.lines.get(t.test_id, {})) for t in self.baseline.failed]
        if not failures and self.baseline.settled.failing == ONLY_WHOLE:
            raised = _whole_trace(run)
            place = owners.place(raised)
            if run.report.unusable is not None and not (place and place.ours):
                told = [line.strip() for line in run.observation.output.split("\n") if line.strip()]
                raise Refusal(
                    Standing.BROKEN_BUILD, f"the tests do not start: {told[-1][:300] if told else run.report.unusable}"
                )  # fmt: skip
            failures = [Failure(WHOLE, raised.error_type if raised else "", place)]
        return group(failures, self._passing_lines())

    def reported(self, groups: Sequence[Group]) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
        """Faults of the groups, those that the order's report names first, then what it alone speaks of; notes."""
        most = self.project.order.bounds.faults
        notes = list[str]()
        report = self.project.order.report
        chosen: Sequence[Group] = groups
        alone: tuple[tuple[Evidence, ...], ...] = ()
        if report.strip():
            told = read_report(report, groups, self.owners)
            chosen, alone = (*told.named, *told.others), told.alone
            if told.others and told.named:
                notes.append(f"{len(told.others)} faults are not in the report that was given; they come last")
            if alone and self.baseline is not None:
                notes.append(
                    "what the report tells of fails in no test here, or nothing says where: only a new one can judge it"
                )
        faults = [self._fault(one) for one in chosen[:most]]
        faults += [self._reported_fault(found) for found in alone[: max(0, most - len(faults))]]
        if left := len(chosen) + len(alone) - len(faults):
            notes.append(f"{left} more faults were found than are worked on ({most})")
        return tuple(faults), tuple(notes)

    def result(self, faults: tuple[Fault, ...], notes: tuple[str, ...]) -> tuple[Diagnosis, Groundwork]:
        """Both values; seconds and tokens are the caller's to add."""
        project, baseline = self.project, self.baseline
        runs = baseline.runs if baseline else ()
        executed = sum(len(run.observation.tests) for run in runs) + self.traced.executed
        diagnosis = Diagnosis(
            project.commit,
            project.branch,
            project.language,
            project.command,
            project.runner,
            project.environment,
            baseline.collected if baseline else 0,
            len(baseline.settled.passing) if baseline else 0,
            tuple(sorted(baseline.settled.failing)) if baseline else (),
            tuple(sorted(baseline.settled.flaky)) if baseline else (),
            faults,
            (*project.notes, *(baseline.notes if baseline else ()), *self._trace_notes(), *notes),
            Spent(test_runs=len(runs) + self.traced.runs, whole=len(runs), executed=executed),
        )
        return diagnosis, self._groundwork()

    def _groundwork(self) -> Groundwork:
        if self.baseline is None:
            return Groundwork(frozenset(), frozenset())
        settled, runs = self.baseline.settled, self.baseline.runs
        seconds = {t.test_id: t.seconds for t in runs[-1].observation.tests}
        cpu = max(run.cpu_seconds for run in runs[:2])
        return Groundwork(
            settled.passing,
            settled.failing,
            settled.flaky | self.baseline.uncounted,
            self.traced.lines,
            seconds,
            max(_LEAST_START, runs[-1].cpu_seconds - sum(seconds.values())),
            max(run.observation.seconds for run in runs[:2]),
            cpu,
            any(self.traced.lines.values()),
        )

    def _trace_notes(self) -> tuple[str, ...]:
        if self.baseline is None or not self.traced.runs:
            return ()
        settled, lines = self.baseline.settled, self.traced.lines
        if not any(lines.values()):
            return ("no test executes a source of this tree; do they import an installed copy of the project?",)
        unknown = len((settled.passing | settled.failing) - lines.keys())
        return (f"of {unknown} tests it is not known which lines they execute",) if unknown else ()

    def _passing_lines(self) -> list[Lines]:
        passing = self.baseline.settled.passing if self.baseline else frozenset[str]()
        return [files for test, files in self.traced.lines.items() if test in passing]

    def _spectrum(self, one: Group) -> Spectrum | None:
        """Of the group's failing and all passing tests; None where no failing one executes a source."""
        ran = [f.lines for f in one.failures if f.lines]
        if not ran:
            return None
        if self._counts is None:
            failing = self.baseline.settled.failing if self.baseline else frozenset[str]()
            touched = frozenset(p for t, files in self.traced.lines.items() if t in failing for p in files)
            self._counts = passing_counts(self._passing_lines(), touched)
        counts: dict[tuple[str, int], int] = {}
        for files in ran:
            for path, lines in files.items():
                for line in lines:
                    counts[path, line] = counts.get((path, line), 0) + 1
        return Spectrum(len(ran), len(self._passing_lines()), counts, self._counts)

    def _fault(self, one: Group) -> Fault:
        evidence = self._evidence(one)
        return self._located(Fault(one.key, one.title, one.tests, evidence), self._spectrum(one))

    def _evidence(self, one: Group) -> tuple[Evidence, ...]:
        assert self.baseline is not None
        run = self.baseline.runs[0]
        results = {t.test_id: t for t in run.observation.tests}
        first = one.leader.test
        told = [results[t] for t in (first, *(t for t in one.tests if t != first)) if t in results][:_EVIDENCE]
        if not told:
            raised = _whole_trace(run)
            found: tuple[Evidence, ...] = (raised,) if raised else parse_error(run.observation.output).evidence
            return found[:_EVIDENCE]
        return tuple(
            FailingTest(
                t.test_id,
                _steady(t.message),
                _steady_trace(trace_of(run.report, t)),
                test_source(self.project.root, t.test_id),
            )
            for t in told
        )

    def _reported_fault(self, evidence: tuple[Evidence, ...]) -> Fault:
        key, title = key_and_title(evidence, self.owners, headline(Defect(evidence)))
        return self._located(Fault(key, title, (), evidence[:_EVIDENCE]), None)

    def _located(self, fault: Fault, spectrum: Spectrum | None) -> Fault:
        """The fault with its rankings."""
        owners = self.owners
        frames = tuple(dict.fromkeys(frame for e in fault.evidence for frame in _frames(e, owners)))
        files_of_tests = tuple({t.partition("::")[0] for t in fault.tests if "::" in t})
        past, notes = self._past(spectrum)
        files = levels.suspect_files(self.paths, Clue(frames, files_of_tests), spectrum, past)
        read = [s for f in files[: levels.READ] if (s := self._read(f.path))]
        if not read:
            return replace(fault, files=files[: levels.MOST_FILES], notes=notes)
        defect = Defect(fault.evidence)
        shown = next((e.source for e in fault.evidence if isinstance(e, FailingTest) and e.source), "")
        field, no_fault = survey(RepairRequest(tuple(read), defect, tests=shown), self.model, spectrum)
        wanted: dict[str, list[int]] = {}
        for suspect in field.suspects[:_BLAMED]:
            wanted.setdefault(suspect.path, []).append(suspect.line)
        blamed = {(p, n): touch for p, ns in wanted.items() for n, touch in self.past.lines(p, ns).items()}
        lines = levels.suspect_lines(field.suspects, spectrum, replace(past, lines=blamed))
        if no_fault is not None and no_fault > 0.5:
            notes = (*notes, f"the model thinks that what it read has no fault ({100 * no_fault:.0f} %)")
        return replace(
            fault,
            files=levels.refined_files(files, [s.path for s in read], lines)[: levels.MOST_FILES],
            functions=levels.suspect_functions(read, lines)[: levels.MOST_FUNCTIONS],
            lines=lines[: levels.MOST_LINES],
            notes=notes,
        )

    def _past(self, spectrum: Spectrum | None) -> tuple[Past, tuple[str, ...]]:
        green = self.project.order.green
        if self._files is None:
            self._files = Past(self.past.files(), green=self.past.since(green) if green else None)
        past = self._files
        if green and past.green is None:
            return past, (f"the good commit {green} is not in the history",)
        ours = frozenset(at for at in past.green or () if not is_test(at[0]))
        if green and not levels.useful_green(ours, spectrum):
            return replace(past, green=None), (f"no line changed since {green} is executed by the failing tests",)
        return replace(past, green=ours if green else None), ()

    def _read(self, path: str) -> Source | None:
        try:
            return read_source(self.project.root, path)
        except InputError:  # binary, or in no known encoding: nothing that could be repaired
            return None


def _failure(result: TestResult, run: SuiteRun, owners: Owners, lines: Lines) -> Failure:
    trace = trace_of(run.report, result)
    kind = trace.error_type.rpartition(".")[2] if trace else ""
    place = None if kind == "Timeout" else owners.place(trace)  # where a hang was cut is chance
    return Failure(result.test_id, kind, place, lines)


def _whole_trace(run: SuiteRun) -> Traceback | None:
    """Where no single test is told: the traceback of the script, or the first of what was printed."""
    found = run.report.failure or run.report.broken
    if found and found.trace:
        return found.trace
    printed = run.observation.output
    evidence = parse_error(printed if run.report.unusable is None else conftest_traceback(printed)).evidence
    traces = (e.trace if isinstance(e, FailingTest) else e for e in evidence)
    return next((t for t in traces if isinstance(t, Traceback) and t.frames), None)


def _frames(one: Evidence, owners: Owners) -> tuple[tuple[str, int], ...]:
    """(path, line) in our sources, innermost first."""
    if isinstance(one, FailingTest | Traceback):
        return owners.frames(one.trace if isinstance(one, FailingTest) else one)
    return ()


def _steady(text: str) -> str:
    """Without addresses of objects, which differ from run to run."""
    return _ADDRESS.sub("0x...", text)


def _steady_trace(trace: Traceback | None) -> Traceback | None:
    if trace is None:
        return None
    hangs = trace.error_type == "Timeout"
    return replace(trace, message=_steady(trace.message), frames=() if hangs else trace.frames)


def conftest_traceback(output: str) -> str:
    """What pytest prints of a conftest.py that cannot be imported (`a.py:3: in f`, `E   ...`), as Python prints it."""
    lines = output.split("\n")
    begin = next((n for n, line in enumerate(lines) if "while loading conftest" in line), -1)
    rest = (_PLACE.sub(r'  File "\1", line \2, in \3', line.removeprefix("E   ")) for line in lines[begin + 1 :])
    return "\n".join(("Traceback (most recent call last):", *rest))
