"""One sentence on why a change was proposed: a template over what was measured, never words of the model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from repair.explain.evidence import AGAIN
from repair.explain.values import Badge, EvidenceMap, LocationMap, Subject, Target, TargetKind, Trust, Unit, UnitKind
from repair.views import Hunk

MATTERS = math.log(1.2)  # nats; a unit whose loss changes less than this is no reason
_SHOWN = 60  # characters of a line
_PLACES = 3
_WORD = re.compile(r"[^\W\d]\w*")
_COMMON = frozenset(
    {"error", "exception", "assert", "assertion", "true", "false", "none", "null", "not", "and", "or", "in", "is",
     "of", "the", "a", "an", "for", "to", "got", "expected", "line", "return", "def", "self", "class", "if", "else",
     "object", "has", "no", "attribute"}
)  # fmt: skip


def sentence(
    subject: Subject,
    found: EvidenceMap | None = None,
    *,
    badge: Badge | None = None,
    drop: float | None = None,
    where: LocationMap | None = None,
) -> str:
    """Why the change, by the unit that speaks most for it and `drop`, its measured loss in nats (None: the score's).

    A failed badge gives "No reliable explanation: ..."; without evidence only the place is told.
    """
    what = changed(subject)
    badge = badge or (found.badge if found else None)
    if badge is not None and badge.trust is Trust.FAILED:
        return f"No reliable explanation: {badge.why}. {what}{_belief(subject, where)}."
    top = found.top(1, leave_out=subject.changed) if found else ()
    if found is None or not top:
        return f"{what}{_belief(subject, where)}."
    loss = top[0].score if drop is None else drop
    if loss < MATTERS:
        return f"{what}{_belief(subject, where)}; no single other line of the prompt is a reason for it by itself."
    unit = top[0].unit
    return f"{what} because {_says(unit)}{_named(subject, unit)} ({_without(found, loss, len(subject.hunks))})."


def changed(subject: Subject) -> str:
    """What a change does and where, as the beginning of a sentence: `Changed lines 3 to 5 and deleted line 9`."""
    if not subject.hunks:
        return "Found no fault"
    parts = [_did(hunk) for hunk in sorted(subject.hunks)]
    if len(parts) > _PLACES:
        more = len(parts) - _PLACES + 1
        parts = [*parts[: _PLACES - 1], f"changed {more} more places"]
    joined = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return joined[0].upper() + joined[1:]


def _did(hunk: Hunk) -> str:
    if hunk.inserts:
        count = hunk.text.count("\n") + 1
        return f"inserted {'a line' if count == 1 else f'{count} lines'} before line {hunk.first}"
    lines = f"line {hunk.first}" if hunk.first == hunk.last else f"lines {hunk.first} to {hunk.last}"
    return f"changed {lines}" if hunk.text else f"deleted {lines}"


def _belief(subject: Subject, where: LocationMap | None) -> str:
    if where is None:
        return ""
    if not subject.hunks:
        return f", which the model believes with probability {where.no_fault:.2g}"
    first = min(min(subject.hunks).first, subject.view.last_line)
    chance = next((one.calibrated for one in where.lines if one.line == first), None)
    return "" if chance is None else f", where the model sees the fault with probability {chance:.2g}"


def _says(unit: Unit) -> str:
    text = " ".join(unit.text.split())
    text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return f"the traceback names line {unit.number}" if unit.kind is UnitKind.FRAME else f"{unit.label} says `{text}`"


def _named(subject: Subject, unit: Unit) -> str:
    """What the error names that this unit or the change says too."""
    if unit.kind is UnitKind.ERROR:
        return ""
    view = subject.view
    texts = [unit.text, *(h.text for h in subject.hunks)]
    texts += [view.lines[n - view.first_line] for n in subject.changed if view.first_line <= n <= view.last_line]
    said = _words(texts)
    shared = [word for word in _WORD.findall(view.error) if word in said and word.lower() not in _COMMON]
    return f" and the error names `{shared[0]}`" if shared else ""


def _words(texts: Sequence[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in _WORD.findall(text))


def _without(found: EvidenceMap, loss: float, hunks: int) -> str:
    if AGAIN in found.notes:
        return "without it the model does not give this change again"
    times = f"{math.exp(loss):.2g}" if loss < math.log(10) else f"{math.exp(min(loss, 14)):,.0f}"
    times = "more than a million" if loss > math.log(1e6) else times
    target: Target = found.target
    if target.kind is TargetKind.LOCATION:
        return f"without it this place would be {times} times less likely"
    if target.line is not None:
        return f"without it line {target.line} of the change would be {times} times less likely against the old one"
    if target.kind is TargetKind.CONTRAST and hunks:
        return f"without it this change would be {times} times less likely against the code as it is"
    return f"without it this answer would be {times} times less likely"
