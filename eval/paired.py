"""Two systems on the same tasks: exact tests and intervals of the difference. Pure.

Sign convention: a difference is `after - before`, so where more is better a positive one is an improvement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt

from eval.stats import RESAMPLES, Estimate, Share, estimate, wilson


@dataclass(frozen=True, slots=True)
class Paired:
    """Tasks by which of two systems solved them, and what the difference is worth.

    `unknown` counts tasks left out: not known for one of the two, or seen by one only. `difference` is the share of
    `after` less that of `before` among the known, `interval` its 95 % bounds; both None where no task is known.
    """

    both: int
    only_before: int
    only_after: int
    neither: int
    unknown: int
    p_value: float  # McNemar, exact, two-sided; 1 where nothing differs
    mid_p: float
    difference: float | None
    interval: tuple[float, float] | None

    @property
    def known(self) -> int:
        """Tasks that count."""
        return self.both + self.only_before + self.only_after + self.neither

    @property
    def before(self) -> Share:
        """What `before` solved of the known tasks."""
        return Share(self.both + self.only_before, self.known)

    @property
    def after(self) -> Share:
        """What `after` solved of the known tasks."""
        return Share(self.both + self.only_after, self.known)


def compare(before: Mapping[str, bool | None], after: Mapping[str, bool | None]) -> Paired:
    """Compare results by task id: True solved, False not, None unknown. Never raises."""
    names = before.keys() | after.keys()
    pairs = [(before.get(name), after.get(name)) for name in names]
    both, only_before = pairs.count((True, True)), pairs.count((True, False))
    only_after, neither = pairs.count((False, True)), pairs.count((False, False))
    known = both + only_before + only_after + neither
    return Paired(
        both,
        only_before,
        only_after,
        neither,
        len(pairs) - known,
        mcnemar_exact(only_before, only_after),
        mcnemar_mid_p(only_before, only_after),
        (only_after - only_before) / known if known else None,
        paired_interval(both, only_before, only_after, neither) if known else None,
    )


def mcnemar_exact(only_before: int, only_after: int) -> float:
    """Two-sided exact p-value (McNemar 1947): both kinds of discordant pairs are equally likely, a fair coin.

    Raises ValueError for a count below 0.
    """
    _check(only_before, only_after)
    total, fewer = only_before + only_after, min(only_before, only_after)
    tail = sum(comb(total, i) for i in range(fewer + 1))
    return min(1.0, 2 * tail / 2**total)  # whole numbers of any size, divided once


def mcnemar_mid_p(only_before: int, only_after: int) -> float:
    """As `mcnemar_exact`, what was seen counting half: less conservative, still near its level (Fagerland 2013)."""
    _check(only_before, only_after)
    total, fewer = only_before + only_after, min(only_before, only_after)
    tail = 2 * sum(comb(total, i) for i in range(fewer)) + comb(total, fewer)
    return tail / 2**total


def paired_interval(both: int, only_before: int, only_after: int, neither: int) -> tuple[float, float]:
    """95 % bounds of the difference of two shares of the same tasks (Newcombe 1998, Statist. Med. 17:2635, method 10).

    Preferred to a bootstrap of the pairs, which claims certainty ([0, 0]) where no pair differs. Raises ValueError
    where there is no pair.
    """
    _check(both, only_before, only_after, neither)
    total = both + only_before + only_after + neither
    first, second = both + only_after, both + only_before  # after, before
    (p_low, p_high), (q_low, q_high) = wilson(first, total), wilson(second, total)
    p, q = first / total, second / total
    phi = _phi(both, only_after, only_before, neither)
    left, right = p - p_low, q_high - q
    low = p - q - sqrt(max(0.0, left * left - 2 * phi * left * right + right * right))
    left, right = p_high - p, q - q_low
    return low, p - q + sqrt(max(0.0, left * left - 2 * phi * left * right + right * right))


def _phi(a: int, b: int, c: int, d: int) -> float:
    """Correlation of the fourfold table, corrected for continuity where it is positive, 0 where a margin is empty."""
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if not margins:
        return 0.0
    product = a * d - b * c
    if product > 0:
        product = max(0.0, product - (a + b + c + d) / 2)
    return product / sqrt(margins)


def paired_bootstrap(
    before: Sequence[float | None], after: Sequence[float | None], seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Mean of `after - before` over tasks, with a 95 % bootstrap interval over tasks; for seconds, ranks, tokens.

    Pairs with a None are left out (`count` says how many stayed). Raises ValueError where the lengths differ.
    """
    pairs = zip(before, after, strict=True)
    return estimate([b - a for a, b in pairs if a is not None and b is not None], seed, resamples)


def _check(*counts: int) -> None:
    if min(counts) < 0:
        raise ValueError("a count of pairs is not below 0")
