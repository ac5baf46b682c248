"""Fairness: does the repair serve some groups of tasks worse than others? Shares by group, gaps, and tests. Pure.

Groups are labels of a task (`eval.identifiers.groups_of` finds some); this module does not know what they mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from eval.stats import Share, holm, newcombe

ENOUGH = 10  # members below which a group's share says nothing
PERMUTATIONS = 2_000
LEVEL = 0.05
TOO_FEW = "too few to say"


@dataclass(frozen=True, slots=True)
class Sliced:
    """One task: whether it was a hit (repaired, located, ...; None unknown) and its group for each attribute."""

    id: str
    hit: bool | None
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """The tasks of one group: the share of hits among the known ones."""

    name: str
    share: Share
    unknown: int
    note: str = ""  # TOO_FEW where it is below the least number of members

    @property
    def enough(self) -> bool:
        """Whether it takes part in gap and test."""
        return not self.note


@dataclass(frozen=True, slots=True)
class Gap:
    """One attribute. Gap and tests are None where fewer than two groups have enough members.

    `difference` is the share of `best` less that of `worst`, `interval` its 95 % Newcombe bounds. Best and worst are
    picked after looking, so the interval alone overstates: `p_value` (a permutation test over all groups) does not,
    and `adjusted` also allows for the other attributes of the table (Holm).
    """

    attribute: str
    groups: tuple[Group, ...]  # by falling share, those with too few last
    best: str | None = None
    worst: str | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    adjusted: float | None = None
    warning: str = ""


def gap_table(
    rows: Sequence[Sliced],
    *,
    enough: int = ENOUGH,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[Gap, ...]:
    """A Gap for each attribute that any row has, by name. Rows that lack an attribute do not count for it.

    The order of rows does not matter and an attribute's p-value does not depend on which others there are. Raises
    ValueError for an id that occurs twice.
    """
    if len({row.id for row in rows}) != len(rows):
        raise ValueError("each task may occur once")
    names = sorted({name for row in rows for name in row.groups})
    gaps = [_gap(name, _groups(rows, name, enough), permutations, seed) for name in names]
    tested = [gap for gap in gaps if gap.p_value is not None]
    adjusted = holm([gap.p_value for gap in tested if gap.p_value is not None])
    by_name = {gap.attribute: _judged(gap, p, len(tested)) for gap, p in zip(tested, adjusted, strict=True)}
    return tuple(by_name.get(gap.attribute, replace(gap, warning=TOO_FEW)) for gap in gaps)


def _groups(rows: Sequence[Sliced], attribute: str, enough: int) -> tuple[Group, ...]:
    members: defaultdict[str, list[bool | None]] = defaultdict(list)
    for row in rows:
        if attribute in row.groups:
            members[row.groups[attribute]].append(row.hit)
    found: list[Group] = []
    for name, hits in members.items():
        known = len(hits) - hits.count(None)
        found.append(Group(name, Share(hits.count(True), known), hits.count(None), "" if known >= enough else TOO_FEW))
    return tuple(sorted(found, key=lambda g: (bool(g.note), -(g.share.value or 0.0), g.name)))


def _gap(attribute: str, groups: tuple[Group, ...], permutations: int, seed: int) -> Gap:
    large = [g for g in groups if g.enough]
    if len(large) < 2:
        return Gap(attribute, groups)
    best, worst = large[0], large[-1]
    draw = np.random.default_rng([seed, crc32(attribute.encode())])
    return Gap(
        attribute,
        groups,
        best.name,
        worst.name,
        (best.share.value or 0.0) - (worst.share.value or 0.0),
        newcombe(best.share, worst.share),
        permutation_test([g.share for g in large], permutations, draw),
    )


def permutation_test(shares: Sequence[Share], permutations: int, draw: np.random.Generator) -> float:
    """p-value of Pearson's chi-square over groups, the hits being dealt anew to the same tasks.

    How many hits each group gets from a random permutation follows the multivariate hypergeometric law, from which is
    drawn directly. What was seen counts as one of the permutations, so p is never 0 (Phipson & Smyth 2010).
    """
    sizes = np.array([s.total for s in shares])
    hits = np.array([s.count for s in shares])
    total, size = int(hits.sum()), int(sizes.sum())
    if total in (0, size):
        return 1.0
    expected = sizes * (total / size)
    dealt = draw.multivariate_hypergeometric(sizes, total, size=permutations, method="marginals")
    # with all margins fixed chi-square is this sum times a constant
    seen = float((((hits - expected) ** 2) / sizes).sum())
    others = (((dealt - expected) ** 2) / sizes).sum(axis=1)
    return float((1 + np.count_nonzero(others >= seen - 1e-9)) / (1 + permutations))


def _judged(gap: Gap, adjusted: float, tests: int) -> Gap:
    warning = ""
    if adjusted < LEVEL:
        shares = {g.name: 100 * (g.share.value or 0.0) for g in gap.groups}
        best, worst = gap.best or "", gap.worst or ""
        over = f", Holm over {tests} attributes" if tests > 1 else ""
        warning = f"{worst} {shares[worst]:.1f} % against {best} {shares[best]:.1f} % (p = {adjusted:.2g}{over})"
    return replace(gap, adjusted=adjusted, warning=warning)
