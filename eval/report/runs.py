"""Runs read from results files: the rows of one suite under one set of conditions.

Owns what may stand in a results file and what is told of one that is none. Must not know what reports make of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from eval.measurement import Conditions, Measurement
from eval.results import parse_measurement
from repair.errors import InputError

_FREE = frozenset({"tier"})  # may differ from start to start of one machine
_CONDITIONS = {f.name for f in fields(Conditions)}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One suite, measured under one set of conditions. `sha256` of the suite's file, "" where not known."""

    suite: str
    sha256: str
    conditions: Conditions
    measurements: tuple[Measurement, ...]


def read_runs(path: Path) -> tuple[Run, ...]:
    """The runs of a results file, one a suite, in the order of the file.

    Reads what `emend eval run` writes (JSON lines; a torn last line of a killed run does not count), or JSON that
    holds such rows as a list, or under "tasks", where suite and conditions may stand once beside them. Of rows with
    one suite and id the last counts. Raises InputError naming the file and the line or task at fault: no such file,
    no results, empty, or conditions that differ.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = "not utf-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({told})", field="results") from error
    rows = list(_json_rows(path, text) if path.suffix == ".json" else _line_rows(path, text))
    if not rows:
        raise InputError(f"{path}: has no results in it", field="results")
    return _runs(path, rows, _suites_beside(path))


def _line_rows(path: Path, text: str) -> Iterator[tuple[str, Row]]:
    """Places and rows."""
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except ValueError as error:
            if number == len(lines) and number > 1:
                return  # a killed run was writing it
            raise InputError(f"{path}: line {number} is no JSON ({error})", field="results") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Row]]:
    try:
        whole: object = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error})", field="results") from error
    blocks = cast("list[object]", whole) if isinstance(whole, list) else [whole]
    number = 0
    for block in blocks:
        outer = cast("Mapping[str, Any]", block) if isinstance(block, dict) else {}
        if "plausible" in outer and "tasks" not in outer:
            raise InputError(
                f"{path}: is a summary, without the tasks that reports and comparisons need; "
                "give the .jsonl file beside it",
                field="results",
            )
        shared = {name: outer[name] for name in ("suite", "conditions", "sha256") if name in outer}
        tasks = outer.get("tasks", [block])
        for task in cast("list[object]", tasks) if isinstance(tasks, list) else [tasks]:
            number += 1
            inner = cast("Mapping[str, Any]", task) if isinstance(task, dict) else {}
            yield f"task {number}", {**shared, **inner}


def _runs(path: Path, rows: Iterable[tuple[str, Row]], known: Mapping[str, str]) -> tuple[Run, ...]:
    found: dict[str, dict[str, Measurement]] = {}
    digests = dict(known)
    first: tuple[str, Conditions] | None = None
    tiers: list[str] = []
    for place, row in rows:
        suite, measured, conditions = _parsed(path, place, row)
        first = first or (place, conditions)
        _refuse_other(path, place, conditions, first)
        if conditions.tier not in tiers:
            tiers.append(conditions.tier)
        found.setdefault(suite, {})[measured.id] = measured
        if isinstance(row.get("sha256"), str):
            digests[suite] = row["sha256"]
    assert first is not None
    stated = replace(first[1], tier=", ".join(sorted(tiers)))
    return tuple(Run(name, digests.get(name, ""), stated, tuple(of.values())) for name, of in found.items())


def _parsed(path: Path, place: str, row: Row) -> tuple[str, Measurement, Conditions]:
    try:
        suite, stated = row["suite"], row["conditions"]
        measured = _checked(parse_measurement(dict(row)))
        if not isinstance(suite, str):
            raise TypeError(f"the suite is {suite!r}, not a name")
        return suite, measured, Conditions(**{k: v for k, v in stated.items() if k in _CONDITIONS})
    except KeyError as error:
        told = f"it has no field {error}"
    except (ValueError, TypeError, AttributeError, InputError) as error:
        told = str(error)
    raise InputError(f"{path}: {place} is no result of `emend eval run` ({told})", field="results")


def _checked(m: Measurement) -> Measurement:
    """Raises TypeError for fields of another kind than reports count on."""
    for name in ("id", "reason", "diff", "reference_diff", "bug_type", "language", "digest", "stop", "origin"):
        if not isinstance(getattr(m, name), str):
            raise TypeError(f"the field {name} is no text")
    for name in ("wall_seconds", "judged", "test_runs", "unreadable", "proposed", "plausible_count"):
        if isinstance(getattr(m, name), bool) or not isinstance(getattr(m, name), (int, float)):
            raise TypeError(f"the field {name} is no number")
    for name in ("first_plausible", "first_correct", "fault_rank", "function_rank"):
        if not (getattr(m, name) is None or (type(getattr(m, name)) is int and getattr(m, name) > 0)):
            raise TypeError(f"the field {name} is no rank")
    if m.correct not in (True, False, None) or not (m.confidence is None or 0 <= m.confidence <= 1):
        raise TypeError("correct or confidence is out of range")
    if not isinstance(m.verdicts, dict) or not isinstance(m.groups, dict):
        raise TypeError("verdicts or groups is no object")
    return m


def _refuse_other(path: Path, place: str, now: Conditions, first: tuple[str, Conditions]) -> None:
    then, stated = asdict(first[1]), asdict(now)
    other = next((name for name in then if name not in _FREE and then[name] != stated[name]), None)
    if other is not None:
        raise InputError(
            f"{path}: {place} was measured with {other} {stated[other]!r}, {first[0]} with {then[other]!r}; "
            "keep the results of each setting in a file of their own",
            field="results",
        )


def _suites_beside(path: Path) -> dict[str, str]:
    """SHA-256 of the suites by name, from the summary that `emend eval run` writes beside results; often none."""
    try:
        told: object = json.loads(path.with_suffix(".summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    listed: Sequence[object] = cast("list[object]", told) if isinstance(told, list) else []
    rows = [cast("Mapping[str, object]", row) for row in listed if isinstance(row, dict)]
    return {str(row.get("suite", "")): str(row.get("sha256", "")) for row in rows}
