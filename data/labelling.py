"""Labelling: the fields of a record that follow from its other fields.

Owns the classes of each hunk, the type named by an error line, and the formula of difficulty. Pure: nothing is run,
nothing is read. What a source has already filled in stays.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

from data.classes import Difference, differences, joined
from data.mutants import Example
from data.records import CLEAN, ErrorOrigin, Origin, Record
from repair.errors import PatchError
from repair.sources import Source
from repair.views import Hunk, hunks_patch

# Shares of the parts of difficulty; they add up to 1.
PLACES, SIZE, LOCATION, NOVELTY = 0.35, 0.30, 0.20, 0.15
MANY_TOKENS = 64  # changed tokens from which on the size counts in full
_TYPE = re.compile(r"(?:^|\s)(?:Uncaught )?(?P<type>(?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*)(?=:|$|\s*\()")
_ASSERT = re.compile(r"assert\b")
_NAMED = re.compile(r"(?:Error|Exception|Warning|Exit|Interrupt|Iteration|Failure|Timeout)$")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W\d]\w*")


def error_type(error: str) -> str:
    """The class that an error line names, without its package: "IndexError", "NullPointerException"; "" for none."""
    line = error.strip()
    for found in _TYPE.finditer(line):
        name = found["type"].rsplit(".", 1)[-1]
        if _NAMED.search(name):
            return name
    if _ASSERT.match(line):  # pytest prints the assertion alone
        return "AssertionError"
    head = _TYPE.match(line)  # "KeyNotFound: ..." of a project's own; a name alone could be any word
    return head["type"].rsplit(".", 1)[-1] if head is not None and line[head.end() : head.end() + 1] == ":" else ""


def _hunks(record: Record) -> tuple[Hunk, ...]:
    try:
        return record.hunks
    except PatchError:
        return ()


def _holds(hunk: Hunk, shift: int, place: Difference) -> bool:
    """Whether a place lies in a hunk; `shift` lines were added by the hunks in front of it."""
    if place.line:
        return hunk.first <= place.line <= max(hunk.first, hunk.last)
    lines = len(hunk.text.split("\n")) if hunk.text else 0
    return hunk.first + shift <= place.fixed_line <= hunk.first + shift + max(lines, 1) - 1


def bug_classes(record: Record) -> tuple[str, ...]:
    """The coarse class of each hunk that has one, in order; ("clean",) without a fault."""
    if record.buggy == record.fixed:
        return (CLEAN,)
    found = differences(record.language, record.buggy, record.fixed)
    if len(found) == 1 or any(d.coarse in {"syntax", "layout"} for d in found):  # of the whole, not of one hunk
        return (joined(found)[1],)
    result: list[str] = []
    shift = 0
    for hunk in _hunks(record):
        result.append(joined(tuple(d for d in found if _holds(hunk, shift, d)))[1])
        shift += (len(hunk.text.split("\n")) if hunk.text else 0) - (hunk.last - hunk.first + 1)
    classes = tuple(c for c in result if c)
    return classes or ((joined(found)[1],) if found else ())


def _changed(record: Record, hunks: tuple[Hunk, ...]) -> tuple[Counter[str], Counter[str]]:
    """Tokens that only the buggy lines have, and that only the fixed ones have."""
    lines = record.buggy.split("\n")
    old = Counter(t for h in hunks for line in lines[h.first - 1 : h.last] for t in _TOKEN.findall(line))
    new = Counter(t for h in hunks for t in _TOKEN.findall(h.text))
    return old - new, new - old


def _location(record: Record, hunks: tuple[Hunk, ...]) -> float:
    """0: a frame names a faulty line; 0.5: one is within three lines, or the error names a word of the line; else 1."""
    spans = [(h.first, max(h.first, h.last)) for h in hunks]
    distance = [max(a - n, n - b, 0) for a, b in spans for n in record.frames]
    if distance and min(distance) == 0:
        return 0.0
    lines = record.buggy.split("\n")
    words = {w for a, b in spans for line in lines[a - 1 : b] for w in _WORD.findall(line)}
    message = record.error.partition(":")[2] or record.error
    near = bool(distance) and min(distance) <= 3
    return 0.5 if near or words & set(_WORD.findall(f"{message} {record.test}")) else 1.0


def difficulty(record: Record) -> float:
    """How hard the repair is to find, in [0, 1]; 0 for a record without a fault.

    0.35 * places + 0.30 * size + 0.20 * location + 0.15 * novelty, where places = 1 - 1 / hunks;
    size = log(changed tokens) / log(64), at most 1 (the larger of tokens removed and added, at least 1);
    location as in `_location`; novelty = share of the added words that neither function nor context shows.
    """
    hunks = _hunks(record)
    if not hunks:
        return 0.0
    removed, added = _changed(record, hunks)
    tokens = max(1, removed.total(), added.total())
    words = {t for t in added if _WORD.fullmatch(t)}
    shown = set(_WORD.findall("\n".join((record.buggy, record.error, record.test, *record.context))))
    novelty = len(words - shown) / len(words) if words else 0.0
    size = min(1.0, math.log(tokens) / math.log(MANY_TOKENS))
    places = 1 - 1 / len(hunks)
    whole = PLACES * places + SIZE * size + LOCATION * _location(record, hunks) + NOVELTY * novelty
    return round(min(1.0, whole), 4)


def labelled(record: Record) -> Record:
    """The record with bug classes, error type and difficulty filled in where they are not given."""
    return replace(
        record,
        bug_classes=record.bug_classes or bug_classes(record),
        error_type=record.error_type or error_type(record.error),
        difficulty=record.difficulty or difficulty(record),
    )


def record_of(example: Example) -> Record:
    """The record of an injected example (`records.example` is its inverse)."""
    view = example.view
    shift = view.first_line - 1
    buggy = "\n".join(view.lines) + "\n"
    source = Source("m", buggy, view.language)
    hunks = tuple(Hunk(h.first - shift, h.last - shift, h.text) for h in example.hunks)
    made_up = ErrorOrigin.TEMPLATE if example.error_made else ErrorOrigin.EXECUTED
    return Record(
        language=view.language,
        buggy=buggy,
        fixed=hunks_patch(source, hunks).apply({"m": buggy})["m"],
        origin=Origin.MUTANT,
        path=view.path,
        first_line=view.first_line,
        function=example.function,
        context=view.context,
        bug_classes=example.bug_classes,
        operators=example.operators,
        error=view.error,
        error_origin=made_up if view.error else ErrorOrigin.NONE,
        frames=tuple(n - shift for n in view.frames),
        test=view.test,
        repository=example.package,
    )
