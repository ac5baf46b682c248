"""From a request and a change to what is explained: the view that the model was shown, and the change in its lines."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from repair.campaign import survey
from repair.defects import RepairRequest
from repair.diffs import parse_diff
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError
from repair.explain.values import Subject
from repair.sources import Source
from repair.traces import frames_in, headline
from repair.verdicts import Suspect
from repair.views import Hunk, View
from repair.windows import MAX_LINES, Clues, make_view
from serve.explaining.wire import ExplanationIn
from serve.wire import EditOut, SpanOut

_AROUND = 20  # lines before and after a change that lies in no single view


def asked_subject(body: ExplanationIn, request: RepairRequest) -> tuple[Subject, tuple[str, ...]]:
    """What a body asks to explain, and notes on what of its change is left out. Raises InputError naming the field."""
    return subject_of(request, patch_of(body, request), field="edits" if body.edits else "patch")


def patch_of(body: ExplanationIn, request: RepairRequest) -> Patch | None:
    """The change of a body, None where it has none. Raises InputError naming `patch` or the edit at fault."""
    sources = {source.path: source for source in request.sources}
    if body.patch is not None:
        try:
            found = parse_diff(body.patch, sources)
        except InputError as error:
            raise InputError(f"patch: {error}", field="patch") from error
        if not found:
            raise InputError("the patch changes nothing: leave it out, or send one that does", field="patch")
        return found
    if not body.edits:
        return None
    files: dict[str, list[Edit]] = {}
    for number, edit in enumerate(body.edits):
        if edit.path not in sources:
            raise InputError(f"{edit.path} is not among the files", field=f"edits.{number}.path")
        files.setdefault(edit.path, []).append(_edit(sources[edit.path], edit, number))
    try:
        found = Patch(tuple(FilePatch(path, tuple(edits)) for path, edits in files.items()))
    except InputError as error:
        raise InputError(f"edits: {error}", field="edits") from error
    if not found:
        raise InputError("the edits change nothing: leave them out, or send some that do", field="edits")
    return found


def _edit(source: Source, edit: EditOut, number: int) -> Edit:
    field = f"edits.{number}.span"
    start, end = _offset(source, edit.span, field, last=False), _offset(source, edit.span, field, last=True)
    if end < start:
        raise InputError("the span ends before it starts", field=field)
    return Edit(Span(start, end), edit.text)


def _offset(source: Source, span: SpanOut, field: str, *, last: bool) -> int:
    line, column = (span.end_line, span.end_column) if last else (span.start_line, span.start_column)
    if line == source.line_count + 1 and column == 1:  # behind the last line
        return len(source.text)
    if line > source.line_count:
        raise InputError(f"{source.path} has {source.line_count} lines, the span names line {line}", field=field)
    whole = source.line_span(line, terminator=True)
    if whole.start + column - 1 > whole.end:
        raise InputError(f"line {line} of {source.path} has no column {column}", field=field)
    return whole.start + column - 1


def subject_of(request: RepairRequest, patch: Patch | None, *, field: str = "patch") -> tuple[Subject, tuple[str, ...]]:
    """What is explained, and notes on what of the change is left out.

    Without a patch it is the view that holds the most suspicion before any model is asked. Raises InputError for a
    change that no model could have been shown at once.
    """
    place, _ = survey(request, None, None)
    if patch is None:
        if not place.views:
            raise InputError("the files hold no code that a model could be shown", field="files")
        return Subject(_suspected(place.views, place.suspects), ()), ()
    changed = patch.files[0]
    notes: tuple[str, ...] = ()
    if len(patch.files) > 1:
        notes = (f"only the change of {changed.path} is explained: a model reads one file at a time",)
    source = request.source(changed.path)
    hunks = _hunks(source.lines, source.with_text(changed.apply(source.text)).lines)
    if not hunks:
        raise InputError("the change does nothing but to add blank lines: there is nothing to explain", field=field)
    view = next((v for v in place.views if v.path == source.path and _holds(v, hunks)), None)
    return Subject(view or _around(request, source, hunks, field), tuple(sorted(hunks))), notes


def _hunks(old: Sequence[str], new: Sequence[str]) -> tuple[Hunk, ...]:
    """A change in whole lines, as models answer it; what inserts blank lines alone is left out."""
    found: list[Hunk] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        text = "\n".join(new[c:d])
        if tag != "equal" and (b > a or text.strip()):
            found.append(Hunk(a + 1, b, text))
    return tuple(found)


def _holds(view: View, hunks: Sequence[Hunk]) -> bool:
    return all(view.first_line <= h.first and max(h.first - 1, h.last) <= view.last_line for h in hunks)


def _suspected(views: Sequence[View], suspects: Sequence[Suspect]) -> View:
    """The view in which most of the suspicion lies."""
    of_line = {(s.path, s.line): s.suspiciousness for s in suspects}
    return max(views, key=lambda v: sum(of_line.get((v.path, n), 0.0) for n in range(v.first_line, v.last_line + 1)))


def _around(request: RepairRequest, source: Source, hunks: Sequence[Hunk], field: str) -> View:
    """A view of its own for a change that reaches over functions. Raises InputError for one that is too wide."""
    first = max(1, min(h.first for h in hunks) - _AROUND)
    last = min(source.line_count, max(h.last for h in hunks) + _AROUND)
    if last - first >= MAX_LINES:
        raise InputError(
            f"the change reaches over {last - first + 1} lines, a model is shown {MAX_LINES}: explain a part of it",
            field=field,
        )
    clues = Clues(headline(request.defect), frames_in(request.defect, source.path), request.tests)
    return make_view(source, first, last, clues)
