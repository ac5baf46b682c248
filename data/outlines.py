"""Outlines: the named functions of a text, straight from tree-sitter, and those that differ between two texts.

Owns which functions count as the same (qualified name and order) and which of nested ones is taken. Must not know what
a small or a real change is. Trees are used as they are: making `repair.languages` trees of every file would cost ten
times more; `functions` of that package says the same of a text, slower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import tree_sitter

from data.prefix import common_prefix
from repair.languages import Function, Language, language
from repair.languages.trees import encode, parser
from repair.sources import Source

_NAMING = ("name", "key", "property", "left")  # fields of a parent that name what an anonymous function is given to


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A named function of a file. `key` is its qualified name and how many of that name stand before it."""

    key: tuple[str, int]
    first_line: int  # 1-based, with decorators
    last_line: int
    text: str  # whole lines
    node: tree_sitter.Node

    def holds(self, other: Piece) -> bool:
        """Whether another function of the same file lies inside."""
        return self.first_line <= other.first_line and other.last_line <= self.last_line and self is not other


@lru_cache(maxsize=8)
def _query(name: str) -> tree_sitter.Query:
    table = language(name)
    assert table.grammar is not None
    kinds = " ".join(f"({kind})" for kind in sorted(table.functions))
    return tree_sitter.Query(tree_sitter.Language(table.grammar()), f"[{kinds}] @function")


def _last_name(node: tree_sitter.Node | None) -> tree_sitter.Node | None:
    while node is not None and node.child_count:
        below = node.named_children
        node = below[-1] if below else None
    return node


def _label(node: tree_sitter.Node) -> str:
    """The name of a function or class: its own, or that of what it is assigned to; "" for none."""
    own = node.child_by_field_name("name")
    parent = node.parent
    if own is None and parent is not None:
        targets = (parent.child_by_field_name(field) for field in _NAMING)
        own = next((_last_name(t) for t in targets if t is not None), None)
        if own is not None and node.start_byte <= own.start_byte < node.end_byte:
            return ""
    return own.text.decode("utf-8", "replace") if own is not None and own.text else ""


def _qualified(node: tree_sitter.Node, name: str, table: Language) -> str:
    path = [name]
    above = node.parent
    while above is not None:
        if above.type in table.classes or above.type in table.functions:
            label = _label(above)
            if label:
                path.append(label)
        above = above.parent
    return ".".join(reversed(path))


def _point(content: bytes, at: int) -> tuple[int, int]:
    return content.count(b"\n", 0, at), at - (content.rfind(b"\n", 0, at) + 1)


def _parsed(before: str, after: str, name: str) -> tuple[tree_sitter.Tree, tree_sitter.Tree]:
    """Both trees; the second reuses what is unchanged of the first, which nearly halves the cost."""
    old, new = encode(before), encode(after)
    tree = parser(name).parse(old)
    start = common_prefix(old, new)
    tail = common_prefix(old[start:][::-1], new[start:][::-1])
    ends = len(old) - tail, len(new) - tail
    draft = tree.copy()
    draft.edit(start, ends[0], ends[1], _point(old, start), _point(old, ends[0]), _point(new, ends[1]))
    return tree, parser(name).parse(new, draft)


def outline(text: str, name: str, tree: tree_sitter.Tree | None = None) -> tuple[Piece, ...]:
    """The named functions of a text in a language with a grammar, nested ones too."""
    root = (tree if tree is not None else parser(name).parse(encode(text))).root_node
    table = language(name)
    captured = tree_sitter.QueryCursor(_query(name)).captures(root).get("function", [])
    lines = text.split("\n")
    counts: Counter[str] = Counter()
    found: list[Piece] = []
    for node in sorted(captured, key=lambda n: n.start_byte):
        label = _label(node)
        if not label or node.child_by_field_name("body") is None:
            continue
        whole = node
        while whole.parent is not None and whole.parent.type in table.wrappers:
            whole = whole.parent
        first, last = whole.start_point.row, whole.end_point.row - (whole.end_point.column == 0)
        qualified = _qualified(node, label, table)
        own = "\n".join(lines[first : last + 1]) + "\n"
        found.append(Piece((qualified, counts[qualified]), first + 1, last + 1, own, node))
        counts[qualified] += 1
    return tuple(found)


def outlines(before: str, after: str, name: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The outlines of two texts that are much alike."""
    old, new = _parsed(before, after, name)
    return outline(before, name, old), outline(after, name, new)


def changed_functions(old: Sequence[Piece], new: Sequence[Piece], most: int) -> list[tuple[Piece, Piece]]:
    """The same functions of both sides that differ: the largest of at most `most` lines, none inside of another."""
    counts = [Counter(piece.key[0] for piece in side) for side in (old, new)]
    later = {piece.key: piece for piece in new}
    chosen: list[tuple[Piece, Piece]] = []
    for piece in old:  # outer ones come first
        other = later.get(piece.key)
        if other is None or other.text == piece.text or counts[0][piece.key[0]] != counts[1][piece.key[0]]:
            continue
        if max(piece.last_line - piece.first_line, other.last_line - other.first_line) >= most:
            continue
        if not any(kept.holds(piece) for kept, _ in chosen):
            chosen.append((piece, other))
    return chosen


def _header(node: tree_sitter.Node, table: Language) -> str:
    """The definition in one line, without its body and the comments before that."""
    text, body = node.text or b"", node.child_by_field_name("body")
    if body is not None:
        text = text[: body.start_byte - node.start_byte]
        for child in reversed(node.children):
            if child.type in table.comments and child.start_byte < body.start_byte and table.layout:
                text = text[: child.start_byte - node.start_byte] + text[child.end_byte - node.start_byte :]
    return " ".join(text.decode("utf-8", "replace").split())


def function_of(source: Source, piece: Piece, table: Language) -> Function:
    """What `repair.languages.functions` says of it; its span is whole lines."""
    above = piece.node.parent
    while above is not None and above.type not in table.classes:
        above = above.parent
    name = piece.key[0]
    return Function(
        name=name.rpartition(".")[2],
        qualified_name=name,
        span=source.line_span(piece.first_line, piece.last_line),
        first_line=piece.first_line,
        last_line=piece.last_line,
        signature=_header(piece.node, table),
        class_header=_header(above, table) if above is not None else "",
    )
