"""Size of patches: changed lines, hunks and edits, and how they compare with the reference's."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields, spread_fields
from eval.metrics.sizes import patch_size
from eval.stats import RESAMPLES

_DESCRIPTION = """
How much patches change: lines (taken away plus added), hunks (runs of changed lines) and edits (runs of changed
tokens); and the same less that of the reference patch, where there is one: positive where the patch is larger.
"""
_INPUTS = """
Args:
    sources: the faulty programs. predictions: the patched ones. references: the right ones, "" where there is none.
    seed (int), resamples (int): of the bootstrap over patches. Default: 0, 10000.
Returns:
    lines, hunks, edits and lines_over_reference, hunks_over_reference, edits_over_reference: each as _median and
    _mean with _low and _high (bootstrap), and _sum. patches, compared: counts.
"""
_CITATION = """
@inproceedings{liu2020efficiency, title={On the Efficiency of Test Suite based Program Repair},
  author={Liu, Kui and others}, booktitle={ICSE}, year={2020}}
"""
_PARTS = ("lines", "hunks", "edits")


class PatchSize(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": text, "sources": text}),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[str],
        sources: Sequence[str],
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> Fields:
        sizes = [patch_size(source, patched) for source, patched in zip(sources, predictions, strict=True)]
        pairs = zip(sources, references, sizes, strict=True)
        against = [(size, patch_size(source, fixed)) for source, fixed, size in pairs if fixed]
        found: Fields = {}
        for part in _PARTS:
            found |= spread_fields(part, [getattr(size, part) for size in sizes], seed, resamples)
            over = [getattr(size, part) - getattr(reference, part) for size, reference in against]
            found |= spread_fields(f"{part}_over_reference", over, seed, resamples)
        return {**found, "patches": len(sizes), "compared": len(against)}
