"""Reads a suite from where it lies: which layout it has, its rows one by one, its identity. Runs nothing.

Layouts: "rows" (DESIGN.md §4), "pack" (`pack.py`), "repositories" (`repositories.py`), all JSON lines with an optional
header `{"format": "emend-suite", "version": 1, "name"?, "layout"?, ...}` in the first row; and "programs", a directory
(`programs.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path

from eval.suites import pack, programs, repositories
from eval.suites.cases import LANGUAGES, Case, RepositoryTask, Suite
from eval.suites.fields import Row, optional_text, parse_object, refuse_unknown, text
from repair.errors import SuiteError

__all__ = ["LANGUAGES", "LAYOUTS", "Case", "RepositoryTask", "Suite", "parse_row", "read_suite"]

FORMAT = "emend-suite"
VERSION = 1
_IN_LINES = ("rows", "pack", "repositories")
LAYOUTS = ("auto", *_IN_LINES, "programs")
_FIELDS = tuple(f.name for f in fields(Case))
_MARKS = (("repositories", repositories.MARKS), ("pack", pack.MARKS))


def read_suite(path: Path, *, layout: str = "auto") -> Suite:
    """Read a suite of any layout; "auto" finds out which.

    Raises SuiteError with the file, line and field at fault, whatever lies at `path`.
    """
    if layout not in LAYOUTS:
        raise SuiteError(f"there is no layout {layout!r}; known are {', '.join(LAYOUTS)}", field="layout")
    try:
        if not path.is_dir():
            return _read_lines(path, path.read_bytes(), layout)
        if layout in _IN_LINES:
            raise SuiteError(f"{path}: a directory; the layout {layout!r} is a file of JSON lines", field="layout")
        return programs.read_programs(path)
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror or error}", field="suite") from error
    except ValueError as error:  # a NUL in the path
        raise SuiteError(f"{str(path)!r} cannot be a path ({error})", field="suite") from error


def _read_lines(path: Path, content: bytes, layout: str) -> Suite:
    if layout == "programs":
        raise SuiteError(f"{path}: a file; the layout 'programs' is a directory", field="layout")
    rows = _rows(path, content)
    number, first = next(rows, (0, None))
    header: Row = {}
    if first is not None and "format" in first:
        header = _header(path, number, first)
        number, first = next(rows, (0, None))
    if first is None:
        raise SuiteError(f"{path}: has no rows", field="suite")
    if layout == "auto":
        layout = optional_text(header, "layout") or _layout_of(first)
    found = tuple(_parsed(path, chain([(number, first)], rows), layout))
    return Suite(
        optional_text(header, "name") or path.stem,
        hashlib.sha256(content).hexdigest(),
        tuple(case for case in found if isinstance(case, Case)),
        tuple(task for task in found if isinstance(task, RepositoryTask)),
        layout=layout,
    )


def _layout_of(row: Row) -> str:
    return next((layout for layout, marks in _MARKS if marks <= set(row)), "rows")


def _rows(path: Path, content: bytes) -> Iterator[tuple[int, Row]]:
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SuiteError(f"{path}: line {line}: not utf-8 text", line=line) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = parse_object(line)
            except SuiteError as error:
                raise _at(path, number, error) from error
            yield number, row


def _at(path: Path, line: int, error: SuiteError) -> SuiteError:
    return SuiteError(f"{path}: line {line}: {error}", field=error.field, line=line)


def _header(path: Path, line: int, row: Row) -> Row:
    """The header where it can be read. Raises SuiteError for another format or version."""
    try:
        if row["format"] != FORMAT:
            raise SuiteError(f"format {row['format']!r} is unknown; it must be {FORMAT!r}", field="format")
        version = row.get("version", VERSION)
        if version != VERSION or isinstance(version, bool):
            reason = f"the suite is of version {version!r}, this Emend reads version {VERSION}"
            newer = isinstance(version, int) and version > VERSION
            raise SuiteError(f"{reason}; {'upgrade Emend' if newer else 'correct the header'}", field="version")
        optional_text(row, "name")
        if (optional_text(row, "layout") or "rows") not in _IN_LINES:
            raise SuiteError(f"layout {row['layout']!r} is unknown; known are {', '.join(_IN_LINES)}", field="layout")
    except SuiteError as error:
        raise _at(path, line, error) from error
    return row


def _parsed(path: Path, rows: Iterator[tuple[int, Row]], layout: str) -> Iterator[Case | RepositoryTask]:
    seen: dict[str, int] = {}
    for number, row in rows:
        try:
            found = _parsed_row(row, path, number, layout)
            if found.id in seen:
                raise SuiteError(f"the id {found.id!r} stands in line {seen[found.id]} already", field="id")
        except SuiteError as error:
            raise _at(path, number, error) from error
        seen[found.id] = number
        yield found


def _parsed_row(row: Row, path: Path, line: int, layout: str) -> Case | RepositoryTask:
    if layout == "pack":
        return pack.parse_pack(row, path, line)
    if layout == "repositories":
        return repositories.parse_task(row, path.parent)
    return _case(row)


def parse_row(line: str) -> Case:
    """One row of DESIGN.md §4. Raises SuiteError naming the field at fault (without the line's number)."""
    return _case(parse_object(line))


def _case(row: Row) -> Case:
    refuse_unknown(row, _FIELDS)
    identity, language = text(row, "id"), text(row, "language")
    if language not in LANGUAGES:
        raise SuiteError(f"language {language!r} cannot be run; known are {', '.join(LANGUAGES)}", field="language")
    return Case(
        id=identity,
        language=language,
        buggy_code=text(row, "buggy_code"),
        tests=text(row, "tests"),
        fixed_code=optional_text(row, "fixed_code"),
        held_out_tests=optional_text(row, "held_out_tests"),
        error=optional_text(row, "error"),
        entry_point=optional_text(row, "entry_point"),
        bug_type=optional_text(row, "bug_type"),
        source=optional_text(row, "source"),
        license=optional_text(row, "license"),
    )
