"""Measure one case: check the case itself, repair it, judge the chosen patch by what the repair never saw.

The repair reads `buggy_code`, `error` and `tests`; `held_out_tests` and `fixed_code` are read here only.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum

from eval.suites.rows import LANGUAGES, Case
from repair.defects import Budget, Defect, RepairRequest
from repair.diffs import render_diff
from repair.edits import Patch
from repair.errors import BoundaryError, NothingToRepair
from repair.languages import tree_key
from repair.model import Model
from repair.oracles.programs import Programs
from repair.oracles.scripts import ScriptOracle, run_script, warm_programs
from repair.pipeline import CandidateJudged, Finished, Options, SuspectsFound, repair
from repair.sandbox import Sandbox
from repair.search import SearchOptions
from repair.sources import Source
from repair.traces import parse_error
from repair.verdicts import Cost, Suspect, Verdict

CHECK_RUNS = 3


class Status(StrEnum):
    """What became of a case."""

    REPAIRED = "repaired"  # a plausible patch was chosen
    NONE_FOUND = "none-found"
    LEFT_OUT = "left-out"  # the case failed its own check
    UNSCORED = "unscored"  # sandbox, model or tests failed: says nothing about the repair


@dataclass(frozen=True, slots=True)
class Conditions:
    """How every case is repaired; stated with each result."""

    model: str = "none"
    adapter: str = ""
    order: str = "model"
    seed: int = 0
    candidates: int = 400
    seconds: float = 60.0
    tier: str = ""
    location: str = "not given"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one case. Ranks count judged candidates from 1, None where there was none.

    `correct` is None where unknown: nothing was chosen to judge, or there are neither held-out tests nor a
    reference that equals the patch. `fault_rank` is the rank of the first suspect on a line that the
    reference changes, with no location given.
    """

    id: str
    status: Status
    reason: str = ""
    correct: bool | None = None
    first_plausible: int | None = None
    first_correct: int | None = None
    judged: int = 0
    fault_rank: int | None = None
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0  # of this process and of the sandboxes that it closed
    test_runs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    diff: str = ""
    language: str = ""
    bug_type: str = ""

    @property
    def scored(self) -> bool:
        """Whether it counts in a share."""
        return self.status in (Status.REPAIRED, Status.NONE_FOUND)


@dataclass(slots=True)
class _Seen:
    """What a repair told, in its order."""

    suspects: tuple[Suspect, ...] = ()
    plausible: list[tuple[int, Patch]] = field(default_factory=list[tuple[int, Patch]])
    judged: int = 0
    chosen: Patch | None = None
    cost: Cost = field(default_factory=Cost)


def measure(case: Case, model: Model | None, sandbox: Sandbox, conditions: Conditions) -> Measurement:
    """Check, repair and judge one case. Never raises for what a case, a program or a boundary does."""
    try:
        with warm_programs(sandbox, case.language) as programs:
            if reason := unfit(case, programs):
                return _measurement(case, Status.LEFT_OUT, reason)
            with _clock() as spent:
                seen = _repaired(case, model, sandbox, conditions)
            return _scored(case, seen, programs, spent)
    except (BoundaryError, NothingToRepair) as error:
        return _measurement(case, Status.UNSCORED, str(error))


def _measurement(case: Case, status: Status, reason: str = "") -> Measurement:
    return Measurement(case.id, status, reason, language=case.language, bug_type=case.bug_type or "")


def unfit(case: Case, programs: Programs) -> str:
    """Why the case measures nothing, "" when it is sound: three runs each, the reference passing, the fault failing."""
    for _ in range(CHECK_RUNS):
        if case.fixed_code is not None:
            for tests, name in ((case.tests, "tests"), (case.held_out_tests, "held_out_tests")):
                if tests is not None:
                    seen = run_script(programs, case.language, case.fixed_code, tests)
                    if not seen.passed:
                        return f"the reference does not pass its {name}: {seen.reason}"
        if run_script(programs, case.language, case.buggy_code, case.tests).passed:
            return "the buggy code passes the tests"
    return ""


def _source(case: Case, code: str) -> Source:
    return Source(LANGUAGES[case.language], code, case.language)


def _repaired(case: Case, model: Model | None, sandbox: Sandbox, conditions: Conditions) -> _Seen:
    source = _source(case, case.buggy_code)
    request = RepairRequest(
        (source,),
        parse_error(case.error) if case.error else Defect(),
        Budget(conditions.candidates, conditions.seconds),
    )
    options = Options(search=SearchOptions(order=conditions.order, seed=conditions.seed))
    seen = _Seen()
    for event in repair(request, model, ScriptOracle(source, case.tests, sandbox), options=options):
        match event:
            case SuspectsFound(suspects=suspects):
                seen.suspects = suspects
            case CandidateJudged(number=number, judgement=judgement):
                seen.judged = number
                if judgement.verdict is Verdict.PLAUSIBLE:
                    seen.plausible.append((number, judgement.candidate.patch))
            case Finished(result=result):
                seen.chosen = result.chosen.candidate.patch if result.chosen else None
                seen.cost = result.cost
    return seen


def _scored(case: Case, seen: _Seen, programs: Programs, spent: _Spent) -> Measurement:
    source = _source(case, case.buggy_code)
    correct = {patch: is_correct(case, patch, programs) for _, patch in seen.plausible}
    chosen = seen.chosen
    return replace(
        _measurement(case, Status.NONE_FOUND if chosen is None else Status.REPAIRED),
        correct=False if chosen is None else correct.get(chosen),
        first_plausible=seen.plausible[0][0] if seen.plausible else None,
        first_correct=next((number for number, patch in seen.plausible if correct[patch]), None),
        judged=seen.judged,
        fault_rank=fault_rank(case, seen.suspects),
        wall_seconds=round(spent.wall, 3),
        cpu_seconds=round(spent.cpu, 3),
        test_runs=seen.cost.test_runs,
        prompt_tokens=seen.cost.prompt_tokens,
        completion_tokens=seen.cost.completion_tokens,
        diff=render_diff(chosen, {source.path: source}) if chosen else "",
    )


def is_correct(case: Case, patch: Patch, programs: Programs) -> bool | None:
    """Whether a plausible patch is right: held-out tests decide, without them the reference's syntax tree."""
    source = _source(case, case.buggy_code)
    patched = source.with_text(patch.apply({source.path: source.text})[source.path])
    if case.held_out_tests is not None:
        return run_script(programs, case.language, patched.text, case.held_out_tests).passed
    if case.fixed_code is not None and tree_key(patched) == tree_key(_source(case, case.fixed_code)):
        return True
    return None


def fault_rank(case: Case, suspects: tuple[Suspect, ...]) -> int | None:
    """Rank of the first suspect that lies on a line which the reference changes (or inserts before)."""
    if case.fixed_code is None:
        return None
    before, after = case.buggy_code.split("\n"), case.fixed_code.split("\n")
    changed: set[int] = set()
    for tag, start, end, _, _ in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            changed.update(range(start + 1, max(end, start + 1) + 1))
    return next((rank for rank, s in enumerate(suspects, 1) if s.line in changed), None)


@dataclass(slots=True)
class _Spent:
    wall: float = 0.0
    cpu: float = 0.0


def _cpu_seconds() -> float:
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in of)


@contextmanager
def _clock() -> Generator[_Spent]:
    """What the block spends; filled in when it ends."""
    spent, wall, cpu = _Spent(), time.monotonic(), _cpu_seconds()
    yield spent
    spent.wall, spent.cpu = time.monotonic() - wall, _cpu_seconds() - cpu
