"""What a report says of a failure: the error, the way down to it, and how well a run agrees with that.

Reads texts and values only; runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repair.defects import Evidence, FailingTest, Frame, Traceback
from repair.traces import parse_error
from repair.traces.places import owner

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")
_BLANKS = re.compile(r"\s+")
_FENCE = re.compile(r"^\s*(?:```|~~~|</(?:pre|code|details))", re.MULTILINE)  # ends what was pasted
_ANYWHERE = ("<stdin>", "<string>", "<unknown>")


@dataclass(frozen=True, slots=True)
class Level:
    """One frame; `path` is our relative one, "" for a frame outside of the project."""

    path: str
    line: int
    function: str
    code: str


@dataclass(frozen=True, slots=True)
class Target:
    """A failure to bring about. `error` is the bare name of the exception's type; `levels` have the innermost last."""

    error: str
    message: str
    levels: tuple[Level, ...]
    test: str = ""  # id of the failing test in the report

    @property
    def inner(self) -> Level | None:
        """The innermost frame in the project."""
        return next((level for level in reversed(self.levels) if level.path), None)

    @property
    def last_line(self) -> str:
        """`Type: message`, as a traceback ends."""
        return f"{self.error}: {self.message}" if self.message else self.error


@dataclass(frozen=True, slots=True, order=True)
class Agreement:
    """How a failure agrees with the report, best largest. `chain` counts the frames of the project in common."""

    line: bool
    message: bool
    chain: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Raised:
    """What a run raised: `levels` without the frames of the test itself."""

    error: str
    message: str
    levels: tuple[Level, ...]
    line: int = 0  # of the attempt's own text that was executing


def targets(report: str, paths: Sequence[str]) -> tuple[Target, ...]:
    """The failures that a report tells of, most telling first, each once; `paths` are the project's Python files."""
    known = tuple(paths)
    found = [target for evidence in parse_error(report).evidence for target in _of(evidence, known)]
    kept: list[Target] = []
    for target in found:
        if not any(t.error == target.error and t.message == target.message and t.levels for t in kept):
            kept.append(target)
    return tuple(sorted(kept, key=lambda t: (t.inner is None, not t.levels)))


def _of(evidence: Evidence, paths: tuple[str, ...]) -> Iterable[Target]:
    match evidence:
        case Traceback():
            yield _target(evidence, paths)
        case FailingTest(trace=Traceback() as trace, test_id=test):
            yield _target(trace, paths, test)
        case _:
            pass


def _target(trace: Traceback, paths: tuple[str, ...], test: str = "") -> Target:
    levels = tuple(_level(frame, paths) for frame in trace.frames)
    message = _FENCE.split(trace.message)[0].strip()
    return Target(trace.error_type.rpartition(".")[2], message, levels, test)


def _level(frame: Frame, paths: tuple[str, ...]) -> Level:
    path = "" if frame.path in _ANYWHERE else owner(frame, paths) or ""
    return Level(path, frame.line, frame.function.removesuffix("()").rpartition(".")[2], frame.code)


def masked(message: str) -> str:
    """A message without what differs from run to run: addresses and numbers."""
    return _VARYING.sub("#", _BLANKS.sub(" ", message)).strip()


def same_line(one: str, other: str) -> bool:
    """Whether two printed lines are the same statement; of a long one often only the first line is printed."""
    a, b = _BLANKS.sub("", one), _BLANKS.sub("", other)
    return a == b or (min(len(a), len(b)) >= 8 and (a.startswith(b) or b.startswith(a)))


def agreement(target: Target, raised: Raised, *, stale: bool = False) -> Agreement | None:
    """How well what was raised agrees with the report; None when it is another failure.

    The type must be the same and the innermost frame of the project lie in the same function, on the same line
    where the report prints one (not with `stale`: the sources have changed since). Without such a frame the message
    must be the same.
    """
    if raised.error != target.error:
        return None
    inner, got = target.inner, next((x for x in reversed(raised.levels) if x.path), None)
    said = masked(target.message) == masked(raised.message)
    exact = _BLANKS.sub(" ", target.message).strip() == _BLANKS.sub(" ", raised.message).strip()
    if inner is None:
        return Agreement(got is not None, said, 0, exact) if said else None
    if got is None or got.path != inner.path or (inner.function and got.function != inner.function):
        return None
    line = same_line(inner.code, got.code) if inner.code else got.line == inner.line
    if inner.code and not line and not stale:
        return None
    return Agreement(line, said, _common(target.levels, raised.levels), exact)


def _common(one: Sequence[Level], other: Sequence[Level]) -> int:
    """How many functions of the project the two share, counted from the innermost."""
    ours, theirs = ([(x.path, x.function) for x in levels if x.path][::-1] for levels in (one, other))
    count = 0
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            break
        count += 1
    return count
