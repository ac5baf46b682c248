"""Error text as lines fit for parsing: colours stripped, line ends unified, lengths bounded.

Knows nothing of any tool's format. Every pattern of this package meets lines of bounded length and has
no nested repetition, so the time to parse is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from repair.defects import Frame

MAX_LINE = 1_000  # characters of a line that are looked at
MAX_MESSAGE_LINES = 12
HEAD_LINES, TAIL_LINES = 2_000, 8_000  # of a longer text; the error stands at the end, what ran at the beginning

_ANSI = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b]*+(?:\x07|\x1b\\)|[@-Z\\^_])")
# Names of errors as classes are named by convention in Python, JavaScript and Java.
_ENDINGS = r"(?:Error|Exception|Warning|Interrupt|Exit|Failure|Failed|Iteration|Fault|Group|Throwable)"
_TYPE = r"(?:[^\W\d][\w$]*+[./])*+[^\W\d][\w$]*+"
_ERROR_LINE = re.compile(rf"({_TYPE})(?: \[([\w$ ]{{1,80}})\])?(?::(?: (.*))?)?$")
_CONVENTIONAL = re.compile(rf"{_ENDINGS}\d*$")


def without_colours(text: str) -> str:
    """The text without a terminal's control sequences."""
    return _ANSI.sub("", text)


def clean_lines(text: str) -> list[str]:
    """The lines of `text` without colours and trailing blanks, each cut to MAX_LINE characters.

    Of a text longer than HEAD_LINES + TAIL_LINES lines, its first and last ones.
    """
    lines = without_colours(text).split("\n")
    if len(lines) > HEAD_LINES + TAIL_LINES:
        lines = [*lines[:HEAD_LINES], "", *lines[-TAIL_LINES:]]
    return [line[:MAX_LINE].rstrip() for line in lines]


def split_error(line: str, *, strict: bool = False) -> tuple[str, str] | None:
    """Type and message of a line `Type: message` (or `Type`), None when it is none.

    `strict` asks for a name that errors have by convention (`...Error`, `...Exception`, ...).
    """
    found = _ERROR_LINE.match(line)
    if found is None or (strict and not _CONVENTIONAL.search(found[1])):
        return None
    renamed = found[2] if found[2] and found[2].endswith("Error") else ""  # Node: `Error [NameItWasGiven]: message`
    return renamed or found[1], (found[3] or "").strip()


def without_repeats(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Frames with each run of equal neighbours (recursion) once."""
    return tuple(f for n, f in enumerate(frames) if n == 0 or f != frames[n - 1])


def indent_of(line: str) -> int:
    """How many blanks begin the line."""
    return len(line) - len(line.lstrip())
