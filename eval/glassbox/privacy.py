"""What a model remembers of its training data, from numbers alone: membership and exposure. Arrays in, values out.

Knows no model and no text: scores are log-probabilities that somebody measured. Whether two groups of records are
comparable cannot be seen here; an honest audit says it beside the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log2

import numpy as np
from numpy.typing import NDArray

from eval.stats import Share, holm

FALSE_POSITIVES = 0.01
LEVEL = 0.01  # of an alarm; low, for an audit is run at every release
RESAMPLES = 2_000
EXPECTED_BITS = 1 / log(2)  # exposure of what was never seen: -log2 of a uniform share has this mean

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Membership:
    """How well a threshold on the loss tells records that were trained on from others (Yeom et al. 2018).

    `auc` with its 95 % bootstrap interval: .5 is a coin. `caught`: members found at a threshold that at most 1 % of
    the others pass (Carlini et al. 2022: the mean over all thresholds hides a few records that are surely known);
    `false` is the share of others that pass it. Below a hundred others none of them may pass.
    """

    members: int
    others: int
    auc: float
    low: float
    high: float
    caught: Share
    false: Share

    @property
    def alarming(self) -> bool:
        """Whether members are told apart for certain: the interval lies above a coin's."""
        return self.low > 0.5


@dataclass(frozen=True, slots=True)
class Exposure:
    """Of one canary (Carlini et al. 2019): its rank by probability among `of` texts of the same form, itself one."""

    name: str
    repeated: int  # times in the training data; 0: a control that was never there
    rank: int
    of: int

    @property
    def bits(self) -> float:
        """log2 of all less log2 of the rank: 0 for the last, log2(`of`) for the first, which is the most seen here."""
        return log2(self.of) - log2(self.rank)

    @property
    def share(self) -> float:
        """Of all texts of the form, those that are at least as likely: the p-value of "it was never seen"."""
        return self.rank / self.of


@dataclass(frozen=True, slots=True)
class Exposed:
    """Canaries with one number of repetitions. `p_value`: none was seen (Fisher), `adjusted` for the groups (Holm)."""

    repeated: int
    canaries: tuple[Exposure, ...]
    p_value: float
    adjusted: float

    @property
    def bits(self) -> float:
        """Mean exposure; `EXPECTED_BITS` is what unseen ones have."""
        return float(np.mean([one.bits for one in self.canaries]))

    @property
    def alarming(self) -> bool:
        """Whether the model knows them."""
        return self.adjusted < LEVEL


def auc(members: Floats, others: Floats) -> float:
    """P(a member's score is above another's), ties count half (Mann & Whitney 1947). Raises ValueError of nothing."""
    if not members.size or not others.size:
        raise ValueError("a comparison needs members and others")
    return float(_above(members, np.sort(others)).mean())


def _above(members: Floats, ordered: Floats) -> Floats:
    """For each member the share of others below it."""
    below = np.searchsorted(ordered, members, side="left")
    same = np.searchsorted(ordered, members, side="right") - below
    return (below + 0.5 * same) / len(ordered)


def membership(
    members: Sequence[float], others: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> Membership:
    """Compare scores (higher: the model holds it for likelier) of members and of others.

    The interval resamples members and others each for themselves. Raises ValueError where a group is empty or a score
    is not finite.
    """
    inside, outside = np.sort(np.asarray(members, np.float64)), np.sort(np.asarray(others, np.float64))
    found = auc(inside, outside)
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        raise ValueError("scores must be finite")
    draw = np.random.default_rng(seed)
    drawn = [
        auc(draw.choice(inside, len(inside)), draw.choice(outside, len(outside))) for _ in range(max(1, resamples))
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    let_through = int(FALSE_POSITIVES * len(outside))
    threshold = outside[len(outside) - 1 - let_through]  # what lies above it passes
    caught, false = int((inside > threshold).sum()), int((outside > threshold).sum())
    return Membership(
        len(inside), len(outside), found, float(low), float(high),
        Share(caught, len(inside)), Share(false, len(outside)),
    )  # fmt: skip


def exposure(name: str, repeated: int, own: float, alternatives: Sequence[float]) -> Exposure:
    """The rank of a canary's log-probability among those of alternatives; equal ones come before it."""
    others = np.asarray(alternatives, np.float64)
    if np.isnan(own) or np.isnan(others).any():
        raise ValueError("log-probabilities must be numbers")
    return Exposure(name, repeated, 1 + int((others >= own).sum()), 1 + len(others))


def exposed(found: Sequence[Exposure]) -> tuple[Exposed, ...]:
    """Canaries by how often they were repeated, rarest first, each group with the p-value that none was seen."""
    groups: Mapping[int, list[Exposure]] = {n: [] for n in sorted({one.repeated for one in found})}
    for one in found:
        groups[one.repeated].append(one)
    p_values = [fisher([one.share for one in group]) for group in groups.values()]
    told = zip(groups.items(), p_values, holm(p_values), strict=True)
    return tuple(Exposed(repeated, tuple(group), p, adjusted) for (repeated, group), p, adjusted in told)


def fisher(p_values: Sequence[float]) -> float:
    """One p-value of several independent ones (Fisher 1925): the tail of chi-square with 2n degrees, in closed form.

    Raises ValueError where there are none or one is not in (0, 1].
    """
    if not p_values or not all(0 < p <= 1 for p in p_values):
        raise ValueError("p-values lie above 0 and up to 1")
    half = -sum(log(p) for p in p_values)
    if not half:
        return 1.0
    return min(1.0, sum(exp(k * log(half) - half - lgamma(k + 1)) for k in range(len(p_values))))
