"""`emend eval report`, `compare` and `leaderboard`: what results files say, for people and for other tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eval.clusters import Cluster, clusters, needs
from eval.comparison import Comparison, Figure, compare_runs, comparison_json
from eval.failures import pattern, weaknesses
from eval.fairness import gaps_of
from eval.report.figures import NUMBERS, YES_NO, brief, correct_share, middle, model_name, share, title
from eval.report.harness import harness_results, harness_samples, sanitized, task_name
from eval.report.html import SLICES, render_report
from eval.report.leaderboard import leaderboard as leaderboard_text
from eval.report.runs import Run, read_runs
from eval.slices import Gap
from eval.stats import Share
from repair.errors import BoundaryError, InputError
from serve.printing import shown, stderr, stdout

_LISTED = 30  # ids of tasks gained or lost that a terminal shows


def report(paths: Sequence[Path], output: Path | None, form: str) -> int:
    """Write a report of results: html, json, markdown, or the files of the evaluation harness."""
    runs = _read(paths)
    if form == "harness":
        return _harness(runs, paths, output or paths[0].with_suffix(".harness"))
    if form == "html":
        text = render_report(runs, [_gap_rows(run) for run in runs])
        output = output or paths[0].with_suffix(".html")
    elif form == "json":
        text = json.dumps([_run_json(run) for run in runs], indent=2) + "\n"
    else:
        text = _markdown(runs)
    _tell(output, text)
    return 0


def leaderboard(paths: Sequence[Path], output: Path | None) -> int:
    """Write the Markdown table."""
    _tell(output, leaderboard_text(_read(paths)))
    return 0


def compare(before: Path, after: Path, *, as_json: bool) -> int:
    """Show what differs between two results of the same tasks."""
    found = compare_runs(read_runs(before), read_runs(after))
    if as_json:
        sys.stdout.write(json.dumps(comparison_json(found), indent=2) + "\n")
        return 0
    _print(found, stdout())
    return 0


def _read(paths: Sequence[Path]) -> list[Run]:
    return [run for path in paths for run in read_runs(path)]


def _tell(output: Path | None, text: str) -> None:
    """To a file, to stdout without one."""
    if output is None:
        sys.stdout.write(text)
        return
    _write(output, text)
    stderr().print(f"written to {output}", soft_wrap=True)


def _write(path: Path, text: str) -> None:
    if path.suffix == ".jsonl" and not path.name.startswith("samples_"):
        raise InputError(f"{path}: a report would take the place of results; name another file", field="output")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise BoundaryError(f"cannot write {path} ({error.strerror}): name another place, or make room") from error


def _harness(runs: Sequence[Run], paths: Sequence[Path], folder: Path) -> int:
    """The date is that of the newest results file, so that the same results give the same files."""
    date = max(path.stat().st_mtime for path in paths)
    told = harness_results(runs, date)
    stamp = datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
    place = folder / sanitized(model_name(runs[0].conditions))
    for run in runs:
        rows = "".join(json.dumps(row) + "\n" for row in harness_samples(run))
        _write(place / f"samples_{task_name(run)}_{stamp}.jsonl", rows)
    _write(place / f"results_{stamp}.json", json.dumps(told, indent=2) + "\n")
    stderr().print(f"written to {place}", soft_wrap=True)
    return 0


def _share_json(found: Share) -> dict[str, Any]:
    return {"count": found.count, "total": found.total, "share": found.value, "interval95": found.interval}


def _run_json(run: Run) -> dict[str, Any]:
    """All of a run; its tasks are rows that `compare` reads again."""
    rows = run.measurements
    shares = {name: share(rows, figure) for name, figure in YES_NO.items()} | {"correct": correct_share(rows)}
    found = clusters(rows)
    return {
        "suite": run.suite,
        "sha256": run.sha256,
        "conditions": asdict(run.conditions),
        "figures": {
            **{name: _share_json(s) for name, s in shares.items()},
            **{name: middle(rows, figure) for name, figure in NUMBERS.items()},
        },
        "clusters": [{**asdict(c), "count": c.count} for c in found],
        "needs": dict(needs(found)),
        "weaknesses": [{**asdict(w), "share": _share_json(w.share), "gain": w.gain} for w in weaknesses(rows)],
        "tasks": [{**asdict(m), "pattern": pattern(m)} for m in rows],
    }


def _markdown(runs: Sequence[Run]) -> str:
    parts = [leaderboard_text(runs)]
    for run in runs:
        found = clusters(run.measurements)
        if found:
            parts.append(f"## Failures of {_line(title(run))}\n")
            parts.append("".join(_cluster_line(c) for c in found))
    return "\n".join(parts)


def _cluster_line(found: Cluster) -> str:
    names = ", ".join(f"`{_line(example.id).replace('`', '')}`" for example in found.examples)
    more = ", ..." if found.count > len(found.examples) else ""
    return f"- **{found.count}** · {_line(found.name)} ({names}{more}). {_line(found.advice)}\n"


def _line(text: str) -> str:
    """One line that is no HTML."""
    return " ".join(text.split()).replace("<", "&lt;")


def _gap_rows(run: Run) -> list[tuple[str, ...]]:
    """The gap table of correct patches under `SLICES`."""
    return [row for gap in gaps_of(run.measurements)["correct"] for row in _gap(gap)]


def _gap(gap: Gap) -> list[tuple[str, ...]]:
    best = next((g.share.value for g in gap.groups if g.name == gap.best), None)
    told: list[tuple[str, ...]] = []
    for number, group in enumerate(gap.groups):
        behind = (
            "" if best is None or group.share.value is None or not group.enough else _points(group.share.value - best)
        )
        note = group.note or (gap.warning if number == 0 else "")
        told.append(
            (
                gap.attribute if number == 0 else "",
                group.name or "-",
                str(group.share.total),
                _bounds(group.share),
                behind,
                note,
            )
        )
    assert all(len(row) == len(SLICES) for row in told)
    return told


def _bounds(found: Share) -> str:
    if found.value is None or found.interval is None:
        return "-"
    return f"{100 * found.value:.1f} % [{100 * found.interval[0]:.1f}, {100 * found.interval[1]:.1f}]"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _print(found: Comparison, console: Console) -> None:
    for label, c in (("before", found.before), ("after", found.after)):
        console.print(
            Text(shown(f"{label:7} {model_name(c)} ({c.weights or 'weights not told'}): {brief(c)}")), soft_wrap=True
        )
    for d in found.settings_differ:
        told = f"SETTINGS DIFFER: {d.name} {d.before!r} before, {d.after!r} after; this alone may explain a difference"
        console.print(Text(shown(told), style="bold yellow"), soft_wrap=True)
    console.print(Text(shown(_counted(found))), soft_wrap=True)
    console.print(_figures(found.figures))
    console.print(
        Text(
            "p: McNemar's exact test, for medians the sign test; adjusted for all figures (Holm); * below 0.05",
            style="dim",
        ),
        soft_wrap=True,
    )
    for name in found.gained:
        for sign, ids in (("gained", found.gained[name]), ("lost", found.lost[name])):
            more = f" and {len(ids) - _LISTED} more (--json tells all)" if len(ids) > _LISTED else ""
            listed = ", ".join(ids[:_LISTED]) + more if ids else "none"
            console.print(Text(shown(f"{name}, {sign} {len(ids)}: {listed}")), soft_wrap=True)


def _counted(found: Comparison) -> str:
    told = f"{found.tasks} tasks in common of {', '.join(found.suites)}"
    if found.only_before or found.only_after:
        told += f"; {found.only_before} only before, {found.only_after} only after"
    if found.changed:
        told += f"; {len(found.changed)} left out, their content differs: {', '.join(found.changed[:5])}"
    return told


def _figures(figures: Sequence[Figure]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    for name in ("tasks", "before", "after", "difference [95 %]", "p", "p adjusted"):
        table.add_column(name, justify="right", no_wrap=True)
    for figure in figures:
        style = ""
        if figure.significant and figure.difference:
            style = "green" if (figure.difference > 0) == figure.more_is_better else "red"
        table.add_row(*_cells(figure), style=style)
    return table


def _cells(figure: Figure) -> list[str]:
    value: Callable[[float], str] = (lambda v: f"{100 * v:.1f} %") if figure.share else (lambda v: f"{v:.3g}")
    signed: Callable[[float], str] = (lambda v: f"{100 * v:+.1f}") if figure.share else (lambda v: f"{v:+.3g}")
    low, high = figure.interval or (0.0, 0.0)
    return [
        figure.name,
        str(figure.tasks),
        "-" if figure.before is None else value(figure.before),
        "-" if figure.after is None else value(figure.after),
        "-" if figure.difference is None else f"{signed(figure.difference)} [{signed(low)}, {signed(high)}]",
        f"{figure.p_value:.3g}",
        f"{figure.adjusted:.3g}{'*' if figure.significant else ' '}",
    ]
