"""Names: which variables a place can see, which attributes and functions the file uses nearby.

An approximation by binding constructs alone (no types, no flow): good enough to choose names for edits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

from repair.edits import Span
from repair.languages.trees import Node, Tree, parse
from repair.sources import Source


def _pattern_names(tree: Tree, node: Node) -> Iterator[Node]:
    """Identifiers that a target or parameter list binds."""
    table = tree.language
    stack = [node]
    while stack:
        at = stack.pop()
        if at.kind in table.identifiers:
            yield at
        elif at.kind not in table.opaque:
            stack.extend(c for c in reversed(at.children) if (at.kind, c.field) not in table.unbound)


def _bound_here(tree: Tree, node: Node) -> Iterator[Node]:
    table = tree.language
    if node.kind in table.imports:
        yield from _imported(tree, node)
        return
    for field in table.bindings.get(node.kind, ()):
        for child in node.children:
            if child.field == field or not field:
                yield from _pattern_names(tree, child)


def _imported(tree: Tree, node: Node) -> Iterator[Node]:
    for child in node.walk():
        alias = child.field == "alias" or child.kind in {"namespace_import", "import_clause"}
        if alias:
            yield from (c for c in child.walk() if c.kind in tree.language.identifiers)
        elif child.field == "name" and child.child("alias") is None and not _renamed(child):
            first = next((c for c in child.walk() if c.kind in tree.language.identifiers), None)
            if first is not None:
                yield first


def _renamed(node: Node) -> bool:
    return node.parent is not None and node.parent.child("alias") is not None


def is_variable(tree: Tree, node: Node) -> bool:
    """Whether an identifier node is a variable (use or target), not an attribute, keyword or definition name."""
    table = tree.language
    if node.kind not in table.identifiers:
        return False
    parent = node.parent
    return parent is None or (parent.kind, node.field) not in table.name_roles


def scope_of(tree: Tree, offset: int) -> Node | None:
    """The innermost function, comprehension or file that holds an offset."""
    node = tree.root
    best = node
    scopes = tree.language.functions | tree.language.comprehensions
    while node is not None:
        if node.kind in scopes:
            best = node
        node = next((c for c in node.children if c.start <= offset < c.end or c.start <= offset == c.end), None)
    return best


def _own_scope(tree: Tree, node: Node) -> Iterator[Node]:
    """Nodes of a scope without those of the scopes inside (whose own node is given)."""
    table = tree.language
    scopes = table.functions | table.comprehensions | table.classes
    stack = list(reversed(node.children))
    while stack:
        at = stack.pop()
        yield at
        if at.kind not in scopes:
            stack.extend(reversed(at.children))


def scope_names(tree: Tree, scope: Node) -> tuple[str, ...]:
    """Names that a scope binds itself, in the order of the text, each once."""
    key = ("scope", scope.start, scope.end, scope.kind)
    known = tree.memory.get(key)
    if isinstance(known, tuple):
        return known
    names: dict[str, None] = {}
    own = [] if scope.parent is None or scope.kind in tree.language.comprehensions else [scope]
    for node in [*own, *_own_scope(tree, scope)]:
        for bound in _bound_here(tree, node):
            if node is not scope or bound.field != "name" or bound.parent is not scope:
                names.setdefault(tree.text(bound))
    result = tuple(names)
    tree.memory[key] = result
    return result


def visible_in(tree: Tree, offset: int) -> tuple[str, ...]:
    """Names that the place can see: innermost scope first, module names last, builtins not at all."""
    table = tree.language
    at = scope_of(tree, offset)
    names: dict[str, None] = {}
    while at is not None:
        if at.kind in table.functions or at.kind in table.comprehensions or at.parent is None:
            names.update(dict.fromkeys(scope_names(tree, at)))
        at = at.parent
    return tuple(names)


def visible_names(source: Source, offset: int) -> tuple[str, ...]:
    """Variables that a character offset can see: parameters and locals first, then outer ones, then globals."""
    return visible_in(parse(source), offset)


def local_names(tree: Tree, offset: int) -> tuple[str, ...]:
    """Names bound by the functions and comprehensions around an offset (all of the file's outside of any)."""
    at = scope_of(tree, offset)
    if at is None or at.parent is None:
        return visible_in(tree, offset)
    names: dict[str, None] = {}
    while at.parent is not None:
        if at.kind in tree.language.functions or at.kind in tree.language.comprehensions:
            names.update(dict.fromkeys(scope_names(tree, at)))
        at = at.parent
    return tuple(names)


def _member_uses(tree: Tree) -> tuple[tuple[int, str], ...]:
    """(offset, name) of every name behind a dot, in the order of the text."""
    known = tree.memory.get("members")
    if isinstance(known, tuple):
        return known
    table = tree.language
    found: list[tuple[int, str]] = []
    for node in tree.nodes:
        if node.kind in table.member_names and node.parent is not None and node.parent.kind in table.members:
            found.append((node.start, tree.text(node)))
        elif node.kind in table.identifiers and node.parent is not None:
            parent = node.parent
            last = parent.kind in table.members and parent.children[-1] is node
            if last or (parent.kind in table.calls and node.field == "name" and parent.child("object") is not None):
                found.append((node.start, tree.text(node)))
    result = tuple(found)
    tree.memory["members"] = result
    return result


def _nearest(uses: tuple[tuple[int, str], ...], offset: int, limit: int) -> Iterable[str]:
    names: dict[str, None] = {}
    high = bisect_left(uses, (offset, ""))
    low = high - 1
    while len(names) < limit and (low >= 0 or high < len(uses)):
        before = offset - uses[low][0] if low >= 0 else None
        after = uses[high][0] - offset if high < len(uses) else None
        if after is None or (before is not None and before <= after):
            names.setdefault(uses[low][1])
            low -= 1
        else:
            names.setdefault(uses[high][1])
            high += 1
    return names


def members_near(tree: Tree, offset: int, limit: int = 40) -> tuple[str, ...]:
    """Names used behind a dot, nearest to the offset first, each once, at most `limit`."""
    return tuple(_nearest(_member_uses(tree), offset, limit))


def attribute_names(source: Source, offset: int, limit: int = 40) -> tuple[str, ...]:
    """Attributes and methods that the file uses, nearest to the offset first, at most `limit`."""
    return members_near(parse(source), offset, limit)


def unbound_names(tree: Tree, offset: int) -> tuple[str, ...]:
    """Variables used in the function around an offset that nothing binds: not there, not in the file, no builtin."""
    table = tree.language
    at = scope_of(tree, offset)
    while at is not None and at.parent is not None and at.kind not in table.functions:
        at = at.parent
    if at is None or at.parent is None:
        return ()
    used = {tree.text(n): None for n in at.walk() if n.kind in table.identifiers and is_variable(tree, n)}
    inner = (n for n in at.walk() if n.kind in table.functions or n.kind in table.comprehensions)
    bound = {*visible_in(tree, offset), *(name for scope in inner for name in scope_names(tree, scope))}
    return tuple(n for n in used if n not in bound and n not in table.builtins and n not in table.keywords)


def receiver_members(tree: Tree) -> dict[str, tuple[str, ...]]:
    """Text in front of a dot -> the names used behind it, the commonest first. Long receivers are left out."""
    known = tree.memory.get("receivers")
    if isinstance(known, dict):
        return known
    found: dict[str, Counter[str]] = {}
    for node in tree.nodes:
        if node.kind in tree.language.members and len(node.children) > 1:
            first, last = node.children[0], node.children[-1]
            if first.end - first.start <= 30:
                found.setdefault(tree.text(first), Counter())[tree.text(last)] += 1
    result = {text: tuple(name for name, _ in names.most_common(40)) for text, names in found.items()}
    tree.memory["receivers"] = result
    return result


def called_members(tree: Tree, offset: int) -> tuple[str, ...]:
    """Dotted functions that the file calls, nearest to the offset first."""
    known = tree.memory.get("called members")
    if not isinstance(known, tuple):
        calls = (n for n in tree.nodes if n.kind in tree.language.calls and n.children)
        heads = (n.children[0] for n in calls if n.children[0].kind in tree.language.members)
        known = tuple((h.start, tree.text(h)) for h in heads if h.end - h.start <= 30)
        tree.memory["called members"] = known
    return tuple(_nearest(known, offset, 30))


def called_names(tree: Tree, span: Span | None = None) -> tuple[str, ...]:
    """Plain functions that the file (or a part of it) calls or defines, in the order of the text."""
    known = tree.memory.get(("called", span))
    if isinstance(known, tuple):
        return known
    table = tree.language
    names: dict[str, None] = {}
    for node in tree.within(span):
        if node.kind in table.calls and node.children:
            callee = node.child("function") or node.child("name") or node.child("constructor")
            if callee is not None and callee.kind in table.identifiers and node.child("object") is None:
                names.setdefault(tree.text(callee))
    if span is None and tree.root is not None:
        functions = (n.child("name") for n in _own_scope(tree, tree.root) if n.kind in table.functions)
        names.update(dict.fromkeys(tree.text(name) for name in functions if name is not None))
    result = tuple(names)
    tree.memory["called", span] = result
    return result
