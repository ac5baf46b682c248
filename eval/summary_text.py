"""How a summary is told: lines of a table, and JSON. Pure.

Shares always come with their interval, and the settings are always told with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from eval.calibration import BINS
from eval.measurement import Conditions, Stop
from eval.stats import Confusion, Estimate, Share
from eval.summary import Calibrated, Located, Shares, Spent, Summary


def share_json(share: Share) -> dict[str, Any]:
    """A share with its interval, for JSON."""
    return {"count": share.count, "total": share.total, "share": share.value, "interval95": share.interval}


def summary_json(summary: Summary) -> dict[str, Any]:
    """A summary for JSON: shares with their intervals, figures of k by k."""
    return {
        **asdict(summary),
        **{name: share_json(getattr(summary, name)) for name in ("plausible", "correct", "overfitting", "exact")},
        "same_tree": share_json(summary.same_tree),
        **{name: _by_k(getattr(summary, name)) for name in ("plausible_within", "correct_within")},
        **{name: {str(k): asdict(e) for k, e in getattr(summary, name)} for name in ("plausible_at", "correct_at")},
        **{
            name: {"top": _by_k(found.top), "mrr": asdict(found.mrr)}
            for name, found in (("lines", summary.lines), ("functions", summary.functions))
        },
        "no_fault": _confusion_json(summary.no_fault),
    }


def _by_k(shares: Shares) -> dict[str, Any]:
    return {str(k): share_json(share) for k, share in shares}


def _confusion_json(found: Confusion | None) -> dict[str, Any] | None:
    if found is None:
        return None
    shares = {name: share_json(getattr(found, name)) for name in ("precision", "recall", "false_alarms")}
    return {**asdict(found), **shares, "f1": found.f1, "f1_interval95": found.f1_interval}


def settings_line(c: Conditions) -> str:
    """All settings of a run in one line."""
    model = f"{c.model}{' + ' + c.adapter if c.adapter else ''}{f' ({c.weights})' if c.weights else ''}"
    judged = ", all judged" if c.exhaustive else ""
    return (
        f"model {model}, tests {c.tests}, location {c.location}, order {c.order}, seed {c.seed}, "
        f"{c.candidates} candidates{judged}, {c.seconds:g} s, sandbox {c.tier}"
    )


def summary_lines(summary: Summary) -> list[tuple[str, str]]:
    """A summary as labels and texts, for a table."""
    lines = [
        ("suite", f"{summary.suite} ({summary.total} cases, sha256 {summary.sha256[:12]})"),
        ("settings", settings_line(summary.conditions)),
        ("left out by the self-check", str(len(summary.left_out))),
        ("unscored (a boundary failed)", str(len(summary.unscored))),
        ("plausible", str(summary.plausible)),
        ("correct", f"{summary.correct}, unknown {summary.unknown}{_decided(summary)}"),
        ("overfitting", str(summary.overfitting)),
        ("as the reference", f"text {summary.exact.count}, syntax tree {summary.same_tree.count}"),
        ("plausible within N", _counts(summary.plausible_within)),
        ("correct within N", f"{_counts(summary.correct_within)}; MRR {_estimate(summary.mrr_correct)}"),
        ("rank of the first", f"plausible {_rank(summary.first_plausible)}, correct {_rank(summary.first_correct)}"),
        *_at_lines(summary),
        ("fault located, line", _located_text(summary.lines)),
        ("fault located, function", _located_text(summary.functions)),
        *_belief_lines(summary),
        (
            "changed lines",
            f"patch {summary.patch_lines.median:g}, reference {summary.reference_lines.median:g} (median)",
        ),
        ("wall seconds", _spent_text(summary.wall_seconds)),
        ("CPU seconds", _spent_text(summary.cpu_seconds)),
        ("candidates", f"{_spent_text(summary.judged)}; {_counts_text(summary.verdicts)}"),
        ("test runs", _spent_text(summary.test_runs)),
        ("tokens", f"{summary.prompt_tokens} read, {summary.completion_tokens} written"),
    ]
    if summary.unreadable:
        lines.append(("unreadable answers", f"{summary.unreadable} of {summary.proposed}"))
    if clocked := summary.stops.get(Stop.SECONDS, 0):
        lines.append(("ended by the clock", f"{clocked} cases: figures of another machine may differ"))
    return lines


def _decided(summary: Summary) -> str:
    return f" (decided by {_counts_text(summary.decided_by)})" if summary.decided_by else ""


def _counts(shares: Shares) -> str:
    return ", ".join(f"{k}: {share.count}" for k, share in shares)


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _estimate(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _rank(value: float | None) -> str:
    return "-" if value is None else f"{value:g} (median)"


def _at_lines(summary: Summary) -> list[tuple[str, str]]:
    named = (("plausible@k, unbiased", summary.plausible_at), ("correct@k, unbiased", summary.correct_at))
    return [(name, ", ".join(f"{k}: {_estimate(e)}" for k, e in found)) for name, found in named if found]


def _located_text(found: Located) -> str:
    return f"{', '.join(f'@{k}: {share}' for k, share in found.top)}; MRR {_estimate(found.mrr)}"


def _belief_lines(summary: Summary) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if summary.location:
        lines.append(("location, calibration", _calibrated_text(summary.location)))
    if found := summary.no_fault:
        f1 = "-" if found.f1 is None else f"{100 * found.f1:.1f} %"
        told = f"precision {found.precision}, recall {found.recall}, F1 {f1}"
        alarms = f"{found.fn} of {found.fn + found.tp} faultless programs are called faulty"
        lines.append(("no fault", f"{told}; {alarms}"))
    if summary.no_fault_probability:
        lines.append(("no fault, calibration", _calibrated_text(summary.no_fault_probability)))
    return lines


def _calibrated_text(found: Calibrated) -> str:
    return f"ECE {found.ece:.3f} ({BINS} bins), Brier {found.brier:.3f}"


def _spent_text(spent: Spent) -> str:
    return f"median {spent.median:g} a case, {spent.total:g} in all"
