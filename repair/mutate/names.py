"""Operators on names: variables, attributes, methods, functions, keywords, exception classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from repair.languages import Node
from repair.mutate.context import Context
from repair.mutate.mutation import Change

MANY = 60


def _others(names: Iterable[str], own: str) -> Iterator[str]:
    return (name for name in names if name != own)


def _alike(own: str, names: Iterable[str]) -> list[str]:
    """Names sorted by how much they look like `own` (shared prefix and suffix), stable otherwise."""

    def likeness(name: str) -> int:
        prefix = next((n for n, (a, b) in enumerate(zip(own, name, strict=False)) if a != b), min(len(own), len(name)))
        backwards = zip(reversed(own), reversed(name), strict=False)
        suffix = next((n for n, (a, b) in enumerate(backwards) if a != b), min(len(own), len(name)))
        return max(prefix, suffix)

    return sorted(_others(names, own), key=likeness, reverse=True)


def is_free(context: Context, node: Node) -> bool:
    """Whether a node is a variable that may be exchanged."""
    return not _frozen(context, node)


def _frozen(context: Context, node: Node) -> bool:
    """A name that must stay: parameter, import, definition, or what a call calls."""
    if not context.is_variable(node) or context.is_callee(node):
        return True
    at = node.parent
    while at is not None and at.kind in context.table.patterns:
        at = at.parent
    return at is None or at.kind in context.table.parameters or at.kind in context.words.no_values


def local_variable(context: Context, node: Node) -> Iterator[Change]:
    """Another variable of the functions around."""
    if _frozen(context, node):
        return
    own = context.text(node)
    if own == context.table.self_name and node.parent is not None and node.parent.kind in context.table.members:
        return
    for name in _others(context.locals(node)[:MANY], own):
        yield node.start, node.end, name


def wrong_variable(context: Context, node: Node) -> Iterator[Change]:
    """Another variable of the functions around, as a likely slip: never `self` for another one or the reverse."""
    name = context.table.self_name
    if context.text(node) != name:
        yield from (change for change in local_variable(context, node) if change[2] != name)


def module_variable(context: Context, node: Node) -> Iterator[Change]:
    """Another name of the module (not a local one) in place of a variable."""
    if _frozen(context, node) or context.is_target(node):
        return
    own, near = context.text(node), set(context.locals(node))
    for name in _alike(own, context.visible(node)[: 4 * MANY])[:MANY]:
        if name not in near:
            yield node.start, node.end, name


def is_member(context: Context, node: Node) -> bool:
    """Whether a node is the name behind a dot."""
    table, parent = context.table, node.parent
    if parent is None or node.start == parent.start:
        return False
    if node.kind in table.member_names:
        return parent.kind in table.members
    if node.kind not in table.identifiers:
        return False
    if parent.kind in table.members:
        return parent.children[-1] is node
    return parent.kind in table.calls and node.field == "name" and parent.child("object") is not None


def is_named(context: Context, node: Node) -> bool:
    """Whether a node names an attribute, method or called function."""
    return is_member(context, node) or is_called(context, node)


def is_called(context: Context, node: Node) -> bool:
    """Whether a node is the plain name of a called function."""
    return node.kind in context.table.identifiers and (context.is_callee(node) or _callee_name(context, node))


def confusable_name(context: Context, node: Node) -> Iterator[Change]:
    """The name's usual confusions (lower and upper, min and max, append and extend, ...)."""
    if is_named(context, node):
        for name in context.words.confusable.get(context.text(node), ()):
            yield node.start, node.end, name


def member(context: Context, node: Node) -> Iterator[Change]:
    """Another attribute or method that the file uses nearby."""
    if is_member(context, node):
        own = context.text(node)
        usual = context.words.confusable.get(own, ())
        parent = node.parent
        same = context.siblings(context.text(parent.children[0])) if parent is not None else ()
        for name in dict.fromkeys((*_alike(own, same), *_alike(own, context.members(node)))):
            if name not in usual and name != own:
                yield node.start, node.end, name


def _callee_name(context: Context, node: Node) -> bool:
    """The name of a call without receiver in a grammar that has no node for the callee."""
    parent = node.parent
    return (
        parent is not None
        and parent.kind in context.table.calls
        and node.field == "name"
        and parent.child("object") is None
    )


def callee(context: Context, node: Node) -> Iterator[Change]:
    """Another function that the file calls, or the function around (recursion)."""
    if not is_called(context, node):
        return
    own = context.text(node)
    usual = context.words.confusable.get(own, ())
    for name in dict.fromkeys((*_alike(own, context.callees()[:MANY]), *context.words.wrappers[:16])):
        if name not in usual and name != own:
            yield node.start, node.end, name
    yield from _recursion(context, node, own)


def _recursion(context: Context, node: Node, own: str) -> Iterator[Change]:
    function = context.function(node)
    name = function.child("name") if function is not None else None
    if name is not None and context.text(name) not in {own, *context.callees()}:
        yield node.start, node.end, context.text(name)


def keyword_name(context: Context, node: Node) -> Iterator[Change]:
    """Another keyword that the file passes to functions."""
    name = node.child("name")
    if name is None:
        return
    for other in _others(keyword_names(context)[:20], context.text(name)):
        yield name.start, name.end, other


def keyword_names(context: Context) -> tuple[str, ...]:
    """Keywords of calls, in the order of the text."""
    known = context.tree.memory.get("keywords")
    if isinstance(known, tuple):
        return known
    kinds = context.table.keyword_arguments
    names = (n.child("name") for n in context.tree.nodes if n.kind in kinds)
    result = tuple(dict.fromkeys(context.text(name) for name in names if name is not None))
    context.tree.memory["keywords"] = result
    return result


def keyword_arguments(context: Context) -> tuple[str, ...]:
    """`name=value` texts of calls, in the order of the text."""
    known = context.tree.memory.get("keyword arguments")
    if isinstance(known, tuple):
        return known
    kinds = context.table.keyword_arguments
    texts = (context.text(n) for n in context.tree.nodes if n.kind in kinds and n.end - n.start < 60)
    result = tuple(dict.fromkeys(texts))
    context.tree.memory["keyword arguments"] = result
    return result


def exception(context: Context, node: Node) -> Iterator[Change]:
    """Another exception class."""
    own = context.text(node)
    if is_exception(context, node):
        for name in _others(context.words.exceptions, own):
            yield node.start, node.end, name


def is_exception(context: Context, node: Node) -> bool:
    """Whether a name is that of a usual exception class."""
    return context.text(node) in context.words.exceptions
