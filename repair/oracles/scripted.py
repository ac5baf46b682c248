"""ScriptedOracle: an oracle whose answers are given beforehand, for tests of what uses oracles.

Shipped, not mocked: it obeys the Protocol, so that a pipeline cannot tell it from a real one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from repair.candidates import Candidate
from repair.edits import Patch
from repair.errors import BoundaryError, NothingToRepair
from repair.oracle import Baseline
from repair.oracles.judging import ONLY_WHOLE, applied
from repair.sources import Source
from repair.verdicts import Judgement, Observation, Verdict

_FAILING = Baseline(Observation(False), ONLY_WHOLE, frozenset())


@dataclass(frozen=True, slots=True)
class ScriptedOracle:
    """Judges by `accepts(texts)`, given all texts after the patch.

    `accepts` answers with a Verdict, or with True for plausible and False for unfixed. `trouble` is raised by
    `baseline()` in place of an answer.
    """

    sources: tuple[Source, ...]
    accepts: Callable[[Mapping[str, str]], Verdict | bool]
    told: Baseline = field(default=_FAILING)
    trouble: NothingToRepair | BoundaryError | None = None

    @contextlib.contextmanager
    def open(self) -> Generator[ScriptedBench]:
        """Starts nothing."""
        yield ScriptedBench(self)


class ScriptedBench:
    """Implements `repair.oracle.Bench`; `judged` lists the candidates in the order of judging."""

    def __init__(self, oracle: ScriptedOracle) -> None:
        self._oracle = oracle
        self._sources = {source.path: source for source in oracle.sources}
        self.judged: list[Candidate] = []
        self.runs = 0

    def covers(self, patch: Patch) -> bool:
        """Only the given sources may change."""
        return bool(patch) and all(path in self._sources for path in patch.paths)

    def baseline(self) -> Baseline:
        """What was given, or the trouble that was given."""
        if self._oracle.trouble is not None:
            raise self._oracle.trouble
        self.runs += 2
        return self._oracle.told

    def judge(self, candidate: Candidate, *, thorough: bool = False) -> Judgement:
        """The verdict of `accepts` for what parses."""
        self.judged.append(candidate)
        changed = applied(candidate, self._sources, covered=self.covers(candidate.patch))
        if isinstance(changed, Judgement):
            return changed
        count = 2 if thorough else 1
        self.runs += count
        answer = self._oracle.accepts({path: source.text for path, source in (self._sources | dict(changed)).items()})
        verdict = answer if isinstance(answer, Verdict) else Verdict.PLAUSIBLE if answer else Verdict.UNFIXED
        observation = Observation(verdict is Verdict.PLAUSIBLE)
        return Judgement(candidate, verdict, (observation,) * count, "as scripted")
