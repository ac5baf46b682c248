"""Record: one labelled buggy/fixed pair, the row that every source yields and every later stage reads.

Owns the fields, their invariants and the flat form on disk. Must not know where records come from, how they are
cleaned or stored. `example` turns one into what the engine sees too: a View and the Hunks that repair it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from data.labels import hunks_of
from data.mutants import Example
from repair.errors import InputError, PatchError
from repair.views import Hunk, View

if TYPE_CHECKING:
    from typing import Any

SCHEMA = 1
CLEAN = "clean"


class Origin(StrEnum):
    """Which source a record comes from."""

    COMMIT = "commit"  # a bug-fix commit of a repository
    RELEASE = "release"  # two consecutive releases of a package
    MUTANT = "mutant"  # an operator of `repair.mutate`
    REWRITE = "rewrite"  # lines rewritten by a model
    FEEDBACK = "feedback"  # a patch that a user accepted or rejected
    SUITE = "suite"  # a row of a suite
    ADVERSARIAL = "adversarial"  # another record, written so that a model is wrong on it


class ErrorOrigin(StrEnum):
    """How a record's error text was obtained."""

    NONE = ""  # there is none
    EXECUTED = "executed"  # the buggy code was run and this came out
    TEMPLATE = "template"  # made up by `failures`
    REPORTED = "reported"  # written by a person, in a commit message or an issue


@dataclass(frozen=True, slots=True)
class Record:
    """A function (or a stretch of a file) before and after its repair; `buggy == fixed` means that there is no fault.

    Texts are whole lines with a final newline. Line numbers in `frames` and of `hunks` are those of `buggy`, 1-based.
    """

    language: str
    buggy: str
    fixed: str
    origin: Origin
    path: str = ""  # of the file, "/" between folders
    first_line: int = 1  # of `buggy` in that file
    function: str = ""  # qualified name, "" at module level
    context: tuple[str, ...] = ()  # imports, class header, signatures of neighbours
    bug_classes: tuple[str, ...] = ()  # by syntax-tree difference, one a hunk at most; ("clean",) without a fault
    operators: tuple[str, ...] = ()  # of injected faults
    error: str = ""  # one line: type and message
    error_type: str = ""  # "IndexError", "AssertionError", ... where it is known
    error_origin: ErrorOrigin = ErrorOrigin.NONE
    frames: tuple[int, ...] = ()  # innermost first
    test: str = ""  # the failing assertion or a few lines of the test
    difficulty: float = 0.0  # 0 (one token, located by its error) to 1
    repository: str = ""  # remote address, package or suite; what splits are made by
    revision: str = ""  # commit of the fixed side, or version
    authored: str = ""  # ISO 8601, UTC, of the fix; "" where unknown
    licence: str = ""  # SPDX expression, "" where unknown
    message: str = ""  # first line of the commit's message
    reasons: tuple[str, ...] = ()  # why it was taken for a fix
    accepted: bool = True  # feedback: what the user said of `fixed`

    def __post_init__(self) -> None:
        for name in ("buggy", "fixed"):
            text = getattr(self, name)
            if not text.endswith("\n") or not text.strip():
                raise InputError(f"record.{name}: whole lines with a final newline are needed", field=name)
        if self.first_line < 1:
            raise InputError(f"record.first_line is {self.first_line}; lines count from 1", field="first_line")
        if (self.error == "") != (self.error_origin is ErrorOrigin.NONE):
            raise InputError("record.error_origin must say how the error text was obtained", field="error_origin")

    @property
    def id(self) -> str:
        """The first 16 hex digits of a SHA-256 over what makes two records different."""
        parts = (
            self.language,
            self.buggy,
            self.fixed,
            self.repository,
            self.path,
            self.function,
            self.error,
            self.test,
            "" if self.accepted else "rejected",
        )
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def hunks(self) -> tuple[Hunk, ...]:
        """The fewest changed lines, in the numbers of `buggy`."""
        return hunks_of(self.buggy, self.fixed)


def example(record: Record) -> Example:
    """What a model is trained on. Raises PatchError where the difference cannot be said in whole lines."""
    shift = record.first_line - 1
    view = View(
        path=record.path,
        language=record.language,
        first_line=record.first_line,
        lines=tuple(record.buggy.removesuffix("\n").split("\n")),
        error=record.error,
        frames=tuple(n + shift for n in record.frames),
        test=record.test,
        context=record.context,
    )
    moved = tuple(Hunk(h.first + shift, h.last + shift, h.text) for h in record.hunks)
    made_up = record.error_origin is not ErrorOrigin.EXECUTED
    classes = record.bug_classes or (() if moved else (CLEAN,))
    return Example(view, moved, classes, record.operators, record.repository, record.function, made_up)


def to_row(record: Record) -> dict[str, Any]:
    """The flat form: strings, numbers and lists of them; `id`, `schema` and the fault's span come along for readers."""
    row: dict[str, Any] = {"schema": SCHEMA, "id": record.id}
    for one in fields(Record):
        value = getattr(record, one.name)
        row[one.name] = list(value) if isinstance(value, tuple) else value
    row["origin"], row["error_origin"] = str(record.origin), str(record.error_origin)
    try:
        hunks = record.hunks
    except PatchError:
        hunks = ()
    row["fault_first"] = hunks[0].first if hunks else 0
    row["fault_last"] = max(hunks[0].first, hunks[0].last) if hunks else 0
    row["hunks"] = len(hunks)
    return row


def from_row(row: Mapping[str, object]) -> Record:
    """The inverse. Raises InputError, naming the field that is missing or of another kind."""
    if row.get("schema") != SCHEMA:
        raise InputError(f"schema {row.get('schema')!r}: this Emend reads records of schema {SCHEMA}", field="schema")
    values: dict[str, Any] = {}
    for one in fields(Record):
        if one.name not in row:
            raise InputError(f"record.{one.name} is missing", field=one.name)
        value = row[one.name]
        values[one.name] = tuple(cast("list[object]", value)) if isinstance(value, list) else value
    try:
        values["origin"], values["error_origin"] = Origin(values["origin"]), ErrorOrigin(values["error_origin"])
    except ValueError as error:
        raise InputError(f"record.origin: {error}", field="origin") from error
    return Record(**values)
