"""Conditions and Measurement: under which settings a case was measured, and what came of it. Values only.

Reports, comparisons, slices and failure patterns read these and nothing else, so that a results file is enough for
all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from repair.errors import InputError

GIVEN, NOT_GIVEN = "given", "not given"
EXTRA = 24  # candidates judged after a plausible one, as `emend fix` does


class Status(StrEnum):
    """What became of a case."""

    REPAIRED = "repaired"  # a plausible patch was chosen
    NONE_FOUND = "none-found"
    LEFT_OUT = "left-out"  # the case failed its own check
    UNSCORED = "unscored"  # sandbox, model or tests failed: says nothing about the repair


class Stop(StrEnum):
    """Why no more candidates were judged."""

    SETTLED = "settled"  # a plausible patch had its challengers
    CANDIDATES = "candidates"  # the budget of candidates was spent
    SECONDS = "seconds"  # the budget of wall seconds was spent: another machine may see more or less
    EXHAUSTED = "exhausted"  # there was no candidate left


class Decided(StrEnum):
    """By what a patch was called correct or not."""

    HELD_OUT = "held-out tests"
    TREE = "reference's syntax tree"
    DIFFERENTIAL = "tests generated from the reference"
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How every case is repaired; stated with each result. `weights` identifies the model's files by content.

    `tests` "not given": the repair sees the error only, its first patches are judged afterwards. `location`
    "given": perfect localization, the lines that the reference changes. `extra`: candidates judged after the first
    plausible one; as many as `candidates` makes the unbiased estimators of `estimators` valid.
    """

    model: str = "none"
    adapter: str = ""
    weights: str = ""
    order: str = "model"
    seed: int = 0
    candidates: int = 400
    seconds: float = 60.0
    tier: str = ""
    location: str = NOT_GIVEN
    tests: str = GIVEN
    extra: int = EXTRA

    def __post_init__(self) -> None:
        for name in ("location", "tests"):
            if getattr(self, name) not in (GIVEN, NOT_GIVEN):
                raise InputError(
                    f"conditions.{name} is {getattr(self, name)!r}: {GIVEN!r} or {NOT_GIVEN!r}", field=name
                )

    @property
    def exhaustive(self) -> bool:
        """Whether every candidate of the budget is judged, plausible ones found or not."""
        return self.extra >= self.candidates


def stop_of(conditions: Conditions, judged: int, first_plausible: int | None, seconds: float) -> Stop:
    """Why judging ended, by what was judged when; `first_plausible` None where nothing settles it."""
    if judged >= conditions.candidates:
        return Stop.CANDIDATES
    if first_plausible is not None and judged - first_plausible >= conditions.extra:
        return Stop.SETTLED
    return Stop.SECONDS if seconds > conditions.seconds else Stop.EXHAUSTED


@dataclass(frozen=True, slots=True)
class NoFault:
    """What the model says without any evidence: P(no fault) of the faulty code and of the reference, 0..1.

    `faulty_ok`, `clean_ok`: it holds "no fault" for likelier than any line.
    """

    faulty: float
    clean: float
    faulty_ok: bool
    clean_ok: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one case. Ranks count from 1, None where there was none; lines are 1-based.

    `correct` is None where unknown: nothing was chosen to judge, or neither held-out tests nor the reference can
    decide. With tests, candidates are ranked in the order of judging; without, in the order shown to the user.
    """

    id: str
    status: Status
    reason: str = ""
    correct: bool | None = None
    first_plausible: int | None = None
    first_correct: int | None = None
    judged: int = 0
    fault_rank: int | None = None  # of the first suspect on a line that the reference changes
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0  # of this process and of the sandboxes that it closed
    test_runs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    diff: str = ""  # of the chosen patch
    language: str = ""
    bug_type: str = ""
    digest: str = ""  # of the case's content
    stop: str = ""
    decided_by: str = ""
    witness: str = ""  # an input on which the chosen patch and the reference differ
    plausible_count: int = 0  # different candidates that pass the tests
    correct_count: int = 0
    unreadable: int = 0  # answers of the model that hold no readable change
    proposed: int = 0  # answers of the model
    verdicts: Mapping[str, int] = field(default_factory=dict[str, int])
    function_rank: int | None = None  # as fault_rank, among the functions of the suspects in their order
    confidence: float | None = None  # suspiciousness of the first suspect
    suspects: tuple[int, ...] = ()  # lines of the first ten
    fault_lines: tuple[int, ...] = ()  # lines that the reference changes
    no_fault: NoFault | None = None
    in_pool: bool | None = None  # where nothing correct was chosen: whether the search could make the reference
    exact: bool | None = None  # the chosen patch gives the reference's text
    same_tree: bool | None = None  # ... its syntax tree
    origin: str = ""  # of the chosen candidate: "model", "mutation:OPERATOR"
    patch_lines: int = 0  # removed and added by the chosen patch
    reference_lines: int = 0  # by the reference
    reference_diff: str = ""
    error_type: str = ""  # of the error text that the repair was given, "AssertionError"; "" where it is not known
    groups: Mapping[str, str] = field(default_factory=dict[str, str])  # slices: project, identifiers, style, length

    @property
    def scored(self) -> bool:
        """Whether it counts in a share."""
        return self.status in (Status.REPAIRED, Status.NONE_FOUND)
