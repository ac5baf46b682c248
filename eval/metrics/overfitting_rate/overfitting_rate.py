"""Overfitting rate: of the plausible patches whose correctness is known, the share that is not correct."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields, share_fields
from eval.stats import Share

_DESCRIPTION = """
Share of plausible patches (they pass every test that the repair could run) that are wrong. Those of which it is not
known are left out and counted: where they are many the rate says little.
"""
_INPUTS = """
Args:
    predictions: for each patch whether it is plausible.
    references: for each patch whether it is correct, None where unknown. Ignored for patches that are not plausible.
Returns:
    overfitting_rate with _low and _high (Wilson). plausible, correct, wrong, unknown: counts of plausible patches.
"""
_CITATION = """
@inproceedings{smith2015cure, title={Is the Cure Worse Than the Disease? Overfitting in Automated Program Repair},
  author={Smith, Edward K. and Barr, Earl T. and Le Goues, Claire and Brun, Yuriy}, booktitle={ESEC/FSE}, year={2015}}
"""


class OverfittingRate(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        flag = datasets.Value("bool")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": flag, "references": flag}),
            license=LICENSE,
        )

    def _compute(self, *, predictions: Sequence[bool | None], references: Sequence[bool | None]) -> Fields:  # pyright: ignore[reportIncompatibleMethodOverride]
        correct = [right for plausible, right in zip(predictions, references, strict=True) if plausible]
        wrong = correct.count(False)
        unknown = correct.count(None)
        return {
            **share_fields("overfitting_rate", Share(wrong, len(correct) - unknown)),
            "plausible": len(correct),
            "correct": correct.count(True),
            "wrong": wrong,
            "unknown": unknown,
        }
