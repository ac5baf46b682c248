"""What trials come to: for each attack and for the worst of each case, how much repair and localization drop. Pure.

Drops are paired, over the cases that an attack could be made on; each comes with its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.measurement import Status
from eval.robustness.attacks import NAMES
from eval.robustness.pairs import Paired, paired
from eval.robustness.search import Method
from eval.robustness.trials import Outcome, Plan, Trial, repaired
from eval.stats import Share

WORST = "worst case"
BY_BELIEF, BY_REPAIR = "belief in the faulty lines", "repair, then belief in the faulty lines"
WITHIN = (1, 3, 5)
_EXAMPLES = 10

Answer = Callable[[Outcome], bool | None]


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack over all cases. Where nothing was measured for real, `plausible` and `correct` hold no case.

    `located`: a faulty line within the first so many suspects, by the error alone; `located_measured`: as the
    repair saw them under the conditions.
    """

    name: str
    applied: int
    not_applicable: int
    plausible: Paired
    correct: Paired
    located: tuple[tuple[int, Paired], ...]
    located_measured: tuple[tuple[int, Paired], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A case that an attack harms. Repairs: 0 none, 1 plausible and wrong, 2 correct or unknown, None unmeasured."""

    id: str
    attacks: tuple[str, ...]
    clean_rank: int | None
    attacked_rank: int | None
    belief_drop: float  # in nats
    clean_repair: int | None
    attacked_repair: int | None
    code: str
    error: str
    change: str


@dataclass(frozen=True, slots=True)
class Robustness:
    """A suite's summary. `total` counts all cases, `tried` those that could be measured clean.

    `worst` is a bound: `selected_by` says by what each case's worst attack was chosen, and a drop in just that is no
    test of anything (it has no p-value).
    """

    suite: str
    sha256: str
    plan: Mapping[str, Any]
    total: int
    tried: int
    left_out: tuple[tuple[str, str], ...]
    unscored: tuple[tuple[str, str], ...]
    queries: int
    attacks: tuple[AttackRow, ...]
    worst: AttackRow
    selected_by: str
    examples: tuple[Example, ...]


def summarize(suite: str, sha256: str, plan: Plan, trials: Iterable[Trial]) -> Robustness:
    """The summary of one suite; the order of the trials does not matter."""
    rows = sorted(trials, key=lambda trial: trial.id)
    pairs = [(trial, trial.clean) for trial in rows if trial.clean is not None]
    worst = [(clean, trial.worst or clean) for trial, clean in pairs]
    harmless = sum(trial.worst is None for trial, _ in pairs)
    return Robustness(
        suite=suite,
        sha256=sha256,
        plan=plan.stated,
        total=len(rows),
        tried=len(pairs),
        left_out=_reasons(rows, Status.LEFT_OUT),
        unscored=_reasons(rows, Status.UNSCORED),
        queries=sum(trial.queries for trial in rows),
        attacks=tuple(_attack(name, [trial for trial, _ in pairs]) for name in NAMES),
        worst=_row(WORST, worst, harmless),
        selected_by=BY_REPAIR if _repairs_chosen(plan) else BY_BELIEF,
        examples=_examples(rows),
    )


def _repairs_chosen(plan: Plan) -> bool:
    return plan.search.method is Method.EACH and not plan.locate_only


def _reasons(rows: Iterable[Trial], status: Status) -> tuple[tuple[str, str], ...]:
    return tuple((trial.id, trial.reason) for trial in rows if trial.clean is None and trial.status is status)


def _attack(name: str, trials: Iterable[Trial]) -> AttackRow:
    rows = tuple(trials)
    pairs = [(t.clean, one) for t in rows if t.clean for one in t.tried if one.attacks == (name,)]
    return _row(name, pairs, sum(name in trial.not_applicable for trial in rows))


def _row(name: str, pairs: list[tuple[Outcome, Outcome]], not_applicable: int) -> AttackRow:
    return AttackRow(
        name,
        len(pairs),
        not_applicable,
        _paired(pairs, _plausible),
        _paired(pairs, _correct),
        tuple((most, _paired(pairs, lambda one, most=most: _within(one.rank, most))) for most in WITHIN),
        tuple((most, _paired(pairs, lambda one, most=most: _within_measured(one, most))) for most in WITHIN),
    )


def _paired(pairs: list[tuple[Outcome, Outcome]], answer: Answer) -> Paired:
    """Over the cases that have the answer on both sides."""
    answers = [(answer(clean), answer(attacked)) for clean, attacked in pairs]
    return paired((before, after) for before, after in answers if before is not None and after is not None)


def _plausible(one: Outcome) -> bool | None:
    level = repaired(one)
    return None if level is None else level > 0


def _correct(one: Outcome) -> bool | None:
    """None where nothing can decide."""
    measured = one.measurement
    return measured.correct if measured is not None and measured.scored else None


def _within(rank: int | None, most: int) -> bool:
    return rank is not None and rank <= most


def _within_measured(one: Outcome, most: int) -> bool | None:
    measured = one.measurement
    return _within(measured.fault_rank, most) if measured is not None and measured.scored else None


def _examples(trials: Iterable[Trial]) -> tuple[Example, ...]:
    """The worst first: lost repairs, then lost ranks, then lost belief."""
    found = [_example(t.id, t.clean, t.worst) for t in trials if t.clean is not None and t.worst is not None]
    return tuple(sorted(found, key=_harm)[:_EXAMPLES])


def _example(identity: str, clean: Outcome, worst: Outcome) -> Example:
    return Example(
        identity,
        worst.attacks,
        clean.rank,
        worst.rank,
        round(clean.belief - worst.belief, 6),
        repaired(clean),
        repaired(worst),
        worst.code,
        worst.error,
        worst.change,
    )


def _harm(one: Example) -> tuple[float, ...]:
    lost = (one.clean_repair or 0) - (one.attacked_repair or 0) if one.attacked_repair is not None else 0
    hit = (one.clean_rank or 99) <= 1 < (one.attacked_rank or 99)
    return -lost, -hit, -one.belief_drop


def robustness_json(summary: Robustness) -> dict[str, Any]:
    """The summary as JSON has it."""
    return {
        "suite": summary.suite,
        "sha256": summary.sha256,
        "conditions": dict(summary.plan),
        "total": summary.total,
        "tried": summary.tried,
        "left_out": [list(one) for one in summary.left_out],
        "unscored": [list(one) for one in summary.unscored],
        "queries": summary.queries,
        "attacks": [_row_json(row) for row in summary.attacks],
        "worst": _worst_json(summary),
        "selected_by": summary.selected_by,
        "examples": [_example_json(one) for one in summary.examples],
    }


def _worst_json(summary: Robustness) -> dict[str, Any]:
    """The worst case's row, without a p-value for what it was selected by."""
    row = _row_json(summary.worst)
    chosen = list(row["located"].values())
    if summary.selected_by == BY_REPAIR:
        chosen += [row["plausible"], row["correct"], *row["located_measured"].values()]
    for pair in chosen:
        if pair is not None:
            pair["p_value"] = None
    return row


def _row_json(row: AttackRow) -> dict[str, Any]:
    return {
        "attack": row.name,
        "applied": row.applied,
        "not_applicable": row.not_applicable,
        "plausible": _paired_json(row.plausible),
        "correct": _paired_json(row.correct),
        "located": {str(most): _paired_json(pair) for most, pair in row.located},
        "located_measured": {str(most): _paired_json(pair) for most, pair in row.located_measured},
    }


def _paired_json(pair: Paired) -> dict[str, Any] | None:
    """None where there was nothing to compare. `success` is the attack's: lost of those that there were."""
    if not pair.before.total:
        return None
    return {
        "total": pair.before.total,
        "clean": _share_json(pair.before),
        "attacked": _share_json(pair.after),
        "drop": pair.drop,
        "interval": list(pair.interval or ()),
        "p_value": pair.p_value,
        "success": _share_json(pair.lost),
        "gained": pair.gained,
    }


def _share_json(share: Share) -> dict[str, Any]:
    interval = list(share.interval) if share.interval else None
    return {"count": share.count, "total": share.total, "share": share.value, "interval": interval}


def _example_json(one: Example) -> dict[str, Any]:
    return {
        "id": one.id,
        "attacks": list(one.attacks),
        "clean_rank": one.clean_rank,
        "attacked_rank": one.attacked_rank,
        "belief_drop": one.belief_drop,
        "clean_repair": one.clean_repair,
        "attacked_repair": one.attacked_repair,
        "code": one.code,
        "error": one.error,
        "change": one.change,
    }
