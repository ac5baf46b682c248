"""The decisions of `emend improve` as values: which rows steer and which measure, what to build, what came of it.

Pure. Must not know how rows are measured, faults injected or adapters trained (`serve.commands.improve` composes that),
what before and after are compared by (`eval.improvement_effect`), nor what a report looks like
(`eval.improvement_report`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from data.classes import coarse_class
from eval.clusters import advice
from eval.failures import FAILED, TRAINABLE, UNTYPED, Weakness, pattern, weaknesses
from eval.measurement import Measurement
from eval.suites.rows import Case
from repair.mutate import BUG_CLASSES
from repair.mutate.mutation import MIX

FLOOR = 0.3  # share of the faults that keeps to the mix of all classes, so that nothing is forgotten
CLEAN_SHARE = 0.17  # of the pairs without a fault, as real code has more of them than the mix
LEAST_TRAINABLE = 0.2  # share of the failures below which training is not worth its time


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
    """The bug class of a case: its own where it is one of ours, else by the difference to its reference.

    UNTYPED where no operator of ours makes such a fault.
    """
    if case.bug_type in BUG_CLASSES:
        return str(case.bug_type)
    found = coarse_class(case.language, case.buggy_code, case.fixed_code) if case.fixed_code else ""
    return found if found in BUG_CLASSES else UNTYPED


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


def plan(found: Sequence[Measurement]) -> Plan:
    """What to build for the failures of the diagnosis half.

    A floor keeps to the mix of all classes; the rest goes to the classes in proportion to the failures that training
    may help: that many more programs like these can be repaired at best.
    """
    weak = weaknesses(found)
    why = Counter(kind for one in found if (kind := pattern(one)) in FAILED)
    counts = {kind.value: count for kind, count in why.most_common()}
    if not why:
        return Plan({}, "nothing failed in the diagnosis half: there is no weakness to train for", weak, counts)
    trainable = sum(count for kind, count in why.items() if kind in TRAINABLE)
    if trainable < LEAST_TRAINABLE * why.total():
        worst = next(kind for kind, _ in why.most_common() if kind not in TRAINABLE)
        told = f"training cannot help: {why[worst]} of {why.total()} failures are {worst.value!r}. {advice(worst)}"
        return Plan({}, told.removesuffix("."), weak, counts)
    helped = {w.bug_type: w.trainable for w in weak if w.bug_type in MIX and w.trainable}
    if not helped:
        told = "training cannot help: no failure is of a class that faults can be injected of"
        return Plan({}, told, weak, counts)
    told = f"{trainable} of {why.total()} failures are such that other data may help"
    return Plan(_shares(helped), told, weak, counts)


def _shares(helped: Mapping[str, int]) -> dict[str, float]:
    """Of each class in the faults to build, from the failures by class that training may help."""
    whole, failures = sum(MIX.values()), sum(helped.values())
    return {c: FLOOR * MIX[c] / whole + (1 - FLOOR) * helped.get(c, 0) / failures for c in MIX}


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
