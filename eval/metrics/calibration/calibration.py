"""Calibration of confidences: expected calibration error, Brier score with its parts, reliability table."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from eval.calibration import BINS, Bin, brier, expected_calibration_error, maximum_calibration_error, reliability_table
from eval.metrics.fields import LICENSE, estimate_fields
from eval.stats import RESAMPLES, estimate

_DESCRIPTION = """
Whether a confidence of 0.8 comes true in 80 % of the cases: expected calibration error over bins of equal width and
of equal mass (Guo et al. 2017), the largest gap, the Brier score with Murphy's (1973) decomposition, and the table
behind a reliability plot (`eval.calibration.reliability_svg` draws it). The calibration errors carry no interval:
they are above 0 by chance alone where bins hold few cases, and a bootstrap would only add to that.
"""
_INPUTS = """
Args:
    predictions: confidences, 0 to 1. references: whether each came true.
    bins (int): default 10.
    seed (int), resamples (int): of the bootstrap over cases. Default: 0, 10000.
Returns:
    ece, ece_equal_mass, mce: floats. brier with _low and _high (bootstrap); reliability, resolution, uncertainty,
    within: brier = reliability - resolution + uncertainty + within, over the same bins as ece.
    table: a list of {low, high, confidence, observed, observed_low, observed_high, count}. cases: a count.
"""
_CITATION = """
@inproceedings{guo2017calibration, title={On Calibration of Modern Neural Networks},
  author={Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.}, booktitle={ICML}, year={2017}}
@article{murphy1973new, title={A New Vector Partition of the Probability Score},
  author={Murphy, Allan H.}, journal={Journal of Applied Meteorology}, year={1973}}
"""


class Calibration(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("bool")}
            ),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        predictions: Sequence[float],
        references: Sequence[bool],
        bins: int = BINS,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> dict[str, Any]:
        if None in predictions or None in references:
            raise ValueError("each confidence needs its outcome: leave out what is unknown")
        table = reliability_table(predictions, references, bins)
        masses = reliability_table(predictions, references, bins, equal_mass=True)
        parts = brier(predictions, references, bins)
        errors = [(said - true) ** 2 for said, true in zip(predictions, references, strict=True)]
        return {
            "ece": expected_calibration_error(table),
            "ece_equal_mass": expected_calibration_error(masses),
            "mce": maximum_calibration_error(table),
            **estimate_fields("brier", estimate(errors, seed, resamples)),
            "reliability": parts and parts.reliability,
            "resolution": parts and parts.resolution,
            "uncertainty": parts and parts.uncertainty,
            "within": parts and parts.within,
            "table": [_row(b) for b in table],
            "cases": len(predictions),
        }


def _row(found: Bin) -> dict[str, float | int | None]:
    low, high = found.observed.interval or (None, None)
    return {
        "low": found.low,
        "high": found.high,
        "confidence": found.confidence,
        "observed": found.observed.value,
        "observed_low": low,
        "observed_high": high,
        "count": found.count,
    }
