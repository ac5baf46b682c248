"""The likeliest repair of a case, and what a model gives to the right one: the patch's side of an attack.

Nothing is judged on the way to it: it is the candidate that a repair without tests would show first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log

from data.labels import hunks_of
from eval.correctness import source_of
from eval.suites.rows import Case
from repair.campaign import survey
from repair.defects import Defect, RepairRequest
from repair.errors import PatchError
from repair.model import Model
from repair.oracles.programs import Programs
from repair.oracles.scripts import run_script
from repair.search import Field, Search, SearchOptions
from repair.traces import parse_error
from repair.views import Hunk, edit_hunk

UNSAID = log(1e-12)  # of a repair that lies in no view, or that the model cannot score
_PROPOSALS = 16  # asked of the model for the likeliest repair


@dataclass(frozen=True, slots=True)
class Likeliest:
    """The first candidate: the line where it begins, the program with it, its probability; `right`: by the tests."""

    line: int
    code: str
    probability: float
    right: bool


@dataclass(slots=True)
class Repairing:
    """Remembers what it was asked. Raises ModelError, SandboxError, OracleError. Cases need a reference."""

    model: Model
    programs: Programs
    _known: dict[Case, Likeliest | None] = field(default_factory=dict[Case, Likeliest | None])
    _places: dict[Case, Field] = field(default_factory=dict[Case, Field])

    def value(self, case: Case) -> float:
        """Log-probability of the reference repair, location included."""
        whole = case.fixed_code or ""
        try:
            return self._score(case, hunks_of(_ended(case.buggy_code), _ended(whole)))
        except PatchError:
            return UNSAID

    def flips(self, case: Case) -> bool:
        """Whether the likeliest repair fails the tests."""
        found = self.likeliest(case)
        return found is None or not found.right

    def likeliest(self, case: Case) -> Likeliest | None:
        """The likeliest repair; None where there is no candidate at all."""
        if case not in self._known:
            self._known[case] = self._likeliest(case)
        return self._known[case]

    def _place(self, case: Case) -> Field:
        if case not in self._places:
            defect = parse_error(case.error) if case.error else Defect()
            request = RepairRequest((source_of(case, case.buggy_code),), defect)
            self._places[case], _ = survey(request, self.model, None)
        return self._places[case]

    def _likeliest(self, case: Case) -> Likeliest | None:
        place, source = self._place(case), source_of(case, case.buggy_code)
        first = next(iter(Search(place, self.model, SearchOptions(proposals=_PROPOSALS))), None)
        if first is None:
            return None
        code = first.patch.apply({source.path: source.text})[source.path]
        edits = [edit for file in first.patch.files for edit in file.edits]
        hunks = [hunk for edit in edits if (hunk := edit_hunk(source, edit)) is not None]
        right = all(
            run_script(self.programs, case.language, code, tests).passed
            for tests in (case.tests, case.held_out_tests)
            if tests is not None
        )
        line = min((hunk.first for hunk in hunks), default=0)
        return Likeliest(line, code, exp(self._score(case, hunks)), right)

    def _score(self, case: Case, hunks: Sequence[Hunk]) -> float:
        if not hunks:
            return UNSAID
        first, last = hunks[0].first, max(max(hunk.first, hunk.last) for hunk in hunks)
        for view in self._place(case).views:
            if view.first_line <= first and last <= view.last_line:
                scores = self.model.score(view, [tuple(hunks)])
                return scores[0] if scores else UNSAID
        return UNSAID


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
