"""Pictures of one run: shares within k candidates, where faults were found, calibration, cost. Cards of HTML.

What bars and columns look like is `data.charts`; this module owns the figures that go into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log

from data.charts import WIDTH, columns, escaped, intervals
from data.sheet import card, table
from eval.calibration import expected_calibration_error, reliability_svg, reliability_table
from eval.measurement import GIVEN, Measurement
from eval.report.figures import located, share
from eval.report.runs import Run
from eval.stats import Share, quantile

_LEFT, _TOP, _HIGH = 38, 10, 190  # of the curve's plot, in units
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_TOPS = (1, 3, 5, 10)


def pictures(run: Run, ident: str) -> Iterable[str]:
    """All cards of a run; `ident` goes before each id in them."""
    scored = [m for m in run.measurements if m.scored]
    if not scored:
        return
    yield _curve_card(run, scored, ident)
    yield from _located_card(scored, ident)
    yield from _calibration_card(scored, ident)
    yield _spread("Seconds a task", [m.wall_seconds for m in scored], "wall seconds, at most", f"{ident}-seconds")
    yield _spread("Candidates judged a task", [m.judged for m in scored], "candidates, at most", f"{ident}-judged")
    yield _spread("Test runs a task", [m.test_runs for m in scored], "test runs, at most", f"{ident}-runs")


def share_text(found: Share) -> str:
    """A share with its interval, short."""
    if found.interval is None or found.value is None:
        return "-"
    return f"{100 * found.value:.1f} % [{100 * found.interval[0]:.1f}, {100 * found.interval[1]:.1f}]"


def shares_picture(rows: Sequence[tuple[str, Share]], title: str, ident: str) -> str:
    """Shares with their intervals on a scale from 0; those of nothing are left out."""
    drawn = [(name, s.value, *s.interval) for name, s in rows if s.value is not None and s.interval is not None]
    return intervals(drawn, title, ident=ident)


def within(ranks: Sequence[int | None], most: int) -> Share:
    """Ranks that are at most `most`."""
    return Share(sum(rank is not None and rank <= most for rank in ranks), len(ranks))


def _curve_card(run: Run, scored: Sequence[Measurement], ident: str) -> str:
    plausible, correct = [m.first_plausible for m in scored], [m.first_correct for m in scored]
    last = max([run.conditions.candidates, 2, *(r for r in (*plausible, *correct) if r is not None)])
    steps = [k for k in _STEPS if k < last] + [last]
    rows = [(f"{k}", share_text(within(plausible, k)), share_text(within(correct, k))) for k in steps]
    axis = "candidates judged" if run.conditions.tests == GIVEN else "patches shown"
    picture = curve((("plausible", plausible), ("correct", correct)), last, axis, f"{ident}-curve")
    note = (
        '<span class="stroke"></span>a plausible one, <span class="stroke second"></span>a correct one among the '
        "first k. "
    )
    if not run.conditions.exhaustive:
        note += (
            f"Judging ends {run.conditions.extra} candidates after the first plausible one, so that further right "
            "ones may be missed."
        )
    return card("Within k candidates", picture, table((axis, "plausible [95 %]", "correct [95 %]"), rows), note)


def curve(lines: Sequence[tuple[str, Sequence[int | None]]], last: int, axis: str, ident: str) -> str:
    """Step curves of the share of ranks up to k, k from 1 to `last` on a logarithmic scale; an SVG."""
    right, bottom = WIDTH - 6, _TOP + _HIGH
    parts: list[str] = []
    for percent in (0, 25, 50, 75, 100):
        y = bottom - _HIGH * percent / 100
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="axis"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick end">{percent}</text>')
    shown = [k for k in _STEPS if k < last * 0.75] + [last]
    for k in shown:
        parts.append(f'<text x="{_across(k, last):.1f}" y="{bottom + 15}" class="tick">{k}</text>')
    parts.append(
        f'<text x="{(_LEFT + right) / 2:.1f}" y="{bottom + 31}" class="axis-name">k, {escaped(axis)} (log scale)</text>'
        f'<text transform="translate(10 {_TOP + _HIGH / 2:.1f}) rotate(-90)" class="axis-name">% of scored tasks</text>'
    )
    told: list[str] = []
    for number, (name, ranks) in enumerate(lines):
        final = within(ranks, last)
        parts.append(
            f'<g><title>{escaped(name)}: {escaped(str(final))}</title><path d="{_path(ranks, last)}" '
            f'class="curve{" second" if number else ""}"/></g>'
        )
        told.append(f"{name} {final.count} of {final.total} within {last}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + 36}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">Share of tasks within k candidates</title>'
        f'<desc id="{ident}-d">{escaped("; ".join(told))}</desc>{"".join(parts)}</svg>'
    )


def _across(k: float, last: int) -> float:
    return _LEFT + (WIDTH - 6 - _LEFT) * log(k) / log(last)


def _path(ranks: Sequence[int | None], last: int) -> str:
    total, bottom = len(ranks), _TOP + _HIGH
    path = f"M{_LEFT},{bottom}"
    for count, rank in enumerate(sorted(rank for rank in ranks if rank is not None), 1):
        path += f"H{_across(rank, last):.1f}V{bottom - _HIGH * count / total:.1f}"
    return f"{path}H{_across(last, last):.1f}"


def _located_card(scored: Sequence[Measurement], ident: str) -> Iterable[str]:
    lines = [(f"top {k}, line", share(scored, located(k))) for k in _TOPS]
    known = [m for m in scored if located(1)(m) is not None]
    if not known:
        return
    functions = [("top 1, function", within([m.function_rank for m in known], 1))]
    rows = [*lines, *(functions if any(m.function_rank for m in known) else [])]
    picture = shares_picture(rows, "Fault located", f"{ident}-located")
    cells = [(name, f"{s.count}", f"{s.total}", share_text(s)) for name, s in rows]
    ranks = [1 / m.fault_rank if m.fault_rank else 0.0 for m in known]
    note = f"A line that the reference changes among the first suspects. Mean reciprocal rank {_mean(ranks):.2f}."
    yield card("Fault located", picture, table(("", "count", "of", "share [95 %]"), cells), note)


def _calibration_card(scored: Sequence[Measurement], ident: str) -> Iterable[str]:
    pairs = [(m.confidence, m.fault_rank == 1) for m in scored if m.confidence is not None and m.fault_lines]
    if not pairs:
        return
    bins = reliability_table([confidence for confidence, _ in pairs], [hit for _, hit in pairs])
    error = expected_calibration_error(bins) or 0.0
    cells = [(f"{b.low:.1f} to {b.high:.1f}", f"{b.confidence:.2f}", f"{b.hits}", f"{b.count}") for b in bins]
    note = (
        f"Suspiciousness of the first suspect against how often it is on the fault. On the dashed line it can be "
        f"taken at its word. Expected calibration error {error:.2f} over {len(pairs)} tasks in ten bins."
    )
    picture = reliability_svg(bins, "Calibration of the first suspect", f"{ident}-calibration")
    yield card("Calibration", picture, table(("confidence", "mean", "came true", "of"), cells), note)


def _spread(title: str, values: Sequence[float], axis: str, ident: str) -> str:
    """A histogram over bins that grow 1, 2, 5, 10, ..."""
    edges = [edge * scale for scale in (0.1, 1, 10, 100, 1000, 10000) for edge in (1, 2, 5)]
    least, most = min(values), max(values)
    first = max([n for n, edge in enumerate(edges) if edge <= least], default=0)
    last = min([n for n, edge in enumerate(edges) if edge >= most], default=len(edges) - 1)
    bounds = edges[first : last + 1]
    below = [sum(value <= bound for value in values) for bound in bounds]
    bins = [(f"{bound:g}", n - before) for bound, n, before in zip(bounds, below, [0, *below], strict=False)]
    if rest := len(values) - below[-1]:
        bins.append((f">{bounds[-1]:g}", rest))
    quantiles = [quantile(values, q) or 0.0 for q in (0.5, 0.95)]
    note = f"Median {quantiles[0]:,.4g}, 95 % at most {quantiles[1]:,.4g}, {sum(values):,.6g} in all."
    cells = [(name, f"{count}") for name, count in bins]
    return card(title, columns(bins, title, ident=ident, axis=axis), table((axis, "tasks"), cells), note)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
