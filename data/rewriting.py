"""Equivalent conditions and assignments: mirrored and negated comparisons, exchanged arms, `x += 1`.

Owns the conditions under which such a rewriting changes nothing: names and numbers only, one of them a number for
certain wherever a class could define the operator. Must not know records or how groups are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.piece import Group, Piece, single
from repair.languages import Node
from repair.mutate.conditions import condition_of
from repair.mutate.expressions import is_not, parts

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_OPPOSITE = {"==": "!=", "!=": "==", "is": "is not", "is not": "is", "in": "not in", "not in": "in",
             "===": "!==", "!==": "==="}  # fmt: skip


def _number(piece: Piece, node: Node) -> bool:
    """A number, with or without a sign."""
    table = piece.context.table
    if node.kind in table.negations and len(node.children) == 2 and not is_not(piece.context, node):
        node = node.children[1]
    return node.kind in table.integers | table.floats


def _plain(piece: Piece, node: Node) -> bool:
    """A name or a number."""
    return node.kind in piece.context.table.identifiers or _number(piece, node)


def _sure(piece: Piece, operands: list[Node]) -> bool:
    """Whether one of two operands is a number for certain, so that no class of ours decides the comparison alone."""
    context = piece.context
    if any(_number(piece, n) for n in operands):
        return True
    function = context.function(operands[0])
    names = [context.text(n) for n in operands if n.kind in context.table.identifiers]
    return function is not None and any(_numeric(piece, function, name) for name in names)


def mirror_comparison(piece: Piece) -> Iterator[Group]:
    """`a < b` becomes `b > a`, for names and numbers of which one is a number for certain."""
    context = piece.context
    for node in piece.nodes(context.table.binaries):
        several = parts(context, node)
        if len(several) != 3 or not (_plain(piece, several[0]) and _plain(piece, several[2])):
            continue
        left, sign, right = several
        other = _MIRRORED.get(context.text(sign))
        if other is not None and not context.text(node).count("\n") and _sure(piece, [left, right]):
            yield single(piece, node.start, node.end, f"{context.text(right)} {other} {context.text(left)}")


def _truth(piece: Piece, node: Node) -> bool:
    """Whether only the truth of an expression counts: it is the condition of an if or while."""
    context = piece.context
    owners = (context.table.conditionals | context.table.loops) & context.table.condition_owners
    at = node
    while at.parent is not None and at.parent.kind in context.table.parentheses:
        at = at.parent
    owner = at.parent
    return owner is not None and owner.kind in owners and condition_of(context, owner) in {node, at}


def negate_comparison(piece: Piece) -> Iterator[Group]:
    """`a != b` becomes `not a == b` and back, for names and numbers whose truth alone counts."""
    context, table = piece.context, piece.context.table
    for node in piece.nodes(table.binaries | table.negations):
        inverted = node.kind in table.negations
        if not _truth(piece, node) or (inverted and not is_not(context, node)):
            continue
        inner = node.children[-1] if inverted else node
        if inner.kind in table.parentheses and len(inner.named_children) == 1:
            inner = inner.named_children[0]
        if inner.kind not in table.binaries or (inverted and not table.layout and inner is node.children[-1]):
            continue
        several = parts(context, inner)
        other = _OPPOSITE.get(" ".join(context.text(several[1]).split())) if len(several) == 3 else None
        if other is None or other not in table.comparisons or not all(_plain(piece, n) for n in several[::2]):
            continue
        if other in {"==", "!="} and not _sure(piece, several[::2]):  # a class may define both, and not as opposites
            continue
        turned = f"{context.text(several[0])} {other} {context.text(several[2])}"
        yield single(piece, node.start, node.end, turned if inverted else f"{table.negation}({turned})")


def _arms(piece: Piece, node: Node) -> tuple[int, int, int, int] | None:
    """Where the two arms of an if with an else and nothing between stand: start, end, start, end."""
    context, table = piece.context, piece.context.table
    first, rest = node.child("consequence"), node.child("alternative")
    arms = [c for c in node.children if c.field == "alternative"]
    if first is None or rest is None or len(arms) != 1 or rest.kind in table.conditionals:
        return None
    second = rest.child("body") or (rest if rest.kind in table.blocks else None)
    if second is None and rest.kind in table.else_clauses | {"else_clause"}:
        second = next((c for c in rest.named_children if c.kind in table.blocks), None)
    if second is None or first.kind not in table.blocks or second.kind not in table.blocks:
        return None
    if not table.layout:
        return first.start, first.end, second.start, second.end
    condition = node.child("condition")
    start = context.line_end(condition.end if condition is not None else node.start)
    end = context.line_start(rest.start)
    clean = context.line_start(first.start) >= start and context.line_start(second.start) >= context.line_end(
        rest.start
    )
    header = context.between(context.line_start(rest.start), context.line_end(rest.start)).strip()
    if not clean or header != "else:" or not context.between(node.start, start).rstrip().endswith(":"):
        return None
    return start, end, context.line_end(rest.start), context.line_end(second.end)


def swap_arms(piece: Piece) -> Iterator[Group]:
    """`if c: a else: b` becomes `if not (c): b else: a`."""
    context, table = piece.context, piece.context.table
    for node in piece.nodes(table.conditionals):
        condition = condition_of(context, node)
        if not context.in_block(node) or condition is None or "\n" in context.text(condition):
            continue
        arms = _arms(piece, node)
        if arms is None:
            continue
        a, b, c, d = arms
        own = context.text(condition)
        if condition.kind in table.negations and is_not(context, condition):
            turned = context.text(condition.children[-1])
        elif condition.kind in table.identifiers:
            turned = table.negation + own
        else:
            turned = f"{table.negation}({own})"
        text = context.between(c, d) + context.between(b, c) + context.between(a, b)
        yield Group((piece.edit(condition.start, condition.end, turned), piece.edit(a, d, text)))


def _numeric(piece: Piece, function: Node, name: str) -> bool:
    """Whether every binding of a variable in a function gives it a plain number; remembered for the tree."""
    memory, key = piece.context.tree.memory, ("numeric", function.start, name)
    known = memory.get(key)
    if not isinstance(known, bool):
        known = _bound_to_numbers(piece, function, name)
        memory[key] = known
    return known


def _bound_to_numbers(piece: Piece, function: Node, name: str) -> bool:
    context, table = piece.context, piece.context.table
    bound = False
    for node in function.walk():
        if node.kind not in table.identifiers or context.text(node) != name or not context.is_target(node):
            continue
        parent = node.parent
        kinds = table.assignments | table.augmented
        right = parent.child("right") if parent is not None and parent.kind in kinds and node.field == "left" else None
        if right is None or not (_number(piece, right) or _step(piece, right, name) or _length(piece, right)):
            return False
        bound = True
    declared = (n for n in function.walk() if n.kind in {"global_statement", "nonlocal_statement"})
    inner = any(n.kind in table.functions | table.classes for n in function.walk() if n is not function)
    return bound and not inner and not any(name in context.text(n) for n in declared)


def _length(piece: Piece, right: Node) -> bool:
    """`len(...)`, where that is the builtin."""
    context = piece.context
    called = right.child("function") if right.kind in context.table.calls else None
    known = called is not None and context.text(called) == "len" and "len" in context.table.builtins
    return known and "len" not in context.visible(right)


def _step(piece: Piece, right: Node, name: str) -> bool:
    """`name + number` or `name - number`."""
    context = piece.context
    if right.kind not in context.table.binaries:
        return False
    several = parts(context, right)
    numbers = context.table.integers | context.table.floats
    return (
        len(several) == 3
        and context.text(several[0]) == name
        and context.text(several[1]) in {"+", "-", "*"}
        and several[2].kind in numbers
    )


def augment_assignment(piece: Piece) -> Iterator[Group]:
    """`x += 1` becomes `x = x + 1` and back, where x can only be a number."""
    context, table = piece.context, piece.context.table
    if not table.layout:
        return
    for node in piece.nodes(table.assignments | table.augmented):
        left, right, function = node.child("left"), node.child("right"), context.function(node)
        if left is None or right is None or function is None or left.kind not in table.identifiers:
            continue
        name = context.text(left)
        if node.child("type") is not None or not _numeric(piece, function, name):
            continue
        if node.kind in table.augmented:
            sign = context.text(node.child("operator") or node.children[1])
            if sign in {"+=", "-=", "*="} and right.kind in table.integers | table.floats:
                yield single(piece, node.start, node.end, f"{name} = {name} {sign[0]} {context.text(right)}")
        elif _step(piece, right, name):
            _, sign, value = parts(context, right)
            yield single(piece, node.start, node.end, f"{name} {context.text(sign)}= {context.text(value)}")
