"""Operators on calls, attributes, subscripts: unwrap, wrap; arguments and elements dropped, added, swapped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.mutation import Change
from repair.mutate.names import keyword_arguments


def receiver(context: Context, call: Node) -> Node | None:
    """X of `x.m(...)`."""
    own = call.child("object")
    if own is not None:
        return own
    function = call.child("function")
    if function is None or function.kind not in context.table.members:
        return None
    return function.named_children[0]


def argument_list(context: Context, call: Node) -> Node | None:
    """The arguments node of a call."""
    found = call.child("arguments")
    return found if found is not None and found.kind in context.table.arguments else None


def _plain(context: Context, node: Node) -> bool:
    return node.kind not in context.table.spreads and node.kind not in context.table.keyword_arguments


def is_place(context: Context, node: Node) -> bool:
    """Whether the value of a node is read, or called."""
    return context.is_value(node) or context.is_callee(node)


def unwrap_call(context: Context, node: Node) -> Iterator[Change]:
    """`f(x)` becomes `x`."""
    if not context.is_value(node):
        return
    inside = argument_list(context, node)
    if inside is not None:
        for argument in context.arguments(inside)[:2]:
            if _plain(context, argument):
                yield node.start, node.end, context.text(argument)


def drop_method(context: Context, node: Node) -> Iterator[Change]:
    """`x.m(...)` becomes `x`."""
    if context.is_value(node):
        before = receiver(context, node)
        if before is not None and context.text(before) not in {context.table.self_name, "super()"}:
            yield node.start, node.end, context.text(before)


def drop_member(context: Context, node: Node) -> Iterator[Change]:
    """`x.a` becomes `x`, and `self.a` also `a` where that is a variable."""
    first, last = node.children[0], node.children[-1]
    if context.is_value(node):
        if context.text(first) != context.table.self_name:
            yield node.start, node.end, context.text(first)
        elif context.text(last) in context.visible(node):
            yield node.start, node.end, context.text(last)
    elif context.is_callee(node) and first.kind in context.table.members:
        yield node.start, node.end, f"{context.text(first.children[0])}.{context.text(last)}"


def drop_subscript(context: Context, node: Node) -> Iterator[Change]:
    """`x[i]` becomes `x`."""
    if context.is_value(node):
        yield node.start, node.end, context.text(node.children[0])


def uncall(context: Context, node: Node) -> Iterator[Change]:
    """`f()` becomes `f`."""
    inside = argument_list(context, node)
    if inside is not None and context.is_value(node) and not context.arguments(inside):
        yield inside.start, inside.end, ""


def call_value(context: Context, node: Node) -> Iterator[Change]:
    """`f` becomes `f()`, for attributes."""
    if context.is_value(node):
        yield node.end, node.end, "()"


def _without(items: list[Node], at: int) -> Change:
    if at + 1 < len(items):
        return items[at].start, items[at + 1].start, ""
    if at > 0:
        return items[at - 1].end, items[at].end, ""
    return items[at].start, items[at].end, ""


def drop_argument(context: Context, node: Node) -> Iterator[Change]:
    """One argument less."""
    items = context.arguments(node)
    for at in range(len(items)):
        yield _without(items, at)


def drop_element(context: Context, node: Node) -> Iterator[Change]:
    """One element of a literal less."""
    items = context.arguments(node)
    if len(items) > 40 or context.is_target(node):
        return
    for at in range(len(items)):
        if len(items) > 2 or node.kind not in {"tuple", "expression_list"}:
            yield _without(items, at)
        elif len(items) == 2 and node.kind == "expression_list":
            yield node.start, node.end, context.text(items[1 - at])


def swap_arguments(context: Context, node: Node) -> Iterator[Change]:
    """Two arguments (or elements) in the other order, neighbours first."""
    items = [i for i in context.arguments(node) if _plain(context, i)][:6]
    for one, two in sorted(combinations(range(len(items)), 2), key=lambda p: p[1] - p[0]):
        left, right = items[one], items[two]
        if context.text(left) != context.text(right):
            between = context.between(left.end, right.start)
            yield left.start, right.end, context.text(right) + between + context.text(left)


def _insert(node: Node, items: list[Node], at: int, text: str) -> Change:
    if at < len(items):
        return items[at].start, items[at].start, f"{text}, "
    if items:
        return items[-1].end, items[-1].end, f", {text}"
    inside = node.children[0].end if node.children else node.end
    return inside, inside, text


def extra_values(context: Context, node: Node, limit: int = 10) -> list[str]:
    """What a missing argument, operand or element could be."""
    table = context.table
    plain = [*context.locals(node)[:limit], "0", "1", table.null, table.true, table.false, "-1"]
    return [*plain, *splats(context, node), *donor_values(context, node)[:limit]]


def splats(context: Context, node: Node) -> list[str]:
    """`*args`, `**kwargs` of the function around, as they are written in its head."""
    function = context.function(node)
    head = function.child("parameters") if function is not None else None
    kinds = {"list_splat_pattern", "dictionary_splat_pattern", "rest_pattern"}
    return [context.text(p) for p in head.children if p.kind in kinds] if head is not None else []


def donor_values(context: Context, node: Node) -> list[str]:
    """Short compound expressions of the same function: attributes, subscripts, calls, sums."""
    function = context.function(node)
    if function is None:
        return []
    key = ("donor values", function.start)
    known = context.tree.memory.get(key)
    if isinstance(known, list):
        return known
    table = context.table
    kinds = table.members | table.subscripts | table.calls | table.binaries
    found = (n for n in function.walk() if n.kind in kinds and n.end - n.start <= 30 and context.is_value(n))
    result = list(dict.fromkeys(context.text(n) for n in found))[:24]
    context.tree.memory[key] = result
    return result


def donor(context: Context, node: Node) -> Iterator[Change]:
    """Another short expression of the same function in place of this one."""
    if context.is_value(node) and (node.parent is None or node.parent.kind not in context.table.members):
        own = context.text(node)
        around = ("(", ")") if context.operand(node) else ("", "")
        for text in donor_values(context, node):
            if text != own and text not in own:
                bare = text.endswith((")", "]")) or text.replace(".", "").isidentifier()
                yield node.start, node.end, text if bare and " " not in text else around[0] + text + around[1]


def add_argument(context: Context, node: Node) -> Iterator[Change]:
    """One argument more: a variable, a small constant, a keyword argument that the file uses."""
    items = context.arguments(node)
    if node.parent is None or node.kind not in context.table.arguments:
        return
    values = extra_values(context, node)
    plain = [i for i in items if _plain(context, i)]
    for at in range(len(plain), -1, -1):
        for value in values:
            yield _insert(node, items, at, value)
    for keyword in dict.fromkeys((*keyword_arguments(context)[:12], *context.words.keywords)):
        if keyword.split("=")[0] not in {context.text(i).split("=")[0] for i in items}:
            yield _insert(node, items, len(items), keyword)


def add_one_argument(context: Context, node: Node) -> Iterator[Change]:
    """One argument more at the end (injection: the call has one too many)."""
    items = context.arguments(node)
    if node.parent is not None and node.kind in context.table.arguments and context.is_value(node.parent):
        for value in (*context.locals(node)[:6], context.table.null, context.table.true):
            yield _insert(node, items, len(items), value)


def add_element(context: Context, node: Node) -> Iterator[Change]:
    """One element more: a variable or a small constant."""
    if context.is_target(node) or (node.parent is not None and node.kind == "dictionary"):
        return
    items = context.arguments(node)
    if len(items) <= 12:
        for value in extra_values(context, node, 8):
            yield _insert(node, items, len(items), value)
            if items:
                yield _insert(node, items, 0, value)


def _wrapped(wrapper: str, text: str) -> str:
    return f"{wrapper}{text}" if wrapper.endswith(" ") else f"{wrapper}({text})"


def wrap_call(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `f(x)` for usual f."""
    if context.is_value(node):
        text = context.text(node)
        for wrapper in context.words.wrappers:
            if not text.startswith(f"{wrapper}("):
                yield node.start, node.end, _wrapped(wrapper, text)


def wrap_known(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `f(x)` for functions that the file calls, and the function around."""
    if not context.is_value(node):
        return
    text = context.text(node)
    function = context.function(node)
    name = function.child("name") if function is not None else None
    own = [context.text(name)] if name is not None else []
    for wrapper in dict.fromkeys((*own, *context.callees()[:20], *context.member_callees(node))):
        if wrapper not in context.words.wrappers:
            yield node.start, node.end, f"{wrapper}({text})"


def wrap_pair(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `max(x, y)`."""
    if not context.is_value(node):
        return
    text = context.text(node)
    for wrapper in context.words.pair_wrappers:
        for other in (*context.locals(node)[:8], "0", "1"):
            if other != text:
                yield node.start, node.end, f"{wrapper}({text}, {other})"
                yield node.start, node.end, f"{wrapper}({other}, {text})"


def _suffixable(context: Context, node: Node) -> bool:
    table = context.table
    loose = node.kind in table.binaries or node.kind in table.negations or node.kind in table.ternaries
    number = node.kind in table.integers or node.kind in table.floats
    return context.is_value(node) and not loose and not number and context.text(node) != table.null


def add_suffix(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `x.m()` or `x[0]` for usual methods."""
    if _suffixable(context, node):
        for suffix in context.words.suffixes:
            yield node.end, node.end, suffix


def add_member(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `x.a` or `x.m()` for attributes and methods that the file uses."""
    if _suffixable(context, node) and node.kind not in context.table.strings:
        same = context.siblings(context.text(node))
        for name in dict.fromkeys((*same, *context.members(node, 16))):
            yield node.end, node.end, f".{name}"
            if not context.is_callee(node) and (node.parent is None or node.parent.kind not in context.table.members):
                yield node.end, node.end, f".{name}()"


def add_index(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `x[i]` for variables i."""
    if _suffixable(context, node) and node.kind not in context.table.strings:
        own = context.text(node)
        for name in context.locals(node)[:10]:
            if name != own:
                yield node.end, node.end, f"[{name}]"
        if context.table.slices:
            for name in context.locals(node)[:10]:
                if name != own:
                    yield node.end, node.end, f"[{name}:]"
                    yield node.end, node.end, f"[:{name}]"


def add_self(context: Context, node: Node) -> Iterator[Change]:
    """`x` becomes `self.x` in methods whose class uses that attribute."""
    table = context.table
    if not table.self_name or not context.is_variable(node) or context.is_target(node):
        return
    if f"{table.self_name}.{context.text(node)}" in context.tree.source.text:
        yield node.start, node.start, f"{table.self_name}."
