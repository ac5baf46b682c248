"""The Python sources of a project as they can be called: modules, functions, classes, parameters. Reads, never runs."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repair.oracles.commands import is_test_name
from repair.projects.reproduce.target import Level, same_line
from repair.workspace import LEFT_OUT, LINKED

_MOST_FILES = 4_000
_MOST_BYTES = 1_000_000  # of one file
_TEST_FOLDERS = frozenset({"tests", "test", "testing"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Parameter:
    """`star` is "" for one that can be given by position, "*" for keyword-only."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    star: str = ""


@dataclass(frozen=True, slots=True)
class Routine:
    """A function or method that can be called from a test. `kind`: function, method, class, static or property."""

    path: str
    module: str
    name: str
    node: Function
    holder: str = ""  # the class, "" for a function
    kind: str = "function"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Without self and cls, and without *args and **kwargs."""
        found = parameters_of(self.node)
        return found[1:] if self.kind in ("method", "class", "property") else found

    @property
    def lazy(self) -> bool:
        """A generator: calling it runs nothing yet."""
        return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in _own_nodes(self.node))

    @property
    def decorators(self) -> frozenset[str]:
        """Last names of the decorators."""
        return frozenset(_last_name(d.func if isinstance(d, ast.Call) else d) for d in self.node.decorator_list)


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes below, without those of functions defined inside."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield child
            yield from _own_nodes(child)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def parameters_of(node: Function) -> tuple[Parameter, ...]:
    """All that can be given by name, in order."""
    args = node.args
    positional = args.posonlyargs + args.args
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    found = [Parameter(a.arg, a.annotation, d) for a, d in zip(positional, defaults, strict=True)]
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    return (*found, *(Parameter(a.arg, a.annotation, d, "*") for a, d in pairs))


class Index:
    """Python files below `root`; `roots` are the folders (relative, "" for the root) on the import path."""

    def __init__(self, root: Path, roots: tuple[str, ...]) -> None:
        self.root = root
        self.roots = tuple(dict.fromkeys((*roots, "")))
        self.paths = tuple(sorted(_python_files(root)))

    @property
    def sources(self) -> tuple[str, ...]:
        """Files that are no tests."""
        return tuple(path for path in self.paths if not is_test(path))

    @property
    def tests(self) -> tuple[str, ...]:
        """Files of tests, also what only helps them."""
        return tuple(path for path in self.paths if is_test(path))

    @functools.cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    def text(self, path: str) -> str:
        """A file's text, "" where it cannot be read."""
        if path not in self._texts:
            try:
                self._texts[path] = (self.root / path).read_text("utf-8", "replace")
            except OSError:
                self._texts[path] = ""
        return self._texts[path]

    @functools.cached_property
    def _trees(self) -> dict[str, ast.Module | None]:
        return {}

    def tree(self, path: str) -> ast.Module | None:
        """The syntax tree, None for what does not parse."""
        if path not in self._trees:
            self._trees[path] = parsed(self.text(path))
        return self._trees[path]

    def module(self, path: str) -> str:
        """The name under which a file is imported; "" where its path allows none."""
        inside = [r for r in self.roots if not r or path.startswith(f"{r}/")]
        parts = list(PurePosixPath(path.removeprefix(f"{max(inside, key=len)}/")).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        return ".".join(parts) if parts and all(p.isidentifier() for p in parts) else ""

    def code_exists(self, level: Level) -> bool:
        """Whether the line that the report prints stands in the file of today."""
        return any(same_line(level.code, line) for line in self.text(level.path).split("\n") if line.strip())

    def routine(self, level: Level) -> Routine | None:
        """The function of a frame, None for what a test cannot call: module level, inner functions, lambdas."""
        found = list(self._routines(level.path, level.function))
        if len(found) > 1:  # methods of the same name: the one with the printed line, else the nearest
            lines = self.text(level.path).split("\n")
            holding = [r for r in found if level.code and _holds(r.node, lines, level.code)]
            found = sorted(holding or found, key=lambda r: _distance(r.node, level.line))
        return found[0] if found else None

    def _routines(self, path: str, name: str) -> Iterator[Routine]:
        tree, module = self.tree(path), self.module(path)
        for node in tree.body if tree and module else ():
            for inner in _unwrapped(node):
                if isinstance(inner, Function) and inner.name == name:
                    yield Routine(path, module, name, inner)
                elif isinstance(inner, ast.ClassDef):
                    methods = [n for n in inner.body if isinstance(n, Function) and n.name == name]
                    yield from (Routine(path, module, name, n, inner.name, _kind(n)) for n in methods)

    @functools.cached_property
    def defined(self) -> dict[str, tuple[str, ast.AST]]:
        """Top-level functions and classes by name: path and node; the shallowest file where there are several."""
        found: dict[str, tuple[str, ast.AST]] = {}
        for path in sorted(self.sources, key=lambda p: (p.count("/"), p)):
            tree = self.tree(path)
            for node in tree.body if tree and self.module(path) else ():
                if isinstance(node, Function | ast.ClassDef):
                    found.setdefault(node.name, (path, node))
        return found

    @functools.cached_property
    def packages(self) -> frozenset[str]:
        """Names that `import` knows from the project."""
        return frozenset(m.partition(".")[0] for path in self.sources if (m := self.module(path)))

    def constructor(self, name: str, path: str = "", depth: int = 0) -> Routine | None:
        """`__init__` of a class, its base's where it has none; None where nothing is known."""
        node = self.class_node(name, path)
        if node is None or depth > 5:
            return None
        where = path if path and self._class_in(path, name) else self.defined[name][0]
        for inner in node.body:
            if isinstance(inner, Function) and inner.name == "__init__":
                return Routine(where, self.module(where), "__init__", inner, name, "method")
        bases = (self.constructor(_last_name(base), where, depth + 1) for base in node.bases if _last_name(base))
        return next((base for base in bases if base), None)

    def class_node(self, name: str, path: str = "") -> ast.ClassDef | None:
        """A class at the top level of `path`, else of any file."""
        found = self._class_in(path, name) if path else None
        other = self.defined.get(name)
        return found or (other[1] if other and isinstance(other[1], ast.ClassDef) else None)

    def _class_in(self, path: str, name: str) -> ast.ClassDef | None:
        tree = self.tree(path)
        nodes = tree.body if tree else ()
        return next((n for n in nodes if isinstance(n, ast.ClassDef) and n.name == name), None)

    def subclasses(self, name: str) -> tuple[str, ...]:
        """Classes that name `name` as a base: what stands in for an abstract one."""
        nodes = [n for _, n in self.defined.values() if isinstance(n, ast.ClassDef)]
        return tuple(n.name for n in nodes if any(_last_name(b) == name for b in n.bases))


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a text, None where it is no Python (of our version)."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_test(path: str) -> bool:
    """By its name or a folder's."""
    return is_test_name(path) or bool(_TEST_FOLDERS & set(path.split("/")[:-1])) or path.endswith("conftest.py")


def _python_files(root: Path) -> Iterator[str]:
    count = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in LEFT_OUT | LINKED and not f.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.endswith(".py") and not path.is_symlink() and path.stat().st_size <= _MOST_BYTES:
                count += 1
                if count > _MOST_FILES:
                    return
                yield path.relative_to(root).as_posix()


def _unwrapped(node: ast.stmt) -> Iterator[ast.stmt]:
    """A statement of a module, and those under its `if` and `try`."""
    yield node
    if isinstance(node, ast.If | ast.Try):
        blocks = [node.body, node.orelse, *([h.body for h in node.handlers] if isinstance(node, ast.Try) else [])]
        for block in blocks:
            for inner in block:
                yield from _unwrapped(inner)


def _kind(node: Function) -> str:
    names = {_last_name(d) for d in node.decorator_list}
    if names & {"property", "cached_property"}:
        return "property"
    return "static" if "staticmethod" in names else "class" if "classmethod" in names else "method"


def _holds(node: Function, lines: list[str], code: str) -> bool:
    return any(same_line(code, line) for line in lines[node.lineno - 1 : node.end_lineno] if line.strip())


def _distance(node: Function, line: int) -> int:
    return max(node.lineno - line, line - (node.end_lineno or node.lineno), 0)
