"""No fault: whether the model says "nothing is wrong" of clean code, and of clean code only."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields, share_fields
from eval.stats import Share, confusion

_DESCRIPTION = """
Precision, recall and F1 of the answer "no fault", and the two errors that users feel: false alarms (clean code in
which a fault is claimed) and missed faults (faulty code that is called clean).
"""
_INPUTS = """
Args:
    predictions: for each program whether the model says that it has no fault.
    references: whether it has none.
Returns:
    precision, recall, f1 (of "no fault"), false_alarms (of clean programs), missed (of faulty programs): each with
    _low and _high (Wilson; F1 by Wilson on tp / (tp + fp + fn), of which it is a function). clean, faulty: counts.
"""
_CITATION = """
@article{wilson1927probable, title={Probable Inference, the Law of Succession, and Statistical Inference},
  author={Wilson, Edwin B.}, journal={Journal of the American Statistical Association}, year={1927}}
"""


class NoFault(evaluate.Metric):
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

    def _compute(self, *, predictions: Sequence[bool], references: Sequence[bool]) -> Fields:  # pyright: ignore[reportIncompatibleMethodOverride]
        if None in predictions or None in references:
            raise ValueError("each program needs an answer and the truth: leave out what is unknown")
        found = confusion(predictions, references)
        low, high = found.f1_interval or (None, None)
        return {
            **share_fields("precision", found.precision),
            **share_fields("recall", found.recall),
            "f1": found.f1,
            "f1_low": low,
            "f1_high": high,
            **share_fields("false_alarms", Share(found.fn, found.tp + found.fn)),
            **share_fields("missed", found.false_alarms),
            "clean": found.tp + found.fn,
            "faulty": found.fp + found.tn,
        }
