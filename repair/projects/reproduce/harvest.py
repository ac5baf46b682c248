"""Calls that stand in a project's tests and documentation, with arguments that can be written down elsewhere.

That inputs of existing tests, as they are and changed a little, are the best seeds for a crash's reproduction:
Rojas et al., "Seeding Strategies in Search-Based Unit Test Generation", 2016; Soltani et al., "Search-Based Crash
Reproduction and Its Impact on Debugging" (EvoCrash), TSE 2018/2020. Reads, never runs.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from repair.projects.reproduce.index import Function, Index, parsed
from repair.projects.reproduce.pool import Value
from repair.projects.reproduce.snippets import session
from repair.projects.reproduce.writing import is_standard, show

_MOST_FILES, _MOST_CALLS, _LONGEST = 60, 40, 600
_BUILTIN = frozenset(vars(builtins))


@dataclass(frozen=True, slots=True)
class Seen:
    """One call: the whole of it, where everything in it could be written out, and its arguments alone."""

    whole: Value | None
    arguments: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...]


class Names:
    """What names mean at a place: expressions bound to them, and import statements."""

    def __init__(self, index: Index, imports: Mapping[str, str], bound: Mapping[str, ast.expr]) -> None:
        self._index, self._imports, self.bound = index, imports, dict(bound)

    def binding(self, name: str) -> str | None:
        """The import that gives a name its meaning, "" for a builtin, None where it has none."""
        if name in self._imports:
            return self._imports[name]
        if name in self._index.packages:
            return f"import {name}"
        if name in _BUILTIN:
            return ""
        if name in self._index.defined:
            return f"from {self._index.module(self._index.defined[name][0])} import {name}"
        return f"import {name}" if is_standard(name) else None

    def value(self, node: ast.expr) -> Value | None:
        """The expression written out with all names replaced; None where one means nothing outside."""
        copy = ast.parse(ast.unparse(node), mode="eval").body
        written = _Written(self).visit(copy)
        free, text = free_names(written), show(written)
        needed = [self.binding(name) for name in free]
        if any(one is None for one in needed) or len(text) > _LONGEST:
            return None
        return Value(text, tuple(one for one in dict.fromkeys(needed) if one))


class _Written(ast.NodeTransformer):
    """Replaces bound names by what they are bound to, a few levels deep."""

    def __init__(self, names: Names, depth: int = 0) -> None:
        self._names, self._depth = names, depth

    def visit_Name(self, node: ast.Name) -> ast.AST:
        held = self._names.bound.get(node.id)
        if held is None or self._depth > 4 or not isinstance(node.ctx, ast.Load):
            return node
        copy = ast.parse(ast.unparse(held), mode="eval").body
        return _Written(self._names, self._depth + 1).visit(copy)


def free_names(node: ast.AST) -> list[str]:
    """Names read but not bound inside, each once."""
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    stored |= {a.arg for n in ast.walk(node) if isinstance(n, ast.Lambda) for a in ast.walk(n.args)
               if isinstance(a, ast.arg)}  # fmt: skip
    return list(dict.fromkeys(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in stored))


def imports_of(tree: ast.Module) -> dict[str, str]:
    """Names that a module imports, each with a statement that imports it alone; relative imports are left out."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = ast.unparse(ast.Import([alias]))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
            for alias in node.names:
                found[alias.asname or alias.name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
    return found


def seen_calls(index: Index, name: str) -> tuple[Seen, ...]:
    """Calls of anything called `name`, those of tests first; at most _MOST_CALLS, each once."""
    found: dict[Seen, None] = {}
    holding = [p for p in (*index.tests, *index.sources) if name in index.text(p)][:_MOST_FILES]
    for path in holding:
        tree = index.tree(path)
        if tree is not None:
            for seen in _in_module(index, tree, name):
                found.setdefault(seen)
        if len(found) >= _MOST_CALLS:
            break
    return tuple(found)[:_MOST_CALLS]


def _in_module(index: Index, tree: ast.Module, name: str) -> Iterator[Seen]:
    imports = imports_of(tree)
    top = dict(_assigned(tree.body))
    for scope in _scopes(tree):
        body = scope.body
        inner = {**top, **dict(_assigned(body))} if scope is not tree else top
        for row in _rows(scope) if isinstance(scope, Function) else ({},):
            names = Names(index, imports, {**inner, **row})
            for call in _calls(body, name, nested=scope is not tree):
                if (seen := _seen(call, names)) is not None:
                    yield seen
    yield from _in_docstrings(index, tree, imports, name)


def _in_docstrings(index: Index, tree: ast.Module, imports: dict[str, str], name: str) -> Iterator[Seen]:
    """Examples of docstrings (doctest)."""
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
            if ">>>" not in text or name not in text:
                continue
            examples = parsed("\n".join(code for code, _ in session(text)))
            if examples is not None:
                names = Names(index, {**imports, **imports_of(examples)}, dict(_assigned(examples.body)))
                for call in _calls(examples.body, name, nested=True):
                    if (seen := _seen(call, names)) is not None:
                        yield seen


def _scopes(tree: ast.Module) -> Iterator[ast.Module | ast.FunctionDef | ast.AsyncFunctionDef]:
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def _calls(body: Iterable[ast.stmt], name: str, *, nested: bool) -> Iterator[ast.Call]:
    for statement in body:
        if nested or not isinstance(statement, Function | ast.ClassDef):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _called(node) == name:
                    yield node


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _assigned(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Names assigned once and simply."""
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.With(items=[ast.withitem(context_expr=ast.expr())], body=inner):
                yield from _assigned(inner)
            case _:
                pass


def _rows(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[dict[str, ast.expr]]:
    """What `pytest.mark.parametrize` and loops over literals give to names; [{}] without any."""
    rows: list[dict[str, ast.expr]] = []
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and _called(decorator) == "parametrize" and len(decorator.args) >= 2:
            rows += _table(_argument_names(decorator.args[0]), decorator.args[1])
    for node in function.body:
        if isinstance(node, ast.For):
            targets = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
            rows += _table([t.id if isinstance(t, ast.Name) else "" for t in targets], node.iter)
    return rows[:_MOST_CALLS] or [{}]


def _argument_names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant):
        return [part.strip() for part in str(node.value).split(",") if part.strip()]
    return [str(n.value) for n in getattr(node, "elts", []) if isinstance(n, ast.Constant)]


def _table(names: list[str], rows: ast.expr) -> list[dict[str, ast.expr]]:
    found: list[dict[str, ast.expr]] = []
    for row in rows.elts if isinstance(rows, ast.List | ast.Tuple) else ():
        if isinstance(row, ast.Call) and _called(row) == "param":
            cells: list[ast.expr] = row.args
        elif len(names) > 1:
            cells = row.elts if isinstance(row, ast.Tuple | ast.List) else []
        else:
            cells = [row]
        if len(cells) == len(names):
            found.append({name: cell for name, cell in zip(names, cells, strict=True) if name})
    return found


def _seen(call: ast.Call, names: Names) -> Seen | None:
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return None
    given = [names.value(a) for a in call.args]
    named = [(str(k.arg), names.value(k.value)) for k in call.keywords]
    arguments = tuple(v for v in given if v is not None)
    keywords = tuple((key, v) for key, v in named if v is not None)
    if len(arguments) + len(keywords) < len(given) + len(named):
        return None
    return Seen(names.value(call), arguments, keywords)
