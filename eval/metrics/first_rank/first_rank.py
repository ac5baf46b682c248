"""Rank of the first plausible or correct patch in a ranked list: shares within k, median, mean reciprocal rank."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.estimators import mean_reciprocal_rank, top_k
from eval.metrics.fields import LICENSE, Fields, estimate_fields, share_fields, whole_numbers
from eval.stats import RESAMPLES, Share, quantile

_DESCRIPTION = """
Where in the ranked list of judged candidates the first plausible (or correct) one stands. A deterministic ranked
list has no pass@k in the sense of Chen et al. (2021): `at_K` is the share of tasks whose first one has rank K or
better.
"""
_INPUTS = """
Args:
    predictions: for each task the rank of its first plausible (or correct) candidate, from 1; None where there is none.
    k (int or list of int): default 1, 5, 10, 100.
    seed (int), resamples (int): of the bootstrap over tasks. Default: 0, 10000.
Returns:
    at_K, found: shares of tasks, each with _low and _high (Wilson). mrr with _low and _high (bootstrap).
    median: of the ranks there are, None where there are none. tasks: a count.
"""
_CITATION = """
@inproceedings{voorhees1999trec, title={The TREC-8 Question Answering Track Report},
  author={Voorhees, Ellen M.}, booktitle={TREC}, year={1999}}
"""


class FirstRank(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("int64")}),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        predictions: Sequence[int | None],
        k: int | Sequence[int] = (1, 5, 10, 100),
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> Fields:
        ranks = [rank for rank in predictions if rank is not None]
        found = share_fields("found", Share(len(ranks), len(predictions)))
        for n, share in top_k(predictions, whole_numbers(k)):
            found |= share_fields(f"at_{n}", share)
        found |= estimate_fields("mrr", mean_reciprocal_rank(predictions, seed, resamples))
        return {**found, "median": quantile(ranks, 0.5), "tasks": len(predictions)}
