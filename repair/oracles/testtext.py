"""Texts of tests: the source of a failing one for a model to read, the doctests that a patch must leave alone."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

from repair.edits import FilePatch
from repair.errors import PatchError
from repair.oracles.judging import first_lines

_LINES = 40
_QUOTES = re.compile("""\"{3}|'{3}""")
_PARAMETERS = re.compile(r"\[.*\]$", re.S)


def test_source(root: Path, test_id: str) -> str:
    """At most 40 lines of the test `test_id` (pytest's or unittest's form), "" when it is not found."""
    path, names = _place(root, test_id)
    if path is None:
        return ""
    try:
        text = path.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError):
        return ""
    node = _find(tree, names)
    if node is None:
        return first_lines(text.strip(), _LINES) if not names else ""
    lines = text.split("\n")[node.lineno - 1 : node.end_lineno]
    return first_lines(textwrap.dedent("\n".join(lines)), _LINES)


test_source.__test__ = False  # type: ignore[attr-defined]  # not for pytest to collect


def keeps_examples(text: str, patch: FilePatch) -> bool:
    """Whether a patch leaves the doctest examples of a file alone (they are tests that lie in a source)."""
    try:
        return _examples(text) == _examples(patch.apply(text))
    except PatchError:
        return True  # said of it when it is applied


def _examples(text: str) -> list[str]:
    """Lines of all examples with what they shall print; by lines, so that a text that does not parse has them too."""
    found: list[str] = []
    inside = False
    for line in text.split("\n"):
        stripped = line.strip()
        inside = stripped.startswith(">>>") or (inside and bool(stripped))
        if inside:
            shown, *closing = _QUOTES.split(stripped, maxsplit=1)
            inside = not closing
            found += [shown] if shown else []
    return found


def _place(root: Path, test_id: str) -> tuple[Path | None, list[str]]:
    """The file and the names inside: `a/test_b.py::C::d[1]` or `a.test_b.C.d`."""
    file, *names = _PARAMETERS.sub("", test_id).split("::")
    if names or file.endswith(".py"):
        return _inside(root, file), names
    parts = file.removeprefix("import of ").split(".")
    for length in range(len(parts), 0, -1):
        path = _inside(root, "/".join(parts[:length]) + ".py")
        if path is not None:
            return path, parts[length:]
    return None, []


def _inside(root: Path, name: str) -> Path | None:
    path = root / name
    return path if path.is_file() and path.resolve().is_relative_to(root.resolve()) else None


def _find(tree: ast.AST, names: list[str]) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    found = None
    for name in names:
        for child in ast.iter_child_nodes(tree):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child.name == name:
                found = tree = child
                break
        else:
            return None
    return found
