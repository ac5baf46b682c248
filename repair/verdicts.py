"""Observation, Verdict, Judgement, Suspect, RepairResult: what was seen and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from repair.candidates import Candidate
from repair.defects import RepairRequest
from repair.edits import Span


class Verdict(StrEnum):
    """What we say of one candidate. None of them says "correct": held-out tests decide that."""

    UNREADABLE = "unreadable"  # the model's reply has no readable change
    INAPPLICABLE = "inapplicable"  # does not fit the text, or touches what it may not
    BROKEN = "broken"  # does not parse or compile any more
    UNFIXED = "unfixed"  # a reproduction test still fails
    REGRESSED = "regressed"  # a test that passed before fails or vanished
    PLAUSIBLE = "plausible"  # passes every oracle that we have
    UNDECIDED = "undecided"  # no oracle, or the oracle could not answer


class Outcome(StrEnum):
    """The end of one test."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test of one run; `message` is the failure's text, cut to a few thousand characters."""

    __test__ = False  # not for pytest to collect

    test_id: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One run of an oracle on one state of the code.

    `tests` is empty where the oracle gives no per-test results; then `passed` alone speaks.
    `complete` is False when the run was killed (limits) or its report never came.
    """

    passed: bool
    tests: tuple[TestResult, ...] = ()
    complete: bool = True
    output: str = ""
    seconds: float = 0.0
    reason: str = ""  # why it is not complete, or why it does not count

    def ids(self, *outcomes: Outcome) -> frozenset[str]:
        """Ids of the tests that ended so."""
        return frozenset(t.test_id for t in self.tests if t.outcome in outcomes)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A candidate, our verdict and what it rests on; `reason` is one sentence for the user."""

    candidate: Candidate
    verdict: Verdict
    observations: tuple[Observation, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place that may hold the fault. `suspiciousness` sums to at most 1 over all suspects."""

    path: str
    span: Span
    line: int  # 1-based, of the span's start
    suspiciousness: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a repair took: wall seconds, model tokens, runs of the tests, candidates judged."""

    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    test_runs: int = 0
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class RepairResult:
    """The end of a repair. `judgements` are ranked best first; `chosen` is the best plausible one."""

    request: RepairRequest
    suspects: tuple[Suspect, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    chosen: Judgement | None = None
    cost: Cost = field(default_factory=Cost)
    no_fault: float | None = None  # the model's probability that there is no fault
    notes: tuple[str, ...] = ()  # sentences for the user: flaky tests, tier of the sandbox, ...
