"""The badge of one explanation, from a few more questions to the model: whether its scores say what matters.

Two measures: the target's fall without the highest units against random ones, and the LDS over random deletions.
With DELETIONS of them an LDS of LDS_GATE is what random scores reach one time in twenty.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from repair.explain.evidence import Question, asked
from repair.explain.metrics import Floats, Mask, lds, order, random_masks
from repair.explain.values import Badge, EvidenceMap, Subject, Target, Trust, Unit
from repair.model import Model

DELETIONS = 16
DRAWS = 3  # of random units
LDS_GATE = 0.45
DROP_GATE = 2.0  # times the random fall
SECONDS = 3.0  # of a slow model, after which no more is measured
_FEWEST = 8  # deletions below which nothing is concluded
_UNITS = 5  # units below which there is nothing to choose between
_ORDER = (Trust.FAITHFUL, Trust.WEAK, Trust.UNMEASURED, Trust.FAILED)


def judged(model: Model, subject: Subject, found: EvidenceMap, *, seed: int = 0) -> EvidenceMap:
    """The map with its measured badge. Raises as `evidence.asked` does."""
    return judged_together(model, subject, [found], seed=seed)[0]


def judged_together(
    model: Model, subject: Subject, maps: Sequence[EvidenceMap], *, seed: int = 0
) -> tuple[EvidenceMap, ...]:
    """Maps with their badges; those of one target and the same units share the random deletions."""
    taken: dict[tuple[Target, tuple[Unit, ...]], _Taken | Badge] = {}
    found: list[EvidenceMap] = []
    for one in maps:
        units = tuple(dict.fromkeys(s.unit for s in one.scores))
        key = (one.target, units)
        if key not in taken:
            taken[key] = _take(model, subject, one.target, units, seed)
        sample = taken[key]
        badge = sample if isinstance(sample, Badge) else _badge(sample, one)
        found.append(replace(one, badge=badge))
    return tuple(found)


def trusted_first(maps: Sequence[EvidenceMap]) -> tuple[EvidenceMap, ...]:
    """The same, best badge first, else in their order."""
    return tuple(sorted(maps, key=lambda one: _ORDER.index(one.badge.trust)))


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """Random deletions of units and what they did."""

    question: Question
    units: tuple[Unit, ...]
    whole: float
    masks: Mask  # (deletions, units)
    values: Floats  # (deletions,)
    random: float  # mean size of the fall without as many random units as are tried of the highest


def _take(model: Model, subject: Subject, target: Target, units: tuple[Unit, ...], seed: int) -> _Taken | Badge:
    if len(units) < _UNITS:
        return Badge(Trust.UNMEASURED, f"only {len(units)} units: too few to tell good scores from chance")
    question = asked(model, subject, target)
    if question.most is not None:
        return Badge(Trust.UNMEASURED, "the model scores nothing: measuring would take too many answers")
    if unknown := [unit for unit in units if unit not in question.units]:
        return Badge(Trust.UNMEASURED, f"{unknown[0].label} is not in the prompt: another view was explained")
    began = time.perf_counter()
    whole = question.value(question.view)
    masks, values = random_masks(len(units), DELETIONS, seed=seed), list[float]()
    gone = [[u for u, kept in zip(units, mask, strict=True) if not kept] for mask in masks]
    for start in range(0, len(gone), _FEWEST):
        if values and time.perf_counter() - began > SECONDS:
            break
        values += question.each_without(gone[start : start + _FEWEST])
    rng = np.random.default_rng(seed)
    drawn = [[units[n] for n in rng.choice(len(units), _top(units), replace=False)] for _ in range(DRAWS)]
    falls = [abs(whole - left) for left in question.each_without(drawn)]
    return _Taken(question, units, whole, masks[: len(values)], np.array(values), float(np.mean(falls)))


def _top(units: Sequence[Unit]) -> int:
    return max(1, min(3, len(units) // 5))


def _badge(sample: _Taken, found: EvidenceMap) -> Badge:
    scores = np.zeros(len(sample.units))
    for one in found.scores:
        scores[sample.units.index(one.unit)] += one.score
    count = _top(sample.units)
    drop = sample.whole - sample.question.without([sample.units[n] for n in order(scores)[:count]])
    ratio = drop / max(sample.random, 1e-6)
    agreement = lds(scores, sample.masks, sample.values)
    measures = ((f"top-{count} drop", drop), ("random drop", sample.random), ("LDS", agreement))
    return Badge(*_verdict(agreement, ratio, count), measures)


def _verdict(agreement: float, ratio: float, count: int) -> tuple[Trust, str]:
    said = f"the top {count} units matter {ratio:.1f} times as much as random ones, LDS {agreement:.2f}"
    if agreement >= LDS_GATE and ratio >= DROP_GATE:
        return Trust.FAITHFUL, said
    if ratio < 1 or (agreement < LDS_GATE / 3 and ratio < DROP_GATE):
        return Trust.FAILED, f"its scores do not say what matters to the model ({said})"
    return Trust.WEAK, said
