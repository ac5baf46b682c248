"""`emend model report`: what a model is like inside on some cases, as one page that needs no network."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from repair.errors import InputError
from repair.explain.anomalies import judged
from repair.explain.cases import Case
from repair.explain.glass import Glass, open_glass
from repair.explain.projection import Projection, gather, project
from repair.explain.reference import Reference
from repair.explain.vitals import Vitals, vitals
from serve.commands.model_cases import read_cases
from serve.commands.model_check import reference_of
from serve.commands.model_page import Inside, page
from serve.printing import progress, stderr

if TYPE_CHECKING:
    from typing import Any

_WATCHED = 40  # cases whose heads and layers are measured


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the command, as they were typed."""

    source: str | None
    cases: Path
    adapter: Path | None
    reference: Path | None
    count: int
    output: Path


def run(settings: Settings, *, as_json: bool) -> int:
    """Exit code 0 when the page was written, whatever it says; errors are the boundary's."""
    cases = read_cases(settings.cases, settings.count)
    glass = open_glass(settings.source, adapter=settings.adapter)
    reference = reference_of(glass, settings.reference)
    with progress(f"reading {len(cases)} cases"):
        found = inside(glass, reference, cases)
    try:
        settings.output.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{settings.output} cannot be written ({error.strerror})", field="output") from error
    if as_json:
        sys.stdout.write(json.dumps(_told(found), indent=2) + "\n")
    stderr().print(Text(f"page in {settings.output}"), soft_wrap=True)
    return 0


def inside(glass: Glass, reference: Reference, cases: tuple[Case, ...]) -> Inside:
    """Everything that the page shows."""
    lines, repairs = gather(glass, cases)
    known = {mark.case for mark in lines.marks}  # those that the model can read
    watched: list[Vitals] = [vitals(glass, case.view) for case in cases if case.id in known][:_WATCHED]
    patterns = Counter((mark.bug_class, mark.exception, mark.edit) for mark in lines.marks if not mark.success)
    totals = Counter((mark.bug_class, mark.exception, mark.edit) for mark in lines.marks)
    return Inside(
        glass.name,
        len(lines.marks),
        len(cases) - len(lines.marks),
        reference,
        np.median([one.attention for one in watched], axis=0).astype(np.float32),
        judged(watched, reference),
        (project(lines), project(repairs)),
        tuple((key, count, totals[key]) for key, count in patterns.most_common()),
    )


def _told(found: Inside) -> dict[str, Any]:
    return {
        "model": found.name,
        "cases": found.cases,
        "left_out": found.left_out,
        "alarms": [asdict(one) for one in found.alarms],
        "location": [asdict(one) for one in found.reference.location],
        "projections": [_projection(one) for one in found.projections],
        "error_patterns": [
            {"bug_class": kind, "exception": exception, "edit": edit, "failed": failed, "cases": total}
            for (kind, exception, edit), failed, total in found.patterns
        ],
    }


def _projection(one: Projection) -> dict[str, Any]:
    return {
        "states": str(one.kind),
        "layer": one.layer,
        "explained": list(one.explained),
        "agreement": one.agreement,
        "silhouette": one.silhouette,
        "clusters": [asdict(cluster) for cluster in one.clusters],
        "points": [
            {**asdict(mark), "at": [float(x) for x in place], "cluster": cluster}
            for mark, place, cluster in zip(one.marks, one.points.tolist(), one.cluster, strict=True)
        ],
    }
