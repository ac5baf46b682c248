"""Every error that Emend raises on purpose, and when.

    EmendError                 never raised itself; `exit_code` is what the command line returns
    ├── InputError             the caller gave something unusable; `field` names it
    │   ├── PatchError         a diff or an edit that does not fit the text it is meant for
    │   └── SuiteError         a row of a suite or of a data set that cannot be read; `line` names it
    ├── NothingToRepair        the given tests pass already, there is no failure to work on
    └── BoundaryError          something outside failed, the candidate is not to blame
        ├── OracleError        tests cannot be run or do not give a usable answer (flaky, no such command)
        ├── SandboxError       no sandbox of the demanded tier, or one that broke while running
        └── ModelError         weights, tokenizer or model server missing, unreadable or not answering

A bad *candidate* is never an error: it is a Judgement with its verdict.
"""

from __future__ import annotations

from typing import ClassVar


class EmendError(Exception):
    """Base class: one sentence for the user, with what to do about it."""

    exit_code: ClassVar[int] = 3


class InputError(EmendError):
    """The caller's input is unusable; `field` names the argument, key or file at fault."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class PatchError(InputError):
    """An edit or diff that does not fit its text: out of range, overlapping, context differs."""


class SuiteError(InputError):
    """A row of a suite or data set that cannot be read; `line` is its 1-based line number."""

    def __init__(self, message: str, *, field: str = "", line: int = 0) -> None:
        super().__init__(message, field=field)
        self.line = line


class NothingToRepair(EmendError):
    """The oracle accepts the code as it is."""

    exit_code: ClassVar[int] = 1


class BoundaryError(EmendError):
    """Something outside of the candidate failed: nothing may be concluded about any patch."""


class OracleError(BoundaryError):
    """The tests cannot be run, or their answer cannot be trusted (flaky, no report, no such command)."""

    exit_code: ClassVar[int] = 2


class SandboxError(BoundaryError):
    """No sandbox of the demanded tier works here, or the sandbox itself broke during a run."""


class ModelError(BoundaryError):
    """Weights, tokenizer or model server are missing, unreadable or do not answer."""
