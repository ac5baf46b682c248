"""A Markdown table of runs, a section for each suite, best first; says which rows cannot be told apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from eval.comparison import pair
from eval.paired import compare
from eval.report.figures import (  # fmt: skip
    brief,
    correct,
    correct_share,
    located,
    middle,
    model_name,
    overfitting,
    plausible,
    seconds,
    share,
    unknown,
)
from eval.report.runs import Run
from eval.stats import Share

_HEAD = (
    "model", "settings", "suite", "n", "plausible", "correct [95 %]", "", "overfitting", "location@1", "median s",
    "weights",
)  # fmt: skip
_NOTE = (
    "Sorted by the share of correct patches of all scored tasks, with 95 % Wilson intervals; patches that nothing can "
    "call right or wrong count as not correct. `=` in the column beside it: not distinguishable from the row above by "
    "McNemar's exact test on the tasks that both have (p >= 0.05). `~`: no task in common, and the intervals overlap. "
    "Rows of different settings are not comparable, whatever the test says."
)


def leaderboard(runs: Sequence[Run]) -> str:
    """Markdown; runs of the same suite name but other contents (SHA-256) get sections of their own."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.suite, run.sha256), []).append(run)
    parts = ["# Leaderboard", _NOTE]
    for (suite, sha256), found in sorted(groups.items()):
        parts.append(f"## {_cell(suite)}{f' (sha256 {sha256[:12]})' if sha256 else ''}")
        parts.append(_table(sorted(found, key=_place)))
    return "\n\n".join(parts) + "\n"


def _place(run: Run) -> tuple[float, float, str, str]:
    value = correct_share(run.measurements).value
    return (
        -(-1.0 if value is None else value),
        -(share(run.measurements, plausible).value or 0.0),
        model_name(run.conditions),
        brief(run.conditions),
    )


def _table(runs: Sequence[Run]) -> str:
    rows = [_row(run, above) for run, above in zip(runs, [None, *runs[:-1]], strict=True)]
    right = {"n", "plausible", "overfitting", "location@1", "median s"}
    rule = ["---:" if name in right else "---" for name in _HEAD]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (_HEAD, rule, *rows))


def _row(run: Run, above: Run | None) -> list[str]:
    rows = run.measurements
    found = correct_share(rows)
    low, high = found.interval or (0.0, 1.0)
    told = f"{_percent(found)} [{100 * low:.1f}, {100 * high:.1f}]"
    doubt = f", {unknown(rows)} unknown" if unknown(rows) else ""
    took = middle(rows, seconds)
    return [
        _cell(model_name(run.conditions)),
        _cell(brief(run.conditions)),
        _cell(run.suite),
        str(found.total),
        _percent(share(rows, plausible)),
        told + doubt,
        _marker(run, above) if above else "",
        _percent(share(rows, overfitting)),
        _percent(share(rows, located(1))),
        "-" if took is None else f"{took:.1f}",
        f"`{_cell(run.conditions.weights)}`" if run.conditions.weights else "-",
    ]


def _marker(run: Run, above: Run) -> str:
    """Whether the row can be told from the one above."""
    same, _ = pair(above.measurements, run.measurements)
    keyed = [(str(number), correct(a), correct(b)) for number, (a, b) in enumerate(same)]
    paired = compare({k: a for k, a, _ in keyed}, {k: b for k, _, b in keyed})
    if paired.known:
        return "=" if paired.p_value >= 0.05 else ""
    upper, lower = correct_share(above.measurements).interval, correct_share(run.measurements).interval
    return "~" if upper is None or lower is None or lower[1] >= upper[0] else ""


def _percent(found: Share) -> str:
    return "-" if found.value is None else f"{100 * found.value:.1f} %"


def _cell(text: str) -> str:
    """A text that cannot leave its cell, nor become markup."""
    flat = " ".join(text.split())
    for sign in "\\`*_[]<>|#":
        flat = flat.replace(sign, {"<": "&lt;", ">": "&gt;"}.get(sign, f"\\{sign}"))
    return flat
