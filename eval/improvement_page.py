"""The report of `emend improve` as one HTML file without scripts and without anything from elsewhere.

Owns the order of the page and its curve. Must not know how figures come about; words are `eval.improvement_report`'s,
pieces and style `data.sheet`'s, groups of failures look as in `eval.report`. Everything that comes from suites or
settings is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

from data.charts import WIDTH, bars, escaped
from data.sheet import Section, card, style, table, tile
from eval.improvement import Built, Tuned
from eval.improvement_effect import Comparison
from eval.improvement_report import (
    CHANGE_HEAD,
    GATE_HEAD,
    INTERVALS,
    PATTERN_HEAD,
    WEAK_HEAD,
    Report,
    change_rows,
    clock,
    gate_rows,
    minutes,
    pattern_rows,
    percent,
    points,
    weak_rows,
)
from eval.report.charts import shares_picture
from eval.report.failing import clusters_html

_HEIGHT, _LEFT, _BOTTOM = 190, 40, 28  # of the curve, in units
_BUDGET = 12_000  # characters of a diff


def report_html(report: Report) -> str:
    """The whole page."""
    template = Template(resources.files("eval").joinpath("templates/improvement.html").read_text("utf-8"))
    sections = tuple(_sections(report))
    return template.substitute(
        title="emend improve",
        style=style(),
        verdict=escaped(report.verdict),
        mood="good" if report.tuned and report.tuned.taken and not report.tuned.forced else "plain",
        links="".join(f'<a href="#{s.ident}">{s.title}</a>' for s in sections),
        tiles="".join(tile(escaped(value), escaped(label)) for value, label in _tiles(report)),
        sections="".join(s.html() for s in sections),
    )


def _tiles(report: Report) -> Iterable[tuple[str, str]]:
    found = report.comparison
    if found:
        yield f"{found.before.count} → {found.after.count}", f"correct of {found.before.total} measured rows"
        yield points(found.difference, found.interval).split(" [")[0], "percentage points"
        yield f"+{len(found.gained)} −{len(found.lost)}", "rows gained and lost"
    yield report.tuned.outcome if report.tuned else "not asked", "the gate"
    yield minutes(sum(step.seconds for step in report.steps)), "in all"


def _sections(report: Report) -> Iterable[Section]:
    steps = [(f"{n}. {s.name}", minutes(s.seconds), s.told) for n, s in enumerate(report.steps, 1)]
    yield _plain("loop", "The loop", "", _texts(("step", "time", "what came of it"), steps))
    if report.comparison:
        lead = f"On the measured half, which steered nothing. {INTERVALS}"
        yield Section("effect", "Before and after", lead, tuple(_effect(report.comparison)), "cards pairs")
    if report.tuned:
        yield from _training(report.tuned)
    lead = escaped(f"Diagnosis half: {percent(report.diagnosis)} correct. {report.plan.reason}.")
    yield Section("weaknesses", "Weaknesses and what was built", lead, tuple(_weaknesses(report)), "cards pairs")
    if report.clusters:
        lead = "Failures of the diagnosis half that call for the same cure: what to train or build next."
        yield Section(
            "failures", "Failures in groups", lead, tuple(clusters_html(report.clusters, _BUDGET)), "clusters"
        )
    if report.left_out:
        yield _plain("left-out", "Rows left out", "They count nowhere.", _texts(("row", "reason"), report.left_out))
    yield _plain("settings", "Settings", "", _texts(("setting", "value"), tuple(report.settings.items())))


def _plain(ident: str, title: str, lead: str, body: str) -> Section:
    """A section of one card; `body` is HTML."""
    return Section(ident, title, lead, (f'<div class="card">{body}</div>',), "stack")


def _texts(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return table(head, rows, numbers=())


def _effect(found: Comparison) -> Iterable[str]:
    picture = shares_picture((("before", found.before), ("after", found.after)), "Correct rows", "correct")
    yield card("Correct rows", picture, _texts(CHANGE_HEAD, change_rows(found)), open_=True)
    moved = table(PATTERN_HEAD, pattern_rows(found))
    yield card("What became of the rows", "", moved, open_=True)
    yield f'<div class="card names">{"".join(_gained_and_lost(found))}</div>'


def _gained_and_lost(found: Comparison) -> Iterable[str]:
    for label, names in (("Gained", found.gained), ("Lost", found.lost)):
        yield f"<h4>{label}</h4><p>{escaped(', '.join(names)) or 'none'}</p>"
    if any(found.cut):
        yield f'<p class="soft">{escaped(clock(found))}.</p>'
    if found.unknown:
        yield f'<p class="soft">{found.unknown} rows left out: correctness is not known.</p>'


def _training(tuned: Tuned) -> Iterable[Section]:
    if tuned.losses:
        lead = "Loss of each step (line) and of held-out examples (points), nats a token."
        yield _plain("training", "Training", lead, _curve(tuned))
    if tuned.rows:
        reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in tuned.reasons)
        lead = "Base against candidate on held-out examples; * is the goal, which may not fall."
        body = table(GATE_HEAD, gate_rows(tuned), numbers=(1, 2, 4)) + f"<ul>{reasons}</ul>"
        yield _plain("gate", escaped(f"The gate: {tuned.outcome}"), lead, body)


def _weaknesses(report: Report) -> Iterable[str]:
    if patterns := tuple(report.plan.patterns.items()):
        picture = bars(patterns, "Why rows failed", whole=sum(report.plan.patterns.values()), ident="patterns")
        yield f'<figure class="card"><h3>Why rows failed</h3>{picture}</figure>'
    if rows := weak_rows(report):
        yield card("By bug class", "", table(WEAK_HEAD, rows, numbers=(1, 2, 4, 5)), open_=True)
    if report.built:
        yield card("The data", "", _texts(("of", "what"), _built(report.built)), open_=True)


def _built(built: Built) -> Iterable[tuple[str, str]]:
    yield "records injected", f"{built.injected:,}"
    yield "pairs trained on", f"{sum(built.train.values()):,}"
    yield "pairs held out for the gate", f"{sum(built.heldout.values()):,}"
    yield "licences of the code", ", ".join(f"{name} {count}" for name, count in built.licences.items()) or "-"


def _curve(tuned: Tuned) -> str:
    """The losses over the steps."""
    both = [*tuned.losses, *tuned.heldout]
    last, low, high = max(s for s, _ in both) or 1, min(v for _, v in both), max(v for _, v in both)
    room = (high - low) or 1.0

    def place(step: int, value: float) -> tuple[float, float]:
        return (
            _LEFT + (WIDTH - _LEFT - 8) * step / last,
            8 + (_HEIGHT - _BOTTOM - 8) * (1 - (value - low) / room),
        )

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*one) for one in tuned.losses))
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="second"><title>step {s}: {v:.4f}</title></circle>'
                   for (s, v), (x, y) in ((one, place(*one)) for one in tuned.heldout))  # fmt: skip
    names = "".join(
        f'<text x="{_LEFT - 6}" y="{place(0, value)[1] + 4:.1f}" class="tick end">{value:.2f}</text>'
        for value in (low, high)
    )
    foot = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" class="tick">0</text>'
        f'<text x="{WIDTH - 8}" y="{_HEIGHT - 8}" class="tick end">step {last}</text>'
    )
    told = f"loss {tuned.losses[0][1]:.3f} at the first, {tuned.losses[-1][1]:.3f} at the last step"
    return (
        f'<svg viewBox="0 0 {WIDTH} {_HEIGHT}" role="img" aria-label="{told}">{names}{foot}'
        f'<polyline points="{line}" class="curve"/>{dots}</svg>'
    )
