"""What a suite is made of, as values: programs with a fault, tasks of a repository. Reads and runs nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

LANGUAGES = {"python": "solution.py", "javascript": "solution.js", "java": "Main.java"}
"""Languages that rows may have, and the file name that a program gets."""

_NOT_MEASURED = frozenset({"source", "license"})  # tell where a program is from, change nothing of its measurement


def _digest(value: Case | RepositoryTask) -> str:
    """SHA-256 over the fields that a measurement depends on or repeats, each with its name and length."""
    total = hashlib.sha256()
    for field in fields(value):
        if field.name in _NOT_MEASURED:
            continue
        content = repr(getattr(value, field.name)).encode("utf-8", "surrogatepass")
        total.update(f"{field.name} {len(content)} ".encode() + content)
    return total.hexdigest()


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
        """SHA-256 over everything but `source` and `license`: equal digests have equal measurements."""
        return _digest(self)


@dataclass(frozen=True, slots=True)
class RepositoryTask:
    """A fault in the history of a repository. `fixed_commit` must never reach the repair, but for its tests.

    `repo` is an absolute path or an address. `fail_to_pass` and `pass_to_pass` are ids as the test command's
    runner tells them (`tests/test_x.py::test_y`). `sources` are the files that the repair may change, relative
    to the repository's top; without them they follow from the failures (see `eval.repositories`). `python` is
    the interpreter or virtual environment of the tests.
    """

    id: str
    repo: str
    buggy_commit: str
    test_command: str | tuple[str, ...]
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...] = ()
    fixed_commit: str | None = None
    python: str | None = None
    sources: tuple[str, ...] = ()
    error: str | None = None
    bug_type: str | None = None
    source: str | None = None
    license: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over everything but `source` and `license`; names of branches in it may move."""
        return _digest(self)


@dataclass(frozen=True, slots=True)
class Suite:
    """A named list of cases, or of repository tasks, and the SHA-256 of what they were read from.

    `skipped` has the name of each program that is no case, and the reason.
    """

    name: str
    sha256: str
    cases: tuple[Case, ...] = ()
    tasks: tuple[RepositoryTask, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    layout: str = "rows"
