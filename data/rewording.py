"""Comments, docstrings and blank lines: put in, exchanged, taken away.

Owns which of them mean something to a tool or to the program and stay. Must not know records or how groups are chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.piece import Group, Piece, single
from data.wording import COMMENTS, DOCSTRINGS
from repair.languages import Node

_MEANT = re.compile(r"type:|noqa|pragma|fmt:|eslint|@ts-|coding|!|nosec|pylint|mypy|pyright|prettier|istanbul|@flow")


def _line(piece: Piece, offset: int) -> str:
    context = piece.context
    return context.between(context.line_start(offset), context.line_end(offset))


def _statements(piece: Piece) -> list[Node]:
    """Statements of blocks that begin their line, within a function."""
    context = piece.context
    kinds = context.table.statements
    found = (n for n in piece.nodes(kinds) if context.in_block(n) and context.function(n) is not None)
    return [n for n in found if not context.between(context.line_start(n.start), n.start).strip()]


def add_comment(piece: Piece) -> Iterator[Group]:
    """A comment on a line of its own in front of a statement."""
    context, table = piece.context, piece.context.table
    for node in _statements(piece):
        at = context.line_start(node.start)
        said = piece.draw(_line(piece, node.start)).choice(COMMENTS)
        yield single(piece, at, at, f"{context.indentation(node)}{table.comment} {said}\n")


def _comments(piece: Piece) -> Iterator[tuple[Node, bool]]:
    """Comments to the end of a line that mean nothing to any tool, and whether they have the line for themselves."""
    context = piece.context
    for node in piece.nodes(context.table.comments):
        text = context.text(node)
        ends = not context.between(node.end, context.line_end(node.end)).strip()
        if text.startswith(context.table.comment) and ends and not _MEANT.search(text):
            yield node, not context.between(context.line_start(node.start), node.start).strip()


def drop_comment(piece: Piece) -> Iterator[Group]:
    """A comment is gone, with its line where that holds nothing else."""
    context = piece.context
    for node, alone in _comments(piece):
        if alone:
            yield single(piece, context.line_start(node.start), context.line_end(node.end), "")
        else:
            before = context.between(context.line_start(node.start), node.start)
            yield single(piece, context.line_start(node.start) + len(before.rstrip()), node.end, "")


def change_comment(piece: Piece) -> Iterator[Group]:
    """A comment says something else."""
    for node, _ in _comments(piece):
        said = piece.draw(piece.context.text(node)).choice(COMMENTS)
        yield single(piece, node.start, node.end, f"{piece.context.table.comment} {said}")


def docstring(piece: Piece) -> Iterator[Group]:
    """A docstring is put in, exchanged, or taken away where something else is left of the body."""
    context, table = piece.context, piece.context.table
    if not table.layout or "__doc__" in piece.text:
        return
    for function in piece.nodes(table.functions):
        body = function.child("body")
        first = context.statements(body)[0] if body is not None and context.statements(body) else None
        if first is None or body is None or not context.owns_lines(first):
            continue
        said = f'"""{piece.draw(_line(piece, function.start)).choice(DOCSTRINGS)}"""'
        inner = first.named_children
        if not (len(inner) == 1 and inner[0].kind == "string" and len(first.children) == 1):
            at = context.line_start(first.start)
            yield single(piece, at, at, f"{context.indentation(first)}{said}\n")
        elif len(context.statements(body)) > 1 and piece.draw(said).random() < 0.5:
            yield single(piece, context.line_start(first.start), context.line_end(first.end), "")
        else:
            yield single(piece, first.start, first.end, said)


def blank_line(piece: Piece) -> Iterator[Group]:
    """A blank line in front of a statement is put in, or one that stands there is taken away."""
    context = piece.context
    for node in _statements(piece):
        at = context.line_start(node.start)
        if context.between(0, at).endswith("\n\n"):
            yield single(piece, at - 1, at, "")
        else:
            yield single(piece, at, at, "\n")
