"""Which lines of a project's sources each test executes, within a bound of time. Owns the order of the traced runs.

Failing tests come first, then the passing ones of the same files, then all others, in parts: a part that does not
come to its end is cut smaller, and what is not reached in time stays unknown, which is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from repair.oracles.suites import Selection, Suite
from repair.sandbox import Limits

_FIRST = 200  # tests of a part, until it is known how many lines they execute
_LINES = 1_000_000  # of one part: its report stays well below what a sandbox takes (16 MiB)
_MOST = 2_000  # tests of a part
_LEAST_SECONDS = 10.0  # so long at least a part may take
_SLOWER = 10.0  # a traced test may take so many times as long


@dataclass(frozen=True, slots=True)
class Traced:
    """Lines by test and path; tests that executed none of the sources have an empty mapping, unknown ones none."""

    lines: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict[str, Mapping[str, frozenset[int]]])
    runs: int = 0
    executed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Tests in the order of their runs, sources whose lines are wanted, and the seconds of the slowest test."""

    failing: Sequence[str]
    passing: Sequence[str]
    paths: Sequence[str]
    slowest: float = 0.0


@dataclass(slots=True)
class _Parts:
    """The tests to come, handed out in parts of neighbours."""

    left: list[str]
    size: int = _FIRST

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        while self.left:
            part, self.left = self.left[: self.size], self.left[self.size :]
            yield tuple(part)


def trace(
    suite: Suite,
    limits: Limits,
    wanted: Wanted,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Traced:
    """Run the failing tests, then the passing ones, tracing the sources.

    No part starts after `seconds`, and each is ended then. Raises SandboxError.
    """
    started = clock()
    files = {_file(test) for test in wanted.failing}
    near = [t for t in wanted.passing if _file(t) in files]
    parts = _Parts([*wanted.failing, *near, *(t for t in wanted.passing if _file(t) not in files)])
    lines: dict[str, Mapping[str, frozenset[int]]] = {}
    runs = executed = 0
    for part in parts:
        left = seconds - (clock() - started)
        if left <= 0:
            break
        wall = min(limits.wall_seconds * _SLOWER, max(left, _LEAST_SECONDS))
        bounds = replace(limits, wall_seconds=wall, cpu_seconds=limits.cpu_seconds * _SLOWER)
        selection = Selection(
            only=frozenset(part), terse=True, trace=tuple(wanted.paths), test_seconds=_SLOWER * wanted.slowest
        )  # fmt: skip
        run = suite.run({}, bounds, selection)
        runs += 1
        ran = {t.test_id for t in run.observation.tests}
        executed += len(ran)
        found = {test: run.report.lines.get(test, {}) for test in part if test in ran}
        lines |= found
        missing = [] if run.observation.complete else [test for test in part if test not in ran]
        parts.left = [*(missing[1:] if found else missing if len(part) > 1 else []), *parts.left]
        parts.size = _next_size(found, parts.size) if found else max(1, len(part) // 4)
    return Traced(lines, runs, executed, clock() - started)


def _next_size(found: Mapping[str, Mapping[str, frozenset[int]]], size: int) -> int:
    """As many tests as execute about _LINES lines, at most twice as many as before."""
    total = sum(len(numbers) for files in found.values() for numbers in files.values())
    each = total / max(len(found), 1)
    return max(1, min(_MOST, 2 * size, int(_LINES / max(each, 1.0))))


def _file(test: str) -> str:
    """The file of pytest's ids, the module of unittest's."""
    return test.partition("::")[0] if "::" in test else test.rpartition(".")[0].rpartition(".")[0]
