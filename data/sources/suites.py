"""Suites as Records, for evaluation alone: rows of our suite format (JSON lines), read strictly.

Must not know where they go; `data.splits` puts them into the test split, and everything else is kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from data.plans import EVALUATION
from data.records import ErrorOrigin, Origin, Record
from data.steps import Outcome, Rejection
from data.store import read_rows
from repair.errors import InputError, SuiteError

_REQUIRED = ("id", "language", "buggy_code", "tests")
_TEXTS = (*_REQUIRED, "fixed_code", "error", "entry_point", "license")
_TEST = 2000  # characters of the visible tests


def whole_lines(text: str) -> str:
    """The text with line feeds alone and a final newline."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else f"{text}\n"


def error_type(line: str) -> str:
    """The exception that an error's line begins with, "" where it begins with none."""
    name = line.partition(":")[0]
    return name if name.isidentifier() else ""


def last_line(text: str) -> str:
    """The last line that says something: of a traceback the type and message."""
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")


def _texts(row: Mapping[str, object], path: Path, number: int) -> dict[str, str]:
    for name in _TEXTS:
        value = row.get(name)
        if value is None and name not in _REQUIRED:
            continue
        if not isinstance(value, str) or (name in _REQUIRED and not value.strip()):
            raise SuiteError(f"{path}: row {number}: {name} must be a text", field=name, line=number)
    return {name: str(row.get(name) or "") for name in _TEXTS}


def suite_records(path: Path, role: str) -> Iterator[Outcome]:
    """The rows that have a reference. Raises InputError unless `role` is "evaluation", SuiteError for a bad row."""
    if role != EVALUATION:
        raise InputError(f'{path}: a suite may not be trained on; its role must be "{EVALUATION}"', field="role")
    for number, row in enumerate(read_rows(path), 1):
        values = _texts(row, path, number)
        if not values["fixed_code"].strip():
            yield Rejection("read", "row: it has no fixed_code", f"{path.stem}/{values['id']}")
            continue
        error = last_line(values["error"])
        yield Record(
            language=values["language"],
            buggy=whole_lines(values["buggy_code"]),
            fixed=whole_lines(values["fixed_code"]),
            origin=Origin.SUITE,
            path=values["id"],
            function=values["entry_point"],
            error=error,
            error_type=error_type(error),
            error_origin=ErrorOrigin.EXECUTED if error else ErrorOrigin.NONE,
            test=values["tests"][:_TEST],
            repository=path.stem,
            licence=values["license"],
        )
