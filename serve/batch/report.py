"""report.json, what equal runs write alike, and costs.json, what they do not: seconds, runs, tokens.

Owns the shape of both files and of a run's description. Values are stored as `repair.codec` writes them.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from repair.codec import from_json, to_json
from repair.errors import InputError
from repair.projects.values import Outcome

VERSION = 1
KIND = "BatchReport"
AUTHOR = "Emend <emend@localhost>"
_AUTHOR = re.compile(r"([^<>\r\n\0]*[^<>\s\0]) <([!-;=?-~]+)>")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run was made with. `settings` are (name, value) pairs for people to read.

    `author` is whom patches and commits name; `started` (a date and time in words) is told to people and never part
    of report.json. Raises InputError for an author that git would not take.
    """

    version: str
    model: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    author: str = AUTHOR
    started: str = ""

    def __post_init__(self) -> None:
        if _AUTHOR.fullmatch(self.author) is None:
            raise InputError(f"author is {self.author!r}; give it as `Name <name@host>`", field="author")

    @property
    def signature(self) -> tuple[str, str]:
        """The author's name and address."""
        found = _AUTHOR.fullmatch(self.author)
        assert found is not None
        return found[1].strip(), found[2]


def report_text(outcomes: Sequence[Outcome], run: RunInfo) -> str:
    """report.json: byte for byte the same for equal runs, repositories by name."""
    about = {
        "version": run.version,
        "model": run.model,
        "author": run.author,
        "settings": list(map(list, run.settings)),
    }
    found = [to_json(outcome.timeless()) for outcome in sorted(outcomes, key=lambda o: o.name)]
    return _text({"version": VERSION, "kind": KIND, "run": about, "repositories": found})


def costs_text(outcomes: Sequence[Outcome], run: RunInfo) -> str:
    """costs.json: everything that was spent, by repository and fault (seconds are wall seconds)."""
    found = [
        {
            "name": outcome.name,
            "spent": to_json(outcome.spent),
            "diagnosis": to_json(outcome.diagnosis.spent) if outcome.diagnosis else None,
            "fixes": {fix.fault: to_json(fix.spent) for fix in outcome.fixes},
            "combination": to_json(outcome.combination.spent) if outcome.combination else None,
        }
        for outcome in sorted(outcomes, key=lambda o: o.name)
    ]
    return _text({"version": VERSION, "kind": "BatchCosts", "run": {"started": run.started}, "repositories": found})


def _text(value: object) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def read_report(path: Path) -> tuple[Outcome, ...]:
    """The outcomes of a report.json, by name, without costs.

    Raises InputError: no such file, no report, another version, a field that does not fit.
    """
    try:
        given: object = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", field="report") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", field="report") from error
    known = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    if known.get("kind") != KIND or not isinstance(known.get("repositories"), list):
        raise InputError(f"{path}: not a report of `emend batch`; give its report.json", field="report")
    if known.get("version") != VERSION:
        raise InputError(
            f"{path}: version is {known.get('version')!r}; this Emend reads version {VERSION}", field="version"
        )
    return tuple(from_json(Outcome, one) for one in known["repositories"])


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never half of it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, half = tempfile.mkstemp(prefix=".half-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(half).chmod(0o644)
        Path(half).replace(path)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise
