"""Tests that do again what the frames of a traceback show. Pure.

The script that was run; the printed line that made the call, with the names in it bound to what the report prints or
to made-up values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath

from repair.projects.reproduce.calls import by_sum
from repair.projects.reproduce.harvest import Names, free_names, imports_of
from repair.projects.reproduce.index import Function, Index, Parameter, Routine, is_test
from repair.projects.reproduce.pool import Value, message_values, options
from repair.projects.reproduce.target import Level, Target
from repair.projects.reproduce.writing import Draft, show

_HOLES = 40  # choices of values for the names of one line
_TEST = re.compile(r"test|Test")
_BLOCK = re.compile(r"^(?:if|elif|while|for|with|async |try|else|except|return|assert|yield|await|raise)\b")


def existing_test(index: Index, target: Target) -> tuple[str, str] | None:
    """Path and id (as pytest has it) of the repository's own test that the frames run through, if there is one."""
    for level in target.levels:
        if not level.path or not is_test(level.path) or not _TEST.match(level.function):
            continue
        tree = index.tree(level.path)
        for node in tree.body if tree else ():
            if isinstance(node, Function) and node.name == level.function:
                return level.path, f"{level.path}::{node.name}"
            if isinstance(node, ast.ClassDef):
                names = {n.name for n in node.body if isinstance(n, Function)}
                if level.function in names:
                    return level.path, f"{level.path}::{node.name}::{level.function}"
    return None


def frame_drafts(index: Index, target: Target, locals_: Mapping[str, Sequence[Value]]) -> list[Draft]:
    """Drafts from the outermost frame on."""
    found = [*_scripts(index, target)]
    for at, level in enumerate(target.levels):
        inner = target.levels[at + 1] if at + 1 < len(target.levels) else None
        if inner is None or not inner.path:
            continue
        callee = index.routine(inner)
        for code in _lines(index, level):
            found += islice(_of_line(index, target, level, (code, callee), locals_), _HOLES)
    return found


def _scripts(index: Index, target: Target) -> Iterator[Draft]:
    """A script or module of the repository whose own statements were running."""
    for level in target.levels:
        if level.path and level.function in ("<module>", ""):
            module = index.module(level.path)
            if module and not _is_script(index, level.path):
                last = module.rpartition(".")[2]
                yield Draft((f"import {module}",), (), f"import_{last}", "the import of a module", 5, late=True)
            name = PurePosixPath(level.path)
            call = f'runpy.run_path("{level.path}", run_name="__main__")'
            if all(part.isprintable() and '"' not in part and "\\" not in part for part in name.parts):
                yield Draft(("import runpy",), (call,), name.stem, "the script that was run", 6)
            return


def _is_script(index: Index, path: str) -> bool:
    return "__name__" in index.text(path) or not index.module(path)


def _lines(index: Index, level: Level) -> list[str]:
    """The statement at a frame: whole from the sources where they still have it, else the printed line."""
    found: list[str] = []
    tree = index.tree(level.path) if level.path else None
    for node in ast.walk(tree) if tree else ():
        is_simple = isinstance(node, ast.Expr | ast.Assign | ast.Return | ast.AugAssign | ast.AnnAssign | ast.Assert)
        if is_simple and node.lineno <= level.line <= (node.end_lineno or 0):  # type: ignore[attr-defined]
            found.append(ast.unparse(node))
    return list(dict.fromkeys([*found[-1:], level.code] if level.code else found[-1:]))


def _parsed_line(code: str) -> list[ast.stmt]:
    """One printed line as statements; its missing rest is made up as little as possible."""
    code = code.strip()
    tries = [
        code,
        f"{code})",
        f"{code}]",
        f"{code}\n    pass",
        code.rstrip(":"),
        _BLOCK.sub("", code).strip().rstrip(":"),
    ]
    for text in tries:
        try:
            wrapped = ast.parse("async def f():\n" + "\n".join(f"    {line}" for line in text.split("\n")))
        except (SyntaxError, ValueError):
            continue
        function = wrapped.body[0]
        return function.body if isinstance(function, ast.AsyncFunctionDef) else []
    return []


def _of_line(
    index: Index,
    target: Target,
    level: Level,
    called: tuple[str, Routine | None],
    locals_: Mapping[str, Sequence[Value]],
) -> Iterator[Draft]:
    code, callee = called
    for statement in _parsed_line(code):
        for node in _wanted(statement, callee):
            yield from _filled(index, target, level, (node, callee), locals_)


def _wanted(statement: ast.stmt, callee: Routine | None) -> list[ast.expr]:
    """The call of the inner frame's function; without one the whole expression of the line."""
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call)]
    if callee is not None:
        names = {callee.name, callee.holder} - {""}
        exact = [c for c in calls if _last(c.func) in names]
        if exact:
            return list(exact)
    value = getattr(statement, "value", None)
    whole = [value] if isinstance(value, ast.expr) else []
    return [*whole, *(c for c in calls if c is not value)][:4]


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _filled(
    index: Index,
    target: Target,
    level: Level,
    wanted: tuple[ast.expr, Routine | None],
    locals_: Mapping[str, Sequence[Value]],
) -> Iterator[Draft]:
    """The expression with its unknown names assigned first: printed values, else made-up ones."""
    node, callee = wanted
    tree = index.tree(level.path) if level.path else None
    names = Names(index, imports_of(tree) if tree else {}, {})
    scope = {p.name for p in _parameters(index, level)}
    free = free_names(node)
    holes = [n for n in free if n in locals_ or n in scope or names.binding(n) is None]
    imports = tuple(b for n in free if n not in holes and (b := names.binding(n)))
    pools = [_pool(name, (node, callee), target, locals_) for name in holes]
    about = callee.name if callee else _last(node.func) if isinstance(node, ast.Call) else "report"
    if about == "__init__" and callee:
        about = callee.holder
    for rank, places in enumerate(by_sum(tuple(len(p) for p in pools), _HOLES)):
        chosen = [pool[place] for pool, place in zip(pools, places, strict=True)]
        setup = tuple(f"{name} = {value.text}" for name, value in zip(holes, chosen, strict=True))
        needed = (*imports, *(i for value in chosen for i in value.imports))
        text = show(node)
        if callee is not None and callee.lazy:
            text = f"list({text})"
        known = all(n in locals_ for n in holes)
        yield Draft(needed, (*setup, text), about, "a line of the traceback", (8 if known else 30) + rank)


def _parameters(index: Index, level: Level) -> tuple[Parameter, ...]:
    routine = index.routine(level) if level.path and level.function.isidentifier() else None
    return routine.parameters if routine else ()


def _pool(
    name: str, wanted: tuple[ast.expr, Routine | None], target: Target, locals_: Mapping[str, Sequence[Value]]
) -> tuple[Value, ...]:
    node, callee = wanted
    known = tuple(locals_.get(name, ()))
    if known:
        return known
    said = message_values(target)
    parameter = _matched(name, node, callee)
    if parameter is not None and callee is not None:
        return options(parameter, callee, said)[:24]
    return tuple(dict.fromkeys([*said, *options(Parameter(name, None, None), callee, said)]))[:24]


def _matched(name: str, node: ast.expr, callee: Routine | None) -> Parameter | None:
    """The parameter of the called function that a name is given to."""
    if callee is None or not isinstance(node, ast.Call):
        return None
    parameters = callee.parameters
    for argument, parameter in zip(node.args, parameters, strict=False):
        if isinstance(argument, ast.Name) and argument.id == name:
            return parameter
    named = {k.arg: k.value for k in node.keywords}
    return next((p for p in parameters if isinstance(v := named.get(p.name), ast.Name) and v.id == name), None)
