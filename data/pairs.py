"""Pairs: the functions that differ between two texts of one file, as pieces of a Record.

Owns which functions count as the same (qualified name), which of nested ones is taken, and what is no change of
the program (layout, comments, docstrings, annotations). Must not know commits, releases or where the texts are from.
The trees are those of tree-sitter as they are: making `repair.languages` trees of every file would cost ten times more.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import tree_sitter

from data.filters import FileLimits, decode
from data.labels import hunks_of
from repair.errors import PatchError
from repair.languages import Function, Language, language
from repair.languages.trees import encode, parser
from repair.sources import Source, language_of
from repair.windows import context_lines

_NEIGHBOURS = 1000  # characters of signatures; a context holds 800
_SILENT = frozenset({"ctx", "annotation", "returns", "type_comment", "kind", "type_ignores"})
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
_NAMING = ("name", "key", "property", "left")  # fields of a parent that name what an anonymous function is given to


@dataclass(frozen=True, slots=True)
class PairLimits:
    """What is small enough: functions of one file pair, lines of a function, lines and hunks that differ in it."""

    functions: int = 3
    lines: int = 120
    changed: int = 12  # lines of the longer side, over all hunks
    hunks: int = 4
    file: FileLimits = FileLimits(smallest=1, largest=1_000_000)


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


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A named function of a file. `key` is its qualified name and how many of that name stand before it."""

    key: tuple[str, int]
    first_line: int  # 1-based, with decorators
    last_line: int
    text: str  # whole lines
    node: tree_sitter.Node

    def holds(self, other: Piece) -> bool:
        """Whether another function of the same file lies inside."""
        return self.first_line <= other.first_line and other.last_line <= self.last_line and self is not other


@lru_cache(maxsize=8)
def _query(name: str) -> tree_sitter.Query:
    table = language(name)
    assert table.grammar is not None
    kinds = " ".join(f"({kind})" for kind in sorted(table.functions))
    return tree_sitter.Query(tree_sitter.Language(table.grammar()), f"[{kinds}] @function")


def _last_name(node: tree_sitter.Node | None) -> tree_sitter.Node | None:
    while node is not None and node.child_count:
        below = node.named_children
        node = below[-1] if below else None
    return node


def _label(node: tree_sitter.Node) -> str:
    """The name of a function or class: its own, or that of what it is assigned to; "" for none."""
    own = node.child_by_field_name("name")
    parent = node.parent
    if own is None and parent is not None:
        targets = (parent.child_by_field_name(field) for field in _NAMING)
        own = next((_last_name(t) for t in targets if t is not None), None)
        if own is not None and node.start_byte <= own.start_byte < node.end_byte:
            return ""
    return own.text.decode("utf-8", "replace") if own is not None and own.text else ""


def _qualified(node: tree_sitter.Node, name: str, table: Language) -> str:
    path = [name]
    above = node.parent
    while above is not None:
        if above.type in table.classes or above.type in table.functions:
            label = _label(above)
            if label:
                path.append(label)
        above = above.parent
    return ".".join(reversed(path))


def _agree(old: bytes, new: bytes) -> int:
    """Length of the common beginning, by halving: comparing slices costs a fraction of comparing bytes in Python."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(content: bytes, at: int) -> tuple[int, int]:
    return content.count(b"\n", 0, at), at - (content.rfind(b"\n", 0, at) + 1)


def _parsed(before: str, after: str, name: str) -> tuple[tree_sitter.Tree, tree_sitter.Tree]:
    """Both trees; the second reuses what is unchanged of the first, which nearly halves the cost."""
    old, new = encode(before), encode(after)
    tree = parser(name).parse(old)
    start = _agree(old, new)
    tail = _agree(old[start:][::-1], new[start:][::-1])
    ends = len(old) - tail, len(new) - tail
    draft = tree.copy()
    draft.edit(start, ends[0], ends[1], _point(old, start), _point(old, ends[0]), _point(new, ends[1]))
    return tree, parser(name).parse(new, draft)


def outline(text: str, name: str, tree: tree_sitter.Tree | None = None) -> tuple[Piece, ...]:
    """The named functions of a text in a language with a grammar, nested ones too."""
    root = (tree if tree is not None else parser(name).parse(encode(text))).root_node
    table = language(name)
    captured = tree_sitter.QueryCursor(_query(name)).captures(root).get("function", [])
    lines = text.split("\n")
    counts: Counter[str] = Counter()
    found: list[Piece] = []
    for node in sorted(captured, key=lambda n: n.start_byte):
        label = _label(node)
        if not label or node.child_by_field_name("body") is None:
            continue
        whole = node
        while whole.parent is not None and whole.parent.type in table.wrappers:
            whole = whole.parent
        first, last = whole.start_point.row, whole.end_point.row - (whole.end_point.column == 0)
        qualified = _qualified(node, label, table)
        own = "\n".join(lines[first : last + 1]) + "\n"
        found.append(Piece((qualified, counts[qualified]), first + 1, last + 1, own, node))
        counts[qualified] += 1
    return tuple(found)


def outlines(before: str, after: str, name: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The outlines of two texts that are much alike."""
    old, new = _parsed(before, after, name)
    return outline(before, name, old), outline(after, name, new)


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


def changed_functions(old: Sequence[Piece], new: Sequence[Piece], most: int) -> list[tuple[Piece, Piece]]:
    """The same functions of both sides that differ: the largest ones of at most `most` lines, none inside of another."""
    counts = [Counter(piece.key[0] for piece in side) for side in (old, new)]
    later = {piece.key: piece for piece in new}
    chosen: list[tuple[Piece, Piece]] = []
    for piece in old:  # outer ones come first
        other = later.get(piece.key)
        if other is None or other.text == piece.text or counts[0][piece.key[0]] != counts[1][piece.key[0]]:
            continue
        if max(piece.last_line - piece.first_line, other.last_line - other.first_line) >= most:
            continue
        if not any(kept.holds(piece) for kept, _ in chosen):
            chosen.append((piece, other))
    return chosen


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


def _header(node: tree_sitter.Node, table: Language) -> str:
    """The definition in one line, without its body and the comments before that."""
    text, body = node.text or b"", node.child_by_field_name("body")
    if body is not None:
        text = text[: body.start_byte - node.start_byte]
        for child in reversed(node.children):
            if child.type in table.comments and child.start_byte < body.start_byte and table.layout:
                text = text[: child.start_byte - node.start_byte] + text[child.end_byte - node.start_byte :]
    return " ".join(text.decode("utf-8", "replace").split())


def _function(source: Source, piece: Piece, table: Language) -> Function:
    above = piece.node.parent
    while above is not None and above.type not in table.classes:
        above = above.parent
    name = piece.key[0]
    return Function(
        name=name.rpartition(".")[2],
        qualified_name=name,
        span=source.line_span(piece.first_line, piece.last_line),
        first_line=piece.first_line,
        last_line=piece.last_line,
        signature=_header(piece.node, table),
        class_header=_header(above, table) if above is not None else "",
    )


def _neighbours(source: Source, pieces: Sequence[Piece]) -> dict[Piece, Function]:
    """The first functions of a file, as many as a context has room for."""
    table = language(source.language)
    found: dict[Piece, Function] = {}
    room = _NEIGHBOURS
    for piece in pieces:
        if room <= 0:
            break
        found[piece] = _function(source, piece, table)
        room -= len(found[piece].signature)
    return found


def _context(source: Source, piece: Piece, near: Mapping[Piece, Function]) -> tuple[str, ...]:
    own = near[piece] if piece in near else _function(source, piece, language(source.language))
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
