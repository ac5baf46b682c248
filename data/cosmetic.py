"""The cosmetic filter: why a change teaches nothing about faults, "" for a real one.

Owns the kinds of cosmetic change and their order. A change that mixes several of them is named by the last one
that is needed; one that has anything real in it is real. Must not know where pairs come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from data.framing import Frame, frame_of
from data.records import Record
from data.tokens import Token, Without, tokens
from repair.languages import Tree, tree_key

REASONS = ("unparsable", "format", "comment", "docstring", "import", "annotation", "string", "rename")
Pair = tuple[str, str, str]  # language, text before, text after

_DOCSTRINGS = Without.DOCSTRINGS
_IMPORTS = _DOCSTRINGS | Without.IMPORTS
_ANNOTATIONS = _IMPORTS | Without.ANNOTATIONS
_STRINGS = _ANNOTATIONS | Without.STRING_TEXT


def _comments(tree: Tree) -> list[str]:
    return [" ".join(tree.text(n).split()) for n in tree.nodes if n.kind in tree.language.comments]


def _same_program(frame: Frame, buggy: str, fixed: str) -> bool:
    if frame.strict and tree_key(frame.source(buggy)) == tree_key(frame.source(fixed)):
        return True
    return tokens(frame.tree(buggy)) == tokens(frame.tree(fixed))


def renamed(before: Sequence[Token], after: Sequence[Token]) -> bool:
    """Whether two rows of tokens are equal once local names are exchanged, one for one."""
    if len(before) != len(after):
        return False
    there: dict[str, str] = {}
    back: dict[str, str] = {}
    for (old, old_kind), (new, new_kind) in zip(before, after, strict=True):
        if old_kind != new_kind:
            return False
        if not old_kind:
            if old != new:
                return False
        elif there.setdefault(old, new) != new or back.setdefault(new, old) != old:
            return False
    return True


def _captures(before: Sequence[Token], after: Sequence[Token]) -> bool:
    """Whether a new local name is also written where it is none (an attribute does not count as a use)."""
    old = {text for text, kind in before if kind}
    new = {text for text, kind in after if kind}
    return bool((new - old) & {text for text, kind in before if not kind and text.isidentifier()} - _dotted(before))


def _dotted(row: Sequence[Token]) -> set[str]:
    return {text for (mark, _), (text, _) in pairwise(row) if mark == "."}


def reason(change: Record | Pair) -> str:
    """One of `REASONS`, or "" for a real change (and for a pair without any)."""
    language, buggy, fixed = change if isinstance(change, tuple) else (change.language, change.buggy, change.fixed)
    if buggy == fixed:
        return ""
    frame = frame_of(language, fixed)
    if frame is None:
        return "unparsable"
    if not frame.accepts(buggy):
        return ""
    one, two = frame.tree(buggy), frame.tree(fixed)
    if _same_program(frame, buggy, fixed):
        return "format" if _comments(one) == _comments(two) else "comment"
    levels = (("docstring", _DOCSTRINGS), ("import", _IMPORTS), ("annotation", _ANNOTATIONS), ("string", _STRINGS))
    for name, without in levels:
        if tokens(one, without) == tokens(two, without):
            return name
    before, after = tokens(one, _STRINGS), tokens(two, _STRINGS)
    return "rename" if renamed(before, after) and not _captures(before, after) else ""
