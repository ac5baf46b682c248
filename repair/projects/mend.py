"""Repairs one fault of a diagnosed repository within its bounds, and says how that ended.

The search is `repair.pipeline.repair`; this says which files may change, what is known of the fault, when to stop, and
what of the result is a fix. A fix makes the fault's tests pass and no other test worse, seen in the whole suite.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from repair.candidates import Candidate
from repair.defects import Budget, Defect, FailingTest, Location, RepairRequest
from repair.diffs import render_diff
from repair.edits import Patch
from repair.errors import InputError, OracleError
from repair.languages import tree_key
from repair.model import Model, Usage
from repair.oracles.judging import ended_ids, patched_sources
from repair.oracles.territory import is_guarded
from repair.pipeline import CandidateJudged, Finished, Options, repair
from repair.projects.bench import ProjectBench, ProjectOracle, Tally
from repair.projects.values import Bounds, Fault, Fix, Groundwork, Project, Ranked, Reproduction, Spent, State
from repair.sandbox import Sandbox
from repair.sources import Source, read_source
from repair.verdicts import Judgement, Outcome, RepairResult, Verdict

FILES = 8  # that may change for one fault
_NO_FILE = "no file that a repair may change is suspected: the failure stays in the tests, look at them yourself"
_EXTRA = 24  # challengers of the first plausible patch
_ALTERNATIVES = 5
_SECOND_LOOKS = 3  # proposals without a test of their own that meet the whole suite
_PRIOR_POWER = 0.5  # the diagnosis rests on the same tests: its ranking counts half, as log-odds
_PRIOR_FLOOR = 0.01


def never() -> bool:
    """A run that nobody cancels."""
    return False


def mend(  # noqa: PLR0913  (all that a repair starts from)
    project: Project,
    fault: Fault,
    groundwork: Groundwork,
    model: Model | None,
    sandbox: Sandbox,
    bounds: Bounds,
    *,
    cancelled: Callable[[], bool] = never,
    reproduction: Reproduction | None = None,
    options: Options | None = None,
    tally: Tally | None = None,
) -> Fix:
    """Repair one fault. Equal inputs give an equal fix but for `spent`, unless a bound in seconds ends the search.

    `bounds` are what is left for this fault. `cancelled` is asked between candidates. Without tests of its own a fault
    is judged by `reproduction`; without that too, a patch that parses and breaks nothing is PROPOSED. `tally` takes
    the counts. Raises SandboxError and ModelError when that boundary breaks.
    """
    started, tally = time.monotonic(), tally or Tally()
    used = model.usage if model else Usage()
    try:
        sources = changeable(project, fault, groundwork)
        if not sources:
            fix = Fix(fault.key, State.UNFIXED, _NO_FILE)
        else:
            oracle = ProjectOracle(
                project, sources, groundwork, sandbox, frozenset(fault.tests), reproduction, _hung(fault), tally=tally
            )
            with oracle.open() as bench:
                fix = _Mending(fault, bench, model, bounds, cancelled).run(sources, options or Options(extra=_EXTRA))
    except OracleError as error:
        fix = Fix(fault.key, State.UNFIXED, str(error))
    spent = replace(_spent(tally, model, used), seconds=time.monotonic() - started, candidates=fix.spent.candidates)
    if reproduction is not None and fix.state is State.FIXED:
        reproduction = replace(reproduction, passes=True)  # the fix was judged by it
    return replace(fix, spent=spent, reproduction=reproduction)


def changeable(project: Project, fault: Fault, groundwork: Groundwork) -> tuple[Source, ...]:
    """The suspected files that a repair may change and that can be read, most suspicious first, at most FILES."""
    tests = {test.partition("::")[0] for test in groundwork.passing | groundwork.failing | frozenset(fault.tests)}
    found: list[Source] = []
    for path in dict.fromkeys(_paths(fault)):
        if len(found) < FILES and path not in tests and not is_guarded(path):
            with contextlib.suppress(InputError):
                found.append(read_source(project.root, path))
    return tuple(found)


def _paths(fault: Fault) -> Iterable[str]:
    for places in (fault.files, fault.functions, fault.lines):
        yield from (place.path for place in places)


def _hung(fault: Fault) -> frozenset[str]:
    told = (e for e in fault.evidence if isinstance(e, FailingTest) and e.trace is not None)
    return frozenset(e.test_id for e in told if e.trace and e.trace.error_type == "Timeout")


def prior(fault: Fault, sources: Sequence[Source]) -> dict[tuple[str, int], float]:
    """Weight of each line by the diagnosis: its own score, its function's and its file's, spread over their lines."""
    mass: dict[tuple[str, int], float] = {}
    for source in sources:
        of = [place for place in fault.files if place.path == source.path]
        share = sum(place.score for place in of) / max(1, source.line_count)
        mass.update({(source.path, line): share for line in range(1, source.line_count + 1)})
    for place in (*fault.functions, *fault.lines):
        held = [line for line in _lines_of(place) if (place.path, line) in mass]
        for line in held:
            mass[place.path, line] += place.score / len(held)
    top = max(mass.values(), default=0.0)
    return {at: (_PRIOR_FLOOR + m / top) ** _PRIOR_POWER for at, m in mass.items()} if top else {}


def told_place(fault: Fault) -> Location | None:
    """The place of a fault that no test speaks of, where it is told and not guessed, as by an alert."""
    places = [place for place in fault.lines if place.first]
    if fault.tests or len(places) != 1 or places[0].score < 1:
        return None
    return Location(places[0].path, places[0].first, max(places[0].first, places[0].last))


def _lines_of(place: Ranked) -> range:
    return range(place.first, max(place.first, place.last) + 1) if place.first else range(0)


def _spent(tally: Tally, model: Model | None, used: Usage) -> Spent:
    now = model.usage if model else Usage()
    return Spent(
        test_runs=tally.runs,
        whole=tally.whole,
        executed=tally.executed,
        prompt_tokens=now.prompt_tokens - used.prompt_tokens,
        completion_tokens=now.completion_tokens - used.completion_tokens,
    )


@contextlib.contextmanager
def _held(bench: ProjectBench) -> Generator[ProjectBench]:
    yield bench


@dataclass(frozen=True, slots=True)
class _Opened:
    """An oracle whose bench is open already and stays so."""

    bench: ProjectBench

    def open(self) -> contextlib.AbstractContextManager[ProjectBench]:
        """The bench; closing it closes nothing."""
        return _held(self.bench)


class _CancelledError(Exception):
    """Somebody does not want it any more."""


@dataclass(frozen=True, slots=True)
class _Mending:
    """One repair: its fault, where it is judged, what bounds it."""

    fault: Fault
    bench: ProjectBench
    model: Model | None
    bounds: Bounds
    cancelled: Callable[[], bool]

    def run(self, sources: tuple[Source, ...], options: Options) -> Fix:
        started, base = time.monotonic(), self.model.usage if self.model else Usage()
        seconds = min((s for s in (self.bounds.fault_seconds, self.bounds.seconds) if s), default=inf)
        budget = Budget(self.bounds.candidates, seconds)
        request = RepairRequest(sources, Defect(self.fault.evidence), budget, told_place(self.fault))

        def over() -> str:
            spent = _spent(self.bench.tally, self.model, base)
            if self.bounds.test_runs and spent.test_runs >= self.bounds.test_runs:
                return f"its bound of {self.bounds.test_runs} test runs was reached"
            if self.bounds.tokens and spent.tokens >= self.bounds.tokens:
                return f"its bound of {self.bounds.tokens} tokens was reached"
            return f"its bound of {seconds:g} s was reached" if time.monotonic() - started > seconds else ""

        asked = replace(options, prior=prior(self.fault, sources), stop=lambda: bool(over()))
        count, result = 0, None
        try:
            for event in self._events(request, asked):
                count += isinstance(event, CandidateJudged)
                result = event.result if isinstance(event, Finished) else result
        except _CancelledError:
            fix = Fix(self.fault.key, State.CANCELLED, "cancelled")
        else:
            fix = self._ended(result, count, over()) if result else Fix(self.fault.key, State.UNFIXED)
        return replace(fix, spent=Spent(candidates=count))

    def _events(self, request: RepairRequest, options: Options) -> Iterable[object]:
        if self.cancelled():
            raise _CancelledError
        with contextlib.closing(repair(request, self.model, _Opened(self.bench), options=options)) as events:  # type: ignore[type-var]
            for event in events:
                yield event
                if self.cancelled() and not isinstance(event, Finished):
                    raise _CancelledError

    def _ended(self, result: RepairResult, judged: int, over: str) -> Fix:
        sources = {source.path: source for source in result.request.sources}
        if result.chosen is not None:
            return self._fix(State.FIXED, result.chosen, result.judgements, sources)
        for judgement in self._proposals(result.judgements):
            return self._fix(State.PROPOSED, judgement, result.judgements, sources)
        if not over and judged >= self.bounds.candidates:
            over = f"its bound of {self.bounds.candidates} candidates was reached"
        tried = f"none of {judged} candidates repairs it{_nearest(result.judgements)}"
        if over:
            return Fix(self.fault.key, State.OVER_BUDGET, f"{over}: {tried}")
        return Fix(self.fault.key, State.UNFIXED, tried)

    def _proposals(self, judgements: Sequence[Judgement]) -> Iterable[Judgement]:
        """What is undecided for want of a test, and breaks none in the whole suite."""
        undecided = [j for j in judgements if j.verdict is Verdict.UNDECIDED]
        if self.bench.baseline().failing:
            return
        for judgement in undecided[:_SECOND_LOOKS]:
            again = judgement
            if self.bench.baseline().passing:
                again = self.bench.judge(judgement.candidate, thorough=True)
            if again.verdict is Verdict.UNDECIDED:
                yield again

    def _fix(self, state: State, winner: Judgement, others: Sequence[Judgement], sources: Mapping[str, Source]) -> Fix:
        patch = winner.candidate.patch
        whole = self.bench.whole.get(patch)
        seen = (*winner.observations, *((whole,) if whole else ()))
        passed = frozenset[str]().union(*(ended_ids(o, Outcome.PASSED) for o in seen))
        told = self.bench.baseline()
        return Fix(
            self.fault.key,
            state,
            winner.reason,
            render_diff(patch, sources),
            patch.paths,
            tuple(sorted(passed & (told.failing | self.bench.failing_elsewhere))),
            len(ended_ids(whole, Outcome.PASSED) & told.passing) if whole else 0,
            len(self.bench.impact(patch).tests),
            winner.candidate.score,
            winner.verdict.value,
            winner.candidate.origin,
            _alternatives(winner, others, sources),
        )


def _nearest(judgements: Sequence[Judgement]) -> str:
    """Of what came nearest, why it does not count."""
    return f" (the best: {judgements[0].reason})" if judgements and judgements[0].reason else ""


def _alternatives(winner: Judgement, others: Sequence[Judgement], sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Diffs of further patches of the same verdict, best first; of those that make the same program one."""
    known = {_meaning(winner.candidate, sources)}
    found: list[str] = []
    for judgement in others:
        if judgement.verdict is not winner.verdict or len(found) >= _ALTERNATIVES:
            continue
        meaning = _meaning(judgement.candidate, sources)
        if meaning not in known:
            known.add(meaning)
            found.append(render_diff(judgement.candidate.patch, sources))
    return tuple(found)


def _meaning(candidate: Candidate, sources: Mapping[str, Source]) -> tuple[tuple[str, str], ...]:
    """The syntax trees of the changed files."""
    patch: Patch = candidate.patch
    return tuple((path, tree_key(source)) for path, source in patched_sources(sources, patch).items())
