"""Plain statistics of a profile: quantiles, Gini, entropy, Wilson interval, chi-square against an expectation.

Numbers in, numbers out; knows nothing of records or pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
CHI_SQUARE_9 = 27.88  # 99.9 % of the chi-square distribution with nine degrees of freedom lies below


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `whole`, with the 95 % interval of the share in the population (Wilson 1927)."""

    count: int
    whole: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself, 0 of nothing."""
        return self.count / self.whole if self.whole else 0.0


def share(count: int, whole: int, z: float = 1.96) -> Share:
    """A share with its Wilson interval; 0 to 1 where nothing was looked at."""
    if whole == 0:
        return Share(0, 0, 0.0, 1.0)
    p, square = count / whole, z * z
    middle = (p + square / (2 * whole)) / (1 + square / whole)
    half = z / (1 + square / whole) * math.sqrt(p * (1 - p) / whole + square / (4 * whole * whole))
    return Share(count, whole, max(0.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of whole numbers: how many, mean, `QUANTILES` of them, and counts in bins named by their bounds."""

    count: int
    mean: float
    quantiles: tuple[int, ...]
    bins: tuple[tuple[str, int], ...]


def distribution(counts: Mapping[int, int], edges: Sequence[int]) -> Distribution:
    """Exact, from how often each number occurs. Bins go from one edge to the next one less one, the last is open."""
    total = sum(counts.values())
    ordered = sorted(counts)
    mean = sum(n * counts[n] for n in ordered) / total if total else 0.0
    return Distribution(total, mean, tuple(_quantiles(ordered, counts, total)), tuple(_bins(counts, edges)))


def _quantiles(ordered: Sequence[int], counts: Mapping[int, int], total: int) -> Iterable[int]:
    """The smallest number with at least that share of all at or below it."""
    passed, at = 0, 0
    for q in QUANTILES if total else ():
        while passed + counts[ordered[at]] < q * total and at < len(ordered) - 1:
            passed += counts[ordered[at]]
            at += 1
        yield ordered[at]


def _bins(counts: Mapping[int, int], edges: Sequence[int]) -> Iterable[tuple[str, int]]:
    for low, after in zip(edges, (*edges[1:], None), strict=True):
        inside = sum(c for n, c in counts.items() if n >= low and (after is None or n < after))
        name = f"{low}+" if after is None else str(low) if after == low + 1 else f"{low}-{after - 1}"
        yield name, inside


def gini(counts: Iterable[int]) -> float:
    """0 when all are equal, towards 1 when one has everything."""
    ordered = sorted(counts)
    total, n = sum(ordered), len(ordered)
    if total == 0:
        return 0.0
    return sum((2 * i - n - 1) * c for i, c in enumerate(ordered, 1)) / (n * total)


def evenness(counts: Iterable[int]) -> float:
    """Shannon entropy over its greatest possible value: 1 when all are equal; 1 for a single one."""
    present = [c for c in counts if c]
    total = sum(present)
    if len(present) < 2:
        return 1.0
    return -sum(c / total * math.log(c / total) for c in present) / math.log(len(present))


def chi_square(observed: Sequence[float], expected: Sequence[float]) -> float:
    """Pearson's statistic over bins in which something is expected."""
    return sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True) if e > 0)
