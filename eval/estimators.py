"""Figures over tasks from their counts and ranks: pass@k, rank@k, mean reciprocal rank. Pure.

Two things are called "@k" and must not be mixed up. A model that *samples* n answers to a task, c of them right, has
a probability that k of them hold a right one: `pass_at_k`. A repair that gives one *ranked list*, the same in each
run, either has a right one among the first k or has not: `first_rank_at_k`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.stats import RESAMPLES, Estimate, Share, estimate

TOP = (1, 3, 5)
Rank = int | None
"""Counts from 1; None where nothing of the kind was in the list."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that k of n samples, c of which are right, drawn without replacement, hold a right one.

    Unbiased for a model's pass@k: 1 - C(n - c, k) / C(n, k), as a product, so that nothing overflows (Chen et al.
    2021, arXiv:2107.03374). Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} samples cannot be right")
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} cannot be told from {n} samples")
    if n - c < k:
        return 1.0
    missed = 1.0
    for wrong in range(n - c + 1, n + 1):
        missed *= 1.0 - k / wrong
    return 1.0 - missed


def mean_pass_at_k(counts: Sequence[tuple[int, int]], k: int, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean of `pass_at_k` over tasks, each (samples, right ones); the interval is a bootstrap over tasks."""
    return estimate([pass_at_k(n, c, k) for n, c in counts], seed, resamples)


def first_rank_at_k(ranks: Sequence[Rank], k: int) -> Share:
    """Share of tasks whose first plausible (or correct) candidate has rank k or better in a ranked list.

    No estimator of `pass_at_k`: a ranked list is one outcome, its order is a merit that random draws would not have.
    Raises ValueError for a rank or k below 1.
    """
    if k < 1:
        raise ValueError(f"k counts from 1, it is {k}")
    return Share(sum(rank is not None and rank <= k for rank in _checked(ranks)), len(ranks))


def top_k(ranks: Sequence[Rank], ks: Sequence[int] = TOP) -> tuple[tuple[int, Share], ...]:
    """`first_rank_at_k` for several k, each with its k."""
    return tuple((k, first_rank_at_k(ranks, k)) for k in ks)


def mean_reciprocal_rank(ranks: Sequence[Rank], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean of 1 / rank, 0 where there is none (Voorhees 1999), with a bootstrap interval over tasks."""
    return estimate([0.0 if rank is None else 1.0 / rank for rank in _checked(ranks)], seed, resamples)


def _checked(ranks: Sequence[Rank]) -> Sequence[Rank]:
    if any(rank is not None and rank < 1 for rank in ranks):
        raise ValueError("ranks count from 1, None stands for none")
    return ranks
