"""Makes a failing draft smaller while it fails alike.

Delta debugging (ddmin) over its statements (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", TSE 2002), then over what stands in them.

Pure but for the `fails` it is given, which is asked about many drafts at once: one run of a sandbox a round.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from repair.projects.reproduce.harvest import free_names
from repair.projects.reproduce.index import parsed
from repair.projects.reproduce.writing import Draft, show

MOST_ROUNDS = 14
_MOST_VARIANTS = 60
_MOST_ELEMENTS = 12

Fails = Callable[[Sequence[Draft]], Sequence[bool]]


def shrunk(draft: Draft, fails: Fails) -> Draft:
    """The smallest draft found in MOST_ROUNDS rounds; `draft` itself is known to fail."""
    rounds = MOST_ROUNDS
    draft, rounds = _statements(draft, fails, rounds)
    while rounds > 0:
        variants = list(islice(_smaller(draft), _MOST_VARIANTS))
        if not variants:
            break
        rounds -= 1
        better = next((v for v, still in zip(variants, fails(variants), strict=True) if still), None)
        if better is None:
            break
        draft = better
    return without_unused(draft)


def _statements(draft: Draft, fails: Fails, rounds: int) -> tuple[Draft, int]:
    """Ddmin: complements of ever finer chunks."""
    parts = 2
    while rounds > 0 and len(draft.body) > 1:
        size = max(1, -(-len(draft.body) // parts))
        chunks = range(0, len(draft.body), size)
        variants = [replace(draft, body=draft.body[:at] + draft.body[at + size :]) for at in chunks]
        variants = [v for v in variants if v.body]
        rounds -= 1
        better = next((v for v, still in zip(variants, fails(variants), strict=True) if still), None)
        if better is not None:
            draft, parts = better, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(parts * 2, len(draft.body))
    return draft, rounds


def _smaller(draft: Draft) -> Iterator[Draft]:
    """The draft with one thing in one statement smaller, what removes most first."""
    for at in reversed(range(len(draft.body))):
        for text in _reduced(draft.body[at]):
            yield replace(draft, body=(*draft.body[:at], text, *draft.body[at + 1 :]))


def _reduced(statement: str) -> Iterator[str]:
    tree = parsed(statement)
    if tree is None or len(tree.body) != 1:
        return
    known = {ast.unparse(tree)}
    for at, node in enumerate(ast.walk(tree)):
        for change in _changes(node):
            other = copy.deepcopy(tree)
            change(list(ast.walk(other))[at])
            try:
                plain = ast.unparse(ast.fix_missing_locations(other))
                text = show(ast.parse(plain).body[0])
            except (SyntaxError, ValueError, IndexError, AttributeError, TypeError):
                continue
            if plain not in known:
                known.add(plain)
                yield text


Change = Callable[[Any], None]


def _changes(node: ast.AST) -> Iterator[Change]:
    """What can be taken from one node."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print" | "str" | "repr" | "list"), args=[_])):
            yield lambda n: setattr(n, "value", n.value.args[0])
        case ast.Assign():
            yield _without_target
        case ast.Call(args=args, keywords=keywords):
            yield from (_popped("keywords", place) for place in range(len(keywords)))
            yield from (_popped("args", -1) for _ in args[:1])
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            yield from (_popped("elts", place) for place in range(min(len(elements), _MOST_ELEMENTS)))
        case ast.Dict(keys=keys):
            yield from (_popped("keys values", place) for place in range(min(len(keys), _MOST_ELEMENTS)))
        case ast.Constant(value=str(text)) if len(text) > 1:
            half = len(text) // 2
            yield from (_holding(part) for part in (text[:half], text[half:], text[:-1], text[1:]))
        case _:
            body = getattr(node, "body", None)
            if isinstance(body, list) and len(cast("list[object]", body)) > 1 and not isinstance(node, ast.Module):
                yield from (_popped("body", place) for place in range(len(cast("list[object]", body))))


def _popped(fields: str, place: int) -> Change:
    def change(node: Any) -> None:  # noqa: ANN401  (a node of any kind)
        for name in fields.split():
            getattr(node, name).pop(place)

    return change


def _holding(text: str) -> Change:
    return lambda node: setattr(node, "value", text)


def _without_target(node: ast.AST) -> None:
    """`x = f()` as `f()`, by making the assignment's fields those of an expression statement."""
    assert isinstance(node, ast.Assign)
    value = node.value
    node.__class__ = ast.Expr  # type: ignore[assignment]
    node.value = value


def without_unused(draft: Draft) -> Draft:
    """Without imports that bind a name that nothing reads (unless the import is all there is)."""
    tree = parsed("\n".join(draft.body))
    if tree is None or not draft.body:
        return draft
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | set(free_names(tree))
    kept = tuple(i for statement in dict.fromkeys(draft.imports) if (i := _needed(statement, read)))
    return replace(draft, imports=kept)


def _needed(statement: str, read: set[str]) -> str:
    """An import with only the names that are read; "" when it is none."""
    node = ast.parse(statement).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    if isinstance(node, ast.ImportFrom) and (node.module == "__future__" or node.names[0].name == "*"):
        return statement
    node.names = [a for a in node.names if (a.asname or a.name.partition(".")[0]) in read]
    return ast.unparse(node) if node.names else ""
