"""Trials on disk: one JSON line a case, appended as it comes, read again to go on where a run ended."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from eval.robustness.trials import Plan, Trial, parse_trial, trial_row
from repair.errors import InputError

_MAY_DIFFER = "tier"  # a busy machine can fail a canary at one start; each row states its own


class TrialsFile:
    """A file of trials. One object writes at a time; without a stream nothing is kept."""

    def __init__(self, stream: TextIO | None, plan: Plan) -> None:
        self._stream = stream
        self._plan = plan

    def add(self, suite: str, trial: Trial) -> None:
        """Append a trial and flush it. Raises OSError, a full disk for one."""
        if self._stream is not None:
            row = {"suite": suite, **trial_row(trial), "conditions": self._plan.stated}
            self._stream.write(json.dumps(row, ensure_ascii=True) + "\n")
            self._stream.flush()


@contextmanager
def open_trials(path: Path | None, plan: Plan) -> Generator[TrialsFile]:
    """The file to append to; a torn last line of a killed run is dropped."""
    if path is None:
        yield TrialsFile(None, plan)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    with path.open("a", encoding="utf-8") as stream:
        yield TrialsFile(stream, plan)


def read_trials(path: Path | None, plan: Plan) -> dict[tuple[str, str], Trial]:
    """Trials that are there already, by suite and id. A torn last line does not count.

    Raises InputError when a row is unreadable or was made under other conditions.
    """
    if path is None or not path.exists():
        return {}
    found: dict[tuple[str, str], Trial] = {}
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            suite, trial, stated = row["suite"], parse_trial(row), row["conditions"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is no result of `emend eval robustness` ({error})", field="output"
            ) from error
        _compare(path, stated, plan.stated)
        found[suite, trial.id] = trial
    return found


def _compare(path: Path, stated: dict[str, Any], now: dict[str, Any]) -> None:
    other = next((k for k in now if k != _MAY_DIFFER and stated.get(k) != now[k]), None)
    if other is not None:
        raise InputError(
            f"{path}: was measured with {other} {stated.get(other)!r}, now it is {now[other]!r}; name another file",
            field="output",
        )
