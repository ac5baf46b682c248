"""What came back over the report pipe, as values. Knows the record kinds of `inside/emend_inside.py`.

Only lines that begin with the nonce count: the code under test inherits the same pipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from repair.defects import Frame, Traceback
from repair.traces import parse_error
from repair.traces.text import without_colours
from repair.verdicts import Outcome, TestResult

_OUTCOMES = {o.value: o for o in Outcome}


@dataclass(frozen=True, slots=True)
class Failure:
    """The script does not compile, or it raised. `headline` is the line with the error's type and message."""

    message: str
    trace: Traceback | None
    headline: str


@dataclass(frozen=True, slots=True)
class Report:
    """All records of one run. `ended` is the exit status that the runner itself announced at its very end."""

    ended: int | None = None
    threads: int = 0
    exits: tuple[str, ...] = ()
    broken: Failure | None = None
    failure: Failure | None = None
    missing: str = ""
    unusable: int | None = None
    collected: tuple[str, ...] | None = None
    begun: tuple[tuple[str, str], ...] = ()  # id and source text of units, in order
    tests: tuple[TestResult, ...] = ()
    traces: Mapping[str, Traceback] = field(default_factory=dict[str, Traceback])
    lines: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict[str, Mapping[str, frozenset[int]]])
    units: bool = False


def _text(record: Mapping[str, object], key: str) -> str:
    value = record.get(key, "")
    return value if isinstance(value, str) else ""


def _said(record: Mapping[str, object], key: str) -> str:
    """A text for people; runners colour what they say when they are told to."""
    return without_colours(_text(record, key))


def _number(record: Mapping[str, object], key: str) -> float:
    value = record.get(key, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _listed(record: Mapping[str, object], key: str) -> list[object]:
    value = record.get(key)
    return cast("list[object]", value) if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, object] | None:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def _trace(record: Mapping[str, object]) -> Traceback | None:
    found = _mapping(record.get("trace"))
    if found is None:
        return None
    frames = tuple(
        Frame(_text(f, "path"), int(_number(f, "line")), _text(f, "function"), _text(f, "code"))
        for f in (_mapping(x) for x in _listed(found, "frames"))
        if f is not None
    )
    return Traceback(_text(found, "type"), _said(found, "message"), frames)


def _failure(record: Mapping[str, object]) -> Failure:
    message = _said(record, "message")
    return Failure(message, _trace(record), _said(record, "headline") or message.strip().rsplit("\n", 1)[-1])


def _records(report: bytes, nonce: str) -> list[Mapping[str, object]]:
    """Well-formed records in the order of writing; everything else on the pipe is dropped."""
    prefix = nonce.encode() + b" "
    found: list[Mapping[str, object]] = []
    for line in report.split(b"\n"):
        if not line.startswith(prefix):
            continue
        try:
            record = _mapping(json.loads(line[len(prefix) :]))
        except ValueError:
            continue
        if record is not None:
            found.append(record)
    return found


class _Reader:
    """Gathers records; `report()` freezes them."""

    def __init__(self) -> None:
        self.ended: int | None = None
        self.threads = 0
        self.exits: list[str] = []
        self.broken: Failure | None = None
        self.failure: Failure | None = None
        self.missing = ""
        self.unusable: int | None = None
        self.collected: list[str] | None = None
        self.begun: list[tuple[str, str]] = []
        self.tests: dict[str, TestResult] = {}
        self.traces: dict[str, Traceback] = {}
        self.lines: dict[str, dict[str, frozenset[int]]] = {}
        self.units = False

    def take(self, record: Mapping[str, object]) -> None:
        reader = getattr(self, f"_{_text(record, 'kind')}", None)
        if callable(reader):
            reader(record)

    def _broken(self, record: Mapping[str, object]) -> None:
        self.broken = _failure(record)

    def _failed(self, record: Mapping[str, object]) -> None:
        self.failure = _failure(record)

    def _exit(self, record: Mapping[str, object]) -> None:
        self.exits.append(_text(record, "path"))

    def _missing(self, record: Mapping[str, object]) -> None:
        self.missing = _text(record, "name")

    def _unusable(self, record: Mapping[str, object]) -> None:
        self.unusable = int(_number(record, "code"))

    def _collected(self, record: Mapping[str, object]) -> None:
        self.collected = [x for x in _listed(record, "ids") if isinstance(x, str)]

    def _begin(self, record: Mapping[str, object]) -> None:
        self.begun.append((_text(record, "id"), _text(record, "text")))

    def _test(self, record: Mapping[str, object]) -> None:
        test_id = _text(record, "id")
        outcome = _OUTCOMES.get(_text(record, "outcome"), Outcome.ERROR)
        self.tests[test_id] = TestResult(test_id, outcome, _said(record, "message"), _number(record, "seconds"))
        trace = _trace(record)
        if trace is not None:
            self.traces[test_id] = trace

    def _lines(self, record: Mapping[str, object]) -> None:
        files = self.lines.setdefault(_text(record, "id"), {})
        numbers = frozenset(x for x in _listed(record, "lines") if isinstance(x, int))
        files[_text(record, "path")] = files.get(_text(record, "path"), frozenset()) | numbers

    def _end(self, record: Mapping[str, object]) -> None:
        self.ended = int(_number(record, "code"))
        self.threads = int(_number(record, "threads"))
        self.units = record.get("units") is True

    def report(self) -> Report:
        return Report(
            self.ended,
            self.threads,
            tuple(self.exits),
            self.broken,
            self.failure,
            self.missing,
            self.unusable,
            None if self.collected is None else tuple(self.collected),
            tuple(self.begun),
            tuple(self.tests.values()),
            self.traces,
            self.lines,
            self.units,
        )


def trace_of(report: Report, result: TestResult) -> Traceback | None:
    """The trace of a failed test: the runner's own, else one read from the message."""
    own = report.traces.get(result.test_id)
    return own or trace_in(result.message)


def trace_in(text: str) -> Traceback | None:
    """The first trace in a text."""
    return next((e for e in parse_error(text).evidence if isinstance(e, Traceback)), None)


def read_report(report: bytes, nonce: str) -> Report:
    """The records that carry `nonce`. Never raises: what is unreadable is as good as not written."""
    reader = _Reader()
    for record in _records(report, nonce):
        reader.take(record)
    return reader.report()
