"""Shorten what costs tokens and teaches little about faults: long docstrings and licence headers.

A docstring of more than `keep` lines becomes its first line. Works on text through the syntax tree's
positions, so that code, comments and layout elsewhere stay as they are.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

from data.filters import parse

_OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _docstrings(tree: ast.Module) -> Iterator[ast.Expr]:
    for node in ast.walk(tree):
        if isinstance(node, _OWNERS) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first


def _summary(docstring: ast.Expr, indent: str) -> str:
    """The docstring's first line as a docstring of its own, "" when it cannot be quoted plainly."""
    value = docstring.value
    text = value.value.strip() if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    line = text.split("\n")[0].strip()
    return "" if not line or "\\" in line or '"' in line else f'{indent}"""{line}"""'


def _without_header(lines: list[str]) -> list[str]:
    """Without the leading comment block when it is long (a licence)."""
    count = 0
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    return lines[count:] if count > 3 else lines


def condense(text: str, draw: random.Random, *, keep: int = 3, whole_share: float = 0.2) -> str:
    """`text` with its long docstrings shortened, except a share drawn to stay whole. Unchanged if it does not parse."""
    tree = parse(text)
    if tree is None:
        return text
    lines = text.split("\n")
    for docstring in sorted(_docstrings(tree), key=lambda d: -d.lineno):
        first, last = docstring.lineno, docstring.end_lineno or docstring.lineno
        if last - first < keep or draw.random() < whole_share:
            continue
        head, tail = lines[first - 1], lines[last - 1]
        indent = head[: docstring.col_offset]
        summary = _summary(docstring, indent)
        alone = not indent.strip() and len(tail.encode()) == docstring.end_col_offset
        if summary and alone:
            lines[first - 1 : last] = [summary]
    return "\n".join(_without_header(lines))
