"""Count measurements: plausible, correct, ranks, cost. Pure; shares always come with their interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.measurement import Conditions, Measurement, Status
from eval.stats import Share, quantile

WITHIN = (1, 10, 50, 100)


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
    overfitting: Share  # plausible and wrong, of the plausible ones that are known
    correct_within: tuple[tuple[int, Share], ...]  # a right patch among the first so many judged candidates
    located: tuple[tuple[int, Share], ...]  # a changed line among the first so many suspects
    first_plausible: float | None  # median rank
    wall_seconds: tuple[float, float]  # median and sum
    cpu_seconds: tuple[float, float]
    test_runs: int
    prompt_tokens: int
    completion_tokens: int


def summarize(suite: str, sha256: str, conditions: Conditions, measured: Iterable[Measurement]) -> Summary:
    """The summary of one suite."""
    rows = tuple(measured)
    scored = [m for m in rows if m.scored]
    repaired = [m for m in scored if m.status is Status.REPAIRED]
    verdicts = Counter(m.correct for m in repaired)
    known = verdicts[True] + verdicts[False]
    ranks = [float(m.first_plausible) for m in scored if m.first_plausible is not None]
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
        overfitting=Share(verdicts[False], known),
        correct_within=tuple((n, _within([m.first_correct for m in scored], n)) for n in WITHIN),
        located=tuple((n, _within([m.fault_rank for m in scored], n)) for n in (1, 5)),
        first_plausible=quantile(ranks, 0.5),
        wall_seconds=_median_and_sum([m.wall_seconds for m in scored]),
        cpu_seconds=_median_and_sum([m.cpu_seconds for m in scored]),
        test_runs=sum(m.test_runs for m in scored),
        prompt_tokens=sum(m.prompt_tokens for m in scored),
        completion_tokens=sum(m.completion_tokens for m in scored),
    )


def _reasons(rows: Sequence[Measurement], status: Status) -> tuple[tuple[str, str], ...]:
    return tuple((m.id, m.reason) for m in rows if m.status is status)


def _within(ranks: Sequence[int | None], most: int) -> Share:
    return Share(sum(rank is not None and rank <= most for rank in ranks), len(ranks))


def _median_and_sum(values: Sequence[float]) -> tuple[float, float]:
    return round(quantile(values, 0.5) or 0.0, 3), round(sum(values), 3)


def share_json(share: Share) -> dict[str, Any]:
    """A share with its interval, for JSON."""
    return {"count": share.count, "total": share.total, "share": share.value, "interval95": share.interval}


def summary_json(summary: Summary) -> dict[str, Any]:
    """A summary for JSON."""
    pairs = [("correct_within", summary.correct_within), ("located", summary.located)]
    return {
        **asdict(summary),
        **{name: share_json(getattr(summary, name)) for name in ("plausible", "correct", "overfitting")},
        **{name: {str(n): share_json(share) for n, share in shares} for name, shares in pairs},
        "wall_seconds": {"median": summary.wall_seconds[0], "sum": summary.wall_seconds[1]},
        "cpu_seconds": {"median": summary.cpu_seconds[0], "sum": summary.cpu_seconds[1]},
    }


def summary_lines(summary: Summary) -> list[tuple[str, str]]:
    """A summary as labels and texts, for a table."""
    c = summary.conditions
    rank = "-" if summary.first_plausible is None else f"{summary.first_plausible:g}"
    within = ", ".join(f"{n}: {share.count}" for n, share in summary.correct_within)
    located = ", ".join(f"@{n}: {share}" for n, share in summary.located)
    return [
        ("suite", f"{summary.suite} ({summary.total} cases, sha256 {summary.sha256[:12]})"),
        ("settings", f"model {c.model}{' + ' + c.adapter if c.adapter else ''}, order {c.order}, seed {c.seed}, "
                     f"{c.candidates} candidates, {c.seconds:g} s, sandbox {c.tier}, location {c.location}"),
        ("left out by the self-check", str(len(summary.left_out))),
        ("unscored (a boundary failed)", str(len(summary.unscored))),
        ("plausible", str(summary.plausible)),
        ("correct", f"{summary.correct}, unknown {summary.unknown}"),
        ("overfitting", str(summary.overfitting)),
        ("correct within N judged", within),
        ("fault located", located),
        ("rank of the first plausible", f"median {rank}"),
        ("wall seconds", "median {} a case, {} in all".format(*summary.wall_seconds)),
        ("CPU seconds", "median {} a case, {} in all".format(*summary.cpu_seconds)),
        ("test runs", str(summary.test_runs)),
        ("tokens", f"{summary.prompt_tokens} read, {summary.completion_tokens} written"),
    ]  # fmt: skip
