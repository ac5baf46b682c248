"""Renaming: which local names may be exchanged without any effect, and by what.

Owns the conditions under which a name is only that of a variable of this text. Callers out of sight are taken to pass
parameters by position (the transformation of parameters stands apart for that reason). Must not know records.
"""

from __future__ import annotations

import re
import symtable
import warnings
from collections.abc import Iterator, Sequence

from data.piece import Group, Piece
from data.tokens import renamable
from data.wording import FOREIGN, PLAIN
from repair.languages import Node
from repair.languages.scopes import scope_names

_REFLECTIVE = frozenset({"locals", "vars", "eval", "exec", "dir", "globals", "Function", "inspect", "_getframe"})
_NAMED_ELSEWHERE = frozenset({
    "global_statement", "nonlocal_statement", "case_pattern", "shorthand_property_identifier",
    "shorthand_property_identifier_pattern", "labeled_statement", "type_parameter",
})  # fmt: skip
_DEFINED = frozenset({"name"})
_DECLARATORS = frozenset({"variable_declarator", "catch_formal_parameter", "enhanced_for_statement", "resource",
                          "for_in_statement", "catch_clause"})  # fmt: skip
_FIXED = frozenset({"self", "cls", "this", "super", "_", "arguments"})


def _outer_meanings(piece: Piece) -> frozenset[str]:
    """Python: names that mean something global, or an attribute of a class, anywhere in the text."""
    if piece.context.table.check is None:
        return frozenset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(piece.context.tree.source.text, "<piece>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return piece.taken
    found: set[str] = set()
    stack = [top]
    while stack:
        table = stack.pop()
        if piece.frame.lead.startswith(("def", "async")) and table.get_name() == "_":
            found.update(s.get_name() for s in table.get_symbols())  # the frame's function stands for what is around
        outer = table.get_type() != "function"
        found.update(s.get_name() for s in table.get_symbols() if outer or s.is_global() or s.is_imported())
        stack.extend(table.get_children())
    return frozenset(found)


def _occurrences(piece: Piece) -> dict[str, list[Node]]:
    """Identifiers that may stand for a variable, by their text."""
    found: dict[str, list[Node]] = {}
    for node in piece.nodes(piece.context.table.identifiers):
        if renamable(piece.context.tree, node):
            found.setdefault(piece.context.text(node), []).append(node)
    return found


def _refused(piece: Piece) -> frozenset[str]:
    """Names that something besides variables hangs on: imports, keywords, definitions, patterns, `f"{x=}"`."""
    tree, table = piece.context.tree, piece.context.table
    found: set[str] = set(_FIXED)
    for node in tree.nodes:
        if node.kind in _NAMED_ELSEWHERE or node.kind in table.imports:
            found.update(tree.text(n) for n in node.walk() if not n.children)
        elif node.kind in table.interpolations and any(c.kind == "=" for c in node.children):
            found.update(tree.text(n) for n in node.walk() if n.kind in table.identifiers)
        elif node.kind in table.functions | table.classes | table.keyword_arguments:
            found.update(tree.text(c) for c in node.children if c.field in _DEFINED)
    return frozenset(found)


def _visible_only(piece: Piece, nodes: Sequence[Node]) -> bool:
    """Blocks that scope: whether all uses stand behind the one declaration, within its block."""
    table = piece.context.table
    if table.layout:
        return True
    first = nodes[0]
    declared = [n for n in nodes if n.parent is not None and _declares(piece, n)]
    if declared != [first]:
        return False
    kinds = table.blocks | table.functions | table.loops | {"catch_clause"}
    around = next((a for a in first.ancestors() if a.kind in kinds), None)
    return around is not None and all(around.start <= n.start and n.end <= around.end for n in nodes)


def _declares(piece: Piece, node: Node) -> bool:
    parent = node.parent
    if parent is not None and parent.kind in _DECLARATORS:
        return node.field in {"name", "left", "parameter"}
    return _parameter(piece, node) is not None


def _parameter(piece: Piece, node: Node) -> Node | None:
    """The parameter list that an identifier is bound by."""
    table = piece.context.table
    at = node
    while at.parent is not None and at.kind not in table.functions | table.blocks:
        if at.parent.kind in table.parameters:
            return at.parent if at.field not in {"value", "type"} else None
        if at.field in {"value", "type", "right"} or at.kind in table.arguments:
            return None
        at = at.parent
    return None


def _spoken_of(piece: Piece, name: str) -> bool:
    """Whether strings or comments show the name as a keyword (`name=`), as doctests do."""
    tree, table = piece.context.tree, piece.context.table
    pattern = re.compile(rf"\b{re.escape(name)}\s*=(?!=)|%\({re.escape(name)}\)")
    return any(pattern.search(tree.text(n)) for n in tree.nodes if n.kind in table.strings | table.comments)


def _by_keyword(piece: Piece, node: Node) -> bool:
    """Whether callers must or may well use a parameter's name: behind a star, or with a default."""
    own = _parameter(piece, node)
    if node.parent is not None and any(c.field in {"value", "right"} for c in node.parent.children):
        return True
    before = [] if own is None else [c for c in own.children if c.end <= node.start]
    return any(c.kind in {"keyword_separator", "list_splat_pattern", "*"} for c in before)


def _bound(piece: Piece) -> frozenset[str]:
    tree, table = piece.context.tree, piece.context.table
    scopes = (n for n in tree.nodes if n.kind in table.functions | table.comprehensions)
    return frozenset(name for scope in scopes for name in scope_names(tree, scope))


def free_names(piece: Piece, *, parameters: bool) -> dict[str, list[Node]]:
    """Local variables (or parameters) that may be renamed, with all places where each is written."""
    found, table = _occurrences(piece), piece.context.table
    leaves = (piece.context.text(n) for n in piece.nodes(table.identifiers | table.member_names))
    if piece.context.tree.error is not None or not _REFLECTIVE.isdisjoint(leaves):
        return {}
    refused = _refused(piece) | _outer_meanings(piece) | table.keywords | table.builtins
    result: dict[str, list[Node]] = {}
    for name in _bound(piece) - refused:
        nodes = found.get(name, [])
        lists = [n for n in nodes if _parameter(piece, n) is not None]
        if not nodes or name.startswith("__") or bool(lists) != parameters or not _visible_only(piece, nodes):
            continue
        if not parameters or not (_spoken_of(piece, name) or any(_by_keyword(piece, n) for n in lists)):
            result[name] = nodes
    return dict(sorted(result.items()))


def _fresh(piece: Piece, name: str, *, foreign: bool) -> str:
    draw = piece.draw(name)
    pool = draw.choice(FOREIGN) if foreign else PLAIN
    table = piece.context.table
    usable = [w for w in pool if w not in piece.taken and w not in table.keywords | table.builtins]
    return draw.choice(usable) if usable else ""


def _groups(piece: Piece, *, parameters: bool, foreign: bool) -> Iterator[Group]:
    for name, nodes in free_names(piece, parameters=parameters).items():
        fresh = _fresh(piece, name, foreign=foreign)
        if fresh:
            yield Group(tuple(piece.edit(n.start, n.end, fresh) for n in nodes), f"{name}>{fresh}")


def variables(piece: Piece) -> Iterator[Group]:
    """Local variables get other English names."""
    yield from _groups(piece, parameters=False, foreign=False)


def foreign_variables(piece: Piece) -> Iterator[Group]:
    """Local variables get names of another natural language, also in its own script."""
    yield from _groups(piece, parameters=False, foreign=True)


def parameters(piece: Piece) -> Iterator[Group]:
    """Parameters get other names; safe where callers pass them by position."""
    yield from _groups(piece, parameters=True, foreign=False)
