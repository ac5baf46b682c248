"""Gaps of groups against the rest of their attribute, with bootstrap intervals: the rows of a forest plot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from eval.measurement import Measurement
from eval.slices import Gap
from eval.stats import Share, newcombe

RESAMPLES = 10_000
THIRDS = ("first third", "middle third", "last third")


@dataclass(frozen=True, slots=True)
class GapRow:
    """One group: its share less that of all other tasks of its attribute, with a 95 % interval.

    `bootstrap` False: a share is 0 or 1, all resamples are the same, and the interval is Newcombe's.
    """

    attribute: str
    group: str
    share: Share
    rest: Share
    difference: float
    low: float
    high: float
    bootstrap: bool = True

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0; of many groups one in twenty does by chance."""
        return self.low > 0 or self.high < 0


def gap_rows(gaps: Iterable[Gap], *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[GapRow, ...]:
    """A row for each group with enough members where the others of its attribute have members too."""
    return tuple(row for gap in gaps for row in _rows(gap, resamples, seed))


def _rows(gap: Gap, resamples: int, seed: int) -> Iterator[GapRow]:
    hits, total = sum(g.share.count for g in gap.groups), sum(g.share.total for g in gap.groups)
    for group in gap.groups:
        share = group.share
        rest = Share(hits - share.count, total - share.total)
        if group.enough and rest.total:
            draw = np.random.default_rng([seed, crc32(f"{gap.attribute}\n{group.name}".encode())])
            low, high, drawn = difference_interval(share, rest, resamples, draw)
            yield GapRow(
                gap.attribute, group.name, share, rest, share.count / share.total - rest.count / rest.total,
                low, high, drawn,
            )  # fmt: skip


def difference_interval(
    first: Share, second: Share, resamples: int, draw: np.random.Generator
) -> tuple[float, float, bool]:
    """95 % bounds of `first - second` by the percentile bootstrap (Efron 1979), and whether it was the bootstrap.

    Resampling yes/no tasks with replacement is drawing from a binomial law, so that is drawn. It has no width at a
    share of 0 or 1: Newcombe's interval stands in there. Raises ValueError for a share of nothing.
    """
    if any(s.count in (0, s.total) for s in (first, second)):
        return (*newcombe(first, second), False)
    sides = [draw.binomial(s.total, s.count / s.total, resamples) / s.total for s in (first, second)]
    low, high = np.quantile(sides[0] - sides[1], [0.025, 0.975])
    return float(low), float(high), True


def fault_position(fault_lines: Sequence[int], lines: int) -> str:
    """The third of a program of `lines` lines where its fault begins; "" where that is not known or it has no thirds.

    Order bias: a model that reads a prompt from its start may find faults there more readily.
    """
    if not fault_lines or lines < len(THIRDS):
        return ""
    return THIRDS[min(2, 3 * (min(fault_lines) - 1) // lines)]


def with_position(m: Measurement, lines: int) -> Measurement:
    """The measurement with the group `fault_position`, where it is known."""
    place = fault_position(m.fault_lines, lines)
    return replace(m, groups={**m.groups, "fault_position": place}) if place else m
