"""Makes a failing draft smaller while it fails alike: delta debugging (ddmin) over its statements (Zeller and
Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", TSE 2002), then over what stands in them.

Pure but for the `fails` it is given, which is asked about many drafts at once: one run of a sandbox a round.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from repair.projects.reproduce.harvest import free_names
from repair.projects.reproduce.index import parsed
from repair.projects.reproduce.writing import Draft, show

MOST_ROUNDS = 14
_MOST_VARIANTS = 60

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


Change = Callable[[ast.AST], None]


def _changes(node: ast.AST) -> Iterator[Change]:
    """What can be taken from one node."""
    if isinstance(node, ast.Expr | ast.Return) and isinstance(node.value, ast.Call):
        call = node.value
        if isinstance(call.func, ast.Name) and call.func.id in ("print", "str", "repr", "list") and len(call.args) == 1:
            yield lambda n: setattr(n, "value", n.value.args[0])  # type: ignore[attr-defined]
    if isinstance(node, ast.Assign):
        yield _without_target
    if isinstance(node, ast.Call):
        for place in range(len(node.keywords)):
            yield lambda n, p=place: n.keywords.pop(p)  # type: ignore[attr-defined, misc]
        if node.args:
            yield lambda n: n.args.pop()  # type: ignore[attr-defined]
    if isinstance(node, ast.List | ast.Tuple | ast.Set) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        yield from (lambda n, p=place: n.elts.pop(p) for place in range(min(len(node.elts), 12)))  # type: ignore[attr-defined, misc]
    if isinstance(node, ast.Dict):
        for place in range(min(len(node.keys), 12)):
            yield lambda n, p=place: (n.keys.pop(p), n.values.pop(p)) and None  # type: ignore[attr-defined, misc]
    if (
        isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.FunctionDef | ast.ClassDef)
        and len(node.body) > 1
    ):
        for place in range(len(node.body)):
            yield lambda n, p=place: n.body.pop(p)  # type: ignore[attr-defined, misc]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 1:
        half = len(node.value) // 2
        for text in (node.value[:half], node.value[half:], node.value[:-1], node.value[1:]):
            yield lambda n, t=text: setattr(n, "value", t)


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
