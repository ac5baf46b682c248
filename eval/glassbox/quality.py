"""How good each method of attribution is for a model, against a random order: per case, then in sum.

The target's fall is measured by really taking lines out and asking the model; every method of a case meets the same
deletions. Measures: LDS (Park et al. 2023), deletion AUC (Petsiuk et al. 2018), fall without the first unit, and on
planted evidence whether it comes first. Sanity: likeness to the scores of the same shape with random weights
(Adebayo et al. 2018). Pure but for the model and the glass, which are handed in.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.stats import Estimate, estimate
from repair.explain.attention import attention_evidence
from repair.explain.evidence import UNMEASURED, Question, ablation, asked, ridge
from repair.explain.glass import Glass
from repair.explain.gradients import gradient
from repair.explain.metrics import Floats, deletion_auc, hit_at, lds, random_masks, sanity, top_drop
from repair.explain.values import EvidenceMap, Method, MethodQuality, Subject, Target, Unit, UnitKind, UnitScore
from repair.model import Model

METHODS = tuple(Method)
DELETIONS = 24
STEPS = 8  # of a deletion curve
DRAWS = 5  # random orders
LDS, DELETION, DROP = "LDS", "deletion AUC gain", "top-1 drop"
HIT, SANITY = "planted evidence first", "random-weight likeness"


@dataclass(frozen=True, slots=True)
class Trial:
    """One subject to explain; `evidence`: the code line that alone holds what the repair needs, where it is known."""

    id: str
    subject: Subject
    evidence: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one trial. `random` figures are those of random orders on the same trial; None: not measured.

    `deletion` is the mean of the target (nats) while units go, highest first: low is good.
    """

    id: str
    method: Method
    units: int
    lds: float
    deletion: float
    random_deletion: float
    drop: float
    random_drop: float
    hit: bool | None
    chance: float | None  # of a random order to hit
    sanity: float | None
    seconds: float


def explained(method: Method, model: Model, glass: Glass, subject: Subject, *, seed: int = 0) -> EvidenceMap:
    """The evidence map of any method, baselines included. Raises ModelError as the methods do."""
    target = Target()
    match method:
        case Method.ABLATION:
            return ablation(model, subject, target)
        case Method.RIDGE:
            return ridge(model, subject, target, seed=seed)
        case Method.ATTENTION | Method.ROLLOUT:
            return attention_evidence(glass, subject, method)
        case Method.RANDOM:
            question = asked(model, subject, target)
            draw = random.Random(f"{seed}:{subject.view.path}:{len(question.units)}")
            scores = tuple(UnitScore(unit, draw.uniform(-1.0, 1.0)) for unit in question.units)
            return EvidenceMap(method, target, scores, question.value(question.view), UNMEASURED)
        case _:
            return gradient(glass, subject, target, method)


def measure(
    trial: Trial, model: Model, glass: Glass, blank: Glass | None = None,
    *, methods: Sequence[Method] = METHODS, seed: int = 0,
) -> tuple[Row, ...]:  # fmt: skip
    """Every method on one trial. `blank`: the same shape with random weights, for sanity.

    Raises ModelError when the model fails; empty where there are too few units to tell anything.
    """
    question = asked(model, trial.subject, Target())
    units = question.units
    if len(units) < 5:
        return ()
    value = _remembering(question, units)
    masks = random_masks(len(units), DELETIONS, seed=seed)
    values = np.array([value(mask) for mask in masks])
    rows: list[Row] = []
    for method in methods:
        found = explained(method, model, glass, trial.subject, seed=seed)
        scores = aligned(found, units)
        area = deletion_auc(scores, value, steps=STEPS, draws=DRAWS, seed=seed)
        drop = top_drop(scores, value, draws=DRAWS, seed=seed)
        hit, chance = _hit(trial, units, scores)
        sane = None
        if blank is not None and method is not Method.RANDOM:
            sane = sanity(scores, aligned(explained(method, blank.local(), blank, trial.subject, seed=seed), units))
        rows.append(
            Row(
                trial.id, method, len(units), lds(scores, masks, values), area.value, area.random, drop.value,
                drop.random, hit, chance, sane, found.seconds,
            )
        )  # fmt: skip
    return tuple(rows)


def _remembering(question: Question, units: Sequence[Unit]) -> Callable[[NDArray[np.bool_]], float]:
    """The target by what is kept; a mask that comes again is not asked again."""
    known: dict[bytes, float] = {}

    def value(mask: NDArray[np.bool_]) -> float:
        key = np.asarray(mask, np.bool_).tobytes()
        if key not in known:
            known[key] = question.without([unit for unit, kept in zip(units, mask, strict=True) if not kept])
        return known[key]

    return value


def aligned(found: EvidenceMap, units: Sequence[Unit]) -> Floats:
    """Scores (units,) in the order of `units`; 0 for those that the map does not have."""
    by_place = {(s.unit.kind, s.unit.number): s.score for s in found.scores}
    return np.array([by_place.get((u.kind, u.number), 0.0) for u in units], np.float64)


def _hit(trial: Trial, units: Sequence[Unit], scores: Floats) -> tuple[bool | None, float | None]:
    """Whether the planted line comes first among the lines of code that are not changed, and chance's share."""
    if trial.evidence is None:
        return None, None
    changed = trial.subject.changed
    among = [n for n, u in enumerate(units) if u.kind is UnitKind.CODE and u.number not in changed]
    right = [at for at, n in enumerate(among) if units[n].number == trial.evidence]
    return hit_at(scores[among], right), len(right) / max(len(among), 1)


def summarize(rows: Iterable[Row], *, seed: int = 0) -> tuple[Summary, ...]:
    """One summary a method, in the order of Method; 95 % intervals by bootstrap over trials."""
    by_method: dict[Method, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row.method, []).append(row)
    return tuple(_summary(method, by_method[method], seed) for method in Method if method in by_method)


@dataclass(frozen=True, slots=True)
class Summary:
    """A method over trials. Gains are (method - random), signed so that more is better; each with its interval."""

    method: Method
    trials: int
    lds: Estimate
    deletion_gain: Estimate  # nats
    drop_ratio: float  # of the mean fall without the first unit to that without a random one
    drop_gain: Estimate  # nats
    hit: Estimate | None
    chance: float | None
    hit_gain: Estimate | None
    sanity: Estimate | None
    seconds: float  # median

    @property
    def beats_random(self) -> bool:
        """Whether every interval against random lies above it."""
        gains = [self.lds, self.deletion_gain, self.drop_gain, *([self.hit_gain] if self.hit_gain else [])]
        return all(gain.low is not None and gain.low > 0 for gain in gains)

    @property
    def quality(self) -> MethodQuality:
        """As the reference of a checkpoint keeps it."""
        measures = [(LDS, self.lds, 0.0), (DELETION, self.deletion_gain, 0.0)]
        measures += [(HIT, self.hit, self.chance or 0.0), (SANITY, self.sanity, 0.0)]
        known = [(name, e.value, other) for name, e, other in measures if e is not None and e.value is not None]
        known.insert(2, (DROP, self.drop_ratio, 1.0))
        rounded = tuple((name, round(value, 4), round(other, 4)) for name, value, other in known)
        return MethodQuality(self.method, self.trials, rounded, self.beats_random)


def _summary(method: Method, rows: Sequence[Row], seed: int) -> Summary:
    def mean(values: Iterable[float]) -> Estimate:
        return estimate([value for value in values if math.isfinite(value)], seed=seed)

    hits = [(float(r.hit), r.chance) for r in rows if r.hit is not None and r.chance is not None]
    sane = [r.sanity for r in rows if r.sanity is not None]
    return Summary(
        method, len(rows), mean(r.lds for r in rows), mean(r.random_deletion - r.deletion for r in rows),
        float(np.mean([r.drop for r in rows])) / max(float(np.mean([r.random_drop for r in rows])), 1e-9),
        mean(r.drop - r.random_drop for r in rows),
        mean(h for h, _ in hits) if hits else None, float(np.mean([c for _, c in hits])) if hits else None,
        mean(h - c for h, c in hits) if hits else None, mean(sane) if sane else None,
        float(np.median([r.seconds for r in rows])),
    )  # fmt: skip
