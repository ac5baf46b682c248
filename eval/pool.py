"""Whether the search could have made the reference at all: what tells a missing repair from one ranked too low."""

from __future__ import annotations

from collections.abc import Iterable

from eval.correctness import source_of
from eval.faults import changed_lines
from eval.suites.rows import Case
from repair.campaign import request_views
from repair.defects import RepairRequest
from repair.edits import FilePatch, Patch
from repair.errors import PatchError
from repair.languages import tree_key
from repair.model import Model
from repair.search import Field, SearchOptions, gather
from repair.verdicts import Suspect


def holds_reference(
    case: Case, request: RepairRequest, suspects: Iterable[Suspect], model: Model | None, options: SearchOptions
) -> bool | None:
    """Whether one change of the search's pool gives the reference's syntax tree; None without a reference.

    The pool is what would be opened with no bound on candidates: all mutations of the suspicious lines and the
    model's proposals. Repairs of several places are found by composing and count as outside.
    """
    if case.fixed_code is None or case.fixed_code == case.buggy_code:
        return None
    source = source_of(case, case.buggy_code)
    wanted = tree_key(source_of(case, case.fixed_code))
    place = Field({source.path: source}, request_views(request), tuple(suspects))
    lines = changed_lines(case.buggy_code, case.fixed_code)
    seen: set[str] = set()
    for changes in gather(place, model, options):
        for change in changes:
            if change.hunk.last < lines[0] - 1 or change.hunk.first > lines[-1] + 1:
                continue  # what leaves the faulty lines alone cannot be the reference
            try:
                text = Patch((FilePatch(change.path, change.edits),)).apply({source.path: source.text})[source.path]
            except PatchError:
                continue
            if text not in seen and tree_key(source_of(case, text)) == wanted:
                return True
            seen.add(text)
    return False
