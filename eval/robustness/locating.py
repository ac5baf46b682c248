"""The cheap objective: how suspicious a model finds the faulty lines, seeing the program and the error alone.

Runs no test; one answer costs what reading the program once costs the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

from eval.correctness import source_of
from eval.faults import changed_lines, line_rank
from eval.suites.rows import Case
from repair.campaign import survey
from repair.defects import Defect, RepairRequest
from repair.model import Model
from repair.traces import parse_error

_LEAST = 1e-9  # suspiciousness of lines that are no suspects at all


@dataclass(frozen=True, slots=True)
class Reading:
    """`belief`: log of the suspiciousness (0..1) of all faulty lines together. `rank`: of the first, from 1.

    `top` and `share`: the most suspicious line (0: there is none) and its suspiciousness. `believed`: a model gave
    probabilities; where it gave none, the evidence alone speaks.
    """

    belief: float
    rank: int | None
    top: int = 0
    share: float = 0.0
    believed: bool = False


@dataclass(slots=True)
class Locating:
    """An objective (see `search.Objective`) that remembers what it was asked. Raises ModelError.

    Cases need a reference: it says which lines are at fault.
    """

    model: Model | None
    _known: dict[Case, Reading] = field(default_factory=dict[Case, Reading])

    def __call__(self, case: Case) -> float:
        """The belief in the faulty lines; lower is worse for the model."""
        return self.read(case).belief

    def read(self, case: Case) -> Reading:
        """Belief and rank of a case."""
        if case not in self._known:
            self._known[case] = self._read(case)
        return self._known[case]

    def _read(self, case: Case) -> Reading:
        if case.fixed_code is None:
            raise ValueError(f"{case.id} has no reference")
        defect = parse_error(case.error) if case.error else Defect()
        request = RepairRequest((source_of(case, case.buggy_code),), defect)
        place, no_fault = survey(request, self.model, None)
        faulty = changed_lines(case.buggy_code, case.fixed_code)
        share = sum(s.suspiciousness for s in place.suspects if s.line in faulty)
        rank = line_rank([s.line for s in place.suspects], faulty)
        top = place.suspects[0] if place.suspects else None
        line, most = (top.line, top.suspiciousness) if top else (0, 0.0)
        return Reading(log(share + _LEAST), rank, line, most, no_fault is not None)
