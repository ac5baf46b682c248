"""A program as a row of tokens that keeps its blocks, with parts left out or masked at will.

Owns what can be left out (docstrings, imports, annotations, text of strings) and how each is found in a tree. Must
not know what the rows are compared for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Flag, auto

from repair.languages import Node, Tree
from repair.languages.scopes import scope_names
from repair.mutate.vocabulary import vocabulary

Token = tuple[str, str]  # text, and "local" for a name that a function binds, else ""

_TYPES = frozenset({
    "type", "type_annotation", "type_parameters", "type_arguments", "accessibility_modifier", "interface_declaration",
    "type_alias_declaration", "override_modifier",
})  # fmt: skip
_MARKERS = frozenset({"annotation", "marker_annotation"})  # Java's; these are for readers and checkers alone
_IDLE_MARKERS = ("Override", "SuppressWarnings", "Deprecated", "Nullable", "NonNull", "NotNull", "SafeVarargs")
_BEFORE_TYPE = frozenset({":", "->"})
_ANNOTATING = _TYPES | _MARKERS
_PUNCTUATION = frozenset({",", ";"}) | _BEFORE_TYPE
_CLOSING = frozenset({")", "]", "}"})
_SHORTHANDS = frozenset({"shorthand_property_identifier", "shorthand_property_identifier_pattern"})
_DECLARED_ELSEWHERE = frozenset({"global_statement", "nonlocal_statement"})


class Without(Flag):
    """What a row of tokens leaves out. Comments always are."""

    NOTHING = 0
    DOCSTRINGS = auto()
    IMPORTS = auto()
    ANNOTATIONS = auto()
    STRING_TEXT = auto()


def local_names(tree: Tree) -> frozenset[str]:
    """Names that the functions of a tree bind, those declared global or nonlocal left out."""
    table = tree.language
    kinds = table.functions | table.comprehensions
    bound = {name for node in tree.nodes if node.kind in kinds for name in scope_names(tree, node)}
    elsewhere = (n for n in tree.nodes if n.kind in _DECLARED_ELSEWHERE)
    return frozenset(bound - {tree.text(c) for n in elsewhere for c in n.named_children})


def renamable(tree: Tree, node: Node) -> bool:
    """Whether an identifier may stand for a variable: no attribute, keyword, called member or shorthand property."""
    table, parent = tree.language, node.parent
    if node.kind not in table.identifiers or node.kind in _SHORTHANDS:
        return False
    if parent is None:
        return True
    if parent.kind in table.members and parent.children[0] is not node:
        return False
    if parent.kind in table.calls and node.field == "name":  # Java's methods are no variables
        return False
    return not (parent.kind in table.keyword_arguments and node.field == "name")


def _docstring(tree: Tree, node: Node) -> bool:
    """A string that stands alone as a statement, in a language that documents so."""
    inner = node.named_children
    return (
        tree.language.layout
        and node.kind in tree.language.statements
        and len(inner) == 1
        and inner[0].kind in tree.language.strings
        and len(node.children) == 1
    )


def _annotates(tree: Tree, node: Node) -> bool:
    if node.kind in _TYPES:
        return True
    if node.kind in _MARKERS:
        return tree.text(node).lstrip("@").startswith(_IDLE_MARKERS)
    if node.kind in _BEFORE_TYPE and node.parent is not None:
        siblings = node.parent.children
        following = next((n for n in siblings if n.start >= node.end and n is not node), None)
        return following is not None and following.kind == "type"
    declared = node.named_children[0] if len(node.children) == 1 and node.named_children else None
    bare = declared is not None and declared.kind in tree.language.assignments
    return bare and declared is not None and declared.child("type") is not None and declared.child("right") is None


def _filter(tree: Tree, without: Without) -> Callable[[Node], bool]:
    """The test of whether a node is left out."""
    table, empty = tree.language, vocabulary(tree.language.name).empty
    skipped = table.comments | (table.imports if Without.IMPORTS in without else frozenset())
    documented = Without.DOCSTRINGS in without and table.layout
    annotated = Without.ANNOTATIONS in without

    def left_out(node: Node) -> bool:
        kind = node.kind
        if kind in skipped:
            return True
        if kind in _PUNCTUATION:
            return _layout_mark(tree, node) or (annotated and kind in _BEFORE_TYPE and _annotates(tree, node))
        if kind in table.statements:
            if documented and (tree.text(node) == empty or _docstring(tree, node)):
                return True
            return annotated and _annotates(tree, node)
        return annotated and kind in _ANNOTATING and _annotates(tree, node)

    return left_out


def _layout_mark(tree: Tree, node: Node) -> bool:
    """A comma in front of a closing bracket, a semicolon that ends a statement: their absence changes nothing."""
    parent = node.parent
    if parent is None or node.kind not in {",", ";"}:
        return False
    table = tree.language
    if node.kind == ";":
        return parent.kind not in table.loops
    following = next((n for n in parent.children if n.start >= node.end and n.kind not in table.comments), None)
    many = len(parent.named_children) > 1 or parent.kind in table.arguments | table.parameters
    return many and following is not None and following.kind in _CLOSING


def _string(tree: Tree, node: Node, *, masked: bool) -> Iterator[Node | str]:
    """What a string gives: its text (or only its kind), or the code inside of it."""
    inside = [n for n in node.walk() if n.kind in tree.language.interpolations]
    text = tree.text(node)
    if not masked:
        yield from node.children if inside else [_quoted(text)]
        return
    prefix = text[: next((n for n, c in enumerate(text) if c in "\"'`"), 0)].lower()
    yield f"{node.kind if node.kind == 'character_literal' else 'string'}{'b' if 'b' in prefix else ''}"
    yield from inside


def _quoted(text: str) -> str:
    """A plain literal in one kind of quotes."""
    plain = len(text) > 1 and text[0] == text[-1] == "'" and not set(text[1:-1]) & set("\"\\'")
    return f'"{text[1:-1]}"' if plain else text


def tokens(tree: Tree, without: Without = Without.NOTHING) -> tuple[Token, ...]:
    """The tokens of a program in order; blocks of a language whose layout is syntax are put in braces."""
    table, local, found = tree.language, local_names(tree), list[Token]()
    left_out = _filter(tree, without)
    stack: list[Node | str] = [tree.root] if tree.root is not None else []
    while stack:
        at = stack.pop()
        if isinstance(at, str):
            found.append((at, ""))
        elif left_out(at):
            continue
        elif at.kind in table.strings:
            stack.extend(reversed(list(_string(tree, at, masked=Without.STRING_TEXT in without))))
        elif not at.children:
            text = tree.text(at)
            if text:
                found.append((text, "local" if text in local and renamable(tree, at) else ""))
        else:
            block = table.layout and at.kind in table.blocks
            stack.extend(["}", *reversed(at.children), "{"] if block else reversed(at.children))
    return tuple(found)
