"""Localization: is a faulty line or function among the first 1, 3, 5 suspects, and the mean reciprocal rank."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate

from eval.estimators import mean_reciprocal_rank, top_k
from eval.metrics.fields import LICENSE, Fields, estimate_fields, prefixed, share_fields, whole_numbers
from eval.stats import RESAMPLES

_DESCRIPTION = """
Top-k and mean reciprocal rank of the first suspect that is faulty, for lines and for functions. A task whose
reference names no line (no function) does not count for lines (functions).
"""
_INPUTS = """
Args:
    predictions: for each task {"lines": suspects' line numbers, best first, "functions": their names, best first}.
        A line or function named again counts once, by its best rank.
    references: for each task {"lines": faulty line numbers, "functions": faulty functions' names}, in any order.
    k (int or list of int): default 1, 3, 5.
    seed (int), resamples (int): of the bootstrap over tasks. Default: 0, 10000.
Returns:
    line_top_K, function_top_K: shares with _low and _high (Wilson). line_mrr, function_mrr with _low and _high
    (bootstrap). line_tasks, function_tasks: counts.
"""
_CITATION = """
@article{wong2016survey, title={A Survey on Software Fault Localization},
  author={Wong, W. Eric and Gao, Ruizhi and Li, Yihao and Abreu, Rui and Wotawa, Franz},
  journal={IEEE Transactions on Software Engineering}, year={2016}}
"""


class Localization(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        places = {
            "lines": datasets.Sequence(datasets.Value("int64")),
            "functions": datasets.Sequence(datasets.Value("string")),
        }
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": places, "references": places}),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        predictions: Sequence[Mapping[str, Sequence[Any]]],
        references: Sequence[Mapping[str, Sequence[Any]]],
        k: int | Sequence[int] = (1, 3, 5),
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> Fields:
        found: Fields = {}
        for key, name in (("lines", "line"), ("functions", "function")):
            pairs = zip(predictions, references, strict=True)
            ranks = [_rank(said[key], true[key]) for said, true in pairs if true[key]]
            for n, share in top_k(ranks, whole_numbers(k)):
                found |= share_fields(f"{name}_top_{n}", share)
            found |= prefixed(name, estimate_fields("mrr", mean_reciprocal_rank(ranks, seed, resamples)))
            found[f"{name}_tasks"] = len(ranks)
        return found


def _rank(suspects: Sequence[Any], faulty: Sequence[Any]) -> int | None:
    distinct = dict.fromkeys(suspects)
    return next((rank for rank, suspect in enumerate(distinct, 1) if suspect in faulty), None)
