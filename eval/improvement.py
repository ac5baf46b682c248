"""The decisions of `emend improve` as values: which rows steer and which measure, what to build, what came of it.

Pure. Must not know how rows are measured, faults injected or adapters trained (`serve.commands.improve` composes that),
nor what a report looks like (`eval.improvement_report`).
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import comb

from data.classes import coarse_class
from eval.measurement import Measurement, Status, Stop
from eval.stats import Share, quantile
from eval.suites.rows import Case
from repair.mutate import BUG_CLASSES
from repair.mutate.mutation import MIX

FLOOR = 0.3  # share of the faults that keeps to the mix of all classes, so that nothing is forgotten
CLEAN_SHARE = 0.17  # of the pairs without a fault, as real code has more of them than the mix
LEAST_TRAINABLE = 0.2  # share of the failures below which training is not worth its time
OTHER = "other"  # class of a fault that no operator of ours makes
_SUSPECTS = 10  # a fault ranked below is not localized
_RESAMPLES = 2000


class Pattern(StrEnum):
    """Why a case was not repaired."""

    NOT_LOCALIZED = "not localized"
    NO_FIX = "no fix among candidates"
    RANKED_LOW = "fix ranked too low"
    WRONG = "plausible but wrong"
    TIMED_OUT = "timed out"
    UNREADABLE = "unreadable answers"


TRAINABLE = frozenset({Pattern.NOT_LOCALIZED, Pattern.NO_FIX, Pattern.RANKED_LOW, Pattern.WRONG})
_ADVICE = {
    Pattern.TIMED_OUT: "give the search more seconds (--seconds), not the model more data",
    Pattern.UNREADABLE: "the model does not keep to the format of answers: choose another model or prompt",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A case with the name of its suite."""

    suite: str
    case: Case

    @property
    def name(self) -> str:
        """Unique among all suites."""
        return f"{self.suite}/{self.case.id}"


@dataclass(frozen=True, slots=True)
class Weakness:
    """Failures of one bug class; `pattern` is the most frequent reason, `trainable` how many data may help."""

    bug_type: str
    failed: int
    total: int
    trainable: int
    pattern: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What the diagnosis calls for. `shares` of the faults by class sum to 1; empty where training cannot help."""

    shares: Mapping[str, float]
    reason: str
    weaknesses: tuple[Weakness, ...]
    patterns: Mapping[str, int]

    @property
    def trains(self) -> bool:
        """Whether there is something to train for."""
        return bool(self.shares)


@dataclass(frozen=True, slots=True)
class Change:
    """One class before and after."""

    bug_type: str
    before: Share
    after: Share


@dataclass(frozen=True, slots=True)
class Comparison:
    """The measured half before and after. `difference` is after - before, None where nothing is known of both."""

    before: Share
    after: Share
    plausible_before: Share
    plausible_after: Share
    gained: tuple[str, ...]  # rows that are correct only after
    lost: tuple[str, ...]
    unknown: int  # rows of which correctness is not known in both runs
    difference: float | None
    interval: tuple[float, float] | None  # 95 %, paired bootstrap over rows
    p_value: float  # McNemar, exact, two-sided
    changes: tuple[Change, ...] = ()
    cut: tuple[int, int] = (0, 0)  # unsolved rows, before and after, that ran out of seconds before candidates


@dataclass(frozen=True, slots=True)
class Built:
    """The data: pairs that are trained on and held out by class, and the licences of the code."""

    train: Mapping[str, int]
    heldout: Mapping[str, int]
    injected: int  # records of the whole dataset, of which the mixture was drawn
    licences: Mapping[str, int] = field(default_factory=dict[str, int])
    digest: str = ""


@dataclass(frozen=True, slots=True)
class GateRow:
    """One line of the gate's table; None: undefined."""

    figure: str
    base: float | None
    tuned: float | None
    difference: float | None
    low: float | None
    high: float | None
    examples: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """The training and its gate. `losses` and `heldout` are (step, nats a token)."""

    candidate: str
    adapter: str  # where it may be used from; "" where the gate took nothing
    outcome: str  # "passed", "refused", "undecided"
    goal: str = ""
    forced: bool = False
    reasons: tuple[str, ...] = ()
    rows: tuple[GateRow, ...] = ()
    losses: tuple[tuple[int, float], ...] = ()
    heldout: tuple[tuple[int, float], ...] = ()

    @property
    def taken(self) -> bool:
        """Whether an adapter came of it."""
        return bool(self.adapter)


def class_of(case: Case) -> str:
    """The bug class of a case: its own where it is one of ours, else by the difference to its reference."""
    if case.bug_type in BUG_CLASSES:
        return str(case.bug_type)
    found = coarse_class(case.language, case.buggy_code, case.fixed_code) if case.fixed_code else ""
    return found if found in BUG_CLASSES else OTHER


def labelled(row: Row, found: Measurement) -> Measurement:
    """The measurement under the row's unique name, with its class."""
    return replace(found, id=row.name, bug_type=class_of(row.case))


def halves(rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows that steer what is built, and rows that only measure; both in the order of their hash.

    By the content of the repaired program, so that several faults of one program lie in the same half.
    """
    ordered = mingled(rows)
    odd = [int(same_program(row)[-1], 16) % 2 == 1 for row in ordered]
    steering = tuple(row for row, is_odd in zip(ordered, odd, strict=True) if is_odd)
    return steering, tuple(row for row, is_odd in zip(ordered, odd, strict=True) if not is_odd)


def mingled(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows in the order of their programs' hashes: any first part is a fair sample."""
    return tuple(sorted(rows, key=lambda row: (same_program(row), row.name)))


def same_program(row: Row) -> str:
    """Equal for faults of one program: the SHA-256 of the reference, of the code itself where there is none."""
    return hashlib.sha256((row.case.fixed_code or row.case.buggy_code).encode("utf-8", "surrogatepass")).hexdigest()


def fitting(seconds: float, minutes: float, jobs: int) -> int:
    """How many rows each half may have: both measured once and one twice, in three fifths of the time at worst."""
    return max(1, int(0.6 * 60 * minutes * jobs / (3 * seconds)))


def pattern(found: Measurement) -> Pattern | None:
    """Why the case was not repaired; None where it was, or where it says nothing."""
    if not found.scored or found.correct is True or (found.status is Status.REPAIRED and found.correct is None):
        return None
    if found.status is Status.REPAIRED:
        return Pattern.WRONG if found.first_correct is None else Pattern.RANKED_LOW
    return _unrepaired(found)


def _unrepaired(found: Measurement) -> Pattern:
    if found.proposed and found.unreadable > found.proposed / 2:
        return Pattern.UNREADABLE
    if found.fault_rank is None or found.fault_rank > _SUSPECTS:
        return Pattern.NOT_LOCALIZED
    if found.in_pool is not False and found.stop == Stop.SECONDS:
        return Pattern.TIMED_OUT
    return Pattern.RANKED_LOW if found.in_pool else Pattern.NO_FIX


def weaknesses(found: Sequence[Measurement]) -> tuple[Weakness, ...]:
    """Classes with failures, most failures first."""
    groups: dict[str, list[Measurement]] = {}
    for one in found:
        if one.scored:
            groups.setdefault(one.bug_type or OTHER, []).append(one)
    made: list[Weakness] = []
    for name, those in groups.items():
        why = Counter(p for one in those if (p := pattern(one)))
        if why:
            helped = sum(count for p, count in why.items() if p in TRAINABLE)
            made.append(Weakness(name, why.total(), len(those), helped, why.most_common(1)[0][0].value))
    return tuple(sorted(made, key=lambda w: (-w.failed, -w.failed / w.total, w.bug_type)))


def plan(found: Sequence[Measurement]) -> Plan:
    """What to build for the failures of the diagnosis half.

    A floor keeps to the mix of all classes; the rest goes to the classes in proportion to the failures that training
    may help: that many more programs like these can be repaired at best.
    """
    weak = weaknesses(found)
    why = Counter(p for one in found if (p := pattern(one)))
    counts = {p.value: count for p, count in why.most_common()}
    helped = {w.bug_type: w.trainable for w in weak if w.bug_type in MIX and w.trainable}
    if not why:
        return Plan({}, "nothing failed in the diagnosis half: there is no weakness to train for", weak, counts)
    trainable = sum(count for p, count in why.items() if p in TRAINABLE)
    if trainable < LEAST_TRAINABLE * why.total():
        worst = next(p for p, _ in why.most_common() if p not in TRAINABLE)
        told = f"training cannot help: {why[worst]} of {why.total()} failures are {worst.value!r}; {_ADVICE[worst]}"
        return Plan({}, told, weak, counts)
    if not helped:
        told = "training cannot help: no failure is of a class that faults can be injected of"
        return Plan({}, told, weak, counts)
    whole, failures = sum(MIX.values()), sum(helped.values())
    shares = {c: FLOOR * MIX[c] / whole + (1 - FLOOR) * helped.get(c, 0) / failures for c in MIX}
    told = f"{trainable} of {why.total()} failures are such that other data may help"
    return Plan(shares, told, weak, counts)


def quotas(shares: Mapping[str, float], pairs: int, there: Mapping[str, int]) -> dict[str, int]:
    """How many faults of each class to draw: `pairs` in all by the shares, of what is there.

    What a class lacks goes to the others by their shares; fewer than `pairs` come out where all is used up.
    """
    given = dict.fromkeys(shares, 0)
    while (left := pairs - sum(given.values())) > 0:
        open_classes = [c for c in shares if shares[c] > 0 and given[c] < there.get(c, 0)]
        if not open_classes:
            break
        weight = sum(shares[c] for c in open_classes)
        wanted = {c: int(left * shares[c] / weight) for c in open_classes}
        if not any(wanted.values()):  # less than one each: the largest shares get the rest
            wanted = dict.fromkeys(sorted(open_classes, key=lambda c: (-shares[c], c))[:left], 1)
        for name, count in wanted.items():
            given[name] = min(there.get(name, 0), given[name] + count)
    return given


def compare(before: Sequence[Measurement], after: Sequence[Measurement]) -> Comparison:
    """The same rows under both models; rows that are scored and known in both count."""
    then, now = ({m.id: m for m in those if m.scored} for those in (before, after))
    both = sorted(then.keys() & now.keys())
    known = [n for n in both if then[n].correct is not None and now[n].correct is not None]
    right = [(bool(then[n].correct), bool(now[n].correct)) for n in known]
    gained = tuple(n for n, (a, b) in zip(known, right, strict=True) if b and not a)
    lost = tuple(n for n, (a, b) in zip(known, right, strict=True) if a and not b)
    differences = [b - a for a, b in right]
    return Comparison(
        before=Share(sum(a for a, _ in right), len(known)),
        after=Share(sum(b for _, b in right), len(known)),
        plausible_before=Share(sum(then[n].first_plausible is not None for n in both), len(both)),
        plausible_after=Share(sum(now[n].first_plausible is not None for n in both), len(both)),
        gained=gained,
        lost=lost,
        unknown=len(both) - len(known),
        difference=sum(differences) / len(known) if known else None,
        interval=_bootstrap(differences),
        p_value=_mcnemar(len(lost), len(gained)),
        changes=_changes({n: (then[n].bug_type or OTHER, pair) for n, pair in zip(known, right, strict=True)}),
        cut=(_cut(then[n] for n in both), _cut(now[n] for n in both)),
    )


def _cut(found: Iterable[Measurement]) -> int:
    return sum(one.status is Status.NONE_FOUND and one.stop == Stop.SECONDS for one in found)


def _changes(known: Mapping[str, tuple[str, tuple[bool, bool]]]) -> tuple[Change, ...]:
    groups: dict[str, list[tuple[bool, bool]]] = {}
    for name, pair in known.values():
        groups.setdefault(name, []).append(pair)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        Change(name, Share(sum(a for a, _ in those), len(those)), Share(sum(b for _, b in those), len(those)))
        for name, those in ordered
    )


def _mcnemar(one: int, other: int) -> float:
    """Two-sided exact p-value of the discordant pairs (McNemar 1947)."""
    tail = sum(comb(one + other, i) for i in range(min(one, other) + 1))
    return min(1.0, 2 * tail / 2 ** (one + other))


def _bootstrap(differences: Sequence[int]) -> tuple[float, float] | None:
    """95 % percentile interval of the mean over resampled rows (Efron 1979); always the same for the same rows."""
    if not differences:
        return None
    draw, size = random.Random(0), len(differences)
    means = [sum(draw.choices(differences, k=size)) / size for _ in range(_RESAMPLES)]
    return quantile(means, 0.025) or 0.0, quantile(means, 0.975) or 0.0
