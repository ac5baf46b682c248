"""Tree: the syntax tree of a source in character offsets, light enough to be walked thousands of times a second.

Owns parsing by tree-sitter and the change from byte to character offsets. Knows nothing of scopes or functions.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import tree_sitter

from repair.edits import Span
from repair.languages.recent import Recent
from repair.languages.registry import language
from repair.languages.table import Language
from repair.sources import Source

_NON_ASCII = re.compile(r"[^\x00-\x7f]")


class Node:
    """A node of the tree: kind, character offsets `start`..`end`, field within its parent, children."""

    __slots__ = ("children", "end", "field", "kind", "named", "parent", "start")

    def __init__(self, kind: str, start: int, end: int, named: bool, field: str, parent: Node | None) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.named = named
        self.field = field
        self.parent = parent
        self.children: list[Node] = []

    def __repr__(self) -> str:
        return f"Node({self.kind!r}, {self.start}, {self.end})"

    @property
    def span(self) -> Span:
        """The characters that it covers."""
        return Span(self.start, self.end)

    @property
    def named_children(self) -> list[Node]:
        """Children that the grammar names (no punctuation, no keywords)."""
        return [c for c in self.children if c.named]

    def child(self, field: str) -> Node | None:
        """The first child in that field."""
        for child in self.children:
            if child.field == field:
                return child
        return None

    def ancestors(self) -> Iterator[Node]:
        """Parent, its parent, ... up to the root."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def walk(self) -> Iterator[Node]:
        """Itself and all nodes below, in the order of the text."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A parsed source. `nodes` are all nodes in preorder (so sorted by start)."""

    source: Source
    language: Language
    nodes: tuple[Node, ...]
    error: Node | None = None  # the first node that the grammar could not make sense of
    starts: tuple[int, ...] = ()
    memory: dict[object, object] = field(default_factory=dict[object, object], repr=False)  # per-tree cache of analyses

    @property
    def root(self) -> Node | None:
        """The whole file; None for a language without grammar."""
        return self.nodes[0] if self.nodes else None

    def text(self, node: Node) -> str:
        """The characters of a node."""
        return self.source.text[node.start : node.end]

    def within(self, span: Span | None) -> tuple[Node, ...]:
        """Nodes that lie inside of `span` (all without one), in preorder."""
        if span is None:
            return self.nodes
        low, high = bisect_left(self.starts, span.start), bisect_right(self.starts, span.end)
        return tuple(n for n in self.nodes[low:high] if n.end <= span.end)

    def overlapping(self, span: Span) -> list[Node]:
        """Nodes that share a character with `span`, in preorder."""
        around = self.at(Span(span.start, span.start))
        above = [around, *around.ancestors()] if around is not None else []
        before = [n for n in reversed(above) if n.start < span.start < n.end]
        low, high = bisect_left(self.starts, span.start), bisect_left(self.starts, span.end)
        return before + [n for n in self.nodes[low:high] if n.end > n.start]

    def at(self, span: Span) -> Node | None:
        """The smallest node that covers `span`."""
        node = self.root
        while node is not None:
            below = next((c for c in node.children if c.start <= span.start and span.end <= c.end), None)
            if below is None:
                return node
            node = below
        return None


def offsets(text: str) -> Callable[[int], int]:
    """The function from UTF-8 byte offsets (lone surrogates take 3 bytes) to character offsets of `text`."""
    if text.isascii():
        return int
    edges: list[int] = [0]  # byte offset just behind each character that is not ASCII
    extra: list[int] = [0]  # bytes minus characters up to there
    surplus = 0
    for match in _NON_ASCII.finditer(text):
        code = ord(match.group())
        surplus += 1 if code < 0x800 else 2 if code < 0x10000 else 3
        edges.append(match.end() + surplus)
        extra.append(surplus)
    return lambda byte: byte - extra[bisect_right(edges, byte) - 1]


@lru_cache(maxsize=8)
def parser(name: str) -> tree_sitter.Parser:
    """The tree-sitter parser of a language that has a grammar."""
    grammar = language(name).grammar
    assert grammar is not None, f"{name} has no grammar"
    return tree_sitter.Parser(tree_sitter.Language(grammar()))


def encode(text: str) -> bytes:
    """UTF-8 for tree-sitter; text that UTF-8 cannot hold is passed on all the same."""
    return text.encode("utf-8", "surrogatepass")


def _flatten(root: tree_sitter.Node, to_char: Callable[[int], int]) -> tuple[list[Node], Node | None]:
    nodes: list[Node] = []
    error: Node | None = None
    parent: Node | None = None
    cursor, flawed = root.walk(), root.has_error
    while True:
        raw = cursor.node
        assert raw is not None
        kind = raw.type
        node = Node(kind, to_char(raw.start_byte), to_char(raw.end_byte), raw.is_named, cursor.field_name or "", parent)
        nodes.append(node)
        if parent is not None:
            parent.children.append(node)
        if flawed and error is None and (kind == "ERROR" or raw.is_missing):
            error = node
        if cursor.goto_first_child():
            parent = node
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return nodes, error
            assert parent is not None
            parent = parent.parent


@Recent
def parse(source: Source) -> Tree:
    """The tree of a source. Never raises; a text that does not parse has a tree with `error` set."""
    table = language(source.language)
    if table.grammar is None:
        return Tree(source, table, ())
    raw = parser(table.name).parse(encode(source.text))
    nodes, error = _flatten(raw.root_node, offsets(source.text))
    return Tree(source, table, tuple(nodes), error, tuple(n.start for n in nodes))
