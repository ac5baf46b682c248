"""Keep measured programs out of training: marks of syntax trees and 13-token n-grams.

A mark is what `bench/fingerprint.py` defines: the first 16 hex digits of the SHA-256 of a function's syntax
tree as `ast.dump` prints it, with names made anonymous in order of first appearance (variables, arguments
and functions in one numbering, attributes in another), without its docstring, decorators, annotations of
arguments and result. A copy with other names has the same mark. Here the text is written directly from the
tree, in the form of Python 3.11's `ast.dump`, so that marks do not depend on the interpreter that builds.

The n-gram rule (Brown et al. 2020, appendix C) catches copies that differ by a statement.
Knows nothing of packages or suites' files beyond their texts.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.filters import parse
from repair.errors import InputError, SuiteError

GRAM = 13
LEAST_LINES = 4
LEAST_NODES = 40
LEAST_WORDS = 5  # distinct words in a telling run of tokens; runs such as "1, 2, 3, 4, 5, 6, 7" are everybody's
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MARK = re.compile(r"[0-9a-f]{16}")
_SUITE_CODE = ("buggy_code", "fixed_code", "tests", "held_out_tests")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True)
class _Writer:
    """Writes one function's anonymous tree; counts its nodes (those that `ast.walk` would meet)."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    nodes: int = 0

    def name(self, name: str) -> str:
        return self.names.setdefault(name, f"n{len(self.names)}")

    def value(self, value: object) -> str:
        if isinstance(value, ast.AST):
            return self.node(value)
        if isinstance(value, list):
            return f"[{', '.join([self.value(item) for item in value])}]"
        return repr(value)

    def node(self, node: ast.AST) -> str:
        self.nodes += 1
        kind = node.__class__
        if kind is ast.Name:
            self.nodes += 1  # its context
            return f"Name(id={self.name(node.id)!r}, ctx={node.ctx.__class__.__name__}())"  # type: ignore[attr-defined]
        if kind is ast.Attribute:
            return self.attribute(node)  # type: ignore[arg-type]
        if kind is ast.arg:
            return f"arg(arg={self.name(node.arg)!r})"  # type: ignore[attr-defined]
        if kind in _FUNCTION:
            return self.function(node)  # type: ignore[arg-type]
        return self.fields(node)

    def fields(self, node: ast.AST) -> str:
        parts: list[str] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None and getattr(node.__class__, name, ...) is None:
                continue  # `ast.dump` leaves out optional fields that are None
            parts.append(f"{name}={self.value(value)}")
        return f"{node.__class__.__name__}({', '.join(parts)})"

    def attribute(self, node: ast.Attribute) -> str:
        value = self.node(node.value)
        self.nodes += 1
        attribute = self.attributes.setdefault(node.attr, f"a{len(self.attributes)}")
        return f"Attribute(value={value}, attr={attribute!r}, ctx={node.ctx.__class__.__name__}())"

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        name = self.name(node.name)
        arguments = self.node(node.args)
        body = self.value(_without_docstring(node.body))
        return f"{node.__class__.__name__}(name={name!r}, args={arguments}, body={body}, decorator_list=[])"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:] or [ast.Pass()]
    return body


def mark_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The mark of one function, "" for one that is too small to be told from others."""
    if (function.end_lineno or function.lineno) - function.lineno + 1 < LEAST_LINES:
        return ""
    writer = _Writer()
    text = writer.function(function)
    if writer.nodes + 1 < LEAST_NODES:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def marks(source: str) -> Iterator[tuple[str, str]]:
    """Name and mark of each function that is not trivial. Raises SyntaxError."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _FUNCTION) and (mark := mark_of(node)):
            yield node.name, mark


def _codes(text: str) -> NDArray[np.uint64]:
    """One number for each token of a text (word or punctuation character)."""
    return np.array([zlib.crc32(token.encode()) for token in _TOKEN.findall(text)], dtype=np.uint64)


def _telling(text: str) -> NDArray[np.bool_]:
    """For each run of 13 tokens whether it has enough distinct words."""
    words = [token if token[0].isalpha() or token[0] == "_" else "" for token in _TOKEN.findall(text)]
    runs = range(max(0, len(words) - GRAM + 1))
    return np.array([len(set(words[at : at + GRAM]) - {""}) >= LEAST_WORDS for at in runs], dtype=np.bool_)


def grams(text: str) -> NDArray[np.uint64]:
    """A 64-bit number for each run of 13 tokens of `text`; equal runs have equal numbers."""
    codes = _codes(text)
    if len(codes) < GRAM:
        return np.empty(0, dtype=np.uint64)
    mixed = np.zeros(len(codes) - GRAM + 1, dtype=np.uint64)
    for offset in range(GRAM):  # polynomial hash modulo 2**64, all windows at once
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(mixed)]
    return mixed


def read_marks(path: Path) -> frozenset[str]:
    """The marks of a file with one on each line. Raises InputError: missing, or something else in it."""
    try:
        words = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: marks cannot be read ({error})", field="marks") from error
    wrong = [w for w in words if not _MARK.fullmatch(w)]
    if wrong or not words:
        raise InputError(f"{path}: {wrong[0] if wrong else 'empty'}: marks have 16 hex digits", field="marks")
    return frozenset(words)


def _rows(path: Path) -> Iterator[dict[str, object]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SuiteError(f"{path}:{number}: {error}", line=number) from error
        if not isinstance(row, dict):
            raise SuiteError(f"{path}:{number}: a row is an object", line=number)
        yield row


def suite_texts(path: Path) -> list[str]:
    """All code of one suite. Raises SuiteError for a row that is no JSON object."""
    return [text for row in _rows(path) for key in _SUITE_CODE if isinstance(text := row.get(key), str) and text]


def _marks_or_none(text: str) -> list[str]:
    try:
        return [mark for _, mark in marks(text)]
    except (SyntaxError, ValueError, RecursionError):
        return []  # suites hold programs with syntax errors; their n-grams still count


@dataclass(frozen=True, slots=True)
class Forbidden:
    """What no training text may hold: marks of functions, numbers of n-grams (sorted)."""

    marks: frozenset[str]
    grams: NDArray[np.uint64]

    @classmethod
    def build(cls, known: Iterable[str], texts: Sequence[str]) -> Forbidden:
        """From a list of marks and from the code of suites (which gives marks as well)."""
        own = {mark for text in texts for mark in _marks_or_none(text)}
        numbers = [grams(text)[_telling(text)] for text in texts]
        joined = np.unique(np.concatenate(numbers)) if numbers else np.empty(0, dtype=np.uint64)
        return cls(frozenset(known) | own, joined)

    @classmethod
    def read(cls, marks_file: Path, suites: Sequence[Path]) -> Forbidden:
        """From files. Raises InputError and SuiteError."""
        return cls.build(read_marks(marks_file), [text for suite in suites for text in suite_texts(suite)])

    def reason(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """Why one function may not be used by its tree, "" when it may."""
        return "mark of a measured program" if mark_of(function) in self.marks else ""

    def holds_gram(self, text: str) -> bool:
        """Whether a run of 13 tokens of `text` is one of a suite."""
        if not len(self.grams):
            return False
        found = grams(text)
        at = np.minimum(np.searchsorted(self.grams, found), len(self.grams) - 1)
        return bool(np.any(self.grams[at] == found))


@dataclass(frozen=True, slots=True)
class Dropped:
    """One function or stretch of code that was cut out: where it stood and why."""

    path: str
    name: str
    first: int
    last: int
    reason: str


def _bad_functions(tree: ast.Module, lines: Sequence[str], path: str, forbidden: Forbidden) -> Iterator[Dropped]:
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _FUNCTION):
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                last = child.end_lineno or child.lineno
                reason = forbidden.reason(child)
                if not reason and forbidden.holds_gram("\n".join(lines[first - 1 : last])):
                    reason = "13 tokens of a suite"
                if reason:
                    yield Dropped(path, child.name, first, last, reason)
                    continue  # what lies within goes with it
            stack.append(child)


def clean(path: str, text: str, forbidden: Forbidden) -> tuple[str, tuple[Dropped, ...]]:
    """`text` without the functions that may not be used, and what was cut.

    The whole file goes (an empty text) when n-grams remain outside of functions or nothing whole is left.
    """
    lines = text.split("\n")
    tree = parse(text)
    if tree is None:
        return "", (Dropped(path, "", 1, len(lines), "does not parse"),)
    dropped = tuple(_bad_functions(tree, lines, path, forbidden))
    for cut in sorted(dropped, key=lambda d: -d.first):
        indent = lines[cut.first - 1][: len(lines[cut.first - 1]) - len(lines[cut.first - 1].lstrip())]
        lines[cut.first - 1 : cut.last] = [f"{indent}pass"]  # a class or branch may not become empty
    left = "\n".join(lines)
    if forbidden.holds_gram(left):
        return "", (*dropped, Dropped(path, "", 1, len(lines), "13 tokens of a suite outside of functions"))
    return left, dropped
