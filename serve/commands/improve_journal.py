"""OUT/plan.json of `emend improve`: what the loop depends on, and what its finished steps gave.

Owns the file, by which the same command goes on where it stopped and another one is refused. Must not know what the
steps are.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from repair.errors import InputError

PLAN = "plan.json"
_FORMAT = 2


@dataclass(slots=True)
class Journal:
    """OUT/plan.json: the settings, the rows that were chosen, what finished steps gave and the seconds spent."""

    path: Path
    settings: Mapping[str, str]
    rows: Mapping[str, Sequence[str]]
    done: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def save(self) -> None:
        """Write it whole or not at all."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"format": _FORMAT, "digest": self.digest, **_plain(self)}, indent=1) + "\n")
        partial.replace(self.path)

    @property
    def digest(self) -> str:
        """Of the settings."""
        return hashlib.sha256(json.dumps(dict(self.settings), sort_keys=True).encode()).hexdigest()[:16]

    @contextmanager
    def timed(self, name: str) -> Generator[None]:
        """Count the seconds of a step, also of one that fails; nothing for one that is done."""
        begun = time.monotonic()
        try:
            yield
        finally:
            if name not in self.done:
                self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - begun, 1)
                self.save()

    def once(self, name: str, there: Callable[[], bool], make: Callable[[], object]) -> Any:  # noqa: ANN401 - JSON values
        """What a step gave, as JSON values; it is taken again where its output is not `there` any more."""
        if name not in self.done or not there():
            self.done.pop(name, None)
            with self.timed(name):
                made = make()
            self.done[name] = json.loads(json.dumps(_dict(made)))
            self.save()
        return self.done[name]


def _plain(journal: Journal) -> dict[str, Any]:
    return {name: getattr(journal, name) for name in ("settings", "rows", "done", "seconds")}


def _dict(value: Any) -> Any:  # noqa: ANN401 - one of our dataclasses
    return asdict(value)


def open_journal(out: Path, settings: Mapping[str, str], chosen: Mapping[str, Sequence[str]]) -> Journal:
    """The journal of OUT, with the rows `chosen` where there is none yet.

    Raises InputError: it belongs to a loop with other settings, or cannot be read.
    """
    path = out / PLAN
    fresh = Journal(path, settings, chosen)
    if not path.exists():
        fresh.save()
        return fresh
    try:
        known = json.loads(path.read_text("utf-8"))
        then, rows, done, seconds = (known[name] for name in ("settings", "rows", "done", "seconds"))
        if known["format"] != _FORMAT:
            raise ValueError(f"format {known['format']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}): remove it, or name another folder with -o") from error
    for name in settings:
        if then.get(name) != settings[name]:
            raise InputError(
                f"{out} holds a loop with {name} {then.get(name)!r}, not {settings[name]!r}: name another folder "
                "with -o, or remove this one",
                field=name,
            )
    return Journal(path, settings, rows, done, seconds)
