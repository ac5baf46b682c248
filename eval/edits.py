"""Which kind of edit a diff makes, by the tokens of the lines that it takes out and puts in. Pure.

Reads a unified diff alone, so that old results can be told as well; knows no grammar. `data.classes` names the faults
of whole programs by their syntax trees; this is coarser, and works for what a model proposed, too.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum


class EditKind(StrEnum):
    """What a change does."""

    ADDED = "lines added"
    REMOVED = "lines removed"
    SEVERAL = "several lines"
    OPERATOR = "operator"
    LITERAL = "literal"
    NAME = "name"
    STRUCTURE = "call or index"
    LAYOUT = "layout"
    REWRITTEN = "rewritten line"
    NOTHING = "no patch"


_TOKEN = re.compile(r"[^\W\d]\w*|\d[\w.]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[<>=!+\-*/%&|^~]+|\S")
_WORDS = frozenset({"and", "or", "not", "in", "is", "if", "while", "elif", "else", "return"})
_LITERALS = frozenset({"True", "False", "None", "true", "false", "null", "undefined"})


def edit_kind(diff: str) -> EditKind:
    """The kind of a unified diff; NOTHING of an empty one."""
    lines = [line for line in diff.split("\n") if not line.startswith(("--- ", "+++ "))]
    old = [line[1:] for line in lines if line.startswith("-")]
    new = [line[1:] for line in lines if line.startswith("+")]
    if not old or not new:
        return EditKind.NOTHING if old == new else EditKind.ADDED if new else EditKind.REMOVED
    if len(old) != 1 or len(new) != 1:
        return EditKind.SEVERAL
    return _of_line(old[0], new[0])


def _of_line(old: str, new: str) -> EditKind:
    before, after = Counter(_TOKEN.findall(old)), Counter(_TOKEN.findall(new))
    kinds = {_kind(token) for token in (before - after) + (after - before)}
    if not kinds:
        same = _TOKEN.findall(old) == _TOKEN.findall(new)
        return EditKind.LAYOUT if same else EditKind.REWRITTEN
    if len(kinds) == 1:
        return kinds.pop()
    if EditKind.STRUCTURE in kinds and EditKind.OPERATOR not in kinds:
        return EditKind.STRUCTURE  # brackets come with a name or a literal
    return EditKind.REWRITTEN


def _kind(token: str) -> EditKind:
    if token in _LITERALS or token[0] in "\"'" or token[0].isdigit():
        return EditKind.LITERAL
    if token in _WORDS:
        return EditKind.OPERATOR
    if token[0].isalpha() or token[0] == "_":
        return EditKind.NAME
    return EditKind.STRUCTURE if token in "()[]{}.,:;" else EditKind.OPERATOR
