"""Operators on literals and bounds: integers, off-by-one, booleans, None, strings, returned values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.mutation import Change

_MAX_DIGITS = 18


def _number(context: Context, node: Node) -> int | None:
    text = context.text(node)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _signed(node: Node) -> bool:
    parent = node.parent
    return parent is not None and len(parent.children) == 2 and parent.children[0].kind == "-"


def integer(context: Context, node: Node) -> Iterator[Change]:
    """One more, one less, 0, 1, 2, the negative, ten times."""
    value = _number(context, node)
    if value is None:
        return
    wanted = [value + 1, value - 1, 0, 1, -value, 2, -1, value * 10, value // 10, value * 2, value + 2, value - 2]
    for other in dict.fromkeys(wanted):
        if other == value or (other < 0 and _signed(node)):
            continue
        text = str(other)
        yield node.start, node.end, f"({text})" if other < 0 and context.operand(node) else text
    if _signed(node) and node.parent is not None:
        yield node.parent.start, node.start, ""


def decimal(context: Context, node: Node) -> Iterator[Change]:
    """Another usual fraction, one more, one less, the reciprocal."""
    text = context.text(node)
    if "." not in text and "e" not in text:
        return
    try:
        value = float(text)
    except ValueError:  # 1_000.0, 1f, 2j
        return
    wanted = [value + 1, value - 1, -value, 0.0, 0.5, 1.0, 2.0, 1 / value if value else 1.0, value * 10, value / 10]
    for other in dict.fromkeys(wanted):
        if other != value and len(repr(other)) <= 8:
            yield node.start, node.end, f"({other!r})" if other < 0 and context.operand(node) else repr(other)


def swap_booleans(context: Context, node: Node) -> Iterator[Change]:
    """Two returned booleans of a function change places: this one and each later opposite one."""
    function = context.function(node)
    if function is None or node.parent is None or node.parent.kind not in context.table.returns:
        return
    opposite = context.table.falses if node.kind in context.table.trues else context.table.trues
    for other in function.walk():
        returned = other.parent is not None and other.parent.kind in context.table.returns
        if other.kind in opposite and returned and other.start > node.end:
            between = context.between(node.end, other.start)
            yield node.start, other.end, context.text(other) + between + context.text(node)


def swap_literals(context: Context, node: Node) -> Iterator[Change]:
    """Two different numbers or strings of one short statement change places."""
    if not context.in_block(node) or node.end - node.start > 200 or "\n" in context.text(node):
        return
    table = context.table
    kinds = table.integers | table.floats | table.strings | table.trues | table.falses | table.nulls
    literals = [n for n in node.walk() if n.kind in kinds][:6]
    for one, two in combinations(literals, 2):
        if one.end <= two.start and context.text(one) != context.text(two):
            between = context.between(one.end, two.start)
            yield one.start, two.end, context.text(two) + between + context.text(one)


def number_by_name(context: Context, node: Node) -> Iterator[Change]:
    """A variable in place of a number."""
    if context.is_value(node):
        for name in context.locals(node)[:12]:
            yield node.start, node.end, name


def name_by_number(context: Context, node: Node) -> Iterator[Change]:
    """A small number in place of a variable, attribute or subscript."""
    if context.is_value(node) and node.parent is not None and node.parent.kind not in context.table.members:
        for number in ("0", "1", "-1", "2"):
            yield node.start, node.end, number


def nearby_number(context: Context, node: Node) -> Iterator[Change]:
    """Another number of the same function."""
    function = context.function(node)
    if function is None:
        return
    kinds = context.table.integers | context.table.floats
    texts = dict.fromkeys(context.text(n) for n in function.walk() if n.kind in kinds)
    for other in list(texts)[:10]:
        if other != context.text(node):
            yield node.start, node.end, other


def _bound(context: Context, node: Node) -> bool:
    """Whether a value is an index, a slice bound or an argument of range and the like."""
    parent = node.parent
    if parent is None:
        return False
    table = context.table
    if parent.kind in table.slices or (parent.kind in table.subscripts and parent.children[0] is not node):
        return True
    if parent.kind in table.arguments and parent.parent is not None:
        callee = context.between(parent.parent.start, parent.start).rsplit(".", 1)[-1]
        return callee in context.words.counted
    return parent.kind in table.binaries and parent.kind != "boolean_operator"


def _plain_number(context: Context, node: Node) -> bool:
    return node.kind in context.table.integers or (
        node.kind in context.table.negations and node.children[-1].kind in context.table.integers
    )


def _shift(context: Context, node: Node, signs: tuple[str, ...]) -> Iterator[Change]:
    text = context.text(node)
    around = ("(", ")") if context.operand(node) or node.kind in context.table.ternaries else ("", "")
    if node.parent is not None and node.parent.kind in context.table.binaries and _compares(context, node.parent):
        around = ("", "")
    for sign in signs:
        yield node.start, node.end, f"{around[0]}{text} {sign} 1{around[1]}"


def _compares(context: Context, node: Node) -> bool:
    operators = {context.text(c) for c in node.children[1::2]}
    return operators <= context.table.comparisons


def is_bound(context: Context, node: Node) -> bool:
    """Whether a value, no plain number, is an index, a bound or an operand of a comparison."""
    if not _bound(context, node) or node.kind in context.table.strings or not context.is_value(node):
        return False
    parent = node.parent
    if parent is not None and parent.kind in context.table.binaries and not _compares(context, parent):
        return False
    return not _plain_number(context, node)


def shift_bound(context: Context, node: Node) -> Iterator[Change]:
    """An index, bound or compared value, one more or one less."""
    if is_bound(context, node):
        yield from _shift(context, node, ("+", "-"))


def shift_value(context: Context, node: Node) -> Iterator[Change]:
    """Any other value, one more or one less."""
    table = context.table
    if not context.is_value(node) or node.kind in table.strings or _plain_number(context, node):
        return
    if node.kind in table.trues | table.falses | table.nulls | table.collections | table.comprehensions:
        return
    parent = node.parent
    compared = parent is not None and parent.kind in table.binaries and _compares(context, parent)
    if not _bound(context, node) or not (compared or parent is None or parent.kind not in table.binaries):
        yield from _shift(context, node, ("+", "-"))


def slice_bound(context: Context, node: Node) -> Iterator[Change]:
    """A bound of a slice dropped or added."""
    colon = next((c for c in node.children if c.kind == ":"), None)
    if colon is None:
        return
    before = [c for c in node.named_children if c.end <= colon.start]
    after = [c for c in node.named_children if c.start >= colon.end]
    for bound in (*before, *after):
        yield bound.start, bound.end, ""
    values = ("1", "-1", "2", *context.locals(node)[:8])
    if not before:
        yield from ((colon.start, colon.start, value) for value in values)
    if not after:
        yield from ((colon.end, colon.end, value) for value in values)


def boolean(context: Context, node: Node) -> Iterator[Change]:
    """True for False and back."""
    table = context.table
    flip = table.false if node.kind in table.trues else table.true
    yield node.start, node.end, flip
    yield node.start, node.end, table.null


def null(context: Context, node: Node) -> Iterator[Change]:
    """Another empty value in place of None."""
    if context.is_value(node):
        for value in dict.fromkeys((context.table.false, context.table.true, "0", '""', *context.words.collections)):
            yield node.start, node.end, value


def empty_collection(context: Context, node: Node) -> Iterator[Change]:
    """Another empty value in place of an empty list, dict, string."""
    empty = not node.named_children or context.text(node) in {'""', "''", "set()"}
    if empty and context.is_value(node):
        own = context.text(node)
        for value in (*context.words.collections, '""', context.table.null, "0"):
            if value != own:
                yield node.start, node.end, value


def _string_parts(context: Context, node: Node) -> tuple[str, str, str] | None:
    """Prefix with opening quote, content, closing quote of a plain literal."""
    text = context.text(node)
    lead = len(text) - len(text.lstrip("rRbBuUfF"))
    for quote in ('"""', "'''", '"', "'", "`"):
        if text[lead:].startswith(quote) and text.endswith(quote) and len(text) >= lead + 2 * len(quote):
            return text[: lead + len(quote)], text[lead + len(quote) : len(text) - len(quote)], quote
    return None


def _docstring(context: Context, node: Node) -> bool:
    return not context.is_value(node)


def strings_near(context: Context, node: Node) -> list[str]:
    """Short string literals of the same function, else of the file."""
    scope = context.function(node) or context.tree.root
    if scope is None:
        return []
    key = ("strings", scope.start, scope.end)
    known = context.tree.memory.get(key)
    if isinstance(known, list):
        return known
    texts = (context.text(n) for n in scope.walk() if n.kind in context.table.strings and n.end - n.start <= 30)
    result = list(dict.fromkeys(texts))[:20]
    context.tree.memory[key] = result
    return result


def string(context: Context, node: Node) -> Iterator[Change]:
    """Another string of the function, the empty one, another case, without or with blanks around."""
    if _docstring(context, node):
        return
    parts = _string_parts(context, node)
    if parts is None or "\n" in parts[1]:
        return
    before, content, after = parts
    bare = content.strip()
    variants = ["", content.lower(), content.upper(), content.capitalize(), bare, content[:-1], content[1:]]
    variants += [" "] if not content else [f"{bare} ", f" {bare}", f"{content} ", f" {content}", f"{content}s"]
    escaped = "\\" in content or "{" in content
    for other in dict.fromkeys(variants[:1] if escaped else variants):
        if other != content:
            yield node.start, node.end, before + other + after
    for text in strings_near(context, node):
        if text != context.text(node):
            yield node.start, node.end, text


def returned(context: Context, node: Node) -> Iterator[Change]:
    """Another value returned: a variable, a constant."""
    value = next((c for c in node.children if c.named and c.kind not in context.table.comments), None)
    own = context.text(value) if value is not None else ""
    at = (value.start, value.end) if value is not None else (node.children[0].end, node.children[0].end)
    lead = "" if value is not None else " "
    for other in dict.fromkeys((*context.locals(node)[:16], *context.words.results)):
        if other != own:
            yield at[0], at[1], lead + other


def bare_return(context: Context, node: Node) -> Iterator[Change]:
    """`return x` becomes `return`."""
    value = next((c for c in node.children if c.named and c.kind not in context.table.comments), None)
    if value is not None:
        yield node.children[0].end, value.end, ""
