"""The repair itself, readable from top to bottom: observe, localize, propose, judge, rank.

Everything with effects comes in as a Protocol: the model, and the oracle with its sandbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from repair.campaign import Campaign, survey
from repair.defects import RepairRequest
from repair.model import Model, Usage
from repair.oracle import Baseline, Bench, Oracle
from repair.rank import rank
from repair.search import SearchOptions
from repair.verdicts import Cost, Judgement, RepairResult, Suspect, Verdict


@dataclass(frozen=True, slots=True)
class Options:
    """How to repair. `extra` candidates are judged after the first plausible one, against overfitting."""

    search: SearchOptions = field(default_factory=SearchOptions)
    extra: int = 24
    undecided: int = 10  # patches returned when there is nothing to judge them with
    second_faults: bool = True  # build on candidates that repair a part
    prior: Mapping[tuple[str, int], float] | None = None  # (path, line) -> weight of its suspiciousness, 1 elsewhere
    stop: Callable[[], bool] = bool  # asked between candidates; what is plausible by then is still confirmed


@dataclass(frozen=True, slots=True)
class SuspectsFound:
    """Where the fault may be, and P(no fault) when the model gave one."""

    suspects: tuple[Suspect, ...]
    no_fault: float | None


@dataclass(frozen=True, slots=True)
class CandidateJudged:
    """One candidate's verdict, in the order of judging (`number` counts from 1)."""

    number: int
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: everything, ranked."""

    result: RepairResult


Event = SuspectsFound | CandidateJudged | Finished


def repair(
    request: RepairRequest, model: Model | None, oracle: Oracle, *, options: Options | None = None
) -> Iterator[Event]:
    """Repair one defect; closing the iterator early ends every process.

    Raises NothingToRepair when the tests pass already; OracleError, SandboxError or ModelError when
    that boundary fails. A bad candidate is never an error.
    """
    options = options or Options()
    started, used = time.monotonic(), model.usage if model else Usage()
    with oracle.open() as bench:
        baseline = bench.baseline()
        request = informed(request, baseline)
        place, no_fault = survey(request, model, baseline.spectrum, options.prior)
        yield SuspectsFound(place.suspects, no_fault)
        campaign = Campaign(request, model, place, baseline, options.search, branch=options.second_faults)
        judgements: list[Judgement] = []
        for judgement in _judge(bench, campaign, request, options, started):
            judgements.append(judgement)
            yield CandidateJudged(len(judgements), judgement)
        ranked, chosen = _confirmed(bench, judgements)
    cost = _cost(started, model, used, bench, len(judgements))
    yield Finished(RepairResult(request, place.suspects, ranked, chosen, cost, no_fault, baseline.notes))


def informed(request: RepairRequest, baseline: Baseline) -> RepairRequest:
    """The request with the evidence and the test text that running the unpatched code gave."""
    defect = replace(request.defect, evidence=(*request.defect.evidence, *baseline.evidence))
    return replace(request, defect=defect, tests=request.tests or baseline.test_text)


def _judge(
    bench: Bench, campaign: Campaign, request: RepairRequest, options: Options, started: float
) -> Iterator[Judgement]:
    """Judge candidates best first, until the budget is spent or a plausible one has had its challengers."""
    left = request.budget.candidates
    undecided = options.undecided
    for candidate in campaign:
        if not bench.covers(candidate.patch):
            continue
        judgement = bench.judge(candidate)
        campaign.learn(judgement)
        yield judgement
        left -= 1
        if judgement.verdict is Verdict.PLAUSIBLE:
            left = min(left, options.extra)
        undecided -= judgement.verdict is Verdict.UNDECIDED
        if left <= 0 or undecided <= 0 or time.monotonic() - started > request.budget.seconds or options.stop():
            return


def _confirmed(bench: Bench, judgements: list[Judgement]) -> tuple[tuple[Judgement, ...], Judgement | None]:
    """Ranked judgements and the winner, which must be plausible a second time."""
    ranked = list(rank(judgements))
    while ranked and ranked[0].verdict is Verdict.PLAUSIBLE:
        again = bench.judge(ranked[0].candidate, thorough=True)
        ranked[0] = again
        if again.verdict is Verdict.PLAUSIBLE:
            return tuple(ranked), again
        ranked = list(rank(ranked))
    return tuple(ranked), None


def _cost(started: float, model: Model | None, used: Usage, bench: Bench, candidates: int) -> Cost:
    now = model.usage if model else Usage()
    return Cost(
        seconds=time.monotonic() - started,
        prompt_tokens=now.prompt_tokens - used.prompt_tokens,
        completion_tokens=now.completion_tokens - used.completion_tokens,
        test_runs=bench.runs,
        candidates=candidates,
    )
