"""The report of `emend improve` as one HTML file without scripts and without anything from elsewhere.

Owns the order of the page and its curve. Must not know how figures come about; words are `eval.improvement_report`'s,
colours the template's. Everything that comes from suites or settings is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

from data.charts import bars, escaped
from eval.improvement import Comparison, Tuned
from eval.improvement_report import (
    CHANGE_HEAD,
    GATE_HEAD,
    WEAK_HEAD,
    Report,
    change_rows,
    clock,
    gate_rows,
    minutes,
    percent,
    points,
    weak_rows,
)
from eval.stats import Share

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 360, 190, 40, 28


def report_html(report: Report) -> str:
    """The whole page."""
    template = Template(resources.files("eval").joinpath("templates/improvement.html").read_text("utf-8"))
    return template.substitute(
        title="emend improve",
        verdict=escaped(report.verdict),
        mood="good" if report.tuned and report.tuned.taken and not report.tuned.forced else "plain",
        tiles="".join(_tile(value, label) for value, label in _tiles(report)),
        sections="".join(_section(*one) for one in _sections(report)),
    )


def _tiles(report: Report) -> Iterable[tuple[str, str]]:
    found = report.comparison
    if found:
        yield f"{found.before.count} → {found.after.count}", f"correct of {found.before.total} measured rows"
        yield points(found.difference, found.interval).split(" [")[0], "percentage points"
        yield f"+{len(found.gained)} −{len(found.lost)}", "rows gained and lost"
    yield report.tuned.outcome if report.tuned else "not asked", "the gate"
    yield minutes(sum(step.seconds for step in report.steps)), "in all"


def _tile(value: str, label: str) -> str:
    return f'<div class="tile"><b>{escaped(value)}</b><span>{escaped(label)}</span></div>'


def _section(title: str, lead: str, *cards: str) -> str:
    lead = f'<p class="lead">{escaped(lead)}</p>' if lead else ""
    boxes = "".join(f'<div class="card">{card}</div>' for card in cards)
    return f"<section><h2>{escaped(title)}</h2>{lead}{boxes}</section>"


def _sections(report: Report) -> Iterable[tuple[str, ...]]:
    steps = [(f"{n}. {s.name}", minutes(s.seconds), s.told) for n, s in enumerate(report.steps, 1)]
    yield "The loop", "", _table(("step", "time", "what came of it"), steps)
    if report.comparison:
        yield (
            "Before and after",
            "On the measured half, which steered nothing. Intervals are 95 %, by a paired bootstrap over rows; p is "
            "McNemar's exact test.",
            _shares(report.comparison),
            _table(CHANGE_HEAD, change_rows(report.comparison)),
            _gained_and_lost(report.comparison),
        )
    if report.tuned:
        yield from _training(report.tuned)
    lead = f"Diagnosis half: {percent(report.diagnosis)} correct. {report.plan.reason}."
    patterns = tuple(report.plan.patterns.items())
    failed = sum(report.plan.patterns.values())
    cards = [bars(patterns, "Why rows failed", whole=failed, ident="patterns")] if patterns else []
    yield "Weaknesses and what was built for them", lead, *cards, _table(WEAK_HEAD, weak_rows(report)), *_built(report)
    if report.left_out:
        yield "Rows left out", "They count nowhere.", _table(("row", "reason"), report.left_out)
    yield "Settings", "", _table(("setting", "value"), tuple(report.settings.items()))


def _built(report: Report) -> Iterable[str]:
    built = report.built
    if built is None:
        return
    facts = [
        ("records injected", f"{built.injected:,}"),
        ("pairs trained on", f"{sum(built.train.values()):,}"),
        ("pairs held out for the gate", f"{sum(built.heldout.values()):,}"),
        ("licences of the code", ", ".join(f"{name} {count}" for name, count in built.licences.items()) or "-"),
    ]
    yield _table(("the data", ""), facts)


def _training(tuned: Tuned) -> Iterable[tuple[str, ...]]:
    if tuned.losses:
        lead = "Loss of each step (line) and of held-out examples (points), nats a token."
        yield "Training", lead, _curve(tuned)
    if tuned.rows:
        reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in tuned.reasons)
        lead = "Base against candidate on held-out examples; * is the goal, which may not fall."
        yield f"The gate: {tuned.outcome}", lead, _table(GATE_HEAD, gate_rows(tuned)) + f"<ul>{reasons}</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first = "".join(f'<th scope="col">{escaped(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>'


def _gained_and_lost(found: Comparison) -> str:
    parts = [f"<h3>{label}</h3><p>{escaped(', '.join(names)) or 'none'}</p>" for label, names in
             (("Gained", found.gained), ("Lost", found.lost))]  # fmt: skip
    if any(found.cut):
        parts.append(f'<p class="soft">{escaped(clock(found))}.</p>')
    if found.unknown:
        parts.append(f'<p class="soft">{found.unknown} rows left out: correctness is not known.</p>')
    return "".join(parts)


def _shares(found: Comparison) -> str:
    """Two points with their Wilson intervals over 0 to 100 %."""
    rows = [_interval(at, label, share) for at, (label, share) in
            enumerate((("before", found.before), ("after", found.after)))]  # fmt: skip
    ticks = "".join(
        f'<line x1="{_x(p / 100):.1f}" x2="{_x(p / 100):.1f}" y1="0" y2="84" class="axis"/>'
        f'<text x="{_x(p / 100):.1f}" y="100" class="tick">{p} %</text>'
        for p in (0, 25, 50, 75, 100)
    )
    told = f"before {percent(found.before)}, after {percent(found.after)}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} 104" role="img" aria-label="correct: {escaped(told)}">{ticks}{"".join(rows)}</svg>'
    )


def _x(share: float) -> float:
    return 58 + share * (_WIDTH - 58 - 18)


def _interval(at: int, label: str, share: Share) -> str:
    y = 24 + 38 * at
    text = f'<text x="0" y="{y + 4}">{label}</text>'
    if share.value is None or share.interval is None:
        return text
    low, high = share.interval
    return (
        f'{text}<rect x="{_x(low):.1f}" y="{y - 5}" width="{_x(high) - _x(low):.1f}" height="10" rx="5" class="range"/>'
        f'<circle cx="{_x(share.value):.1f}" cy="{y}" r="5.5" class="point"/>'
    )


def _curve(tuned: Tuned) -> str:
    """The losses over the steps."""
    both = [*tuned.losses, *tuned.heldout]
    last, low, high = max(s for s, _ in both) or 1, min(v for _, v in both), max(v for _, v in both)
    room = (high - low) or 1.0

    def place(step: int, value: float) -> tuple[float, float]:
        return (
            _LEFT + (_WIDTH - _LEFT - 8) * step / last,
            8 + (_HEIGHT - _BOTTOM - 8) * (1 - (value - low) / room),
        )

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*one) for one in tuned.losses))
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="second"><title>step {s}: {v:.4f}</title></circle>'
                   for (s, v), (x, y) in ((one, place(*one)) for one in tuned.heldout))  # fmt: skip
    names = "".join(
        f'<text x="{_LEFT - 6}" y="{place(0, value)[1] + 4:.1f}" class="value soft">{value:.2f}</text>'
        for value in (low, high)
    )
    foot = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" class="soft">0</text>'
        f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 8}" class="value soft">step {last}</text>'
    )
    told = f"loss {tuned.losses[0][1]:.3f} at the first, {tuned.losses[-1][1]:.3f} at the last step"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{told}">{names}{foot}'
        f'<polyline points="{line}" class="line"/>{dots}</svg>'
    )
