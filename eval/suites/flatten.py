"""One script out of several modules: a program and its pytest functions, with what lies beside them written in.

Pure, over texts and syntax trees. Nothing is imported or run.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = frozenset({"python_programs", "correct_python_programs", "python_testcases"})
_STAND_INS = {"approx": "about", "raises": "raising"}  # of pytest, which a script does not have
_UNUSED_MARKS = frozenset({"skip", "xfail"})
_COMPARED = Path(__file__).with_name("compared.py")


class NotOneScript(Exception):
    """The modules cannot be made one script; the message says why. Caught where programs are read."""


def tree_of(text: str) -> ast.Module | None:
    """The syntax tree, None where the text has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def entry_point(text: str, name: str) -> str | None:
    """What a program named `name` offers: the top-level name like it, else the only function; None where neither is."""
    tree = tree_of(text)
    if tree is None:
        return None
    found = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    bound = {
        n.id for node in tree.body if isinstance(node, ast.Assign) for n in node.targets if isinstance(n, ast.Name)
    }
    bound |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    if name in found or name in bound:
        return name
    return found[0] if len(found) == 1 else None


def definitions(names: Iterable[str], code: str) -> tuple[str, Mapping[str, str]]:
    """Text of these definitions of `compared.py`, and what each is called where `code` has its name already."""
    tree = ast.parse(_COMPARED.read_text(encoding="utf-8"))
    wanted = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in set(names)]
    called: dict[str, str] = {}
    parts: list[str] = []
    for node in wanted:
        called[node.name] = name = _free(node.name, code)
        parts.append(re.sub(rf"\b{node.name}\b", name, ast.unparse(node)))
    return "\n\n\n".join(parts), called


def _free(name: str, code: str) -> str:
    while re.search(rf"\b{name}\b", code):
        name += "_"
    return name


def inlined(text: str, modules: Mapping[str, str], done: set[str]) -> str:
    """A module with `from MODULE import ...` of those beside it replaced by their text, and without its main block.

    A text without a syntax tree stays as it is. `done` are the modules that stand in the script already; it grows.
    Raises NotOneScript.
    """
    tree = tree_of(text)
    if tree is None:
        return text
    lines = text.split("\n")
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node not in top):
            _refuse_local(node, modules)
    for node in reversed(tree.body):
        put = None
        if isinstance(node, ast.ImportFrom) and (name := _local(node, modules)) is not None:
            put = "\n".join(part for part in (_text_of(name, modules, done), *_renamed(node)) if part)
        elif isinstance(node, ast.If) and _is_main(node):
            put = ""
        if put is not None:
            lines[node.lineno - 1 : node.end_lineno] = [put] if put else []
    return "\n".join(lines)


def _text_of(name: str, modules: Mapping[str, str], done: set[str]) -> str:
    if name in done:
        return ""
    if name not in modules:
        raise NotOneScript(f"imports {name}, which does not lie beside it")
    done.add(name)
    return inlined(modules[name], modules, done).strip("\n")


def _local(node: ast.ImportFrom, modules: Mapping[str, str]) -> str | None:
    """The name of the module beside it that a statement imports from; None for one from elsewhere."""
    first, *rest = parts = (node.module or "").split(".")
    if first in PACKAGES or node.level:
        if not rest and (first in PACKAGES or not first):
            raise NotOneScript(f"imports {node.names[0].name} as a module; only names out of it can be")
        return parts[-1]
    return first if not rest and first in modules and first not in sys.stdlib_module_names else None


def _renamed(node: ast.ImportFrom) -> Iterator[str]:
    """`from m import a as b` leaves `b = a`."""
    for alias in node.names:
        if alias.asname and alias.asname != alias.name:
            yield f"{alias.asname} = {alias.name}"


def _refuse_local(node: ast.Import | ast.ImportFrom, modules: Mapping[str, str]) -> None:
    if isinstance(node, ast.ImportFrom):
        if (name := _local(node, modules)) is not None:
            raise NotOneScript(f"imports {name} inside of a block")
        return
    for alias in node.names:
        first = alias.name.partition(".")[0]
        if first in PACKAGES or (first in modules and first not in sys.stdlib_module_names):
            raise NotOneScript(f"imports {alias.name} as a module; only names out of it can be")


def _is_main(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")


@dataclass(frozen=True, slots=True)
class Beside:
    """What a test file may import: the program under test, by its names, and the modules beside it."""

    program: str  # the module's name
    code: str  # both of its versions, so that no name of theirs is taken
    modules: Mapping[str, str]
    present: frozenset[str] = frozenset()  # modules that the program's own text holds already


@dataclass(slots=True)
class _Flattener(ast.NodeTransformer):
    """Drops the imports of pytest and of the program, hoists modules, names the stand-ins for pytest's functions."""

    beside: Beside
    called: Mapping[str, str]
    done: set[str]
    above: list[str] = field(default_factory=list[str])

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """`if pytest.use_correct:` chooses between two versions of one import."""
        if _is_main(node):
            return []
        if not any(isinstance(n, ast.Attribute) and n.attr == "use_correct" for n in ast.walk(node.test)):
            return self.generic_visit(node)
        kept = ast.Module(node.orelse or node.body, [])
        self.generic_visit(kept)
        return kept.body

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        """Pytest is not there; a module beside it cannot be a module any more."""
        node.names = [alias for alias in node.names if alias.name != "pytest" or alias.asname]
        _refuse_local(node, self.beside.modules)
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        """The program is in the script already, other modules get there."""
        name = _local(node, self.beside.modules)
        if name is None:
            return node
        if name != self.beside.program and (text := _text_of(name, self.beside.modules, self.done)):
            self.above.append(text)
        return [statement for line in _renamed(node) for statement in ast.parse(line).body] or [ast.Pass()]

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`pytest.approx` and `pytest.raises`."""
        if isinstance(node.value, ast.Name) and node.value.id == "pytest":
            if node.attr not in _STAND_INS:
                raise NotOneScript(f"its tests use pytest.{node.attr}, which a script does not have")
            return ast.copy_location(ast.Name(self.called[_STAND_INS[node.attr]], node.ctx), node)
        return self.generic_visit(node)


def flat_tests(text: str, beside: Beside) -> str:
    """The test functions of a pytest file and the calls that run them, to stand after the program.

    Raises NotOneScript: no test functions, fixtures, test classes, parts of pytest that a script does not have.
    """
    tree = tree_of(text)
    if tree is None:
        raise NotOneScript("its test file is no Python")
    used = [stand_in for name, stand_in in _STAND_INS.items() if f"pytest.{name}" in text]
    preamble, called = definitions(used, beside.code + text)
    calls = [call for node in tree.body for call in _calls(node)]
    if not calls:
        raise NotOneScript("its test file has no test functions")
    flattener = _Flattener(beside, called, set(beside.present))
    try:
        body = ast.unparse(ast.fix_missing_locations(flattener.visit(tree)))
        runs = [ast.unparse(flattener.visit(ast.parse(call))) for call in calls]
    except RecursionError as error:
        raise NotOneScript("its test file is nested too deeply") from error
    return "\n\n\n".join(part for part in (preamble, *flattener.above, body, "\n".join(runs)) if part) + "\n"


def _calls(node: ast.stmt) -> Iterator[str]:
    """The statement that runs a top-level test; takes the marks of pytest off its function."""
    if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
        raise NotOneScript("its test file has test classes; only functions can be read")
    if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test"):
        raise NotOneScript(f"{node.name} is asynchronous")
    if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
        return
    marks = [found for one in node.decorator_list if (found := _mark(one))]
    node.decorator_list = [one for one in node.decorator_list if not _mark(one)]
    if any(name in _UNUSED_MARKS for name, _ in marks):
        return
    tables = [call for name, call in marks if name == "parametrize" and call]
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][: _needed(node)]
    if len(tables) > 1 or (names and not tables):
        raise NotOneScript(f"{node.name} needs {'several tables' if tables else 'fixtures'}")
    yield _over_table(node.name, tables[0]) if tables else f"{node.name}()"


def _needed(node: ast.FunctionDef) -> int:
    return len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)


def _mark(decorator: ast.expr) -> tuple[str, ast.Call | None] | None:
    """`pytest.mark.NAME` or `pytest.mark.NAME(...)`."""
    call = decorator if isinstance(decorator, ast.Call) else None
    place = call.func if call else decorator
    if isinstance(place, ast.Attribute) and ast.unparse(place.value) == "pytest.mark":
        return place.attr, call
    return None


def _over_table(test: str, table: ast.Call) -> str:
    if len(table.args) != 2:
        raise NotOneScript(f"the table of {test} cannot be read")
    try:
        named = ast.literal_eval(table.args[0])
    except ValueError as error:
        raise NotOneScript(f"the table of {test} cannot be read") from error
    names = [n.strip() for n in named.split(",")] if isinstance(named, str) else list(named)
    row = "row," if len(names) == 1 and isinstance(named, str) else "*row,"
    return f"for row in {ast.unparse(table.args[1])}:\n    {test}(**dict(zip({names!r}, ({row}))))"
