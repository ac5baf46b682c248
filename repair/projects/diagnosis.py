"""What is wrong with a repository: its tests run, failures grouped by fault, each fault traced down to lines.

Owns the order of these steps and their bounds. Runs are `baseline` and `coverage`, what belongs together is `grouping`,
what a log adds is `reported`, the rankings are `levels`, put together in `faults`. Changes nothing, proposes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from repair.model import Model
from repair.oracles.judging import ONLY_WHOLE
from repair.oracles.reports import trace_of
from repair.projects.baseline import (
    WHOLE_LIMITS,
    Baseline,
    Refuser,
    Tests,
    all_fail,
    environment_of,
    nothing_fails,
    open_tests,
    take_baseline,
    without,
)  # fmt: skip
from repair.projects.coverage import Traced, Wanted, trace
from repair.projects.faults import Case
from repair.projects.grouping import Owners
from repair.projects.history import GitHistory, History, RecordedHistory
from repair.projects.repairable import source_paths
from repair.projects.values import Bounds, Diagnosis, Groundwork, Project, Refusal, Standing
from repair.sandbox import Limits, Sandbox
from repair.verdicts import TestResult


@dataclass(frozen=True, slots=True)
class Bound:
    """What a diagnosis may cost: limits of one run of all tests, seconds of all traced runs together."""

    limits: Limits = WHOLE_LIMITS
    trace_seconds: float = 600.0

    def within(self, bounds: Bounds) -> Bound:
        """A run takes `run_seconds` at most; it and tracing take a third of the repository's; 0 is no bound."""
        third = bounds.seconds / 3 or inf
        run = min(third, bounds.run_seconds or inf)
        limits = replace(
            self.limits,
            wall_seconds=min(self.limits.wall_seconds, run),
            cpu_seconds=min(self.limits.cpu_seconds, run),
        )
        return Bound(limits, min(self.trace_seconds, third))


DEFAULT = Bound()


def diagnose(
    project: Project,
    sandbox: Sandbox,
    model: Model | None,
    *,
    bound: Bound = DEFAULT,
    refuser: Refuser | None = None,
    history: History | None = None,
) -> tuple[Diagnosis, Groundwork]:
    """Run the tests, find the faults, rank where they may be.

    With alerts or a report a repository without failing tests is no refusal: its passing tests judge what is proposed
    for them. Raises Refusal where there is nothing to repair or nothing follows from the tests, SandboxError,
    ModelError.
    """
    started = time.monotonic()
    before = model.usage if model else None
    bound = bound.within(project.order.bounds)
    past = history or _history(project)
    if not project.command:
        diagnosis, groundwork = _untested(project, model, past)
    else:
        try:
            with open_tests(project, sandbox, bound.limits) as tests:
                diagnosis, groundwork = _examined(project, tests, model, past, bound, refuser)
        except Refusal as refusal:
            if refusal.standing is not Standing.NO_TESTS or not _told(project):
                raise
            diagnosis, groundwork = _untested(project, model, past, refusal.reason)
    spent = replace(diagnosis.spent, seconds=time.monotonic() - started)
    if model and before:
        prompt = model.usage.prompt_tokens - before.prompt_tokens
        spent = replace(
            spent, prompt_tokens=prompt, completion_tokens=model.usage.completion_tokens - before.completion_tokens
        )  # fmt: skip
    return replace(diagnosis, spent=spent), groundwork


def _history(project: Project) -> History:
    return GitHistory(project.git_dir, project.commit) if project.git_dir else RecordedHistory()


def _told(project: Project) -> bool:
    """Whether somebody else than the tests speaks of faults."""
    return bool(project.order.report.strip() or project.order.alerts.strip())


def _untested(project: Project, model: Model | None, past: History, why: str = "") -> tuple[Diagnosis, Groundwork]:
    """By the report alone; `why` there are no tests."""
    case = Case(project, model, past, source_paths(project.root), None, Traced())
    faults, notes = case.reported(())
    if not faults and not project.order.alerts.strip():
        raise Refusal(Standing.NO_TESTS, why or "there are no tests and no report; give --test or an error report")
    return case.result(faults, (*((why,) if why else ()), *notes))


def _examined(
    project: Project, tests: Tests, model: Model | None, past: History, bound: Bound, refuser: Refuser | None
) -> tuple[Diagnosis, Groundwork]:
    paths = source_paths(tests.root)
    owners = Owners(paths)
    refuser = refuser or environment_of(paths, project.absent, project.pointers)
    baseline = take_baseline(tests, refuser)

    def ours(result: TestResult) -> bool:
        place = owners.place(trace_of(baseline.runs[0].report, result))
        return place is not None and place.ours

    if refusal := all_fail(baseline, refuser, ours):
        raise refusal
    baseline = without(baseline, refuser, ours)
    if not baseline.settled.failing and not _told(project):
        raise nothing_fails(baseline)
    traced = _traced(tests, baseline, paths, bound)
    case = Case(project, model, past, paths, baseline, traced)
    groups = case.groups()
    faults, notes = case.reported(groups)
    if not baseline.settled.failing:
        nothing = nothing_fails(baseline)
        if not faults and not project.order.alerts.strip():
            raise nothing
        notes = (nothing.reason, *notes)
    return case.result(faults, notes)


def _traced(tests: Tests, baseline: Baseline, paths: Sequence[str], bound: Bound) -> Traced:
    settled = baseline.settled
    if not tests.suite.selects or (settled.failing | settled.passing) <= ONLY_WHOLE:
        return Traced()
    order = [t.test_id for t in baseline.runs[0].observation.tests]
    hung = baseline.hung  # they will hang again, and need not be waited for any longer than the others
    wanted = Wanted(
        [t for t in order if t in settled.failing],
        [t for t in order if t in settled.passing],
        [path for path in paths if path.endswith((".py", ".pyw"))],
        max((t.seconds for t in baseline.runs[-1].observation.tests if t.test_id not in hung), default=0.0) + 1.0,
    )
    return trace(tests.suite, tests.limits, wanted, seconds=bound.trace_seconds)
