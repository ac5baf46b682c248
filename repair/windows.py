"""Cut sources into the Views that a model reads: one per outermost function, runs of the lines between them.

The cut is the same when a training pair is made and when a request is served. Knows nothing of prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from repair.languages import Function, functions, parses, statement_lines
from repair.sources import Source
from repair.views import View

MAX_LINES = 200
OVERLAP = 20
_CONTEXT_CHARACTERS = 800
_HEAD_LINES = 60  # where imports are looked for


@dataclass(frozen=True, slots=True)
class Clues:
    """What a view says beside its code."""

    error: str = ""
    frames: tuple[int, ...] = ()  # lines of this source in the traceback, innermost first
    test: str = ""


def _outermost(found: Sequence[Function]) -> list[Function]:
    """Functions that lie in no other one, in order."""
    kept: list[Function] = []
    for function in sorted(found, key=lambda f: (f.first_line, -f.last_line)):
        if not kept or function.first_line > kept[-1].last_line:
            kept.append(function)
    return kept


def _chunks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Line ranges of at most MAX_LINES with OVERLAP lines shared between neighbours."""
    while last - first >= MAX_LINES:
        yield first, first + MAX_LINES - 1
        first += MAX_LINES - OVERLAP
    yield first, last


def context_lines(source: Source, own: Function | None, found: Sequence[Function]) -> tuple[str, ...]:
    """Imports, the class header and the signatures of the other functions, at most 800 characters."""
    top = (source.line(n) for n in range(1, min(_HEAD_LINES, source.line_count) + 1))
    head = [line for line in top if line.startswith(("import ", "from ", "const ", "package "))][:12]
    if own is not None and own.class_header:
        head.append(own.class_header)
    others = [f.signature for f in found if f is not own]
    kept: list[str] = []
    room = _CONTEXT_CHARACTERS
    for line in (*head, *others):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(kept)


def make_view(source: Source, first: int, last: int, clues: Clues, context: tuple[str, ...] = ()) -> View:
    """The view of lines `first`..`last` (1-based, inclusive)."""
    return View(
        path=source.path,
        language=source.language,
        first_line=first,
        lines=tuple(source.line(n) for n in range(first, last + 1)),
        error=clues.error,
        frames=tuple(n for n in clues.frames if first <= n <= last),
        test=clues.test,
        context=context,
    )


def _gaps(source: Source, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs of lines outside of `taken` that hold a statement, without blank edges."""
    statements = statement_lines(source)
    edges = [*taken, (source.line_count + 1, source.line_count + 1)]
    at = 1
    for first, last in edges:
        inside = [n for n in range(at, first) if n in statements]
        if inside:
            yield inside[0], inside[-1]
        at = last + 1


def views(source: Source, clues: Clues) -> tuple[View, ...]:
    """All views of one source, in order of their lines. Text that does not parse is cut by length alone."""
    if parses(source) is not None or source.language == "text":
        return tuple(make_view(source, a, b, clues) for a, b in _chunks(1, source.line_count))
    found = functions(source)
    outer = _outermost(found)
    cut: list[View] = []
    for function in outer:
        context = context_lines(source, function, found)
        for first, last in _chunks(function.first_line, function.last_line):
            cut.append(make_view(source, first, last, clues, context))
    context = context_lines(source, None, found)
    for start, end in _gaps(source, [(f.first_line, f.last_line) for f in outer]):
        cut += [make_view(source, first, last, clues, context) for first, last in _chunks(start, end)]
    return tuple(sorted(cut, key=lambda v: v.first_line))
