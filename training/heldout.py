"""Held-out examples from where they lie: JSON lines of views, records as JSON lines or Parquet, dataset folders.

Owns reading and choosing. Must not know models or figures. Three kinds of row are understood:

    {"id", "view", "hunks", ...}    an example as `data` writes it beside token shards (heldout.jsonl)
    {"schema", "buggy", ...}        a record (`data.records`), as a line of JSON or a row of Parquet
    FOLDER                          a dataset of `emend data build`: data/test-*.parquet, else data/validation-*.parquet
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from data.mutants import Example as Pair
from data.records import Record, example, from_row
from repair.errors import InputError, PatchError, SuiteError
from repair.views import Hunk, View

SPLITS = ("test", "validation")  # of a dataset folder, the first that it has


@dataclass(frozen=True, slots=True)
class Held:
    """One held-out example under a name by which two models' answers are paired; no hunks: the code has no fault."""

    id: str
    pair: Pair

    @property
    def faulty(self) -> bool:
        """Whether there is a fault."""
        return bool(self.pair.hunks)


def named(pairs: Iterable[Pair]) -> tuple[Held, ...]:
    """Examples under their numbers, for lists that carry no names."""
    return tuple(Held(f"{pair.package or 'example'}/{at}", pair) for at, pair in enumerate(pairs))


def choose(heldout: Sequence[Held], limit: int, seed: int = 0) -> tuple[Held, ...]:
    """At most `limit` examples (0: all), drawn by the seed and in their old order: files are sorted by package."""
    if not limit or len(heldout) <= limit:
        return tuple(heldout)
    drawn = sorted(random.Random(seed).sample(range(len(heldout)), limit))
    return tuple(heldout[at] for at in drawn)


def read_heldout(path: Path, limit: int = 0) -> list[Held]:
    """The first `limit` examples (0: all) of a file or folder.

    Raises SuiteError naming the line that cannot be read; InputError: no such file, none in it.
    """
    found = list(islice(_rows(path), limit or None))
    if not found:
        raise InputError(f"{path} holds no example: give another file of held-out examples", field="heldout")
    return found


def _rows(path: Path) -> Iterator[Held]:
    if path.is_dir():
        parts = next((p for split in SPLITS if (p := sorted((path / "data").glob(f"{split}-*.parquet")))), [])
        if not parts:
            raise InputError(
                f"{path} has no data/{SPLITS[0]}-*.parquet: give a dataset with that split", field="heldout"
            )
        for part in parts:
            yield from _parquet(part)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        yield from _lines(path)


def _parquet(path: Path) -> Iterator[Held]:
    from data.parquet import read_parquet

    yield from (held for record in read_parquet(path) if (held := _of_record(record)) is not None)


def _of_record(record: Record) -> Held | None:
    """None where the difference cannot be said in whole lines: no model could give it."""
    try:
        return Held(record.id, example(record))
    except PatchError:
        return None


def _lines(path: Path) -> Iterator[Held]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): give a file of held-out examples", field="heldout"
        ) from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            held = _of_view(row) if "view" in row else _of_record(from_row(row))
        except (ValueError, KeyError, TypeError, InputError) as error:
            raise SuiteError(f"{path}:{number}: {error!r}", field="heldout", line=number) from error
        if held is not None:
            yield held


def _of_view(row: dict[str, Any]) -> Held:
    v = row["view"]
    view = View(
        v["path"], v["language"], v["first_line"], tuple(v["lines"]), v["error"], tuple(v["frames"]), v["test"],
        tuple(v["context"]),
    )  # fmt: skip
    hunks = tuple(Hunk(*h) for h in row["hunks"])
    classes, operators = tuple(row.get("bug_classes", ())), tuple(row.get("operators", ()))
    return Held(row["id"], Pair(view, hunks, classes, operators, row.get("package", ""), row.get("function", "")))
