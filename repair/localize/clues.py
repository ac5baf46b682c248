"""Clues: what the evidence of a request says of single lines, before any weight is put on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from repair.defects import Diagnostic, Evidence, FailingTest, Frame, RepairRequest, Report, Traceback
from repair.languages import functions
from repair.localize.terrain import Terrain
from repair.sources import Source
from repair.traces import owned_frames
from repair.traces.places import owner

_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(slots=True)
class Clues:
    """Of one source: line -> how deep in a traceback (0 is innermost of our code), and what else names it."""

    depths: dict[int, int] = field(default_factory=dict[int, int])
    diagnostics: dict[int, str] = field(default_factory=dict[int, str])  # line -> message
    in_traced: set[int] = field(default_factory=set[int])  # body lines of functions that a traceback passes through
    named: dict[int, str] = field(default_factory=dict[int, str])  # body lines of functions that tests or messages name


def _squeezed(text: str) -> str:
    return "".join(text.split())


def place_of(frame: Frame, source: Source) -> int | None:
    """The line of `source` that a frame means; None when its code is not there.

    Where the printed code stands on exactly one other line, the text was moved since, and that line is it.
    """
    code = _squeezed(frame.code)
    here = 1 <= frame.line <= source.line_count
    if here and (not code or _agree(code, _squeezed(source.line(frame.line)))):
        return frame.line
    if not code:
        return None
    same = [n for n, line in enumerate(source.lines, 1) if _squeezed(line) == code]
    return same[0] if len(same) == 1 else None


def _agree(code: str, line: str) -> bool:
    """Reports print a whole statement or its first line, sometimes cut."""
    return bool(line) and (line.startswith(code) or code.startswith(line) or code in line)


def _note_frames(evidence: Sequence[Evidence], sources: dict[str, Source], clues: dict[str, Clues]) -> None:
    depth: dict[int, int] = {}
    for number, path, frame in owned_frames(evidence, tuple(sources)):
        line = place_of(frame, sources[path])
        if line is None:
            continue
        if isinstance(one := evidence[number], Diagnostic):
            clues[path].diagnostics.setdefault(line, one.message)
            continue
        level = depth.get(number, 0)
        depth[number] = level + 1
        clues[path].depths[line] = min(level, clues[path].depths.get(line, level))


def _spread(terrain: Terrain, clues: Clues) -> None:
    """Mark the other lines of the functions that a traceback passes through (module level: none)."""
    for function in functions(terrain.source):
        lines = range(function.first_line, function.last_line + 1)
        if any(line in lines for line in (*clues.depths, *clues.diagnostics)):
            clues.in_traced.update(n for n in lines if n not in terrain.header_of)


def _words(request: RepairRequest) -> frozenset[str]:
    """Identifiers in the tests and in what the evidence quotes."""
    texts = [request.tests]
    sources = {s.path: s for s in request.sources}
    for one in request.defect.evidence:
        match one:
            case FailingTest(test_id=test_id, message=message, source=source, trace=trace):
                texts += (test_id.replace("test_", " "), message, source, *_quoted(trace, sources))
            case Traceback(message=message):
                texts += (message, *_quoted(one, sources))
            case Diagnostic(message=message):
                texts.append(message)
            case Report(text=text):
                texts.append(text)
    return frozenset(word for text in texts for word in _WORD.findall(text))


def _quoted(trace: Traceback | None, sources: Mapping[str, Source]) -> list[str]:
    """Code of the frames outside of our files: the calls that a test makes, also one that follows our text in a script.

    Such a test's frames have our path, with lines behind our last one or code that stands nowhere in our text.
    """
    return [frame.code for frame in trace.frames if not _stands(frame, sources)] if trace else []


def _stands(frame: Frame, sources: Mapping[str, Source]) -> bool:
    path = owner(frame, tuple(sources))
    return bool(path) and place_of(frame, sources[path]) is not None


def _note_names(terrains: Sequence[Terrain], words: frozenset[str], clues: dict[str, Clues]) -> None:
    for terrain in terrains:
        for function in functions(terrain.source):
            if function.name in words:
                lines = range(function.first_line, function.last_line + 1)
                bodies = (n for n in lines if n not in terrain.header_of)
                clues[terrain.source.path].named.update(dict.fromkeys(bodies, function.name))


def gather(request: RepairRequest, terrains: Sequence[Terrain]) -> dict[str, Clues]:
    """Clues by path."""
    clues = {t.source.path: Clues() for t in terrains}
    _note_frames(request.defect.evidence, {t.source.path: t.source for t in terrains}, clues)
    for terrain in terrains:
        _spread(terrain, clues[terrain.source.path])
    _note_names(terrains, _words(request), clues)
    return clues
