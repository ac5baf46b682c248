"""How good explanations are, as numbers: arrays and `measure(kept) -> float` in, floats out. Knows no model.

`scores` (units,): how much each unit is said to speak for the target. `measure` takes a mask (units,) of what is kept
and gives the target (log-probability or probability).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Measure: TypeAlias = Callable[[Mask], float]

SHARES = (0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Against:
    """A figure, and that of random orders (their mean)."""

    value: float
    random: float


def order(scores: Floats) -> NDArray[np.int64]:
    """Indices, highest score first; equal ones in their own order."""
    return np.argsort(-np.asarray(scores, np.float64), kind="stable")


def ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends: Floats = np.cumsum(counts).astype(np.float64)
    return (ends - (counts + 1) / 2)[inverse]


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's; 0 where one of them is constant or there are fewer than two."""
    if len(one) < 2:
        return 0.0
    a, b = ranks(np.asarray(one, np.float64)), ranks(np.asarray(other, np.float64))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


def _mask(size: int, chosen: NDArray[np.int64], *, keep: bool) -> Mask:
    mask = np.full(size, not keep)
    mask[chosen] = keep
    return mask


def _counts(size: int, shares: Sequence[float]) -> list[int]:
    return [max(1, round(size * share)) for share in shares]


def comprehensiveness(scores: Floats, measure: Measure, shares: Sequence[float] = SHARES) -> float:
    """Mean fall of the target where the highest shares of units go (DeYoung et al. 2020); high is good."""
    best, whole = order(scores), measure(np.ones(len(scores), np.bool_))
    left = [measure(_mask(len(scores), best[:n], keep=False)) for n in _counts(len(scores), shares)]
    return whole - float(np.mean(left))


def sufficiency(scores: Floats, measure: Measure, shares: Sequence[float] = SHARES) -> float:
    """Mean fall of the target where only the highest shares stay (DeYoung et al. 2020); low is good."""
    best, whole = order(scores), measure(np.ones(len(scores), np.bool_))
    left = [measure(_mask(len(scores), best[:n], keep=True)) for n in _counts(len(scores), shares)]
    return whole - float(np.mean(left))


def deletion_auc(scores: Floats, measure: Measure, *, steps: int = 10, draws: int = 5, seed: int = 0) -> Against:
    """Mean of the target while units go, highest first (Petsiuk et al. 2018), against random orders; low is good."""
    return _areas(scores, measure, keep=False, steps=steps, draws=draws, seed=seed)


def insertion_auc(scores: Floats, measure: Measure, *, steps: int = 10, draws: int = 5, seed: int = 0) -> Against:
    """Mean of the target while units come back, highest first (Petsiuk et al. 2018); high is good."""
    return _areas(scores, measure, keep=True, steps=steps, draws=draws, seed=seed)


def _areas(scores: Floats, measure: Measure, *, keep: bool, steps: int, draws: int, seed: int) -> Against:
    size, rng = len(scores), np.random.default_rng(seed)
    counts = sorted({round(n) for n in np.linspace(0, size, min(steps, size) + 1)})

    def area(ordered: NDArray[np.int64]) -> float:
        curve = np.array([measure(_mask(size, ordered[:n], keep=keep)) for n in counts])
        widths = np.diff(np.array(counts, np.float64)) / size
        return float(((curve[1:] + curve[:-1]) / 2) @ widths)

    others = [area(rng.permutation(size)) for _ in range(draws)]
    return Against(area(order(scores)), float(np.mean(others)))


def random_masks(size: int, runs: int, *, kept: float = 0.5, seed: int = 0) -> Mask:
    """Masks (runs, size), each unit kept with this chance."""
    return np.random.default_rng(seed).random((runs, size)) < kept


def lds(scores: Floats, masks: Mask, values: Floats) -> float:
    """Linear datamodelling score (Park et al. 2023, TRAK); 1 is best.

    Rank correlation of the summed scores of what each of `masks` (runs, units) keeps with `values` (runs,), measured.
    """
    return rank_correlation(masks @ np.asarray(scores, np.float64), values)


def top_drop(scores: Floats, measure: Measure, *, count: int = 1, draws: int = 5, seed: int = 0) -> Against:
    """Fall of the target without the highest `count` units, and the mean size of the fall without random ones."""
    size, rng = len(scores), np.random.default_rng(seed)
    whole = measure(np.ones(size, np.bool_))
    drop = whole - measure(_mask(size, order(scores)[:count], keep=False))
    others = [
        abs(whole - measure(_mask(size, rng.choice(size, count, replace=False), keep=False))) for _ in range(draws)
    ]
    return Against(drop, float(np.mean(others)))


def hit_at(scores: Floats, right: Collection[int], count: int = 1) -> bool:
    """Whether one of the `right` indices is among the highest `count` scores: evidence hit@1, location hit@k."""
    return bool(set(order(scores)[:count].tolist()) & set(right))


def sanity(scores: Floats, of_random_weights: Floats) -> float:
    """Rank correlation with the scores of a model of random weights (Adebayo et al. 2018); near 0 is sane."""
    return rank_correlation(scores, of_random_weights)


def stability(scores: Floats, renamed: Floats) -> float:
    """Rank correlation with the scores of the same program under other names; 1 is stable."""
    return rank_correlation(scores, renamed)


def completeness_gap(scores: Floats, difference: float) -> float:
    """How far the scores are from adding up to the output difference, as a share of it (Sundararajan et al. 2017)."""
    return abs(float(np.sum(scores)) - difference) / max(abs(difference), 1e-9)


def calibration_error(confidence: Floats, right: Floats, *, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015) of confidences in [0, 1] by equal bins; 0 is best."""
    if not len(confidence):
        return 0.0
    at = np.minimum((np.asarray(confidence) * bins).astype(np.int64), bins - 1)
    gaps = [
        abs(float(np.mean(np.asarray(confidence)[at == n])) - float(np.mean(np.asarray(right, np.float64)[at == n])))
        * float(np.mean(at == n))
        for n in range(bins)
        if np.any(at == n)
    ]
    return float(np.sum(gaps))


def interval(values: Floats, *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean of values (examples,)."""
    rng = np.random.default_rng(seed)
    means = np.asarray(values, np.float64)[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
