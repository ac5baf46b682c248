"""Operators on operators: comparison, arithmetic, logic; operands dropped, swapped, added; conditions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.mutation import Change


def _parts(context: Context, node: Node) -> list[Node]:
    """Operand, operator, operand, ... of a binary expression."""
    return [c for c in node.children if c.kind not in context.table.comments]


def _swap_tokens(context: Context, node: Node, swaps: dict[str, tuple[str, ...]]) -> Iterator[Change]:
    for token in _parts(context, node)[1::2]:
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
    return _is(context, node, context.table.arithmetic)


def is_comparison(context: Context, node: Node) -> bool:
    """Whether a binary expression compares."""
    return _is(context, node, context.table.comparisons)


def is_logical(context: Context, node: Node) -> bool:
    """Whether a binary expression joins conditions."""
    return _is(context, node, context.table.conjunctions)


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


def _is(context: Context, node: Node, tokens: frozenset[str] | tuple[str, ...]) -> bool:
    parts = _parts(context, node)
    return len(parts) >= 3 and " ".join(context.text(parts[1]).split()) in tokens


def and_or(context: Context, node: Node) -> Iterator[Change]:
    """`and` for `or` and back."""
    both = context.table.conjunctions
    if not _is(context, node, both):
        return
    token = _parts(context, node)[1]
    yield token.start, token.end, both[1 - both.index(context.text(token))]


def and_or_chain(context: Context, node: Node) -> Iterator[Change]:
    """All `and` of `a and b and c` become `or`, and back."""
    both = context.table.conjunctions
    if not _is(context, node, both) or (node.parent is not None and _is(context, node.parent, both)):
        return
    for one, other in (both, both[::-1]):
        tokens = [n for n in node.walk() if n.kind == one]
        if len(tokens) > 1:
            text, at = "", node.start
            for token in tokens:
                text += context.between(at, token.start) + other
                at = token.end
            yield node.start, node.end, text + context.between(at, node.end)


def wrap_both(context: Context, node: Node) -> Iterator[Change]:
    """`a == b` becomes `f(a) == f(b)` or `a.m() == b.m()`."""
    if not is_comparison(context, node):
        return
    left, _, right = _parts(context, node)[:3]
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


def drop_conjunct(context: Context, node: Node) -> Iterator[Change]:
    """One side of `and` or `or` alone."""
    if is_logical(context, node):
        left, _, right = _parts(context, node)[:3]
        yield node.start, node.end, context.text(left)
        yield node.start, node.end, context.text(right)


def swap_conjuncts(context: Context, node: Node) -> Iterator[Change]:
    """The sides of `and` or `or` in the other order (short-circuit)."""
    if is_logical(context, node):
        yield from _swapped(context, node)


def _swapped(context: Context, node: Node) -> Iterator[Change]:
    parts = _parts(context, node)
    left, right = parts[0], parts[2]
    one, two = context.text(left), context.text(right)
    if one != two:
        yield left.start, right.end, two + context.between(left.end, right.start) + one


def swap_operands(context: Context, node: Node) -> Iterator[Change]:
    """The operands in the other order."""
    if _is(context, node, context.table.arithmetic | context.table.comparisons):
        yield from _swapped(context, node)


def drop_operand(context: Context, node: Node) -> Iterator[Change]:
    """One operand of an arithmetic expression alone."""
    if is_arithmetic(context, node):
        left, operator, right = _parts(context, node)[:3]
        if context.text(operator) == "%" and left.kind in context.table.strings:
            return
        yield node.start, node.end, context.text(left)
        yield node.start, node.end, context.text(right)


def replace_operand(context: Context, node: Node) -> Iterator[Change]:
    """A local variable or a small number in place of a compound operand."""
    if not _is(context, node, context.table.arithmetic | context.table.comparisons):
        return
    for operand in _parts(context, node)[::2]:
        if operand.kind in context.table.identifiers or operand.kind in context.table.integers:
            continue
        for name in (*context.locals(node)[:8], "0", "1"):
            yield operand.start, operand.end, name


def drop_comparison(context: Context, node: Node) -> Iterator[Change]:
    """`a == b` becomes `a`; `a < b < c` becomes `a < b` or `b < c`."""
    if not is_comparison(context, node):
        return
    parts = _parts(context, node)
    if len(parts) > 3:
        yield node.start, node.end, context.between(node.start, parts[-3].end)
        yield node.start, node.end, context.between(parts[2].start, node.end)
    else:
        yield node.start, node.end, context.text(parts[0])


def is_not(context: Context, node: Node) -> bool:
    """Whether a unary node is the logical negation."""
    return context.text(node.children[0]) == context.table.negation.strip()


def drop_not(context: Context, node: Node) -> Iterator[Change]:
    """`not x` becomes `x`."""
    if is_not(context, node) and len(node.children) > 1:
        inner = node.children[-1]
        if inner.kind in context.table.parentheses and not context.operand(node):
            yield node.start, node.end, context.between(inner.start + 1, inner.end - 1)
        else:
            yield node.start, node.end, context.text(inner)


def drop_sign(context: Context, node: Node) -> Iterator[Change]:
    """`-x` becomes `x`."""
    if not is_not(context, node) and len(node.children) > 1:
        yield node.start, node.end, context.text(node.children[-1])


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
    simple = node.kind in table.binaries and table.negation == "not " and _is(context, node, table.comparisons)
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
    for side in _parts(context, node)[:3:2]:
        if side.kind in context.table.negations and is_not(context, side):
            continue
        if not _is(context, side, context.table.conjunctions):
            yield side.start, side.end, _negated(context, side)


def negate_value(context: Context, node: Node) -> Iterator[Change]:
    """`return x` becomes `return not x`; the same for assigned values and arguments that look like truths."""
    table = context.table
    if not context.is_value(node) or node.parent is None:
        return
    truth = node.kind in table.binaries and _is(context, node, table.comparisons)
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


def _conditions(context: Context, node: Node, names: tuple[str, ...]) -> Iterator[str]:
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
        compares = other.kind in context.table.binaries and _is(context, other, context.table.comparisons)
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
    extra = [*donors(context, condition), *_conditions(context, node, names)]
    both = context.table.conjunctions
    for other in extra:
        if other in own:
            continue
        for word, opposite in (both, both[::-1]):
            left = f"({own})" if _is(context, condition, (opposite,)) and word == both[0] else own
            yield condition.start, condition.end, f"{left} {word} {other}"
            if " " not in other or "(" not in other:
                yield condition.start, condition.end, f"{other} {word} {left}"


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


def _is_truth(context: Context, node: Node) -> bool:
    parent = node.parent
    if parent is None or not context.is_value(node):
        return False
    table = context.table
    if node.kind in table.parentheses or node.kind in table.negations:
        return False
    if node.kind in table.binaries and not _is(context, node, table.arithmetic):
        return False
    if parent.kind in table.parentheses and parent.parent is not None:
        parent = parent.parent
    conditional = parent.kind in table.condition_owners or parent.kind in {
        "if_clause",
        *table.ternaries,
        *table.returns,
    }
    joined = parent.kind in table.binaries and _is(context, parent, table.conjunctions)
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
