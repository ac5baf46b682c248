"""Program spectrum: which lines each test executed, and the suspiciousness that follows (Ochiai)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Lines executed by failing and passing tests: (path, 1-based line) -> number of tests."""

    failing: int  # how many failing tests ran
    passing: int
    executed_failing: Mapping[tuple[str, int], int]
    executed_passing: Mapping[tuple[str, int], int]

    def ochiai(self, path: str, line: int) -> float:
        """ef / sqrt(F * (ef + ep)) in 0..1 (Ochiai; Abreu et al. 2006). 0 when no failing test ran it."""
        ef = self.executed_failing.get((path, line), 0)
        ep = self.executed_passing.get((path, line), 0)
        return ef / sqrt(self.failing * (ef + ep)) if ef else 0.0
