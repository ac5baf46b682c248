"""Cases for references and reports: rows of a suite, or records of a dataset, as views with the change that repairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from data.labels import hunks_of
from data.parquet import read_parquet
from data.records import Record, example, from_row
from data.sources.suites import last_line, whole_lines
from data.store import read_rows
from repair.errors import InputError, PatchError
from repair.explain.cases import CLEAN, Case
from repair.views import Hunk, View

if TYPE_CHECKING:
    from typing import Any

_TEST = 240  # characters of a suite's visible tests, as much as prompts show


def read_cases(path: Path, count: int | None = None) -> tuple[Case, ...]:
    """The cases of a suite (JSON lines or a directory of programs) or of a dataset that `emend data build` made.

    In an order drawn by hash, so that the first `count` are a sample of all. Rows without a reference are left out.
    Raises InputError when there are none, SuiteError for a bad row.
    """
    cases = tuple(_cases(path))
    if not cases:
        raise InputError(f"{path}: no case that has a reference (`fixed_code`)", field="cases")
    ordered = sorted(cases, key=lambda c: hashlib.sha256(f"{c.group}/{c.id}".encode("utf-8", "surrogatepass")).digest())
    return tuple(ordered[:count])


def _cases(path: Path) -> Iterator[Case]:
    shards = sorted((path / "data").glob("*.parquet")) if (path / "data").is_dir() else []
    if path.suffix == ".parquet":
        shards = [path]
    if shards:
        for shard in shards:
            yield from _of_records(read_parquet(shard))
        return
    first = next(read_rows(path), {}) if path.is_file() else dict[str, object]()
    if "schema" in first:
        yield from _of_records(from_row(row) for row in read_rows(path))
    elif "view" in first:
        for row in read_rows(path):
            yield _injected(row)
    else:
        yield from _suite(path)


def _of_records(records: Iterator[Record]) -> Iterator[Case]:
    for record in records:
        try:
            made = example(record)
        except PatchError:
            continue  # the difference cannot be said in whole lines
        name = made.bug_classes[0] if made.bug_classes else ""
        yield Case(
            record.id, made.view, made.hunks, name, record.repository, str(record.origin), record.operators
        )  # fmt: skip


def _injected(row: dict[str, object]) -> Case:
    """A row of a corpus' held-out examples (`data.inject.example_row`)."""
    try:
        told = cast("dict[str, Any]", row["view"])
        view = View(
            str(told["path"]), str(told["language"]), int(told["first_line"]), tuple(told["lines"]),
            str(told["error"]), tuple(told["frames"]), str(told["test"]), tuple(told["context"]),
        )  # fmt: skip
        hunks = tuple(Hunk(int(a), int(b), str(text)) for a, b, text in cast("list[list[Any]]", row["hunks"]))
        classes = cast("list[str]", row["bug_classes"]) or [CLEAN]
        return Case(str(row["id"]), view, hunks, classes[0], str(row["package"]), "mutant")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{row.get('id')}: no example that can be read ({error})", field="cases") from error


def _suite(path: Path) -> Iterator[Case]:
    from eval.suites.rows import read_suite

    suite = read_suite(path)
    for row in suite.cases:
        if row.fixed_code is None:
            continue
        buggy, fixed = whole_lines(row.buggy_code), whole_lines(row.fixed_code)
        try:
            hunks = hunks_of(buggy, fixed)
        except PatchError:
            continue
        error = last_line(row.error or "")
        view = View(row.id, row.language, 1, tuple(buggy.removesuffix("\n").split("\n")), error, (), row.tests[:_TEST])
        yield Case(row.id, view, hunks, row.bug_type or "", row.source or suite.name, suite.name)
