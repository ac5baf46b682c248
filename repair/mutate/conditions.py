"""Operators on conditions: conjuncts, negation, comparisons added and dropped, conditional expressions."""

from __future__ import annotations

from collections.abc import Iterator

from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.expressions import holds, is_comparison, is_logical, is_not, parts, swapped
from repair.mutate.mutation import Change


def and_or(context: Context, node: Node) -> Iterator[Change]:
    """`and` for `or` and back."""
    both = context.table.conjunctions
    if not holds(context, node, both):
        return
    token = parts(context, node)[1]
    yield token.start, token.end, both[1 - both.index(context.text(token))]


def and_or_chain(context: Context, node: Node) -> Iterator[Change]:
    """All `and` of `a and b and c` become `or`, and back."""
    both = context.table.conjunctions
    if not holds(context, node, both) or (node.parent is not None and holds(context, node.parent, both)):
        return
    for one, other in (both, both[::-1]):
        tokens = [n for n in node.walk() if n.kind == one]
        if len(tokens) > 1:
            text, at = "", node.start
            for token in tokens:
                text += context.between(at, token.start) + other
                at = token.end
            yield node.start, node.end, text + context.between(at, node.end)


def drop_conjunct(context: Context, node: Node) -> Iterator[Change]:
    """One side of `and` or `or` alone."""
    if is_logical(context, node):
        left, _, right = parts(context, node)[:3]
        yield node.start, node.end, context.text(left)
        yield node.start, node.end, context.text(right)


def swap_conjuncts(context: Context, node: Node) -> Iterator[Change]:
    """The sides of `and` or `or` in the other order (short-circuit)."""
    if is_logical(context, node):
        yield from swapped(context, node)


def drop_comparison(context: Context, node: Node) -> Iterator[Change]:
    """`a == b` becomes `a`; `a < b < c` becomes `a < b` or `b < c`."""
    if not is_comparison(context, node):
        return
    several = parts(context, node)
    if len(several) > 3:
        yield node.start, node.end, context.between(node.start, several[-3].end)
        yield node.start, node.end, context.between(several[2].start, node.end)
    else:
        yield node.start, node.end, context.text(several[0])


def drop_not(context: Context, node: Node) -> Iterator[Change]:
    """`not x` becomes `x`."""
    if is_not(context, node) and len(node.children) > 1:
        inner = node.children[-1]
        if inner.kind in context.table.parentheses and not context.operand(node):
            yield node.start, node.end, context.between(inner.start + 1, inner.end - 1)
        else:
            yield node.start, node.end, context.text(inner)


def condition_of(context: Context, node: Node) -> Node | None:
    """The condition of an if, while, for or comprehension, without the parentheses that the language demands."""
    condition = node.child("condition")
    if condition is None and node.kind in context.words.filters:
        condition = next(iter(node.named_children), None)
    if condition is not None and condition.kind in context.table.parentheses and context.table.terminator:
        inner = condition.named_children
        return inner[0] if inner else None
    return condition


def _negated(context: Context, node: Node) -> str:
    text, table = context.text(node), context.table
    compound = node.kind in table.binaries or node.kind in table.ternaries or node.kind in context.words.tight
    simple = node.kind in table.binaries and table.negation == "not " and holds(context, node, table.comparisons)
    return f"{table.negation}({text})" if compound and not simple else table.negation + text


def negate_condition(context: Context, node: Node) -> Iterator[Change]:
    """`if c` becomes `if not c`."""
    condition = condition_of(context, node)
    if condition is None or not condition.named:
        return
    if condition.kind in context.table.negations and is_not(context, condition):
        return
    yield condition.start, condition.end, _negated(context, condition)


def negate_operand(context: Context, node: Node) -> Iterator[Change]:
    """`a and b` becomes `not a and b`."""
    if not is_logical(context, node):
        return
    for side in parts(context, node)[:3:2]:
        if side.kind in context.table.negations and is_not(context, side):
            continue
        if not holds(context, side, context.table.conjunctions):
            yield side.start, side.end, _negated(context, side)


def negate_value(context: Context, node: Node) -> Iterator[Change]:
    """`return x` becomes `return not x`; the same for assigned values and arguments that look like truths."""
    table = context.table
    if not context.is_value(node) or node.parent is None:
        return
    truth = node.kind in table.binaries and holds(context, node, table.comparisons)
    place = node.parent.kind in table.returns or node.kind in table.comprehensions or truth or node.field == "condition"
    call = node.kind in table.calls and node.parent.kind in {"if_clause", "parenthesized_expression", *table.ternaries}
    if (place or call) and node.kind not in table.negations and node.parent.kind not in table.condition_owners:
        yield node.start, node.end, _negated(context, node)


def constant_condition(context: Context, node: Node) -> Iterator[Change]:
    """The condition becomes always true or never true."""
    condition = condition_of(context, node)
    if condition is not None and condition.named:
        for constant in (context.table.true, context.table.false):
            if context.text(condition) != constant:
                yield condition.start, condition.end, constant


def ternary(context: Context, node: Node) -> Iterator[Change]:
    """One arm of a conditional expression alone, or the arms swapped."""
    arms = node.named_children
    if len(arms) != 3:
        return
    # Python writes `a if c else b`, the others `c ? a : b`
    yes, no = (arms[1], arms[2]) if node.child("condition") is not None else (arms[0], arms[2])
    yield node.start, node.end, context.text(yes)
    yield node.start, node.end, context.text(no)
    middle = context.between(yes.end, no.start)
    yield yes.start, no.end, context.text(no) + middle + context.text(yes)


def _conditions(context: Context, names: tuple[str, ...]) -> Iterator[str]:
    for template in context.words.conditions:
        for name in names:
            yield template.format(name)


def donors(context: Context, node: Node) -> list[str]:
    """Comparisons and simple conditions written elsewhere in the same function."""
    function = context.function(node)
    if function is None:
        return []
    key = ("donors", function.start)
    known = context.tree.memory.get(key)
    if isinstance(known, list):
        return known
    texts: dict[str, None] = {}
    for other in function.walk():
        compares = other.kind in context.table.binaries and holds(context, other, context.table.comparisons)
        if compares and other.end - other.start <= 60:
            texts.setdefault(context.text(other))
    result = list(texts)[:12]
    context.tree.memory[key] = result
    return result


def add_conjunct(context: Context, node: Node) -> Iterator[Change]:
    """`if c` becomes `if c and d` or `if c or d`, with d from names around and conditions nearby."""
    condition = condition_of(context, node)
    if condition is None or not condition.named:
        return
    own = context.text(condition)
    names = context.locals(node)[:8]
    extra = [*donors(context, condition), *_conditions(context, names)]
    both = context.table.conjunctions
    for other in extra:
        if other in own:
            continue
        for word, opposite in (both, both[::-1]):
            left = f"({own})" if holds(context, condition, (opposite,)) and word == both[0] else own
            yield condition.start, condition.end, f"{left} {word} {other}"
            if " " not in other or "(" not in other:
                yield condition.start, condition.end, f"{other} {word} {left}"


def _is_truth(context: Context, node: Node) -> bool:
    parent = node.parent
    if parent is None or not context.is_value(node):
        return False
    table = context.table
    if node.kind in table.parentheses or node.kind in table.negations:
        return False
    if node.kind in table.binaries and not holds(context, node, table.arithmetic):
        return False
    if parent.kind in table.parentheses and parent.parent is not None:
        parent = parent.parent
    conditional = parent.kind in table.condition_owners or parent.kind in {
        "if_clause",
        *table.ternaries,
        *table.returns,
    }
    joined = parent.kind in table.binaries and holds(context, parent, table.conjunctions)
    return conditional or joined or parent.kind in table.negations


def add_comparison(context: Context, node: Node) -> Iterator[Change]:
    """`if x` becomes `if x == y`, for constants and variables y."""
    if not _is_truth(context, node):
        return
    own, table = context.text(node), context.table
    same = [t for t in ("is not", "is", "!==", "===") if t in table.comparisons] or ["!=", "=="]
    for token in same:
        yield node.start, node.end, f"{own} {token} {table.null}"
    values = ("0", "1", *(n for n in context.locals(node)[:8] if n != own))
    for value in values:
        for token in ("==", "!=", "<", ">", "<=", ">=", "in", "not in"):
            if token in table.comparisons and not (value.isdigit() and "in" in token):
                yield node.start, node.end, f"{own} {token} {value}"
