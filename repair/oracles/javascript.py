"""Cuts the tests of a JavaScript script into single assertions, for `inside/emend_node.cjs` to report on.

Owns the rewriting of test text; the code under test stays as it is, and so do all line numbers. An assertion
is a statement that calls something named like one (`assert.equal(...)`, `console.assert(...)`, `expect(...)`),
or a loop or block that holds one, at the top level of the tests or directly in the body of a top-level function.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from repair.edits import Edit, FilePatch, Span
from repair.languages import Node, Tree, parse
from repair.sources import Source

_ASSERTING = re.compile(r"assert|expect|should", re.I)
_COMPOUND = frozenset({"for_statement", "for_in_statement", "while_statement", "if_statement", "statement_block"})
_FUNCTIONS = frozenset(
    {"function_declaration", "arrow_function", "function_expression", "generator_function_declaration"}
)
_EQUALITIES = {"===": "same", "==": "equal"}
_TEXT_CHARACTERS = 1500


def cut_tests(code: str, tests: str, *, path: str, key: str) -> str | None:
    """`tests` with every assertion guarded and reported through the global `key`; None when there is none.

    `code` only lends its lines, so that the numbers told are those of the whole script.
    """
    before = code.count("\n") + 2
    source = Source(path, tests, "javascript")
    tree = parse(source)
    if tree.root is None or tree.error is not None:
        return None
    edits = [edit for node in _units(tree) for edit in _guarded(tree, node, before, key)]
    if not edits:
        return None
    return f"{key}.start();" + FilePatch(path, tuple(edits)).apply(tests)


def _units(tree: Tree) -> Iterator[Node]:
    """Statements to be guarded."""
    assert tree.root is not None
    for statement in tree.root.named_children:
        if _asserts(tree, statement):
            yield statement
        for body in _bodies(statement):
            yield from (inner for inner in body.named_children if _asserts(tree, inner))


def _bodies(statement: Node) -> Iterator[Node]:
    """Bodies of the functions that a top-level statement declares."""
    owners = [statement] + [c.child("value") or c for c in statement.children if c.kind == "variable_declarator"]
    for owner in owners:
        body = owner.child("body") if owner.kind in _FUNCTIONS else None
        if body is not None and body.kind == "statement_block":
            yield body


def _asserts(tree: Tree, statement: Node) -> bool:
    """Whether a statement asserts, itself or (a loop or block) somewhere inside."""
    if statement.kind == "expression_statement":
        return _assertion(tree, statement) is not None
    if statement.kind not in _COMPOUND:
        return False
    inside = (node for node in statement.walk() if node.kind == "expression_statement")
    return any(_assertion(tree, node) is not None for node in inside)


def _assertion(tree: Tree, statement: Node) -> Node | None:
    """The call of an asserting function that a statement is."""
    node = statement.named_children[0] if statement.named_children else None
    if node is not None and node.kind == "await_expression":
        node = node.named_children[0]
    if node is None or node.kind != "call_expression":
        return None
    callee = node.child("function")
    return node if callee is not None and _ASSERTING.search(tree.text(callee)) else None


def _guarded(tree: Tree, statement: Node, before: int, key: str) -> Iterator[Edit]:
    """Edits that put a statement between `begin` and `pass` or `fail`."""
    line = tree.source.position(statement.start)[0] + before
    text = json.dumps(tree.text(statement)[:_TEXT_CHARACTERS])
    yield Edit(Span(statement.start, statement.start), f"try{{{key}.begin({line},{text});")
    yield from _told(tree, statement, key)
    yield Edit(Span(statement.end, statement.end), f";{key}.pass()}}catch(_{key}){{{key}.fail(_{key})}}")


def _told(tree: Tree, statement: Node, key: str) -> Iterator[Edit]:
    """Edits that let an asserted equality keep the values of both sides."""
    call = _assertion(tree, statement)
    arguments = call.child("arguments") if call is not None else None
    first = arguments.named_children[0] if arguments is not None and arguments.named_children else None
    if first is None or first.kind != "binary_expression":
        return
    left, operator, right = first.child("left"), first.child("operator"), first.child("right")
    if left is None or operator is None or right is None or tree.text(operator) not in _EQUALITIES:
        return
    yield Edit(Span(first.start, first.start), f"{key}.{_EQUALITIES[tree.text(operator)]}(")
    yield Edit(operator.span, ",")
    yield Edit(Span(first.end, first.end), ")")
