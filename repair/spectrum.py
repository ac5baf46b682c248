"""Program spectrum: which lines each test executed, and the suspiciousness that follows (Ochiai)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Lines executed by failing and passing tests: (path, 1-based line) -> number of tests."""

    failing: int  # how many failing tests ran
    passing: int
    executed_failing: Mapping[tuple[str, int], int]
    executed_passing: Mapping[tuple[str, int], int]

    def runs(self, path: str, line: int) -> bool:
        """Whether any test ran that very line (only a statement's first line is recorded)."""
        return (path, line) in self.executed_failing or (path, line) in self.executed_passing

    def ochiai(self, path: str, line: int) -> float:
        """Suspiciousness ef / sqrt(F * (ef + ep)) in 0..1 (Abreu et al. 2006). 0 when no failing test ran it."""
        ef = self.executed_failing.get((path, line), 0)
        ep = self.executed_passing.get((path, line), 0)
        return ef / sqrt(self.failing * (ef + ep)) if ef else 0.0


def spectrum_from_contexts(
    lines: Mapping[str, Mapping[int, Collection[str]]], failing: Collection[str], passing: Collection[str]
) -> Spectrum:
    """A spectrum of coverage by test: path -> line -> ids of the tests that ran it (coverage.py's contexts).

    Contexts that name neither a failing nor a passing test (import time, flaky tests) are not counted.
    """
    bad, good = frozenset(failing), frozenset(passing)
    by_failing: dict[tuple[str, int], int] = {}
    by_passing: dict[tuple[str, int], int] = {}
    for path, by_line in lines.items():
        for line, tests in by_line.items():
            ran = frozenset(tests)
            if ran & bad:
                by_failing[path, line] = len(ran & bad)
            if ran & good:
                by_passing[path, line] = len(ran & good)
    return Spectrum(len(bad), len(good), by_failing, by_passing)
