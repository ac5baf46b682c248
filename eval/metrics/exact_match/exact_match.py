"""Exact match with the reference: by text and by syntax tree."""

from collections.abc import Sequence

import datasets
import evaluate

from eval.metrics.fields import LICENSE, Fields, share_fields
from eval.stats import Share
from repair.languages import language_names, tree_key
from repair.sources import Source

_DESCRIPTION = """
Share of programs equal to the reference: by text (line ends and blanks at the ends of lines and of the file do not
count, so that no score hangs on a final newline), and by syntax tree (comments and layout do not count either). A
match says correct; that there is none says nothing: many right patches are not the reference.
"""
_INPUTS = """
Args:
    predictions: programs. references: what they should be.
    language (str or list of str): of all, or of each. Default "python".
Returns:
    text, tree: shares with _low and _high (Wilson). tasks: a count.
"""
_CITATION = "A definition of Emend; no source."


class ExactMatch(evaluate.Metric):
    """See `_DESCRIPTION`."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": text}),
            license=LICENSE,
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[str],
        language: str | Sequence[str] = "python",
    ) -> Fields:
        languages = [language] * len(predictions) if isinstance(language, str) else language
        for name in languages:
            if name not in language_names():
                raise ValueError(f"language {name!r} is not known; known are {', '.join(language_names())}")
        rows = list(zip(predictions, references, languages, strict=True))
        texts = [_plain(said) == _plain(true) for said, true, _ in rows]
        keys = [_key(said, name) == _key(true, name) for said, true, name in rows]
        trees = [text or key for text, key in zip(texts, keys, strict=True)]  # equal texts may not parse
        return {
            **share_fields("text", Share(sum(texts), len(rows))),
            **share_fields("tree", Share(sum(trees), len(rows))),
            "tasks": len(rows),
        }


def _plain(text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def _key(text: str, language: str) -> str:
    return tree_key(Source("code", text, language))
