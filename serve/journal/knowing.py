"""What is known of a repair when it ends, without extra cost: facts to filter by and a summary to look at.

Pure: request and answer are JSON objects of the wire. Nothing is asked of a model.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from repair.defects import Defect, Diagnostic, FailingTest, Report, Traceback
from repair.sources import language_of
from repair.traces import parse_error
from serve.observe.stages import Stage
from serve.store.journal import Facts
from serve.telling import Told
from serve.wire_jobs import JobKind

SUMMARY = "repair"  # the kind of the summary that every entry has
_TOP = 5  # suspects
_MOST_ORIGINS = 40


@dataclass(slots=True)
class Noting:
    """One repair and what happens to it: seconds by stage, and candidates by verdict and origin as they are judged."""

    id: str
    key_id: str
    kind: JobKind
    request_id: str = ""
    timing: Mapping[Stage, float] = field(default_factory=dict[Stage, float])
    verdicts: Counter[str] = field(default_factory=Counter[str])
    origins: Counter[str] = field(default_factory=Counter[str])

    def observe(self, told: Told) -> None:
        """An event of it."""
        if told.name == "candidate":
            said = json.loads(told.data)
            self.verdicts[str(said.get("verdict", ""))] += 1
            self.origins[str(said.get("origin", ""))] += 1


def facts_of(request: Mapping[str, Any], answer: Mapping[str, Any], noting: Noting) -> Facts:
    """What entries are filtered by."""
    error_type, error_kind = _error(parse_error(request.get("error") or ""))
    options = request.get("options") or {}
    best = _best(answer)
    return Facts(
        kind=noting.kind,
        request_id=noting.request_id,
        language=_language(request, answer),
        error_type=error_type,
        error_kind=error_kind,
        edit_kind=_edit_kind(best),
        model=str(answer.get("model") or ""),
        adapter=str(options.get("adapter") or ""),
        verdict="none" if best is None else str(best["verdict"]),
        suggested=_suggested(best, error_type),
        timing={str(stage): seconds for stage, seconds in noting.timing.items()},
    )


def summary_of(request: Mapping[str, Any], answer: Mapping[str, Any], noting: Noting) -> dict[str, Any]:
    """The internal summary: where the model believed the fault to be, how sure it was, and what was tried.

    `location_entropy_bits` is Shannon's, over the suspects told and one rest; `chosen_margin` is the score of the
    chosen (else the best) patch less the next best score. What cannot be said is null.
    """
    faults = answer.get("fault") or []
    patches = answer.get("patches") or []
    best = _best(answer)
    verdicts = noting.verdicts or Counter(str(patch["verdict"]) for patch in patches)
    origins = noting.origins or Counter(str(patch["origin"]) for patch in patches)
    return {
        "model": answer.get("model"),
        "adapter": (request.get("options") or {}).get("adapter"),
        "suspects": [
            {"path": one["path"], "line": one["span"]["start_line"], "probability": one["suspiciousness"]}
            for one in faults[:_TOP]
        ],
        "no_fault": answer.get("no_fault"),
        "location_entropy_bits": _entropy([float(one["suspiciousness"]) for one in faults]),
        "chosen_margin": _margin(best, patches),
        "chosen_origin": None if best is None else best["origin"],
        "verdicts": dict(verdicts.most_common()),
        "origins": dict(origins.most_common(_MOST_ORIGINS)),
        "cost": answer.get("cost"),
    }


def _best(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    patches = answer.get("patches") or []
    return patches[answer.get("chosen") or 0] if patches else None


def _error(defect: Defect) -> tuple[str, str]:
    """Type of the exception or code of the finding, and what kind of evidence is the most telling."""
    for evidence in defect.evidence[:1]:
        match evidence:
            case Traceback():
                return evidence.error_type, "traceback"
            case FailingTest():
                return evidence.trace.error_type if evidence.trace else "", "failing test"
            case Diagnostic():
                return evidence.code or evidence.severity, "diagnostic"
            case Report():
                return "", "report"
    return "", "none"


def _language(request: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """As it was sent, else that of the file that the answer is about."""
    if request.get("language"):
        return str(request["language"])
    best = _best(answer)
    paths = [edit["path"] for edit in best["edits"]] if best else []
    paths += [fault["path"] for fault in answer.get("fault") or []]
    paths += [file["path"] for file in request.get("files") or []]
    return language_of(paths[0]) if paths else ""


def _edit_kind(patch: Mapping[str, Any] | None) -> str:
    """insert, delete or replace; "several edits" or "several files" for more than one; "" without a patch."""
    edits: Sequence[Mapping[str, Any]] = patch["edits"] if patch else []
    if len({edit["path"] for edit in edits}) > 1:
        return "several files"
    if len(edits) > 1:
        return "several edits"
    for edit in edits:
        span = edit["span"]
        if (span["start_line"], span["start_column"]) == (span["end_line"], span["end_column"]):
            return "insert"
        return "replace" if edit["text"] else "delete"
    return ""


def _suggested(patch: Mapping[str, Any] | None, error_type: str) -> str:
    """A label: the class of the fault that an operator repaired, else the exception's type; "" without both."""
    if patch is not None and patch["verdict"] == "plausible":
        head, _, operator = str(patch["origin"]).partition(":")
        if head == "mutation" and operator in _classes():
            return _classes()[operator]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", error_type.rsplit(".", 1)[-1]).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:40].strip("-")


@lru_cache(maxsize=1)
def _classes() -> dict[str, str]:
    """The class of each operator of the search."""
    from repair.mutate.catalogue import REPAIRS  # a service without journal needs none

    return {operator.name: operator.bug_class for operator in REPAIRS}


def _entropy(told: Sequence[float]) -> float | None:
    shares = [share for share in (*told, 1.0 - sum(told)) if share > 1e-9]
    if not told:
        return None
    whole = sum(shares)
    return round(-sum(share / whole * math.log2(share / whole) for share in shares), 4) + 0.0


def _margin(best: Mapping[str, Any] | None, patches: Sequence[Mapping[str, Any]]) -> float | None:
    others = [float(patch["score"]) for patch in patches if patch is not best]
    return round(float(best["score"]) - max(others), 6) if best is not None and others else None
