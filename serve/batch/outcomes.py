"""Outcomes: what a run says of each repository, from how its items ended. Pure, and the same whatever the order was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from repair.projects.values import Combination, Diagnosis, Fix, Order, Outcome, Spent, Standing, State
from serve.batch.items import Ended, Kind, Ref, combining, faults_of

Stop = Literal["", "cancelled", "interrupted", "over budget"]
_STANDINGS = {"cancelled": Standing.CANCELLED, "interrupted": Standing.CANCELLED, "over budget": Standing.OVER_BUDGET}
_STATES = {
    "cancelled": State.CANCELLED,
    "interrupted": State.CANCELLED,
    "over budget": State.OVER_BUDGET,
    "": State.LOST,
}
# of faults without a fix, which of their states stands for the repository
_WEAKEST = (
    (State.CANCELLED, Standing.CANCELLED),
    (State.OVER_BUDGET, Standing.OVER_BUDGET),
    (State.LOST, Standing.LOST),
)
_GOOD = frozenset({Standing.REPAIRED, Standing.HEALTHY, Standing.FLAKY})


def is_good(outcome: Outcome) -> bool:
    """Whether nothing is left to repair in it."""
    return outcome.standing in _GOOD


def outcome_of(order: Order, ended: Mapping[Ref, Ended], stop: Stop, why: str) -> Outcome:
    """The outcome of a repository; `stop` and `why` (a sentence) say why the items that have not ended have not."""
    spent = sum((one.spent for ref, one in ended.items() if ref.name == order.name), Spent())
    first = ended.get(Ref(order.name, Kind.DIAGNOSE))
    if first is None or (first.diagnosis is None and first.standing is None):
        standing = _STANDINGS.get(stop, Standing.LOST)
        return Outcome(order.name, order.place, standing, why or "it was not looked at", spent=spent)
    if first.diagnosis is None:
        assert first.standing is not None
        return Outcome(order.name, order.place, first.standing, first.reason, spent=spent)
    fixes = tuple(
        _fix(fault.key, ended.get(Ref(order.name, Kind.MEND, fault.key)), stop, why)
        for fault in faults_of(order, ended)
    )
    ref, taken = combining(order.name, fixes)
    last = ended.get(ref) if ref else None
    combination = last.combination if last else None
    if refused := _refusal(order, ended):
        standing, reason = refused
    elif len(taken) and combination is None:
        standing, reason = Standing.PARTLY, last.reason if last else why
        reason = f"the fixes were not tried together: {reason}" if reason else "the fixes were not tried together"
    else:
        standing, reason = _standing(first.diagnosis, fixes, combination, order.bounds.faults)
    return Outcome(order.name, order.place, standing, reason, first.diagnosis, fixes, combination, spent)


def _refusal(order: Order, ended: Mapping[Ref, Ended]) -> tuple[Standing, str] | None:
    """Of a repository that a later step has refused, as one that attacks."""
    found = sorted(
        (ref.key, one.reason)
        for ref, one in ended.items()
        if ref.name == order.name and one.standing is Standing.HOSTILE
    )
    return (Standing.HOSTILE, found[0][1]) if found else None


def _fix(key: str, ended: Ended | None, stop: Stop, why: str) -> Fix:
    """A fault's end, also where its item was refused, lost or never done."""
    if ended is None or (ended.fix is None and ended.standing is None):
        return Fix(key, _STATES[stop], why or "it was not looked at")
    if ended.fix is not None:
        return ended.fix
    state = State.LOST if ended.standing is Standing.LOST else State.UNFIXED
    return Fix(key, state, ended.reason)


def _standing(
    diagnosis: Diagnosis, fixes: Sequence[Fix], combination: Combination | None, most: int
) -> tuple[Standing, str]:
    if not fixes:
        return _without_faults(diagnosis)
    fixed = sum(fix.state is State.FIXED for fix in fixes)
    proposed = sum(fix.state is State.PROPOSED for fix in fixes)
    found = len(diagnosis.faults)
    count = f"{fixed} of {found} {'fault has' if found == 1 else 'faults have'} a fix"
    if found > len(fixes):
        count += f", {found - len(fixes)} were left out by the bound of {most} faults"
    if proposed:
        count += f", {proposed} a patch that no test could judge"
    if combination is not None and not combination.passed:
        return Standing.PARTLY, f"{count}; together they do not pass: {combination.reason}"
    if combination is not None and combination.left_out:
        return Standing.PARTLY, f"{count}; {len(combination.left_out)} of them do not fit with the others"
    if fixed == found:
        return Standing.REPAIRED, count
    if fixed or proposed:
        return Standing.PARTLY, count
    weakest = next((s for state, s in _WEAKEST if any(fix.state is state for fix in fixes)), Standing.UNREPAIRED)
    reasons = sorted({fix.reason for fix in fixes if fix.reason})
    return weakest, f"{count}: {'; '.join(reasons)}" if reasons else count


def _without_faults(diagnosis: Diagnosis) -> tuple[Standing, str]:
    if diagnosis.failing:
        return Standing.UNREPAIRED, f"{len(diagnosis.failing)} tests fail, and no fault could be told from them"
    if diagnosis.flaky:
        return Standing.FLAKY, f"{len(diagnosis.flaky)} tests fail in some runs and pass in others"
    return Standing.HEALTHY, f"all {diagnosis.passing} tests pass"
