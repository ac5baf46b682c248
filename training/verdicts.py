"""What the gate decided, as values, aligned text and `gate.json`.

Owns the report and its file. Must not know how it came about.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from repair.errors import InputError

FILE = "gate.json"
PASSED, REFUSED, UNDECIDED = "passed", "refused", "undecided"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the gate's table. `difference` is tuned - base, with its interval at `level`; NaN: undefined."""

    figure: str
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    level: float
    examples: int
    verdict: str  # "better", "worse", "no clear difference", "not compared"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer with all that it rests on; `forced`: taken in spite of it, on the user's word."""

    outcome: str  # PASSED, REFUSED or UNDECIDED
    goal: str
    reasons: tuple[str, ...]  # why it did not pass
    rows: tuple[Row, ...]
    base: str
    tuned: str
    examples: int
    forced: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the tuned model may be used."""
        return self.forced or self.outcome == PASSED


def render(verdict: Verdict) -> list[str]:
    """The table as aligned lines, and below it what was decided and why."""
    head = ("figure", "base", "tuned", "difference", "interval", "level", "examples", "verdict")
    cells = [head, *(_cells(row, verdict.goal) for row in verdict.rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    forced = " (forced: taken all the same)" if verdict.forced else ""
    return [*lines, "* the goal", f"{verdict.outcome}{forced}", *(f"  {reason}" for reason in verdict.reasons)]


def _cells(row: Row, goal: str) -> tuple[str, ...]:
    name = f"{row.figure} *" if row.figure == goal else row.figure
    numbers = (_number(row.base), _number(row.tuned), _number(row.difference, sign=True))
    interval = "-" if math.isnan(row.low) else f"[{row.low:+.4f}, {row.high:+.4f}]"
    return (name, *numbers, interval, f"{100 * row.level:.1f} %", str(row.examples), row.verdict)


def _number(value: float, *, sign: bool = False) -> str:
    return "-" if math.isnan(value) else f"{value:+.4f}" if sign else f"{value:.4f}"


def force(verdict: Verdict) -> Verdict:
    """The verdict overridden by the user; outcome, table and reasons stay on record."""
    return verdict if verdict.outcome == PASSED else replace(verdict, forced=True)


def to_json(verdict: Verdict) -> str:
    """The verdict as JSON; figures that are not defined are null."""
    table = asdict(verdict)
    table["rows"] = [{key: _plain(value) for key, value in row.items()} for row in table["rows"]]
    return json.dumps(table, indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_verdict(verdict: Verdict, directory: Path) -> Path:
    """`gate.json` beside the adapter."""
    path = directory / FILE
    path.write_text(to_json(verdict), encoding="utf-8")
    return path


def read_verdict(directory: Path) -> Verdict:
    """The inverse. Raises InputError: missing, or none of ours."""
    try:
        return _verdict(json.loads((directory / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{directory / FILE} cannot be read ({error!r}): train again", field=FILE) from error


def _verdict(table: dict[str, Any]) -> Verdict:
    values: dict[str, Any] = {**table, "reasons": tuple(table["reasons"])}
    values["rows"] = tuple(_read_row(row) for row in table["rows"])
    return Verdict(**values)


def _read_row(row: dict[str, Any]) -> Row:
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in row.items()}
    return Row(**values)
