"""Rows of repository tasks: a commit with a fault, its tests, its history. Reads no repository and runs nothing.

{id, repo, buggy_commit, fixed_commit?, test_command, fail_to_pass, pass_to_pass?, python?, sources?, error?, bug_type?}
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path, PurePosixPath

from data.repositories import is_address
from eval.suites.cases import RepositoryTask
from eval.suites.fields import Row, optional_text, refuse_unknown, text, texts
from repair.errors import SuiteError

MARKS = frozenset({"repo", "buggy_commit"})
"""Fields by which the layout is known."""

_FIELDS = tuple(f.name for f in fields(RepositoryTask))
_COMMIT = re.compile(r"[\w][\w./+-]*")  # never an option


def parse_task(row: Row, folder: Path) -> RepositoryTask:
    """One row; a relative `repo` or `python` is meant from `folder`. Raises SuiteError naming the field at fault."""
    refuse_unknown(row, _FIELDS)
    repo, python, failing = text(row, "repo"), optional_text(row, "python"), texts(row, "fail_to_pass")
    if not failing:
        raise SuiteError("field 'fail_to_pass' names no test; a fault is what some test shows", field="fail_to_pass")
    passing = texts(row, "pass_to_pass")
    if both := sorted(set(failing) & set(passing)):
        raise SuiteError(f"{both[0]!r} stands in fail_to_pass and in pass_to_pass", field="pass_to_pass")
    fixed = row.get("fixed_commit")
    return RepositoryTask(
        id=text(row, "id"),
        repo=repo if is_address(repo) else _path(repo, folder, "repo"),
        buggy_commit=_commit(row, "buggy_commit"),
        test_command=_test_command(row),
        fail_to_pass=failing,
        pass_to_pass=passing,
        fixed_commit=None if fixed is None else _commit(row, "fixed_commit"),
        python=None if python is None else _path(python, folder, "python"),
        sources=_sources(row),
        error=optional_text(row, "error"),
        bug_type=optional_text(row, "bug_type"),
        source=optional_text(row, "source"),
        license=optional_text(row, "license"),
    )


def _path(place: str, folder: Path, field: str) -> str:
    if "\0" in place:
        raise SuiteError(f"field {field!r} cannot be a path", field=field)
    return str(folder.absolute() / place)


def _commit(row: Row, name: str) -> str:
    value = text(row, name)
    if not _COMMIT.fullmatch(value):
        raise SuiteError(f"field {name!r}: {value!r} cannot name a commit", field=name)
    return value


def _test_command(row: Row) -> str | tuple[str, ...]:
    """A line, or a list of words."""
    if isinstance(row.get("test_command"), list):
        words = texts(row, "test_command")
        if words:
            return words
        raise SuiteError("field 'test_command' is empty", field="test_command")
    return text(row, "test_command")


def _sources(row: Row) -> tuple[str, ...]:
    paths = texts(row, "sources")
    for path in paths:
        parts = PurePosixPath(path).parts
        if path.startswith("/") or "\0" in path or not parts or {"..", ".git"} & set(parts):
            raise SuiteError(f"{path!r} is no relative path inside of the repository", field="sources")
    return tuple(dict.fromkeys(PurePosixPath(path).as_posix() for path in paths))
