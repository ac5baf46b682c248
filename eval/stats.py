"""Statistics of measured counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


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


def wilson(count: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927). Raises ValueError where total is not positive."""
    if total < 1:
        raise ValueError("an interval needs at least one trial")
    share = count / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def quantile(values: Sequence[float], q: float) -> float | None:
    """The q-quantile (0..1) by linear interpolation, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
