"""Two yes-or-no answers on the same cases, before and after: the drop with its interval and test. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb, sqrt

from eval.stats import Share, wilson


@dataclass(frozen=True, slots=True)
class Paired:
    """`lost`: yes before and no after, of those yes before. `gained`: the other way round, a count."""

    before: Share
    after: Share
    lost: Share
    gained: int

    @property
    def drop(self) -> float | None:
        """Share before minus share after, None of nothing."""
        total = self.before.total
        return (self.lost.count - self.gained) / total if total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % score interval of the drop (Newcombe 1998, paired proportions, method 10); None of nothing."""
        n = self.before.total
        if not n:
            return None
        both, neither = self.before.count - self.lost.count, n - self.before.count - self.gained
        p1, p2 = self.before.count / n, self.after.count / n
        (l1, u1), (l2, u2) = wilson(self.before.count, n), wilson(self.after.count, n)
        phi = _correlation(both, self.lost.count, self.gained, neither)
        down = sqrt(max(0.0, (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2))
        up = sqrt(max(0.0, (u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2))
        return p1 - p2 - down, p1 - p2 + up

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar test: how likely so uneven a change is where attacks change nothing."""
        changed, less = self.lost.count + self.gained, min(self.lost.count, self.gained)
        return min(1.0, 2 * sum(comb(changed, k) for k in range(less + 1)) / 2**changed)


def paired(answers: Iterable[tuple[bool, bool]]) -> Paired:
    """From (before, after) of each case."""
    rows = tuple(answers)
    before, after = sum(b for b, _ in rows), sum(a for _, a in rows)
    lost = sum(b and not a for b, a in rows)
    gained = sum(a and not b for b, a in rows)
    return Paired(Share(before, len(rows)), Share(after, len(rows)), Share(lost, before), gained)


def _correlation(both: int, lost: int, gained: int, neither: int) -> float:
    """Phi of the two answers, corrected for continuity as Newcombe does; 0 where one answer never changes."""
    scale = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    if not scale:
        return 0.0
    product, half = both * neither - lost * gained, (both + lost + gained + neither) / 2
    return (product - half if product > half else min(product, 0)) / sqrt(scale)
