"""Reordering: two neighbouring statements whose order nothing can tell.

Owns the conditions: one of the two gives a constant (or a parameter) to a local variable that the other neither reads
nor writes, no try is around, no nested function or reflection could see the variable in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from data.piece import Group, Piece
from data.renaming import free_names
from repair.languages import Node

_AROUND = frozenset({"try_statement", "with_statement"})
_UNSAFE = frozenset({"named_expression", "yield", "await"})


def _assignment(piece: Piece, statement: Node) -> tuple[str, Node] | None:
    """Name and value of `name = value`."""
    context, table = piece.context, piece.context.table
    inner = statement.children[0] if len(statement.children) == 1 else None
    if inner is None or inner.kind not in table.assignments:
        return None
    left, right = inner.child("left"), inner.child("right")
    if left is None or right is None or left.kind not in table.identifiers or inner.child("type") is not None:
        return None
    return context.text(left), right


def _inert(piece: Piece, value: Node, parameters: frozenset[str]) -> bool:
    """Whether a value is made of constants and parameters alone, so that computing it does nothing and cannot fail."""
    table = piece.context.table
    quiet = table.integers | table.floats | table.trues | table.falses | table.nulls
    if value.kind in quiet:
        return True
    if value.kind in table.identifiers:
        return piece.context.text(value) in parameters
    if value.kind in table.strings:
        return not any(n.kind in table.interpolations for n in value.walk())
    plain = value.kind in {"list", "tuple"} or (value.kind in table.collections and not value.named_children)
    return plain and all(_inert(piece, c, parameters) for c in value.named_children)


def _names(piece: Piece, node: Node) -> set[str]:
    return {piece.context.text(n) for n in node.walk() if n.kind in piece.context.table.identifiers}


def _simple(piece: Piece, node: Node) -> bool:
    """An assignment or a call on one line of its own."""
    context, table = piece.context, piece.context.table
    if node.kind != "expression_statement" or not context.owns_lines(node) or "\n" in context.text(node):
        return False
    return not any(n.kind in _UNSAFE or n.kind in table.functions for n in node.walk())


def _movable(piece: Piece, node: Node) -> bool:
    """Whether a statement may be moved at all: in a function, with no try, with or nested function about."""
    context, table = piece.context, piece.context.table
    function = context.function(node)
    if function is None or any(a.kind in _AROUND for a in node.ancestors()):
        return False
    inner = table.functions | table.classes | {"yield", "delete_statement", "generator_expression"}
    return not any(n.kind in inner for n in function.walk() if n is not function)


def reorder(piece: Piece) -> Iterator[Group]:
    """Two neighbouring statements change places."""
    context, table = piece.context, piece.context.table
    if not table.layout:
        return
    free = frozenset(free_names(piece, parameters=False))
    given = frozenset(free_names(piece, parameters=True))
    for block in piece.nodes(table.blocks):
        for one, two in pairwise(context.statements(block)):
            if not (_simple(piece, one) and _simple(piece, two) and _movable(piece, one)):
                continue
            start, middle, end = context.line_start(one.start), context.line_end(one.end), context.line_end(two.end)
            if context.line_start(two.start) != middle or not _independent(piece, one, two, free, given):
                continue
            text = context.between(middle, end) + context.between(start, middle)
            yield Group((piece.edit(start, end, text),))


def _independent(piece: Piece, one: Node, two: Node, free: frozenset[str], given: frozenset[str]) -> bool:
    for quiet, other in ((one, two), (two, one)):
        found = _assignment(piece, quiet)
        if found is None:
            continue
        name, value = found
        used = _names(piece, value) | {name}
        if name in free and _inert(piece, value, given) and used.isdisjoint(_names(piece, other)):
            return True
    return False
