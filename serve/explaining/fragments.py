"""An explanation as pieces of HTML by section, for the report and for pages of the service.

No piece has a script, an inline style or anything from elsewhere: a page adds `stylesheet()` and stands each piece
below an element of class `xp`. Names in the pieces (`aria-labelledby`) are unique within one explanation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from repair.explain.values import Explanation, Part
from serve.explaining.pictures.activations import dead_share, histogram, strips
from serve.explaining.pictures.anomalies import control_chart
from serve.explaining.pictures.attention import arcs, head_grid, line_matrix
from serve.explaining.pictures.lens import lens_table, patching_grid, race
from serve.explaining.pictures.lines import line_map, marked_diff, unit_bars
from serve.explaining.pictures.live import changes, proposals, strip
from serve.explaining.pictures.marks import notes, stylesheet, text
from serve.explaining.pictures.summary import (
    best_evidence,
    method_quality,
    quality_table,
    remarks,
    sentence,
    stage_bars,
    tests,
)
from serve.explaining.pictures.tokens import token_map

__all__ = ["fragments", "stylesheet"]


def fragments(found: Explanation) -> Mapping[str, str]:
    """HTML by section: "sentence", "diff", "tests", the `Part`s by their values, "quality", "notes", "timing".

    A part that is not there says why, as far as `unavailable` tells.
    """
    whole = {"sentence": sentence(found), "diff": marked_diff(found.subject, best_evidence(found.evidence))}
    whole["tests"] = tests(found.checked, found.values)
    whole |= {part.value: _PARTS[part](found) or _missing(found, part) for part in Part}
    return {
        **whole,
        "quality": quality_table(found.quality),
        "notes": remarks(found),
        "timing": stage_bars(found.stages),
    }


def _missing(found: Explanation, part: Part) -> str:
    why = "; ".join(reason for one, reason in found.unavailable if one is part)
    return f'<p class="soft">{text(why) if why else "This part was not asked for."}</p>'


def _where(found: Explanation) -> str:
    return line_map(found.subject, found.where, best_evidence(found.evidence))


def _evidence(found: Explanation) -> str:
    return "".join(
        unit_bars(one) + method_quality(one, found.quality) + notes(one.notes)
        for one in found.evidence
    )  # fmt: skip


def _tokens(found: Explanation) -> str:
    return token_map(found.tokens) if found.tokens else ""


def _attention(found: Explanation) -> str:
    seen = found.attention
    return head_grid(seen) + line_matrix(seen) + arcs(seen) + notes(seen.notes) if seen else ""


def _activations(found: Explanation) -> str:
    seen = found.activations
    return strips(seen) + histogram(seen) + dead_share(seen) + notes(seen.notes) if seen else ""


def _lens(found: Explanation) -> str:
    return race(found.lens) + lens_table(found.lens) + notes(found.lens.notes) if found.lens else ""


def _patching(found: Explanation) -> str:
    return patching_grid(found.patching) + notes(found.patching.notes) if found.patching else ""


def _anomalies(found: Explanation) -> str:
    return control_chart(found.anomalies) if found.anomalies is not None else ""


def _live(found: Explanation) -> str:
    live, view = found.live, found.subject.view
    if live is None:
        return ""
    return f"<h3>What was changed</h3>{changes(live.interventions)}{strip(live, view)}{proposals(live, view)}"


_PARTS: Mapping[Part, Callable[[Explanation], str]] = {
    Part.WHERE: _where,
    Part.EVIDENCE: _evidence,
    Part.TOKENS: _tokens,
    Part.ATTENTION: _attention,
    Part.ACTIVATIONS: _activations,
    Part.LENS: _lens,
    Part.PATCHING: _patching,
    Part.ANOMALIES: _anomalies,
    Part.LIVE: _live,
}
