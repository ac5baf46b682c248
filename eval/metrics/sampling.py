"""What `plausible_at_k` and `correct_at_k` share: pass@k of tasks whose samples were judged one by one."""

from __future__ import annotations

from collections.abc import Sequence

from eval.estimators import mean_pass_at_k
from eval.metrics.fields import Fields, estimate_fields, whole_numbers
from eval.stats import RESAMPLES

KS = (1, 5, 10)


def at_k_fields(
    name: str,
    judged: Sequence[Sequence[bool | None]],
    k: int | Sequence[int] | None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Fields:
    """Fields `NAME_at_K` with bounds, `tasks`, `samples` and `unknown` (None; counted as not right).

    Without k: those of 1, 5, 10 that every task has samples for. Raises ValueError for a k above the samples of a task.
    """
    fewest = min((len(samples) for samples in judged), default=max(KS))
    if fewest == 0:
        raise ValueError("a task without samples: leave it out, or give False for an answer that was none")
    ks = [n for n in KS if n <= fewest] if k is None else whole_numbers(k)
    counts = [(len(samples), sum(s is True for s in samples)) for samples in judged]
    found: Fields = {}
    for n in ks:
        found |= estimate_fields(f"{name}_at_{n}", mean_pass_at_k(counts, n, seed, resamples))
    unknown = sum(s is None for samples in judged for s in samples)
    return {**found, "tasks": len(judged), "samples": sum(n for n, _ in counts), "unknown": unknown}
