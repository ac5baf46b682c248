"""Results on disk: one JSON line a case, appended as it comes, read again to go on where a run ended.

A row is known by the content of its case: a suite that changed since has its changed rows measured anew, and what
could not be scored (a boundary failed) is tried again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from eval.measurement import Conditions, Measurement, NoFault, Status
from repair.errors import BoundaryError, InputError

_FIELDS = {f.name for f in fields(Measurement)}
_FREE = frozenset({"tier"})  # may differ from start to start of one machine (a busy one can fail a canary)


@dataclass(frozen=True, slots=True)
class Result:
    """One row: a measurement, its suite and the conditions that it was made under."""

    suite: str
    measurement: Measurement
    conditions: Conditions


class ResultsFile:
    """A results file. One object writes at a time."""

    def __init__(self, stream: TextIO | None, conditions: Conditions, path: Path | None = None) -> None:
        self._stream, self._conditions, self._path = stream, conditions, path

    def add(self, suite: str, measurement: Measurement) -> None:
        """Append a result and flush it. Raises BoundaryError when the disk is full."""
        if self._stream is None:
            return
        row = {"suite": suite, **asdict(measurement), "conditions": asdict(self._conditions)}
        try:
            self._stream.write(json.dumps(row, ensure_ascii=True) + "\n")
            self._stream.flush()
        except OSError as error:
            raise BoundaryError(
                f"cannot write {self._path} ({error.strerror}): make room, then the same command goes on; finished "
                "rows are kept"
            ) from error


@contextlib.contextmanager
def open_results(path: Path | None, conditions: Conditions) -> Generator[ResultsFile]:
    """The file to append to; without a path results are only counted. Raises InputError: it cannot be written."""
    if path is None:
        yield ResultsFile(None, conditions)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        stream = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})", field="output") from error
    try:
        yield ResultsFile(stream, conditions, path)
    finally:
        with contextlib.suppress(OSError):  # what a full disk left in the buffer is told of already, and measured again
            stream.close()


def read_results(path: Path | None, conditions: Conditions) -> dict[tuple[str, str], Measurement]:
    """Scored results that are there already, by suite and the case's digest.

    Raises InputError when a row is unreadable or was measured under other conditions.
    """
    found: dict[tuple[str, str], Measurement] = {}
    now = asdict(conditions)
    for result in read_rows(path) if path is not None and path.exists() else ():
        then = asdict(result.conditions)
        other = next((k for k in now if k not in _FREE and then[k] != now[k]), None)
        if other is not None:
            raise InputError(
                f"{path}: was measured with {other} {then[other]!r}, now it is {now[other]!r}; name another file",
                field="output",
            )
        measured = result.measurement
        if measured.status is not Status.UNSCORED:
            found[result.suite, measured.digest] = measured
    return found


def read_rows(path: Path) -> Iterator[Result]:
    """All rows of a results file. A torn last line (a killed run) does not count. Raises InputError with the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", field="results") from error
    *lines, _ = text.split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            yield Result(row["suite"], parse_measurement(row), Conditions(**row["conditions"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is no result of `emend eval run` ({type(error).__name__}: {error})",
                field="results",
            ) from error


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
