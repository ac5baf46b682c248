"""Pairs of repairs of one view, one better than the other: read, written, made from feedback, encoded.

Owns the file format and what a side's tokens count for. How pairs become batches: `training.contrast`. Must not know
models or the loss (direct preference optimisation, Rafailov et al. 2023). A file has one pair a line:

    {"view": {"path", "language", "first_line", "lines", "error"?, "frames"?, "test"?, "context"?},
     "better": [{"first", "last", "text"}, ...], "worse": [...], "source"?}

with hunks as in `repair.views`; no hunks say that there is no fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from data.mutants import Example as Pair
from data.records import Record, example
from data.store import write_rows
from repair.errors import InputError, PatchError, SuiteError
from repair.replies import Change, check_hunks
from repair.views import Hunk, View
from training.batches import Example
from training.config import ObjectiveConfig
from training.encoding import ExampleEncoder, Tokens, weigh

Hunks = tuple[Hunk, ...]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers about one view, the first better than the second. `source` says how that is known."""

    view: View
    better: Hunks
    worse: Hunks
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("better", "worse"):
            hunks = tuple(sorted(getattr(self, name)))
            object.__setattr__(self, name, hunks)
            reply = check_hunks(hunks, self.view)
            if not isinstance(reply, Change):
                raise InputError(f"{name}: {reply}", field=name)
        if self.better == self.worse:
            raise InputError("better and worse are the same repair", field="worse")


_VIEW = {"path": str, "language": str, "first_line": int, "error": str, "test": str}
_LISTS = {"lines": str, "frames": int, "context": str}
_OPTIONAL = ("error", "frames", "test", "context")
_KINDS = {str: "text", int: "number"}


def _checked(row: object, kinds: Mapping[str, type], name: str) -> Mapping[str, object]:
    if not isinstance(row, dict):
        raise InputError(f"{name} must be an object", field=name)
    table = cast("dict[str, object]", row)
    for key, kind in kinds.items():
        if type(table.get(key)) is not kind and not (key in _OPTIONAL and key not in table):
            raise InputError(f"{name}.{key} must be a {_KINDS[kind]}", field=f"{name}.{key}")
    return table


def _view(row: object) -> View:
    table = dict(_checked(row, _VIEW, "view"))
    for key, kind in _LISTS.items():
        items = table.get(key, [] if key in _OPTIONAL else None)
        if not isinstance(items, list) or any(type(item) is not kind for item in cast("list[object]", items)):
            raise InputError(f"view.{key} must be a list of {_KINDS[kind]}s", field=f"view.{key}")
        table[key] = tuple(cast("list[object]", items))
    names = {one.name for one in fields(View)}
    return View(**{key: value for key, value in table.items() if key in names})  # pyright: ignore[reportArgumentType]


def _hunks(rows: object, name: str) -> Hunks:
    if not isinstance(rows, list):
        raise InputError(f"{name} must be a list of hunks", field=name)
    kinds = {"first": int, "last": int, "text": str}
    tables = [_checked(row, kinds, name) for row in cast("list[object]", rows)]
    try:
        return tuple(Hunk(cast(int, t["first"]), cast(int, t["last"]), cast(str, t["text"])) for t in tables)
    except PatchError as error:
        raise InputError(f"{name}: {error}", field=name) from error


def read_pairs(path: Path) -> list[PreferencePair]:
    """The pairs of a file. Raises SuiteError naming line and field, InputError: no such file, no pair."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", field="objective.preference") from error
    pairs: list[PreferencePair] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                pairs.append(_pair(json.loads(line)))
            except (ValueError, InputError) as error:
                field = error.field if isinstance(error, InputError) else ""
                raise SuiteError(f"{path}:{number}: {error}", field=field, line=number) from error
    if not pairs:
        raise InputError(f"{path} has no pairs", field="objective.preference")
    return pairs


def _pair(row: object) -> PreferencePair:
    table = _checked(row, {}, "row")
    better, worse = (_hunks(table.get(name), name) for name in ("better", "worse"))
    return PreferencePair(_view(table.get("view")), better, worse, str(table.get("source", "")))


def write_pairs(path: Path, pairs: Iterable[PreferencePair]) -> int:
    """Write a file whole or not at all; how many pairs there were. Raises InputError (full disk, no right)."""
    return write_rows(path, (asdict(pair) for pair in pairs))


def pairs_of_records(records: Iterable[Record]) -> Iterator[PreferencePair]:
    """Each rejected repair against every accepted one of the same text, in order; none twice.

    Accepted is what a user accepted, and what any other source tells as the fix (or as faultless).
    """
    groups: dict[tuple[str, str], tuple[list[Record], list[Record]]] = {}
    for record in records:
        groups.setdefault((record.language, record.buggy), ([], []))[not record.accepted].append(record)
    for accepted, rejected in groups.values():
        seen: set[tuple[str, str]] = set()
        for bad in rejected:
            for good in accepted:
                if (good.fixed, bad.fixed) not in seen and good.fixed != bad.fixed:
                    seen.add((good.fixed, bad.fixed))
                    yield from _against(good, bad)


def _against(good: Record, bad: Record) -> Iterator[PreferencePair]:
    """One pair in the view of the accepted record; none where a difference cannot be said in whole lines."""
    try:
        better, worse = example(good), example(replace(good, fixed=bad.fixed))
        yield PreferencePair(better.view, better.hunks, worse.hunks, f"feedback:{good.id}:{bad.id}")
    except PatchError:
        return


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One answer of a pair: its tokens with their loss weights, and 1 where a token belongs to the answer."""

    example: Example
    answer: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.answer)


def encode_pair(
    pair: PreferencePair, encoder: ExampleEncoder, objective: ObjectiveConfig, limit: int
) -> tuple[Side, Side] | None:
    """(better, worse) under one and the same prompt; None where either is longer than `limit` tokens.

    Cross-entropy keeps to the better answer: its tokens have their weights, the worse ones and the prompt have none.
    """
    whole = [encoder.encode(_as_pair(pair.view, hunks), limit) for hunks in (pair.better, pair.worse)]
    longest = max(len(t) - t.prompt for t in whole)
    # The prompt is shortened by what the answer leaves: both must be left the same, or they would not compare.
    sides = [
        encoder.encode(_as_pair(pair.view, hunks), limit - longest + len(t) - t.prompt)
        for hunks, t in zip((pair.better, pair.worse), whole, strict=True)
    ]
    better, worse = sides
    if max(map(len, sides)) > limit:
        return None
    if not np.array_equal(better.ids[: better.prompt], worse.ids[: worse.prompt]):
        raise ValueError("the two sides of a pair have different prompts")
    anchor = weigh(better, objective, clean=not pair.better)
    learned = np.where(_answer(better) > 0, anchor.weights, np.float32(0))
    zero = np.zeros(len(worse), np.float32)
    return Side(Example(better.ids, learned), _answer(better)), Side(Example(worse.ids, zero), _answer(worse))


def _as_pair(view: View, hunks: Sequence[Hunk]) -> Pair:
    return Pair(view, tuple(hunks), (), (), "", "")


def _answer(tokens: Tokens) -> NDArray[np.float32]:
    return (np.arange(len(tokens)) >= tokens.prompt).astype(np.float32)
