"""Operators that make syntax errors: tokens dropped or doubled, keywords misspelt, lines moved."""

from __future__ import annotations

import re
from collections.abc import Iterator

from repair.edits import Span
from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.mutation import Change

_WORD = re.compile(r"[A-Za-z_]+")


def _at_first_line(context: Context, node: Node) -> tuple[int, str]:
    start = context.line_start(node.start)
    return start, context.between(start, context.line_end(node.start)).rstrip("\r\n")


def _in_code(context: Context, offset: int) -> bool:
    """Whether a character is neither inside of a string nor of a comment."""
    at = context.tree.at(Span(offset, offset + 1))
    hidden = context.table.strings | context.table.comments
    while at is not None:
        if at.kind in hidden:
            return at.start == offset or at.end == offset + 1
        at = at.parent
    return True


def break_token(context: Context, node: Node) -> Iterator[Change]:
    """A bracket, colon, comma or quote of the line dropped or doubled."""
    start, text = _at_first_line(context, node)
    for at, character in enumerate(text, start):
        if character in "()[]{}:,'\";" and _in_code(context, at):
            yield at, at + 1, ""
            if character not in "'\"":
                yield at, at + 1, character * 2


def break_operator(context: Context, node: Node) -> Iterator[Change]:
    """`==` becomes `=`; an operator is dropped."""
    start, text = _at_first_line(context, node)
    for match in re.finditer(r"==|(?<= )[-+*/<>%](?= )", text):
        if _in_code(context, start + match.start()):
            yield start + match.start(), start + match.end(), "=" if match.group() == "==" else ""


def break_keyword(context: Context, node: Node) -> Iterator[Change]:
    """A keyword of the line misspelt."""
    start, text = _at_first_line(context, node)
    for match in _WORD.finditer(text):
        word, at = match.group(), start + match.start()
        if word in context.table.keywords and len(word) > 2 and _in_code(context, at):
            yield at, at + len(word), word[0] + word[2] + word[1] + word[3:]
            yield at, at + len(word), word[:-1]
            yield at, at + len(word), word[0] + word[0] + word[1:]


def break_indentation(context: Context, node: Node) -> Iterator[Change]:
    """The line moved by a blank or by a level."""
    start, text = _at_first_line(context, node)
    indent = len(text) - len(text.lstrip())
    if context.table.layout and text.strip():
        yield start, start, " "
        yield start, start, context.unit()
        if indent:
            yield start, start + 1, ""
            yield start, start + min(len(context.unit()), indent), ""
