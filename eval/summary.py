"""Count measurements of one suite: plausible, correct, ranks, location, calibration, cost. Pure.

How it is told is `summary_text`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eval.calibration import BINS, Bin, brier, expected_calibration_error, reliability_table
from eval.estimators import first_rank_at_k, mean_pass_at_k, mean_reciprocal_rank, top_k
from eval.measurement import Conditions, Measurement, Status
from eval.stats import Confusion, Estimate, Share, confusion, quantile

WITHIN = (1, 5, 10, 50, 100, 400)

Shares = tuple[tuple[int, Share], ...]  # with the k that each is for


@dataclass(frozen=True, slots=True)
class Spent:
    """What the cases of a suite took: the middle one, and all together."""

    median: float
    total: float


@dataclass(frozen=True, slots=True)
class Located:
    """Whether the fault is among the first k suspects, and the mean reciprocal rank."""

    top: Shares
    mrr: Estimate


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How far a probability can be believed: expected calibration error, Brier score, both 0..1, and their bins."""

    ece: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run of one suite came to. `total` counts all cases, the shares only the scored ones."""

    suite: str
    sha256: str
    conditions: Conditions
    total: int
    left_out: tuple[tuple[str, str], ...]  # id and reason
    unscored: tuple[tuple[str, str], ...]
    plausible: Share
    correct: Share
    unknown: int  # plausible, neither right nor wrong by what the suite has
    decided_by: Mapping[str, int]
    overfitting: Share  # plausible and wrong, of the plausible ones that are known
    exact: Share  # the chosen patch gives the reference's text
    same_tree: Share
    plausible_within: Shares  # one among the first so many candidates
    correct_within: Shares
    plausible_at: tuple[tuple[int, Estimate], ...]  # unbiased; only where all candidates were judged
    correct_at: tuple[tuple[int, Estimate], ...]
    first_plausible: float | None  # median rank
    first_correct: float | None
    mrr_correct: Estimate
    lines: Located
    functions: Located
    location: Calibrated | None  # of the first suspect's suspiciousness
    no_fault: Confusion | None  # of "no fault", asked without any evidence: yes is "no fault"
    no_fault_probability: Calibrated | None
    patch_lines: Spent
    reference_lines: Spent
    judged: Spent
    wall_seconds: Spent
    cpu_seconds: Spent
    test_runs: Spent
    prompt_tokens: int
    completion_tokens: int
    stops: Mapping[str, int]
    verdicts: Mapping[str, int]
    origins: Mapping[str, int]  # of the chosen patches
    proposed: int
    unreadable: int


def summarize(suite: str, sha256: str, conditions: Conditions, measured: Iterable[Measurement]) -> Summary:
    """The summary of one suite."""
    rows = tuple(measured)
    scored = [m for m in rows if m.scored]
    repaired = [m for m in scored if m.status is Status.REPAIRED]
    verdicts = Counter(m.correct for m in repaired)
    plausible_at, correct_at = _sampled(scored, conditions)
    plausible, correct = [m.first_plausible for m in scored], [m.first_correct for m in scored]
    with_reference = [m for m in scored if m.fault_lines]
    return Summary(
        suite=suite,
        sha256=sha256,
        conditions=conditions,
        total=len(rows),
        left_out=_reasons(rows, Status.LEFT_OUT),
        unscored=_reasons(rows, Status.UNSCORED),
        plausible=Share(len(repaired), len(scored)),
        correct=Share(verdicts[True], len(scored)),
        unknown=verdicts[None],
        decided_by=_counted(m.decided_by for m in repaired if m.correct is not None),
        overfitting=Share(verdicts[False], verdicts[True] + verdicts[False]),
        exact=Share(sum(m.exact is True for m in with_reference), len(with_reference)),
        same_tree=Share(sum(m.same_tree is True for m in with_reference), len(with_reference)),
        plausible_within=_within(plausible, conditions),
        correct_within=_within(correct, conditions),
        plausible_at=plausible_at,
        correct_at=correct_at,
        first_plausible=quantile([float(r) for r in plausible if r is not None], 0.5),
        first_correct=quantile([float(r) for r in correct if r is not None], 0.5),
        mrr_correct=mean_reciprocal_rank(correct),
        lines=_located([m.fault_rank for m in with_reference]),
        functions=_located([m.function_rank for m in with_reference]),
        location=_location(with_reference),
        no_fault=_no_fault(scored),
        no_fault_probability=_no_fault_probability(scored),
        patch_lines=_spent(repaired, lambda m: m.patch_lines),
        reference_lines=_spent(with_reference, lambda m: m.reference_lines),
        judged=_spent(scored, lambda m: m.judged),
        wall_seconds=_spent(scored, lambda m: m.wall_seconds),
        cpu_seconds=_spent(scored, lambda m: m.cpu_seconds),
        test_runs=_spent(scored, lambda m: m.test_runs),
        prompt_tokens=sum(m.prompt_tokens for m in scored),
        completion_tokens=sum(m.completion_tokens for m in scored),
        stops=_counted(m.stop for m in scored if m.stop),
        verdicts=_added(m.verdicts for m in scored),
        origins=_counted(m.origin.partition(":")[0] for m in repaired if m.origin),
        proposed=sum(m.proposed for m in scored),
        unreadable=sum(m.unreadable for m in scored),
    )


def _reasons(rows: Sequence[Measurement], status: Status) -> tuple[tuple[str, str], ...]:
    return tuple((m.id, m.reason) for m in rows if m.status is status)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _within(ranks: Sequence[int | None], conditions: Conditions) -> Shares:
    """Ranks beyond the budget of candidates cannot be: only what k says something about."""
    return tuple((k, first_rank_at_k(ranks, k)) for k in WITHIN if k <= conditions.candidates)


_Estimates = tuple[tuple[int, Estimate], ...]


def _sampled(scored: Sequence[Measurement], conditions: Conditions) -> tuple[_Estimates, _Estimates]:
    """The unbiased estimators: a run that stops at the first plausible candidate would favour itself."""
    if not conditions.exhaustive or not scored:
        return (), ()
    judged = [m for m in scored if m.judged]
    ks = [k for k in WITHIN if judged and k <= min(m.judged for m in judged)]
    plausible = tuple((k, mean_pass_at_k([(m.judged, m.plausible_count) for m in judged], k)) for k in ks)
    return plausible, tuple((k, mean_pass_at_k([(m.judged, m.correct_count) for m in judged], k)) for k in ks)


def _located(ranks: Sequence[int | None]) -> Located:
    return Located(top_k(ranks), mean_reciprocal_rank(ranks))


def _location(rows: Sequence[Measurement]) -> Calibrated | None:
    told = [m for m in rows if m.confidence is not None]
    return _calibrated([min(1.0, m.confidence or 0.0) for m in told], [m.fault_rank == 1 for m in told])


def _calibrated(confidences: Sequence[float], outcomes: Sequence[bool]) -> Calibrated | None:
    bins, score = reliability_table(confidences, outcomes, BINS), brier(confidences, outcomes)
    error = expected_calibration_error(bins)
    return None if score is None or error is None else Calibrated(error, score.score, bins)


def _no_fault(scored: Sequence[Measurement]) -> Confusion | None:
    asked = [m.no_fault for m in scored if m.no_fault is not None]
    if not asked:
        return None
    said = [a.faulty_ok for a in asked] + [a.clean_ok for a in asked]
    return confusion(said, [False] * len(asked) + [True] * len(asked))


def _no_fault_probability(scored: Sequence[Measurement]) -> Calibrated | None:
    asked = [m.no_fault for m in scored if m.no_fault is not None]
    told = [min(1.0, a.faulty) for a in asked] + [min(1.0, a.clean) for a in asked]
    return _calibrated(told, [False] * len(asked) + [True] * len(asked))


def _spent(rows: Sequence[Measurement], of: Callable[[Measurement], float]) -> Spent:
    values = [float(of(m)) for m in rows]
    return Spent(round(quantile(values, 0.5) or 0.0, 3), round(sum(values), 3))
