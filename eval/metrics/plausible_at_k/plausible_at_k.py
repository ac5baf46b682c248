"""plausible@k: how likely k sampled patches hold a plausible one. Unbiased (Chen et al. 2021), interval over tasks."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields
from eval.metrics.sampling import at_k_fields
from eval.stats import RESAMPLES

_DESCRIPTION = """
Probability that k patches, drawn from those sampled for a task, hold a plausible one, averaged over tasks.
Plausible: it passes every test that the repair could run.
For independent samples; of one ranked list take `first_rank`, which is another figure.
"""
_INPUTS = """
Args:
    predictions: for each task the list of its samples: whether each is plausible. None counts as not plausible.
    k (int or list of int): at most the samples of the smallest task. Default: those of 1, 5, 10 that are possible.
    seed (int), resamples (int): of the bootstrap over tasks. Default: 0, 10000.
Returns:
    plausible_at_K, plausible_at_K_low, plausible_at_K_high: the mean and its 95 % interval for each K.
    tasks, samples, unknown: counts.
"""
_CITATION = """
@article{chen2021evaluating, title={Evaluating Large Language Models Trained on Code},
  author={Chen, Mark and others}, journal={arXiv preprint arXiv:2107.03374}, year={2021}}
"""


class PlausibleAtK(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("bool"))}),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        predictions: Sequence[Sequence[bool | None]],
        k: int | Sequence[int] | None = None,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> Fields:
        return at_k_fields("plausible", predictions, k, seed, resamples)
