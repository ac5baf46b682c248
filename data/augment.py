"""Augmentation: the same program written differently, for training and for the measurement of robustness.

Owns the list of transformations and how one is made on both sides of a record so that the difference between them
stays. What keeps a program's meaning is decided in `renaming`, `rewording`, `rewriting` and `reordering`. Pure but
for the chance that is handed in.
"""

from __future__ import annotations

import random as chance
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from data import renaming, reordering, rewording, rewriting
from data.classes import differences
from data.framing import frame_of
from data.piece import Group, Piece, apart, framed_piece, made, piece_of, words
from data.records import Record
from repair.errors import PatchError
from repair.languages import undefined_names

_NAME_ERRORS = frozenset({"NameError", "UnboundLocalError", "ReferenceError"})
_TRIES = 4  # transformations drawn for each record that is asked for


@dataclass(frozen=True, slots=True)
class Transformation:
    """A way to write programs differently; at most `most` of its groups are made at once."""

    name: str
    groups: Callable[[Piece], Iterable[Group]]
    most: int = 2

    def apply(self, text: str, language: str, random: chance.Random) -> str | None:
        """A text that means the same, None where there is nothing to transform."""
        piece = piece_of(language, text, str(random.random()))
        if piece is None or not piece.frame.accepts(text):
            return None
        chosen = _chosen(list(self.groups(piece)), self.most, random)
        return made(text, chosen) if chosen and _sound(piece, made(text, chosen)) else None


TRANSFORMATIONS: tuple[Transformation, ...] = (
    Transformation("rename", renaming.variables, 3),
    Transformation("rename-foreign", renaming.foreign_variables, 4),
    Transformation("rename-parameters", renaming.parameters, 2),
    Transformation("reorder", reordering.reorder, 1),
    Transformation("mirror-comparison", rewriting.mirror_comparison),
    Transformation("negate-comparison", rewriting.negate_comparison),
    Transformation("swap-arms", rewriting.swap_arms, 1),
    Transformation("augment-assignment", rewriting.augment_assignment),
    Transformation("add-comment", rewording.add_comment),
    Transformation("drop-comment", rewording.drop_comment, 3),
    Transformation("change-comment", rewording.change_comment, 3),
    Transformation("docstring", rewording.docstring, 1),
    Transformation("blank-line", rewording.blank_line, 3),
)


def _chosen(found: list[Group], most: int, random: chance.Random) -> list[Group]:
    """Some groups that neither collide nor give two variables one name."""
    random.shuffle(found)
    chosen: list[Group] = []
    fresh: set[str] = set()
    for group in found:
        name = group.name.rpartition(">")[2]
        if len(chosen) < most and apart(chosen, group) and not (name and name in fresh):
            chosen.append(group)
            fresh.add(name)
    return chosen


def _sound(piece: Piece, text: str) -> bool:
    """Whether the result parses and misses no name that was there."""
    if text == piece.text or not piece.frame.accepts(text):
        return False
    return undefined_names(piece.frame.source(text)) == undefined_names(piece.frame.source(piece.text))


Lines = dict[int, int]  # line of the fixed text -> line of the buggy text, for lines that both have


def _shared(buggy: str, fixed: str) -> Lines:
    left, right = fixed.split("\n"), buggy.split("\n")
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return {m.a + n + 1: m.b + n + 1 for m in blocks for n in range(m.size)}


Key = tuple[object, ...]


def _key(group: Group, text: str, lines: Lines | None) -> Key | None:
    """What a group changes, in lines of the buggy text; None where a line is not on both sides."""
    if group.name:
        return (group.name,)
    parts: list[object] = []
    for edit in group.edits:
        first = text.count("\n", 0, edit.span.start) + 1
        whole = len(edit.span) and text[edit.span.end - 1] == "\n"  # the line behind is not touched
        last = first + text.count("\n", edit.span.start, edit.span.end) - bool(whole)
        where = [n if lines is None else lines.get(n, 0) for n in range(first, last + 1)]
        if 0 in where or where != list(range(where[0], where[-1] + 1)):
            return None
        column = edit.span.start - (text.rfind("\n", 0, edit.span.start) + 1)
        parts.append((where[0], column, edit.span.of(text), edit.text))
    return tuple(parts)


def _both(kind: Transformation, pair: tuple[Piece, Piece], lines: Lines) -> list[tuple[Group, Group]]:
    """Groups that can be made on both sides: (buggy, fixed)."""
    buggy, fixed = pair
    there = {_key(g, buggy.text, None): g for g in kind.groups(buggy)}
    keyed = ((_key(g, fixed.text, lines), g) for g in kind.groups(fixed))
    return [(there[key], group) for key, group in keyed if key is not None and key in there]


def _moved(text: str, groups: Sequence[Group], line: int) -> int:
    """Where a line (1-based) is once the edits are made; the most alike line where its stretch was rewritten."""
    shift = 0
    for edit in sorted(e for g in groups for e in g.edits):
        first = text.count("\n", 0, edit.span.start) + 1
        removed, added = edit.span.of(text).count("\n"), edit.text.count("\n")
        whole = text[edit.span.start - 1 : edit.span.start] in {"", "\n"}
        if line < first or (line == first and not whole):
            break
        if line < first + removed:
            own = text.split("\n")[line - 1].strip()
            new = [part.strip() for part in edit.text.split("\n")]
            return first + shift + (new.index(own) if own in new else 0)
        shift += added - removed
    return line + shift


def _renamed_error(record: Record, groups: Sequence[Group]) -> str:
    """The error line with the new names, where it speaks of variables."""
    speaks = record.error_type in _NAME_ERRORS or record.error.startswith(tuple(_NAME_ERRORS))
    if not speaks and "argument" not in record.error:
        return record.error
    pairs = dict(g.name.split(">") for g in groups if g.name)
    return re.sub(r"[^\W\d]\w*", lambda m: pairs.get(m.group(), m.group()), record.error)


def _same_fault(one: Record, other: Record) -> bool:
    """Whether the differing places have the same classes, and there are as many hunks."""
    kinds = [Counter((d.fine, d.coarse) for d in differences(r.language, r.buggy, r.fixed)) for r in (one, other)]
    try:
        return kinds[0] == kinds[1] and len(one.hunks) == len(other.hunks)
    except PatchError:
        return False


def _pieces(record: Record, seed: str) -> tuple[Piece, Piece] | None:
    frame = frame_of(record.language, record.fixed)
    if frame is None:
        return None
    taken = words(record.buggy, record.fixed, record.test, *record.context)
    return framed_piece(frame, record.buggy, seed, taken), framed_piece(frame, record.fixed, seed, taken)


def transformed(record: Record, kind: Transformation, random: chance.Random) -> Record | None:
    """The record with one transformation made on both sides; None where it finds nothing that both have."""
    pair = _pieces(record, str(random.random()))
    if pair is None:
        return None
    buggy, fixed = pair
    common = _both(kind, pair, _shared(record.buggy, record.fixed))
    chosen = _chosen([group for group, _ in common], kind.most, random)
    if not chosen:
        return None
    matching = {id(one): two for one, two in common}
    texts = made(record.buggy, chosen), made(record.fixed, [matching[id(g)] for g in chosen])
    if not _sound(fixed, texts[1]) or buggy.frame.accepts(texts[0]) != buggy.frame.accepts(record.buggy):
        return None
    frames = tuple(_moved(record.buggy, chosen, n) for n in record.frames)
    error = _renamed_error(record, chosen)
    result = replace(record, buggy=texts[0], fixed=texts[1], frames=frames, error=error)
    return result if _same_fault(record, result) else None


def augmented(
    record: Record,
    random: chance.Random,
    how_many: int,
    transformations: Sequence[Transformation] = TRANSFORMATIONS,
) -> Iterator[Record]:
    """Up to `how_many` different records of the same fault, each by one to three transformations of both sides."""
    seen = {(record.buggy, record.fixed)}
    made_so_far = 0
    for _ in range(_TRIES * how_many):
        if made_so_far >= how_many:
            return
        kinds = random.sample(transformations, min(random.choice((1, 2, 3)), len(transformations)))
        result = record
        for kind in kinds:
            result = transformed(result, kind, random) or result
        if (result.buggy, result.fixed) not in seen:
            seen.add((result.buggy, result.fixed))
            made_so_far += 1
            yield result
