"""McNemar's exact test of two systems on the same tasks, with the difference and its interval."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields
from eval.paired import compare

_DESCRIPTION = """
Whether two systems solve the same tasks equally often: exact two-sided p-value and mid-p (McNemar 1947, Fagerland et
al. 2013) of the tasks that only one of them solves, and the difference of the shares (second less first) with
Newcombe's (1998) interval for paired shares. Tasks unknown for one of the two are left out and counted.
"""
_INPUTS = """
Args:
    predictions1: for each task whether the first system solved it, None where unknown. predictions2: the second.
Returns:
    p_value, mid_p. difference (second less first) with _low and _high.
    both, only_first, only_second, neither, unknown: counts.
"""
_CITATION = """
@article{mcnemar1947note, title={Note on the Sampling Error of the Difference Between Correlated Proportions},
  author={McNemar, Quinn}, journal={Psychometrika}, year={1947}}
@article{fagerland2013mcnemar, title={The McNemar Test for Binary Matched-Pairs Data: Mid-p and Asymptotic Are Better
  Than Exact Conditional}, author={Fagerland, Morten W. and Lydersen, Stian and Laake, Petter},
  journal={BMC Medical Research Methodology}, year={2013}}
@article{newcombe1998improved, title={Improved Confidence Intervals for the Difference Between Binomial Proportions
  Based on Paired Data}, author={Newcombe, Robert G.}, journal={Statistics in Medicine}, year={1998}}
"""


class Mcnemar(evaluate.Comparison):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.ComparisonInfo:
        flag = datasets.Value("bool")
        return evaluate.ComparisonInfo(
            module_type="comparison",
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions1": flag, "predictions2": flag}),
            license=LICENSE,
        )

    def _compute(self, *, predictions1: Sequence[bool | None], predictions2: Sequence[bool | None]) -> Fields:  # pyright: ignore[reportIncompatibleMethodOverride]
        names = [str(number) for number in range(len(predictions1))]
        found = compare(
            dict(zip(names, predictions1, strict=True)),
            dict(zip(names, predictions2, strict=True)),
        )
        low, high = found.interval or (None, None)
        return {
            "p_value": found.p_value,
            "mid_p": found.mid_p,
            "difference": found.difference,
            "difference_low": low,
            "difference_high": high,
            "both": found.both,
            "only_first": found.only_before,
            "only_second": found.only_after,
            "neither": found.neither,
            "unknown": found.unknown,
        }
