"""Validity: does a source still parse after one edit. Checks the statement around the edit alone where it can."""

from __future__ import annotations

from collections.abc import Callable

from repair.edits import Edit
from repair.languages import Node, ParseError, Tree
from repair.languages.functions import outer
from repair.languages.trees import encode, parser


class Validity:
    """Answers for one tree; remembers which parts parse alone."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._chunks: dict[int, tuple[int, int, str] | None] = {}

    def keeps(self, edit: Edit) -> bool:
        """Whether the text with the edit parses. A source that did not parse before is held to the same."""
        check = self._tree.language.check
        if check is None:
            return self._grammar_keeps(edit)
        chunk = self._chunk(edit, check)
        if chunk is None:
            text = self._tree.source.text
            return check(text[: edit.span.start] + edit.text + text[edit.span.end :]) is None
        start, end, lead = chunk
        text = self._tree.source.text
        return check(lead + text[start : edit.span.start] + edit.text + text[edit.span.end : end]) is None

    def _grammar_keeps(self, edit: Edit) -> bool:
        text = self._tree.source.text
        if not self._tree.nodes:
            return True
        new = encode(text[: edit.span.start] + edit.text + text[edit.span.end :])
        return not parser(self._tree.language.name).parse(new).root_node.has_error

    def _chunk(self, edit: Edit, check: Callable[[str], ParseError | None]) -> tuple[int, int, str] | None:
        """(start, end, lead) of whole lines that parse alone behind `lead`, None where there are none."""
        node = self._outermost(edit)
        if node is None:
            return None
        if node.start not in self._chunks:
            self._chunks[node.start] = self._lines(node, check)
        return self._chunks[node.start]

    def _outermost(self, edit: Edit) -> Node | None:
        """The outermost function (else module statement) that holds the edit."""
        at = self._tree.root
        statement: Node | None = None
        while at is not None:
            at = next((c for c in at.children if c.start <= edit.span.start and edit.span.end <= c.end + 1), None)
            if at is not None and statement is None:
                statement = at
            if at is not None and at.kind in self._tree.language.functions and at.child("name") is not None:
                return outer(self._tree, at)
        return statement

    def _lines(self, node: Node, check: Callable[[str], ParseError | None]) -> tuple[int, int, str] | None:
        text = self._tree.source.text
        start = text.rfind("\n", 0, node.start) + 1
        end = text.find("\n", node.end)
        end = len(text) if end < 0 else end + 1
        if text[start : node.start].strip():
            return None
        lead = "if 1:\n" if text[start : node.start] else ""
        return (start, end, lead) if check(lead + text[start:end]) is None else None
