"""The Protocol of an oracle: it says whether a state of the code is acceptable.

Implementations in `oracles/`. An oracle is bound to one project and its tests when it is made.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from repair.candidates import Candidate
from repair.defects import Evidence
from repair.edits import Patch
from repair.spectrum import Spectrum
from repair.verdicts import Judgement, Observation


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unpatched code's runs: what fails each time, what passes each time, what does neither.

    `evidence` is parsed from the failures. `spectrum` (coverage per test) is None where not obtained.
    """

    observation: Observation
    failing: frozenset[str]
    passing: frozenset[str]
    flaky: frozenset[str] = frozenset()
    evidence: tuple[Evidence, ...] = ()
    spectrum: Spectrum | None = None
    test_text: str = ""  # source of a failing test, for the model
    notes: tuple[str, ...] = field(default=())


class Bench(Protocol):
    """An oracle made ready for one repair (sandbox up, interpreter warm)."""

    def baseline(self) -> Baseline:
        """Run the unpatched code (twice). Raises NothingToRepair, OracleError, SandboxError."""
        ...

    def judge(self, candidate: Candidate, *, thorough: bool = False) -> Judgement:
        """Run the tests on the patched code: reproduction tests first, regression tests next.

        `thorough` runs everything twice, for the winner. Raises OracleError or SandboxError only.
        """
        ...

    @property
    def runs(self) -> int:
        """How often the tests were run so far."""
        ...

    def covers(self, patch: Patch) -> bool:
        """Whether it may be judged at all: no test, configuration or foreign file is touched."""
        ...


class Oracle(Protocol):
    """Opens a Bench; closing it ends every process it started."""

    def open(self) -> AbstractContextManager[Bench]:
        """Raises OracleError when the test command cannot exist here."""
        ...
