"""Flips: adversarial inputs that were found, as values and as JSON lines.

Owns what is told of one and its flat form. How they are found is `flipping`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import unified_diff
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from eval.robustness.smallest import Size, Step
from repair.errors import InputError

if TYPE_CHECKING:
    from typing import Any

_CONTEXT = 1  # lines around a change


class Flipped(StrEnum):
    """What became another one."""

    LOCATION = "location"  # the most suspicious line is no faulty line any more
    PATCH = "patch"  # the likeliest repair is another one, and fails the tests


@dataclass(frozen=True, slots=True)
class Seen:
    """A model's answer. `line` is the most suspicious one, or the first that the likeliest repair changes.

    `probability`: what the model gives it (suspiciousness; of a repair P(change | view), 0 where it gives none).
    `right`: what it gives to the faulty lines together, or to the reference repair. All in 0..1.
    """

    line: int
    text: str
    probability: float
    right: float


@dataclass(frozen=True, slots=True)
class Flip:
    """One adversarial input with the same meaning and the same fault as the case `id`.

    `diff` is unified, from the faulty code as it was; `error` is what the model is told; `checks` names what was run.
    """

    id: str
    language: str
    flipped: Flipped
    before: Seen
    after: Seen
    diff: str
    steps: tuple[Step, ...]
    size: Size
    checks: tuple[str, ...]
    buggy: str
    fixed: str
    error: str
    queries: int
    seed: int

    @property
    def attacks(self) -> tuple[str, ...]:
        """Names of the edits, each once."""
        return tuple(dict.fromkeys(step.attack for step in self.steps))


def minimal_diff(before: str, after: str) -> str:
    """The changed lines with one line of context on either side."""
    lines = unified_diff(before.split("\n"), after.split("\n"), "clean", "attacked", lineterm="", n=_CONTEXT)
    return "\n".join(lines)


def flip_row(flip: Flip) -> dict[str, Any]:
    """A flip as JSON has it, `attacks` beside the fields for those who read it."""
    return {**asdict(flip), "attacks": list(flip.attacks)}


def parse_flip(row: Mapping[str, Any]) -> Flip:
    """The inverse. Raises KeyError, ValueError, TypeError for what is no row."""
    values: dict[str, Any] = {one.name: row[one.name] for one in fields(Flip)}
    values["flipped"] = Flipped(row["flipped"])
    values["before"], values["after"] = Seen(**row["before"]), Seen(**row["after"])
    values["steps"], values["size"] = tuple(Step(**step) for step in row["steps"]), Size(**row["size"])
    values["checks"] = tuple(row["checks"])
    return Flip(**values)


def write_flips(path: Path, flips: Sequence[Flip]) -> None:
    """A JSON line each, whole or not at all. Raises InputError where it cannot be written."""
    from data.store import write_rows

    try:
        write_rows(path, (flip_row(flip) for flip in flips))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", field="output") from error


def read_flips(path: Path) -> Iterator[Flip]:
    """The flips of a file. Raises InputError naming the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", field="flips") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield parse_flip(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: line {number} is no flip of `emend model attack` ({error!r})", field="flips"
                ) from error
