"""ParsesOracle: where no tests are given, a candidate that parses is accepted as UNDECIDED, never as plausible."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass

from repair.candidates import Candidate
from repair.defects import Diagnostic
from repair.edits import Patch
from repair.languages import parses
from repair.oracle import Baseline
from repair.oracles.judging import ONLY_WHOLE, applied
from repair.sources import Source
from repair.verdicts import Judgement, Observation, Verdict


@dataclass(frozen=True, slots=True)
class ParsesOracle:
    """Accepts whatever parses; runs nothing."""

    sources: tuple[Source, ...]

    @contextlib.contextmanager
    def open(self) -> Generator[ParsesBench]:
        """Never fails."""
        yield ParsesBench(self.sources)


class ParsesBench:
    """Implements `repair.oracle.Bench` without running anything."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = {source.path: source for source in sources}

    @property
    def runs(self) -> int:
        """No test is ever run."""
        return 0

    def covers(self, patch: Patch) -> bool:
        """Only files of the request may change."""
        return bool(patch) and all(path in self._sources for path in patch.paths)

    def baseline(self) -> Baseline:
        """What does not parse now, as diagnostics. Nothing to repair is never concluded: there are no tests."""
        found = {path: error for path, source in self._sources.items() if (error := parses(source))}
        evidence = tuple(Diagnostic(path, max(error.line, 1), error.message) for path, error in found.items())
        passed = not found
        failing = frozenset[str]() if passed else ONLY_WHOLE
        return Baseline(Observation(passed), failing, frozenset(), evidence=evidence, notes=("no test was run",))

    def judge(self, candidate: Candidate, *, thorough: bool = False) -> Judgement:  # noqa: ARG002  (the Protocol's)
        """BROKEN when it does not parse, else UNDECIDED."""
        changed = applied(candidate, self._sources, covered=self.covers(candidate.patch))
        if isinstance(changed, Judgement):
            return changed
        return Judgement(candidate, Verdict.UNDECIDED, reason="it parses; no test was run")
