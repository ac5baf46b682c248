"""Measure one case: check the case itself, repair it, decide the patches by what the repair never saw.

The repair reads `buggy_code`, `error` and, where the conditions give them, `tests`; `held_out_tests` and
`fixed_code` are read by the evaluator only.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from eval.correctness import Decision, Judge, patched_code, source_of, unfit
from eval.faults import changed_lines, function_rank, line_rank, size_of_change
from eval.forest import with_position
from eval.identifiers import groups_of
from eval.listening import Heard
from eval.measurement import GIVEN, Conditions, Measurement, NoFault, Status, stop_of
from eval.pool import holds_reference
from eval.suites.rows import Case
from repair.campaign import survey
from repair.candidates import Candidate
from repair.defects import Budget, Defect, Location, RepairRequest
from repair.diffs import render_diff
from repair.edits import patch_between
from repair.errors import BoundaryError, NothingToRepair
from repair.languages import tree_key
from repair.model import Model
from repair.oracle import Oracle
from repair.oracles.parses import ParsesOracle
from repair.oracles.scripts import ScriptOracle, warm_programs
from repair.pipeline import CandidateJudged, Finished, Options, SuspectsFound, repair
from repair.sandbox import Sandbox
from repair.search import SearchOptions
from repair.sources import Source
from repair.traces import parse_error
from repair.verdicts import Cost, RepairResult, Suspect, Verdict

_SUSPECTS = 10  # lines kept


@dataclass(slots=True)
class _Seen:
    """What a repair told, in its order. `shown`: candidates to decide, with their rank."""

    suspects: tuple[Suspect, ...] = ()
    shown: list[tuple[int, Candidate]] = field(default_factory=list[tuple[int, Candidate]])
    judged: int = 0
    verdicts: Counter[str] = field(default_factory=Counter[str])
    chosen: Candidate | None = None
    cost: Cost = field(default_factory=Cost)
    settled_by: int | None = None  # rank of the first candidate that the repair itself held for plausible


def measure(
    case: Case, model: Model | None, sandbox: Sandbox, conditions: Conditions, *, oracle: Oracle | None = None
) -> Measurement:
    """Check, repair and judge one case. Never raises for what a case, a program or a boundary does.

    `oracle` takes the place of the tests' own inside of the repair; what it believes is decided again here.
    """
    heard = Heard(model) if model else None
    try:
        with warm_programs(sandbox, case.language) as programs:
            if reason := unfit(case, programs):
                return _measurement(case, Status.LEFT_OUT, reason)
            request, options = _request(case, conditions), _options(conditions)
            with _clock() as spent:
                seen = _repaired(request, heard, oracle or _oracle(case, conditions, sandbox), options)
            found = _scored(case, seen, Judge(case, programs), conditions)
        found = _with_model(case, found, heard, request, seen, options.search)
        return replace(found, wall_seconds=round(spent.wall, 3), cpu_seconds=round(spent.cpu, 3))
    except (BoundaryError, NothingToRepair) as error:
        return _measurement(case, Status.UNSCORED, str(error))


def _measurement(case: Case, status: Status, reason: str = "") -> Measurement:
    reference: dict[str, object] = {}
    if case.fixed_code is not None:
        source = source_of(case, case.buggy_code)
        patch = patch_between({source.path: source.text}, {source.path: case.fixed_code})
        reference = {
            "fault_lines": changed_lines(case.buggy_code, case.fixed_code),
            "reference_lines": size_of_change(case.buggy_code, case.fixed_code),
            "reference_diff": render_diff(patch, {source.path: source}),
        }
    found = Measurement(
        case.id, status, reason, language=case.language, bug_type=case.bug_type or "", digest=case.digest,
        error_type=_error_type(case.error or ""),
    )  # fmt: skip
    groups = groups_of(case.language, case.buggy_code, case.bug_type, case.source)
    return with_position(replace(found, **reference, groups=groups), len(case.buggy_code.rstrip("\n").split("\n")))


def _error_type(text: str) -> str:
    """The name before the colon of the last line that is not blank."""
    last = next((line for line in reversed(text.split("\n")) if line.strip()), "")
    name = last.partition(":")[0].strip()
    return name if name.replace(".", "").isidentifier() else ""


def _request(case: Case, conditions: Conditions) -> RepairRequest:
    source = source_of(case, case.buggy_code)
    location = None
    if conditions.location == GIVEN and case.fixed_code is not None:
        lines = changed_lines(case.buggy_code, case.fixed_code)
        location = Location(source.path, lines[0], lines[-1]) if lines else None
    defect = parse_error(case.error) if case.error else Defect()
    return RepairRequest((source,), defect, Budget(conditions.candidates, conditions.seconds), location)


def _options(conditions: Conditions) -> Options:
    search = SearchOptions(order=conditions.order, seed=conditions.seed)
    return Options(search=search, extra=conditions.extra, undecided=conditions.candidates)


def _oracle(case: Case, conditions: Conditions, sandbox: Sandbox) -> Oracle:
    source = source_of(case, case.buggy_code)
    return ScriptOracle(source, case.tests, sandbox) if conditions.tests == GIVEN else ParsesOracle((source,))


def _repaired(request: RepairRequest, model: Model | None, oracle: Oracle, options: Options) -> _Seen:
    seen = _Seen()
    for event in repair(request, model, oracle, options=options):
        match event:
            case SuspectsFound(suspects=suspects):
                seen.suspects = suspects
            case CandidateJudged(number=number, judgement=judgement):
                seen.judged = number
                seen.verdicts[judgement.verdict.value] += 1
                if judgement.verdict is Verdict.PLAUSIBLE:
                    seen.shown.append((number, judgement.candidate))
                    seen.settled_by = seen.settled_by or number
            case Finished(result=result):
                _finish(seen, result)
    return seen


def _finish(seen: _Seen, result: RepairResult) -> None:
    """Without tests nothing is plausible yet: what would be shown, in its order, is decided by the evaluator."""
    seen.cost = result.cost
    seen.chosen = result.chosen.candidate if result.chosen else None
    undecided = [j.candidate for j in result.judgements if j.verdict is Verdict.UNDECIDED]
    if not seen.shown and undecided:
        seen.shown = list(enumerate(undecided, 1))
        seen.chosen = undecided[0]


def _scored(case: Case, seen: _Seen, judge: Judge, conditions: Conditions) -> Measurement:
    decided = [(rank, candidate, judge.decide(candidate.patch)) for rank, candidate in seen.shown]
    own = next((d for _, candidate, d in decided if candidate == seen.chosen), None)
    if own is None and seen.chosen is not None:
        own = judge.decide(seen.chosen.patch)
    plausible = [rank for rank, _, d in decided if d.plausible]
    right = [rank for rank, _, d in decided if d.correct]
    source = source_of(case, case.buggy_code)
    lines = [s.line for s in seen.suspects]
    faulty = () if case.fixed_code is None else changed_lines(case.buggy_code, case.fixed_code)
    found = replace(
        _measurement(case, *_status(own, conditions)),
        correct=own.correct if own else False,
        first_plausible=min(plausible, default=None),
        first_correct=min(right, default=None),
        plausible_count=len(plausible),
        correct_count=len(right),
        judged=seen.judged,
        verdicts=dict(sorted(seen.verdicts.items())),
        stop=stop_of(conditions, seen.judged, seen.settled_by, seen.cost.seconds),
        fault_rank=line_rank(lines, faulty),
        function_rank=function_rank(
            {source.path: source}, [(s.path, s.line) for s in seen.suspects], [(source.path, n) for n in faulty]
        ),
        confidence=seen.suspects[0].suspiciousness if seen.suspects else None,
        suspects=tuple(lines[:_SUSPECTS]),
        test_runs=seen.cost.test_runs,
        prompt_tokens=seen.cost.prompt_tokens,
        completion_tokens=seen.cost.completion_tokens,
    )
    return _with_patch(case, found, seen.chosen, own)


def _status(own: Decision | None, conditions: Conditions) -> tuple[Status, str]:
    if own is not None and own.plausible:
        return Status.REPAIRED, ""
    if own is not None and conditions.tests == GIVEN:
        return Status.UNSCORED, "the oracle called a patch plausible that fails the tests when they are run again"
    return Status.NONE_FOUND, ""


def _with_patch(case: Case, found: Measurement, chosen: Candidate | None, own: Decision | None) -> Measurement:
    """What the chosen patch is like."""
    if chosen is None or own is None:
        return found
    source, code = source_of(case, case.buggy_code), patched_code(case, chosen.patch)
    fixed = case.fixed_code
    return replace(
        found,
        diff=render_diff(chosen.patch, {source.path: source}),
        origin=chosen.origin,
        patch_lines=size_of_change(case.buggy_code, code),
        exact=None if fixed is None else code == fixed,
        same_tree=None if fixed is None else tree_key(source.with_text(code)) == tree_key(source.with_text(fixed)),
        decided_by=own.by,
        witness=own.witness,
    )


def _with_model(
    case: Case, found: Measurement, model: Heard | None, request: RepairRequest, seen: _Seen, search: SearchOptions
) -> Measurement:
    """What the model says beside: its unreadable answers, "no fault", whether the reference was within reach."""
    if model is not None:
        found = replace(found, proposed=model.proposed, unreadable=model.unreadable, no_fault=_no_fault(case, model))
    if found.correct is not True and seen.suspects:
        found = replace(found, in_pool=holds_reference(case, request, seen.suspects, model, search))
    return found


def _no_fault(case: Case, model: Model) -> NoFault | None:
    """What the model says of the faulty code and of the reference, with no evidence at all."""
    if case.fixed_code is None:
        return None
    asked = [_asked(source_of(case, code), model) for code in (case.buggy_code, case.fixed_code)]
    if asked[0] is None or asked[1] is None:
        return None
    (faulty, faulty_ok), (clean, clean_ok) = asked[0], asked[1]
    return NoFault(faulty, clean, faulty_ok, clean_ok)


def _asked(source: Source, model: Model) -> tuple[float, bool] | None:
    """P(no fault), and whether it is likelier than any line; None where the model gives none.

    All evidence is left out, so that the suspects are the model's belief alone, up to their common factor.
    """
    place, no_fault = survey(RepairRequest((source,)), model, None)
    if no_fault is None:
        return None
    top = max((s.suspiciousness for s in place.suspects), default=0.0) * (1 - no_fault)
    return no_fault, no_fault > top


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
