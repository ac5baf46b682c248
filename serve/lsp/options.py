"""Options: what the server was told on its command line and by the editor's settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from repair.errors import InputError
from serve.oracles import Judging

MAX_SECONDS = 3600.0
MAX_CANDIDATES = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """How to repair. `seconds` and `candidates` bound one repair; `test` None: the test command is looked for."""

    model: str | None = None
    adapter: Path | None = None
    python: Path | None = None
    test: str | None = None
    seconds: float = 60.0
    candidates: int = 200
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False
    test_on_save: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for bounds that make no sense."""
        if not 0 < self.seconds <= MAX_SECONDS:
            raise InputError(f"seconds is {self.seconds:g}; give more than 0, at most {MAX_SECONDS:g}", field="seconds")
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            raise InputError(
                f"candidates is {self.candidates}; give 1 to {MAX_CANDIDATES}, as a whole number", field="candidates"
            )

    @property
    def judging(self) -> Judging:
        """Where tests may run."""
        return Judging(self.sandbox_minimum, self.unsafe_no_sandbox, self.python)


@dataclass(frozen=True, slots=True)
class _Setting:
    attribute: str
    kinds: tuple[type, ...]
    expected: str
    convert: Callable[[Any], object] = lambda value: value


# What an editor may set, beside `path` and `sandbox*`: those stand on the command line, not in a workspace.
SETTINGS: Mapping[str, _Setting] = {
    "test": _Setting("test", (str,), "a command line"),
    "testOnSave": _Setting("test_on_save", (bool,), "true or false"),
    "model": _Setting("model", (str,), "a directory, an address or none"),
    "adapter": _Setting("adapter", (str,), "a directory", Path),
    "python": _Setting("python", (str,), "the path of an interpreter", Path),
    "seconds": _Setting("seconds", (int, float), "a number", float),
    "candidates": _Setting("candidates", (int,), "a whole number"),
}


# Editors read settings from a project's folder, too: one that was cloned must not choose where code is sent.
_NOT_FROM_PROJECTS = ("model", "adapter", "python")


def with_settings(options: Options, given: object, *, from_project: bool = False) -> tuple[Options, tuple[str, ...]]:
    """`options` with an editor's settings (JSON) over them, and a sentence for each that is unusable and left out.

    `from_project`: they may come from a project's folder, so model, adapter and interpreter are not taken. Null and ""
    leave what the command line says. Unknown names are the editor's own affair.
    """
    if given is None:
        return options, ()
    if not isinstance(given, Mapping):
        return options, ("emend: the settings are no object; nothing of them is used",)
    complaints: list[str] = []
    settings = cast("Mapping[str, object]", given)
    for name, setting in SETTINGS.items():
        value = settings.get(name)
        if value is None or value == "" or (from_project and name in _NOT_FROM_PROJECTS):
            continue
        if not isinstance(value, setting.kinds) or isinstance(value, bool) is not (bool in setting.kinds):
            complaints.append(f"emend.{name} must be {setting.expected}; it is left out")
            continue
        try:
            options = replace(options, **{setting.attribute: setting.convert(value)})
        except InputError as error:
            complaints.append(f"emend.{name}: {error}; it is left out")
    return options, tuple(complaints)
