"""Tracebacks as Python prints them: chained, grouped, of syntax errors, cut by recursion.

Formats: CPython `traceback` module, 3.8 to 3.14 (markers `^^^^`, `~~^~~`, `...<2 lines>...`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from repair.defects import Evidence, Frame, Traceback
from repair.traces.text import MAX_MESSAGE_LINES, indent_of, split_error, without_repeats

_HEADER = "Traceback (most recent call last)"
_FRAME = re.compile(r'\s*File "([^"]{1,900})", line (\d{1,9})(?:, in (.*))?$')
_CHAINS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_MARKERS = re.compile(r"\s*[~^][~^\s]*$")
_ENDS_MESSAGE = re.compile(r"[-=*_+]{3}|Traceback \(|Node\.js v|\s*File \"|FAILED |Process finished|Ran \d")
_SYNTAX_PLACE = re.compile(r"\(([^()]{1,500}), line (\d{1,9})\)$")
_SYNTAX_TYPES = ("SyntaxError", "IndentationError", "TabError")


def is_header(line: str) -> bool:
    """Whether a traceback begins here."""
    return _HEADER in line


def _margin(line: str) -> str:
    """What stands before a traceback's header, and so before each of its lines."""
    before = line[: line.index(_HEADER)]
    if before.endswith("Exception Group "):
        return before.removesuffix("Exception Group ").replace("+", "|")
    return before


class _Block:
    """Lines from an index on, with a margin taken off."""

    def __init__(self, lines: Sequence[str], at: int, margin: str) -> None:
        self.lines, self.at, self.margin = lines, at, margin

    def peek(self) -> str | None:
        """The next line without margin, None at the end."""
        if self.at >= len(self.lines):
            return None
        line = self.lines[self.at]
        if line.startswith(self.margin):
            return line[len(self.margin) :]
        if line == self.margin.rstrip():
            return ""
        # a log's prefix stands on the first line only; the bars of a group stand on all
        return None if self.margin.rstrip().endswith("|") else line


def _read_frames(block: _Block) -> tuple[Frame, ...]:
    """Frames up to the first line that is no part of them."""
    frames: list[Frame] = []
    while (line := block.peek()) is not None:
        found = _FRAME.match(line)
        if found:
            frames.append(Frame(found[1], int(found[2]), (found[3] or "").strip()))
        elif not line.startswith(" ") or not frames:
            break
        elif not frames[-1].code and indent_of(line) >= 4 and not _MARKERS.match(line):
            last = frames[-1]
            frames[-1] = Frame(last.path, last.line, last.function, line.strip())
        block.at += 1
    return without_repeats(frames)


def _read_message(block: _Block) -> tuple[str, str]:
    """Type and message, the latter over as many lines as belong to it."""
    line = block.peek()
    error = split_error(line) if line else None
    if error is None:
        return "", ""
    block.at += 1
    message = [error[1]]
    while (line := block.peek()) and len(message) < MAX_MESSAGE_LINES and not _ENDS_MESSAGE.match(line):
        message.append(line)
        block.at += 1
    return error[0], "\n".join(message).strip()


def _with_syntax_place(trace: Traceback) -> Traceback:
    """A syntax error without frames whose message ends in its place, `(a.py, line 3)`."""
    found = _SYNTAX_PLACE.search(trace.message) if trace.error_type in _SYNTAX_TYPES else None
    if not found or trace.frames:
        return trace
    message = trace.message[: found.start()].strip()
    return Traceback(trace.error_type, message, (Frame(found[1], int(found[2])),))


def _read_one(lines: Sequence[str], at: int) -> tuple[Traceback, int, str] | None:
    """One traceback whose header, or whose only frame, is line `at`; the next index; its margin."""
    if is_header(lines[at]):
        block = _Block(lines, at + 1, _margin(lines[at]))
    elif _FRAME.match(lines[at]):
        block = _Block(lines, at, "")
    else:
        return None
    frames = _read_frames(block)
    error_type, message = _read_message(block)
    if not frames and not error_type:
        return None
    return Traceback(error_type, message, frames), max(block.at, at + 1), block.margin


def _next_in_chain(lines: Sequence[str], at: int, margin: str) -> int | None:
    """The index of the traceback that a chain's sentence at or after `at` announces."""
    block = _Block(lines, at, margin)
    seen = False
    while (line := block.peek()) is not None:
        if seen and is_header(lines[block.at]):
            return block.at
        if line and line not in _CHAINS:
            return None
        seen = seen or line in _CHAINS
        block.at += 1
    return None


def read_traceback(lines: Sequence[str], at: int) -> tuple[tuple[Evidence, ...], int] | None:
    """The traceback that begins at line `at`, with its chain: the error raised last comes first."""
    traces: list[Traceback] = []
    following: int | None = at
    end = at
    while following is not None and (found := _read_one(lines, following)):
        trace, end, margin = found
        traces.append(trace)
        following = _next_in_chain(lines, end, margin)
    return (tuple(reversed(traces)), end) if traces else None


def read_bare_error(lines: Sequence[str], at: int) -> tuple[tuple[Evidence, ...], int] | None:
    """A line `SomeError: message` on its own."""
    line = lines[at].strip().removeprefix("Uncaught ").removeprefix("Sorry: ").removeprefix("| ")
    error = split_error(line, strict=True)
    if error is None or (not error[1] and not line.endswith(("Error", "Exception", "Interrupt", "Error:"))):
        return None
    return (_with_syntax_place(Traceback(*error)),), at + 1
