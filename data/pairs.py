"""Pairs: the small changes of functions between two texts of one file, as pieces of a Record.

Owns what is small enough and what is no change of the program (layout, comments, docstrings, annotations). Must not
know commits, releases or where the texts are from.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import tree_sitter

from data.filters import FileLimits, decode
from data.labels import hunks_of
from data.outlines import Piece, changed_functions, function_of, outlines
from repair.errors import PatchError
from repair.languages import Function, Language, language
from repair.sources import Source, language_of
from repair.windows import context_lines

_NEIGHBOURS = 1000  # characters of signatures; a context holds 800
_SILENT = frozenset({"ctx", "annotation", "returns", "type_comment", "kind", "type_ignores"})
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
_FILE = FileLimits(smallest=1, largest=1_000_000)


@dataclass(frozen=True, slots=True)
class PairLimits:
    """What is small enough: functions of one file pair, lines of a function, lines and hunks that differ in it."""

    functions: int = 3
    lines: int = 120
    changed: int = 12  # lines of the longer side, over all hunks
    hunks: int = 4
    file: FileLimits = _FILE


@dataclass(frozen=True, slots=True)
class Pair:
    """One function before and after; the fields are those of a Record."""

    language: str
    path: str
    function: str
    first_line: int
    buggy: str
    fixed: str
    context: tuple[str, ...]
    changed: int  # lines of the longer side, over all hunks
    prose: bool = False  # only words of messages differ


@dataclass(frozen=True, slots=True)
class Found:
    """The pairs of one file, how many functions only one side has, and why others were left out."""

    pairs: tuple[Pair, ...] = ()
    added: int = 0
    removed: int = 0
    reasons: tuple[str, ...] = ()


def _leaves(node: tree_sitter.Node, table: Language, strings: bool) -> str:
    parts: list[str] = []
    stack = [node]
    while stack:
        at = stack.pop()
        if at.type in table.comments:
            continue
        if at.type in table.strings or not at.child_count:
            text = (at.text or b"").decode("utf-8", "replace")
            parts.append("…" if at.type in table.strings and not strings and " " in text.strip("\"' ") else text)
        else:
            stack.extend(reversed(at.children))
    return "\0".join(parts)


def _value(value: object, strings: bool) -> object:
    if isinstance(value, ast.AST):
        return _form(value, strings)
    if isinstance(value, list):
        return tuple(_value(one, strings) for one in cast("list[object]", value))
    if isinstance(value, str) and not strings and " " in value:
        return "…"
    return repr(value)  # 1, 1.0 and True are equal, their texts are not


def _form(node: ast.AST, strings: bool) -> object:
    """A tree as nested tuples, without what does not run: docstrings and annotations."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return "Assign", (_form(node.target, strings),), _form(node.value, strings)
    parts: list[object] = [type(node).__name__]
    for name in node._fields:
        if name in _SILENT:
            continue
        value = getattr(node, name, None)
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = node.body[1:] or [ast.Pass()]
        parts.append(_value(value, strings))
    return tuple(parts)


def _python_key(text: str, strings: bool) -> object:
    """None for what does not parse (Python 2 among it)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(f"if 1:\n{text}" if text[:1] in " \t" else text)
        return _form(tree, strings)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def program_key(piece: Piece, name: str, *, strings: bool = True) -> object:
    """Equal for functions that run alike whatever their layout, comments, docstrings and annotations; None: no parse.

    Without `strings`, texts with a blank in them count as equal too.
    """
    if piece.node.has_error:
        return None
    if name == "python":
        return _python_key(piece.text, strings)
    return _leaves(piece.node, language(name), strings)


def _reason(old: Piece, new: Piece, name: str, limits: PairLimits) -> tuple[str, int, bool]:
    """Why a pair is left out ("" when it is not), how many lines differ, and whether only prose does."""
    try:
        hunks = hunks_of(old.text, new.text)
    except PatchError:
        return "no hunks", 0, False
    changed = sum(max(h.last - h.first + 1, h.text.count("\n") + 1 if h.text else 0) for h in hunks)
    if len(hunks) > limits.hunks or changed > limits.changed:
        return "large change", changed, False
    before, after = program_key(old, name), program_key(new, name)
    if before is None or after is None:
        return "does not parse", changed, False
    if before == after:
        return "same program", changed, False
    if not any('"' in line or "'" in line or "`" in line for h in hunks for line in h.text.split("\n")):
        return "", changed, False
    return "", changed, program_key(old, name, strings=False) == program_key(new, name, strings=False)


def _neighbours(source: Source, pieces: Sequence[Piece]) -> dict[Piece, Function]:
    """The first functions of a file, as many as a context has room for."""
    table = language(source.language)
    found: dict[Piece, Function] = {}
    room = _NEIGHBOURS
    for piece in pieces:
        if room <= 0:
            break
        found[piece] = function_of(source, piece, table)
        room -= len(found[piece].signature)
    return found


def _context(source: Source, piece: Piece, near: Mapping[Piece, Function]) -> tuple[str, ...]:
    own = near[piece] if piece in near else function_of(source, piece, language(source.language))
    return context_lines(source, own, tuple(near.values()))


def file_pairs(path: str, before: bytes, after: bytes, limits: PairLimits) -> Found:
    """The small changes of functions that both contents of a file have. The language is told by the path's ending."""
    texts: list[str] = []
    for content in (before, after):
        text, reason = decode(content, limits.file)
        if reason:
            return Found(reasons=(reason,))
        texts.append(text)
    return text_pairs(path, texts[0], texts[1], limits)


def text_pairs(path: str, before: str, after: str, limits: PairLimits) -> Found:
    r"""The same for decoded texts with "\n" between lines."""
    name = language_of(path)
    if before == after or language(name).grammar is None:
        return Found(reasons=("no language",) if before != after else ())
    old, new = outlines(before, after, name)
    partners = changed_functions(old, new, limits.lines)
    one, other = {piece.key for piece in old}, {piece.key for piece in new}
    source = Source(path, before, name)
    near: dict[Piece, Function] = {}
    reasons: list[str] = []
    pairs: list[Pair] = []
    for piece, partner in partners if len(partners) <= limits.functions else ():
        reason, changed, prose = _reason(piece, partner, name, limits)
        if reason:
            reasons.append(reason)
            continue
        near = near or _neighbours(source, old)
        context = _context(source, piece, near)
        pairs.append(
            Pair(name, path, piece.key[0], piece.first_line, piece.text, partner.text, context, changed, prose)
        )
    if len(partners) > limits.functions:
        reasons.append("many functions")
    return Found(tuple(pairs), len(other - one), len(one - other), tuple(reasons))
