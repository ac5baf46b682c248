"""Rows of a suite (DESIGN.md §4): JSON lines, read strictly. Knows nothing of running them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from repair.errors import SuiteError

LANGUAGES = {"python": "solution.py", "javascript": "solution.js", "java": "Main.java"}
"""Languages that rows may have, and the file name that a program gets."""


@dataclass(frozen=True, slots=True)
class Case:
    """One program with a fault. `held_out_tests` and `fixed_code` must never reach the repair."""

    id: str
    language: str
    buggy_code: str
    tests: str
    fixed_code: str | None = None
    held_out_tests: str | None = None
    error: str | None = None
    entry_point: str | None = None
    bug_type: str | None = None
    source: str | None = None
    license: str | None = None

    @property
    def digest(self) -> str:
        """The first 16 hex digits of a SHA-256 over all fields: what a result is known by."""
        parts = [str(getattr(self, f.name) or "") for f in fields(self)]
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Suite:
    """A named list of cases and the SHA-256 of the file that they came from."""

    name: str
    sha256: str
    cases: tuple[Case, ...]


_FIELDS = tuple(f.name for f in fields(Case))
_REQUIRED = ("id", "language", "buggy_code", "tests")


def read_suite(path: Path) -> Suite:
    """Read a suite. Raises SuiteError with the line and field at fault, or when there is no such file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror or error}", field="suite") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SuiteError(f"{path}: line {line}: not utf-8 text", line=line) from error
    cases = tuple(_cases(path, text))
    if not cases:
        raise SuiteError(f"{path}: has no rows", field="suite")
    return Suite(path.stem, hashlib.sha256(content).hexdigest(), cases)


def _cases(path: Path, text: str) -> Iterator[Case]:
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            case = parse_row(line)
            if case.id in seen:
                raise SuiteError(f"the id {case.id!r} stands in line {seen[case.id]} already", field="id")
        except SuiteError as error:
            raise SuiteError(f"{path}: line {number}: {error}", field=error.field, line=number) from error
        seen[case.id] = number
        yield case


def parse_row(line: str) -> Case:
    """One row. Raises SuiteError naming the field at fault (without the line's number)."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SuiteError(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise SuiteError("a row must be an object")
    unknown = sorted(set(row) - set(_FIELDS))
    if unknown:
        raise SuiteError(f"unknown field {unknown[0]!r}", field=unknown[0])
    values: dict[str, Any] = {name: _text(row, name) for name in _FIELDS}
    return Case(**values)


def _text(row: Mapping[str, object], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        if name in _REQUIRED:
            raise SuiteError(f"field {name!r} is missing", field=name)
        return None
    if not isinstance(value, str):
        raise SuiteError(f"field {name!r} must be a text, it is {type(value).__name__}", field=name)
    if name in _REQUIRED and not value.strip():
        raise SuiteError(f"field {name!r} is empty", field=name)
    if name == "language" and value not in LANGUAGES:
        raise SuiteError(f"language {value!r} cannot be run; known are {', '.join(LANGUAGES)}", field=name)
    return value if value.strip() else None
