"""What a repair costs: seconds, tokens and test runs."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields, spread_fields
from eval.stats import RESAMPLES

_DESCRIPTION = """
Seconds, tokens and test runs of tasks: median, mean and sum, and the sum for each task that was repaired (what was
spent on failures is part of the price).
"""
_INPUTS = """
Args:
    seconds, tokens, test_runs: one number for each task.
    repaired (list of bool): whether each task was repaired; None counts as not. Optional.
    seed (int), resamples (int): of the bootstrap over tasks. Default: 0, 10000.
Returns:
    seconds, tokens, test_runs: each as _median and _mean with _low and _high (bootstrap), as _sum, and as _per_repair
    (None without `repaired`, or where nothing was repaired). tasks: a count.
"""
_CITATION = "A definition of Emend; no source."


class Cost(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        whole = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"seconds": datasets.Value("float64"), "tokens": whole, "test_runs": whole}),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        seconds: Sequence[float],
        tokens: Sequence[int],
        test_runs: Sequence[int],
        repaired: Sequence[bool | None] | None = None,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> Fields:
        if repaired is not None and len(repaired) != len(seconds):
            raise ValueError(f"repaired has {len(repaired)} entries for {len(seconds)} tasks")
        times = sum(r is True for r in repaired or ())
        found: Fields = {}
        for name, values in (("seconds", seconds), ("tokens", tokens), ("test_runs", test_runs)):
            if None in values or min(values, default=0) < 0:
                raise ValueError(f"{name} of each task must be a number from 0 on")
            found |= spread_fields(name, values, seed, resamples)
            found[f"{name}_per_repair"] = sum(values) / times if times else None
        return {**found, "tasks": len(seconds)}
