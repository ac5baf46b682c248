"""Statistics of measured counts and values: shares, intervals, corrections. Pure; knows nothing of cases or suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution
RESAMPLES = 10_000
_BLOCK = 2_000_000  # values drawn at a time: 32 MB, whatever the number of values

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From an array (resamples, values) to one number for each resample."""


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`, with its 95 % Wilson score interval. All three shares are None where total is 0."""

    count: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total:
            raise ValueError(f"{self.count} of {self.total} is no share")

    @property
    def value(self) -> float | None:
        """The share itself, 0..1."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper bound, 0..1."""
        return wilson(self.count, self.total) if self.total else None

    def __str__(self) -> str:
        if self.interval is None:
            return "0 of 0"
        low, high = self.interval
        return (
            f"{self.count} of {self.total} = {100 * self.count / self.total:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean (or other figure) over `count` tasks with its interval; all None where there are no tasks."""

    value: float | None
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of a yes/no judgement: `tp` rightly yes, `fp` wrongly yes, `fn` wrongly no, `tn` rightly no."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __post_init__(self) -> None:
        if min(self.tp, self.fp, self.fn, self.tn) < 0:
            raise ValueError(f"a count below zero: {self}")

    @property
    def precision(self) -> Share:
        """Of what was called yes, the share that is."""
        return Share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Share:
        """Of what is yes, the share that was called so."""
        return Share(self.tp, self.tp + self.fn)

    @property
    def false_alarms(self) -> Share:
        """Of what is no, the share that was called yes."""
        return Share(self.fp, self.fp + self.tn)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, None where nothing is or was called yes."""
        found = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / found if found else None

    @property
    def f1_interval(self) -> tuple[float, float] | None:
        """95 % bounds of F1.

        F1 = 2J / (1 + J), where J = tp / (tp + fp + fn) is a share; F1 rises with J, so Wilson's bounds of J are
        carried over. Unlike those of the delta method they never leave 0..1, and they stay wide at 0 and at 1.
        """
        union = self.tp + self.fp + self.fn
        if not union:
            return None
        low, high = wilson(self.tp, union)
        return 2 * low / (1 + low), 2 * high / (1 + high)


def confusion(said: Sequence[bool], true: Sequence[bool]) -> Confusion:
    """Counts of paired answers. Raises ValueError where the lengths differ."""
    pairs = [(bool(s), bool(t)) for s, t in zip(said, true, strict=True)]
    return Confusion(*(pairs.count(p) for p in ((True, True), (True, False), (False, True), (False, False))))


def wilson(count: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927). Raises ValueError where total is not positive."""
    if total < 1:
        raise ValueError("an interval needs at least one trial")
    share = count / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(first: Share, second: Share) -> tuple[float, float]:
    """95 % interval of `first - second`, two independent shares (Newcombe 1998, Statist. Med. 17:873, method 10).

    Bounds lie in -1..1. Raises ValueError where one of them is a share of nothing.
    """
    if not first.total or not second.total:
        raise ValueError("the difference of shares needs at least one trial on both sides")
    p, q = first.count / first.total, second.count / second.total
    (p_low, p_high), (q_low, q_high) = wilson(first.count, first.total), wilson(second.count, second.total)
    low = p - q - sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    return low, p - q + sqrt((p_high - p) ** 2 + (q - q_low) ** 2)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given: each below .05 is significant though several were tried (Holm 1979).

    Raises ValueError for a value outside 0..1.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError("a p-value lies between 0 and 1")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def mean(resamples: Floats) -> Floats:
    """The mean of each resample."""
    return resamples.mean(axis=-1)


def median(resamples: Floats) -> Floats:
    """The median of each resample."""
    return np.median(resamples, axis=-1)


def bootstrap(
    values: Sequence[float],
    statistic: Statistic = mean,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron 1979): the statistic of `resamples` samples drawn with replacement.

    The same values in any order and the same seed give the same bounds, so `statistic` must not depend on order.
    Raises ValueError where there are no values, one is not finite, or `level` is not between 0 and 1.
    """
    if not values or not all(isfinite(v) for v in values):
        raise ValueError("a bootstrap needs at least one value, all of them finite")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError("a bootstrap needs a level between 0 and 1 and at least one resample")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    draw = np.random.default_rng(seed)
    block = max(1, _BLOCK // len(ordered))
    found = [
        statistic(ordered[draw.integers(len(ordered), size=(min(block, resamples - start), len(ordered)))])
        for start in range(0, resamples, block)
    ]
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimate(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The mean of values, one a task, with its 95 % bootstrap interval."""
    if not values:
        return Estimate(None, None, None, 0)
    low, high = bootstrap(values, resamples=resamples, seed=seed)
    return Estimate(float(np.mean(values)), low, high, len(values))


def quantile(values: Sequence[float], q: float) -> float | None:
    """The q-quantile (0..1) by linear interpolation, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
