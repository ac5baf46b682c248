"""Operators on operators: comparison, arithmetic, logic; operands dropped, swapped, added; conditions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.mutation import Change


def parts(context: Context, node: Node) -> list[Node]:
    """Operand, operator, operand, ... of a binary expression."""
    return [c for c in node.children if c.kind not in context.table.comments]


def _swap_tokens(context: Context, node: Node, swaps: dict[str, tuple[str, ...]]) -> Iterator[Change]:
    for token in parts(context, node)[1::2]:
        own = " ".join(context.text(token).split())
        for other in swaps.get(own, ()):
            yield from _token(context, token, own, other)


def _token(context: Context, token: Node, own: str, other: str) -> Iterator[Change]:
    """Write `other` for a token; words need space around, signs do not."""
    text = other
    if other[0].isalpha() and not own[0].isalpha():
        if not context.between(token.start - 1, token.start).isspace():
            text = " " + text
        if not context.between(token.end, token.end + 1).isspace():
            text += " "
    yield token.start, token.end, text


def is_arithmetic(context: Context, node: Node) -> bool:
    """Whether a binary expression computes a number (or text)."""
    return holds(context, node, context.table.arithmetic)


def is_comparison(context: Context, node: Node) -> bool:
    """Whether a binary expression compares."""
    return holds(context, node, context.table.comparisons)


def is_logical(context: Context, node: Node) -> bool:
    """Whether a binary expression joins conditions."""
    return holds(context, node, context.table.conjunctions)


def comparison(context: Context, node: Node) -> Iterator[Change]:
    """Another comparison operator."""
    yield from _swap_tokens(context, node, dict(context.words.comparisons))


def arithmetic(context: Context, node: Node) -> Iterator[Change]:
    """Another arithmetic or bit operator."""
    yield from _swap_tokens(context, node, dict(context.words.arithmetic))


def augmented(context: Context, node: Node) -> Iterator[Change]:
    """Another augmented assignment, or plain assignment."""
    token = node.child("operator") or next((c for c in node.children if c.kind == "="), None)
    if token is not None:
        for other in context.words.augmented.get(context.text(token), ()):
            yield token.start, token.end, other


def assign_augmented(context: Context, node: Node) -> Iterator[Change]:
    """`x = e` becomes `x += e`, where x is a plain target."""
    left = node.child("left")
    if left is None or node.child("type") is not None or left.kind in context.table.patterns:
        return
    yield from augmented(context, node)


def holds(context: Context, node: Node, tokens: frozenset[str] | tuple[str, ...]) -> bool:
    """Whether the (first) operator of a binary expression is one of `tokens`."""
    several = parts(context, node)
    return len(several) >= 3 and " ".join(context.text(several[1]).split()) in tokens


def wrap_both(context: Context, node: Node) -> Iterator[Change]:
    """`a == b` becomes `f(a) == f(b)` or `a.m() == b.m()`."""
    if not is_comparison(context, node):
        return
    left, _, right = parts(context, node)[:3]
    between = context.between(left.end, right.start)
    one, two = context.text(left), context.text(right)
    for wrapper in context.words.wrappers:
        if not wrapper.endswith(" "):
            yield left.start, right.end, f"{wrapper}({one}){between}{wrapper}({two})"
    for suffix in context.words.suffixes:
        if suffix.endswith(")"):
            yield left.start, right.end, f"{one}{suffix}{between}{two}{suffix}"


def exchange_variables(context: Context, node: Node) -> Iterator[Change]:
    """Two variables of a short statement change places everywhere in it."""
    if not context.in_block(node) or node.end - node.start > 200 or "\n" in context.text(node):
        return
    uses = [n for n in node.walk() if n.kind in context.table.identifiers and context.is_variable(n)]
    names = list(dict.fromkeys(context.text(n) for n in uses if not context.is_callee(n)))[:6]
    for one, two in combinations(names, 2):
        if context.table.self_name not in {one, two}:
            yield node.start, node.end, _exchanged(context, node, uses, {one: two, two: one})


def _exchanged(context: Context, node: Node, uses: list[Node], swap: dict[str, str]) -> str:
    text, at = "", node.start
    for use in uses:
        own = context.text(use)
        text += context.between(at, use.start) + swap.get(own, own)
        at = use.end
    return text + context.between(at, node.end)


def swapped(context: Context, node: Node) -> Iterator[Change]:
    """The first two operands in the other order."""
    several = parts(context, node)
    left, right = several[0], several[2]
    one, two = context.text(left), context.text(right)
    if one != two:
        yield left.start, right.end, two + context.between(left.end, right.start) + one


def swap_operands(context: Context, node: Node) -> Iterator[Change]:
    """The operands in the other order."""
    if holds(context, node, context.table.arithmetic | context.table.comparisons):
        yield from swapped(context, node)


def drop_operand(context: Context, node: Node) -> Iterator[Change]:
    """One operand of an arithmetic expression alone."""
    if is_arithmetic(context, node):
        left, operator, right = parts(context, node)[:3]
        if context.text(operator) == "%" and left.kind in context.table.strings:
            return
        yield node.start, node.end, context.text(left)
        yield node.start, node.end, context.text(right)


def replace_operand(context: Context, node: Node) -> Iterator[Change]:
    """A local variable or a small number in place of a compound operand."""
    if not holds(context, node, context.table.arithmetic | context.table.comparisons):
        return
    for operand in parts(context, node)[::2]:
        if operand.kind in context.table.identifiers or operand.kind in context.table.integers:
            continue
        for name in (*context.locals(node)[:8], "0", "1"):
            yield operand.start, operand.end, name


def is_not(context: Context, node: Node) -> bool:
    """Whether a unary node is the logical negation."""
    return context.text(node.children[0]) == context.table.negation.strip()


def drop_sign(context: Context, node: Node) -> Iterator[Change]:
    """`-x` becomes `x`."""
    if not is_not(context, node) and len(node.children) > 1:
        yield node.start, node.end, context.text(node.children[-1])


def _numbers(context: Context, node: Node) -> list[str]:
    """Integers of the statement around."""
    statement = context.statement(node)
    if statement is None or statement.end - statement.start > 200:
        return []
    found = dict.fromkeys(context.text(n) for n in statement.walk() if n.kind in context.table.integers)
    return [text for text in found if text not in {"0", "1"}][:3]


def add_operand(context: Context, node: Node) -> Iterator[Change]:
    """`e` becomes `e + x` for small numbers and variables x."""
    if not context.is_value(node) or node.kind in context.table.strings:
        return
    own = context.text(node)
    open_, close = ("(", ")") if context.operand(node) else ("", "")
    if node.kind in context.table.binaries and is_logical(context, node):
        return
    for name in context.locals(node)[:8]:
        for sign in ("+", "-", "*"):
            yield node.start, node.end, f"{open_}{own} {sign} {name}{close}"
        if name != own:
            yield node.start, node.end, f"{open_}{name} + {own}{close}"
            yield node.start, node.end, f"{open_}{name} - {own}{close}"
    numbers = dict.fromkeys(("2", *_numbers(context, node)))
    for tail in (f"{sign} {number}" for number in numbers for sign in ("//", "*", "%", "**", "/", "+", "-")):
        if tail.split()[0] in context.table.arithmetic:
            yield node.start, node.end, f"{open_}{own} {tail}{close}"


def add_sign(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `-x`, and `~x` where it may be bits."""
    if context.is_value(node) and node.kind not in context.table.negations:
        text = context.text(node)
        loose = node.kind in context.table.binaries or node.kind in context.table.ternaries
        inner = f"({text})" if loose else text
        yield node.start, node.end, f"(-{inner})" if context.operand(node) else f"-{inner}"
