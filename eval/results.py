"""Results on disk: one JSON line a case, appended as it comes, read again to go on where a run ended."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from eval.measurement import Conditions, Measurement, NoFault, Status
from repair.errors import InputError

_FIELDS = {f.name for f in fields(Measurement)}


class ResultsFile:
    """A results file. One object writes at a time."""

    def __init__(self, stream: TextIO | None, conditions: Conditions) -> None:
        self._stream = stream
        self._conditions = conditions

    def add(self, suite: str, measurement: Measurement) -> None:
        """Append a result and flush it."""
        if self._stream is not None:
            row = {"suite": suite, **asdict(measurement), "conditions": asdict(self._conditions)}
            self._stream.write(json.dumps(row, ensure_ascii=True) + "\n")
            self._stream.flush()


@contextmanager
def open_results(path: Path | None, conditions: Conditions) -> Generator[ResultsFile]:
    """The file to append to; without a path results are only counted."""
    if path is None:
        yield ResultsFile(None, conditions)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(path)
    with path.open("a", encoding="utf-8") as stream:
        yield ResultsFile(stream, conditions)


def read_results(path: Path | None, conditions: Conditions) -> dict[tuple[str, str], Measurement]:
    """Results that are there already, by suite and id. A torn last line (a killed run) does not count.

    Raises InputError when a row is unreadable or was measured under other conditions.
    """
    if path is None or not path.exists():
        return {}
    found: dict[tuple[str, str], Measurement] = {}
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            suite, measured = row["suite"], parse_measurement(row)
            stated = row["conditions"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is no result of `emend eval run` ({error})", field="output"
            ) from error
        now = asdict(conditions)
        # the tier may differ from start to start of one machine (a busy one can fail a canary); each row states its own
        other = next((k for k in now if k != "tier" and stated.get(k) != now[k]), None)
        if other is not None:
            raise InputError(
                f"{path}: was measured with {other} {stated.get(other)!r}, now it is {now[other]!r}; name another file",
                field="output",
            )
        found[suite, measured.id] = measured
    return found


def parse_measurement(row: dict[str, Any]) -> Measurement:
    """A row of a results file as a value; fields that later versions added have their defaults.

    Raises KeyError, ValueError, TypeError for what is no row.
    """
    kept: dict[str, Any] = {name: value for name, value in row.items() if name in _FIELDS}
    kept["status"] = Status(row["status"])
    for name in ("suspects", "fault_lines"):
        kept[name] = tuple(kept.get(name, ()))
    if kept.get("no_fault") is not None:
        kept["no_fault"] = NoFault(**kept["no_fault"])
    return Measurement(**kept)


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
