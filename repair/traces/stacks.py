"""Stacks of JavaScript (Node, node:test, Jest) and of the JVM (with causes, JUnit, Surefire).

Both print the innermost frame first; a Traceback keeps it last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from repair.defects import Evidence, FailingTest, Frame, Traceback
from repair.traces.text import MAX_MESSAGE_LINES, split_error, without_repeats

_PREFIX = re.compile(r'\s*(?:Caused by: |Suppressed: |Uncaught |\[cause\]: |=> |Exception in thread "[^"]{0,200}" )++')
_PLACE = re.compile(r"(.{1,900}?):(\d{1,9})(?::(\d{1,9}))?$")
_JAR = re.compile(r" ~?\[[^\[\]]{0,300}\]$")
_ELIDED = re.compile(r"\s*\.\.\. \d+ (?:more|common frames|lines matching)")
_NODE_HEAD = re.compile(r"(\S.{0,500}):(\d{1,9})$")
_CARETS = re.compile(r"\s*[\^~]+$")
_NOT_OK = re.compile(r"\s*not ok \d+ - (.{1,300})")
_FIELD = re.compile(r"\s*(error|name): ['\"]?(.*?)['\"]?$")
_SUREFIRE = re.compile(r"\[ERROR\] +([\w.$]{1,200})\.(\w{1,100}):(\d{1,9})(?:->\S{1,200})? (.*)")
_LOOK_AHEAD = 40

Found = tuple[tuple[Evidence, ...], int] | None


def _frame(rest: str) -> Frame | None:
    """The frame that stands behind `at `; None for native code and anonymous places."""
    rest = _JAR.sub("", rest.removesuffix(" {")).strip()
    function, place = "", rest
    if rest.endswith(")") and "(" in rest:
        function, _, place = rest[:-1].rpartition("(")
    found = _PLACE.match(place)
    if found is None:
        return None
    function = function.strip().removeprefix("async ").removeprefix("new ")
    return Frame(found[1].removeprefix("async "), int(found[2]), function)


def _is_at(line: str) -> bool:
    return line.lstrip().startswith("at ")


def _innermost_last(frames: Iterable[Frame | None]) -> tuple[Frame, ...]:
    return without_repeats([f for f in frames if f is not None][::-1])


def _read_frames(lines: Sequence[str], at: int) -> tuple[tuple[Frame, ...], int]:
    """Frames of the `at` lines from index `at` on, innermost last, and the index after them."""
    found: list[Frame | None] = []
    while at < len(lines) and (_is_at(lines[at]) or _ELIDED.match(lines[at])):
        if _is_at(lines[at]):
            found.append(_frame(lines[at].lstrip()[3:]))
        at += 1
        if lines[at - 1].endswith(" {"):
            break
    return _innermost_last(found), at


def _header(line: str, *, strict: bool) -> tuple[str, str] | None:
    """Type and message of a stack's first line."""
    prefix = _PREFIX.match(line)
    body = line[prefix.end() :] if prefix else line.strip()
    return split_error(body, strict=strict and prefix is None)


def _first_at(lines: Sequence[str], at: int) -> int | None:
    """The index of the first `at` line behind a header, before any other header."""
    for index in range(at, min(at + _LOOK_AHEAD, len(lines))):
        if _is_at(lines[index]):
            return index
        if _header(lines[index], strict=True):
            return None
    return None


def read_stack(lines: Sequence[str], at: int) -> Found:
    """`Type: message` over one or more lines, then `at` lines; also `at` lines without a header."""
    if _is_at(lines[at]):
        frames, end = _read_frames(lines, at)
        return ((Traceback("", "", frames),) if frames else ()), end
    error = _header(lines[at], strict=True)
    first = _first_at(lines, at + 1) if error else None
    if first is None and at + 1 < len(lines) and _is_at(lines[at + 1]):
        error, first = _header(lines[at], strict=False), at + 1
    if error is None or first is None:
        return None
    frames, end = _read_frames(lines, first)
    message = "\n".join([error[1], *lines[at + 1 : min(first, at + MAX_MESSAGE_LINES)]]).strip()
    return (Traceback(error[0], message, frames),), end


def _after_carets(lines: Sequence[str], at: int) -> int | None:
    """The index of the error's header behind `file:line`, the code and its carets."""
    carets = next((n for n in range(at + 1, min(at + 6, len(lines))) if _CARETS.match(lines[n])), None)
    if carets is None:
        return None
    header = next((n for n in range(carets + 1, min(carets + 4, len(lines))) if lines[n]), None)
    return header if header is not None and _header(lines[header], strict=True) else None


def read_node(lines: Sequence[str], at: int) -> Found:
    """Node's report of an uncaught error: `file:line`, code, carets, then the stack."""
    place = _NODE_HEAD.match(lines[at])
    header = _after_carets(lines, at) if place else None
    if place is None or header is None:
        return None
    found = read_stack(lines, header)
    trace = found[0][0] if found else None
    end = found[1] if found else header + 1
    if not isinstance(trace, Traceback):
        trace = Traceback(*(_header(lines[header], strict=True) or ("", "")))
    where = (place[1], int(place[2]))
    if not where[0].startswith("node:") and all((f.path, f.line) != where for f in trace.frames):
        # a syntax error: nothing ran yet, so the stack holds the loader's frames only
        trace = Traceback(trace.error_type, trace.message, (*trace.frames, Frame(*where, "", lines[at + 1].strip())))
    return (trace,), end


def read_tap(lines: Sequence[str], at: int) -> Found:
    """A failing test of `node --test` in TAP: `not ok N - name` with its YAML block."""
    name = _NOT_OK.match(lines[at])
    if not name or at + 1 >= len(lines) or lines[at + 1].strip() != "---":
        return None
    fields: dict[str, str] = {}
    frames: list[Frame | None] = []
    end = at + 2
    in_stack = False
    while end < len(lines) and lines[end].strip() != "...":
        field = _FIELD.match(lines[end])
        if field:
            fields.setdefault(field[1], field[2])
        if in_stack:
            frames.append(_frame(lines[end].strip().removeprefix("at ")))
        in_stack = in_stack or lines[end].strip().startswith("stack:")
        end += 1
    trace = Traceback(fields.get("name", ""), fields.get("error", ""), _innermost_last(frames))
    return (FailingTest(name[1], trace.message, trace),), min(end + 1, len(lines))


def read_jest(lines: Sequence[str], at: int) -> Found:
    """A failing test of Jest: `● suite › name`, the message, a code frame, `at` lines."""
    title = lines[at].strip()
    if not title.startswith("● "):
        return None
    for first in range(at + 1, min(at + 2 * _LOOK_AHEAD, len(lines))):
        if lines[first].strip().startswith("● "):
            return None
        if _is_at(lines[first]):
            break
    else:
        return None
    frames, end = _read_frames(lines, first)
    said = [x.strip() for x in lines[at + 1 : first] if x.strip() and "|" not in x][:MAX_MESSAGE_LINES]
    error = split_error(said[0], strict=True) if said else None
    message = "\n".join(said if error is None else [error[1], *said[1:]])
    trace = Traceback(error[0] if error else "AssertionError", message, frames)
    return (FailingTest(title[2:], message, trace),), end


def read_surefire(lines: Sequence[str], at: int) -> Found:
    """A line of Maven's summary: `[ERROR]   FooTest.testBar:12 expected: <1> but was: <2>`."""
    found = _SUREFIRE.match(lines[at])
    if found is None:
        return None
    simple = found[1].rpartition(".")[2].partition("$")[0]
    frame = Frame(f"{simple}.java", int(found[3]), f"{found[1]}.{found[2]}")
    trace = Traceback("", found[4], (frame,))
    return (FailingTest(f"{found[1]}.{found[2]}", found[4], trace),), at + 1
