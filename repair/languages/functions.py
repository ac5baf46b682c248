"""Functions of a source: names, spans, signatures; which one holds a line; where statements begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from repair.edits import Span
from repair.languages.trees import Node, Tree, parse
from repair.sources import Source


@dataclass(frozen=True, slots=True)
class Function:
    """A named function. Lines are 1-based and inclusive, decorators belong to it."""

    name: str
    qualified_name: str  # classes and functions around it, joined by dots
    span: Span  # from the first decorator (or export) to the end of the body
    first_line: int
    last_line: int
    signature: str  # the header in one line, without decorators and body
    class_header: str = ""  # of the nearest class around it, in one line
    nested: bool = False  # inside of another function


def _identifier_below(node: Node | None) -> Node | None:
    while node is not None and node.children:
        node = node.named_children[-1] if node.named_children else None
    return node


def name_node(node: Node) -> Node | None:
    """The name of a definition: its own, or that of the variable, key or member it is assigned to."""
    own = node.child("name")
    if own is not None:
        return own
    parent = node.parent
    if parent is None or not node.field:
        return None
    for field in ("name", "key", "property", "left"):
        target = parent.child(field)
        if target is not None and target is not node:
            return _identifier_below(target)
    return None


def _header(tree: Tree, node: Node) -> str:
    body = node.child("body")
    end = body.start if body is not None else node.end
    header = tree.source.text[node.start : end]
    if body is not None and body.start < body.end and tree.source.text[body.start] != "{":
        # a comment between header and body belongs to neither
        comments = [c for c in node.children if c.kind in tree.language.comments and c.start < body.start]
        for comment in reversed(comments):
            header = header[: comment.start - node.start] + header[comment.end - node.start :]
    return " ".join(header.split())


def outer(tree: Tree, node: Node) -> Node:
    """The definition with its decorators or `export`."""
    while node.parent is not None and node.parent.kind in tree.language.wrappers:
        node = node.parent
    return node


def _function(tree: Tree, node: Node, name: str) -> Function:
    table = tree.language
    path = [name]
    class_header = ""
    nested = False
    for above in node.ancestors():
        if above.kind in table.classes or above.kind in table.functions:
            label = name_node(above)
            if label is not None:
                path.append(tree.text(label))
            nested = nested or above.kind in table.functions
            if above.kind in table.classes and not class_header:
                class_header = _header(tree, above)
    whole = outer(tree, node)
    first, last = tree.source.lines_of(whole.span)
    header = _header(tree, node)
    return Function(name, ".".join(reversed(path)), whole.span, first, last, header, class_header, nested)


def _named(tree: Tree) -> Iterator[Function]:
    for node in tree.nodes:
        if node.kind in tree.language.functions and node.named:
            label = name_node(node)
            if label is not None and label.end > label.start and node.child("body") is not None:
                yield _function(tree, node, tree.text(label))


def functions(source: Source) -> tuple[Function, ...]:
    """All named functions with a body, nested ones too, in the order of the text."""
    tree = parse(source)
    found = tree.memory.get("functions")
    if not isinstance(found, tuple):
        found = tuple(_named(tree))
        tree.memory["functions"] = found
    return found


def enclosing_function(source: Source, line: int) -> Function | None:
    """The innermost named function that holds a 1-based line."""
    around = [f for f in functions(source) if f.first_line <= line <= f.last_line]
    return min(around, key=lambda f: len(f.span), default=None)


def statement_lines(source: Source) -> frozenset[int]:
    """1-based lines on which a statement begins; all lines that are not blank where there is no grammar."""
    tree = parse(source)
    if not tree.nodes:
        return frozenset(n for n, line in enumerate(source.lines, 1) if line.strip())
    kinds = tree.language.statements | tree.language.else_clauses
    return frozenset(source.position(n.start)[0] for n in tree.nodes if n.kind in kinds and n.named)


def comment_spans(source: Source) -> tuple[Span, ...]:
    """Where comments stand."""
    tree = parse(source)
    return tuple(n.span for n in tree.nodes if n.kind in tree.language.comments)
