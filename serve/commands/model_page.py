"""The page of `emend model report`: one HTML file, pictures as SVG drawn here, nothing fetched and nothing run.

Colours come from the page's style, so that light and dark need one picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import data
from data.charts import escaped
from repair.explain.anomalies import limits
from repair.explain.projection import Mark, Projection
from repair.explain.reference import LocationQuality, Reference
from repair.explain.values import Alarm, Array
from repair.explain.vitals import ATTENTION

_HUES = 8
_SHOWN = 12  # rows of a list
_STYLE = """
:root { --h0:#22688f; --h1:#b4561c; --h2:#3d7d3d; --h3:#8a4a9e; --h4:#a8324a; --h5:#7a6a1c; --h6:#2f7f7c;
  --h7:#6b7280; }
@media (prefers-color-scheme: dark) { :root { --h0:#63b0d8; --h1:#eda064; --h2:#86c986; --h3:#cf9be0; --h4:#f0899c;
  --h5:#d6c46a; --h6:#74cfca; --h7:#a2acb8; } }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 14px;
  margin-top: 14px; }
.pictures .card { margin: 0; min-width: 0; }
svg .cell { stroke: var(--card); stroke-width: 1; } svg .dot { stroke: var(--card); stroke-width: .6; }
svg .out { fill: var(--second); } svg .band { fill: var(--range); opacity: .55; } svg .small { font-size: 10.5px; }
td details { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 12.5px; color: var(--soft); margin: 8px 0 0;
  padding: 0; list-style: none; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 5px; }
""" + "".join(f".c{n} {{ fill: var(--h{n}); background: var(--h{n}); }}\n" for n in range(_HUES))  # fmt: skip

Pattern = tuple[tuple[str, str, str], int, int]
"""Bug class, exception and kind of edit; how many failed, of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """What the page shows."""

    name: str
    cases: int
    left_out: int  # too long for the model
    reference: Reference
    attention: Array  # (ATTENTION, layers, heads), medians over cases
    alarms: tuple[Alarm, ...]
    projections: tuple[Projection, ...]
    patterns: tuple[Pattern, ...]


def page(found: Inside) -> str:
    """The whole page."""
    style = (Path(data.__path__[0]) / "templates" / "style.css").read_text(encoding="utf-8")
    parts = (
        _head(found), _alarms(found.alarms), _heads(found), _charts(found), *map(_projected, found.projections),
        _patterns(found.patterns), _location(found.reference.location),
    )  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Model: {escaped(Path(found.name).name)}</title><style>{style}{_STYLE}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    )


def _head(found: Inside) -> str:
    marks = found.projections[0].marks
    right = sum(mark.success for mark in marks) / max(len(marks), 1)
    tiles = (
        (f"{found.cases}", "cases read"), (f"{100 * right:.0f} %", "answered at the right line"),
        (f"{len(found.alarms)}", "alarms"), (f"{found.reference.examples}", "cases of the reference"),
    )  # fmt: skip
    told = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in tiles)
    note = f'<p class="soft">{found.left_out} cases are too long for the model.</p>' if found.left_out else ""
    name = f'<h1>Inside the model</h1><p class="lead where">{escaped(found.name)}</p>'
    return f'{name}<br><div class="tiles">{told}</div>{note}'


def _alarms(alarms: Sequence[Alarm]) -> str:
    if not alarms:
        return '<h2 id="alarms">Alarms</h2><p class="soft">None: all is within what the model does on clean data.</p>'
    rows = "".join(f"<li>{escaped(f'{one.kind}: {one}')}</li>" for one in alarms[:_SHOWN])
    more = f"<p>{len(alarms) - _SHOWN} more.</p>" if len(alarms) > _SHOWN else ""
    return f'<section class="warnings" id="alarms"><h2>Alarms</h2><ul>{rows}</ul>{more}</section>'


def _heads(found: Inside) -> str:
    cards = "".join(
        f'<div class="card"><h3>{name}</h3>{_grid(found.attention[n], name)}</div>' for n, name in enumerate(ATTENTION)
    )
    return (
        '<h2 id="heads">Heads</h2><p class="soft">Where heads look, not why. Layers down, heads across; medians over '
        f"the cases; a fuller colour is more.</p><div class='pictures'>{cards}</div>"
    )


def _grid(values: Array, name: str) -> str:
    layers, heads = values.shape
    low, high = float(values.min()), float(values.max())
    left, wide = 26.0, min(40.0, 320.0 / heads)
    cells: list[str] = []
    for layer in range(layers):
        cells.append(f'<text x="0" y="{layer * 20 + 14}" class="small soft">{layer}</text>')
        for head in range(heads):
            value = float(values[layer, head])
            strong = 0.08 + 0.92 * (value - low) / ((high - low) or 1)
            cells.append(
                f'<rect x="{left + head * wide:.1f}" y="{layer * 20}" width="{wide:.1f}" height="20" class="cell bar" '
                f'fill-opacity="{strong:.2f}"><title>layer {layer}, head {head}: {value:.3g}</title></rect>'
            )
    foot = f'<text x="{left}" y="{layers * 20 + 15}" class="small soft">from {low:.3g} to {high:.3g}</text>'
    return _svg(name, left + heads * wide, layers * 20 + 20, "".join(cells) + foot)


def _charts(found: Inside) -> str:
    cards = "".join(
        f'<div class="card"><h3>{bands.name}</h3>'
        f"{_chart(found.attention[ATTENTION.index(bands.name)], *limits(bands), bands.name)}</div>"
        for bands in found.reference.attention
    )
    return (
        '<h2 id="charts">Control charts</h2><p class="soft">One column a head, layers from left to right: the band is '
        "what the model did on its reference with a margin, the dot these cases. A dot outside of it is an alarm.</p>"
        f"<div class='pictures'>{cards}</div>"
    )


def _chart(values: Array, lower: Array, upper: Array, name: str) -> str:
    layers, heads = values.shape
    count, tall = layers * heads, 130.0
    low, high = float(min(values.min(), lower.min())), float(max(values.max(), upper.max()))
    wide = max(340.0, 5.0 * count)

    def y(value: float) -> float:
        return 6 + (tall - 12) * (1 - (value - low) / ((high - low) or 1))

    parts: list[str] = []
    for n in range(count):
        at = divmod(n, heads)
        x, value = wide * (n + 0.5) / count, float(values[at])
        top, bottom = y(float(upper[at])), y(float(lower[at]))
        outside = not float(lower[at]) <= value <= float(upper[at])
        parts.append(
            f"<g><title>layer {at[0]}, head {at[1]}: {value:.3g}, allowed {float(lower[at]):.3g} to "
            f'{float(upper[at]):.3g}</title><rect x="{x - 0.4 * wide / count:.1f}" y="{top:.1f}" '
            f'width="{0.8 * wide / count:.1f}" height="{max(bottom - top, 1):.1f}" class="band"/>'
            f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="{3.5 if outside else 1.8}" '
            f'class="{"out" if outside else "bar"}"/></g>'
        )
        if at[1] == 0:
            parts.append(f'<text x="{x - 2:.1f}" y="{tall + 12}" class="small soft">{at[0]}</text>')
    return _svg(name, wide, tall + 16, "".join(parts))


def _projected(one: Projection) -> str:
    views: tuple[tuple[str, Callable[[Mark], str]], ...] = (
        ("bug class", lambda m: m.bug_class), ("success", lambda m: "right line" if m.success else "wrong line"),
        ("data set", lambda m: m.dataset),
    )  # fmt: skip
    cards = "".join(_scatter(one, name, of) for name, of in views)
    rows = "".join(
        f'<tr><td>{c.number}</td><td class="n">{c.size}</td><td class="n">{100 * c.success:.0f} %</td>'
        f"<td>{escaped(', '.join(f'{name} {n}' for name, n in c.classes[:4]))}</td>"
        f"<td>{_failures(c.failures)}</td></tr>"
        for c in one.clusters
    )
    shares = ", ".join(f"{100 * share:.0f} %" for share in one.explained)
    return (
        f'<h2 id="{one.kind}">States of {"lines" if one.kind == "line" else "repairs"}</h2><p class="soft">'
        f"{'At the end of the suspected line' if one.kind == 'line' else 'At the first token of the answer'}, state "
        f"{one.layer}. Principal components ({shares} of the variance); clusters agree with bug classes by "
        f"{one.agreement:.2f} (normalised mutual information), silhouette {one.silhouette:.2f}.</p>"
        f'<div class="pictures">{cards}</div><div class="scroll"><table><thead><tr><th>cluster</th><th class="n">cases'
        '</th><th class="n">right line</th><th>bug classes</th><th>failures, the surest first</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _failures(ids: Sequence[str]) -> str:
    if not ids:
        return "none"
    inner = ", ".join(map(escaped, ids))
    return f"<details><summary>{len(ids)} cases</summary>{inner}</details>"


def _scatter(one: Projection, title: str, of: Callable[[Mark], str]) -> str:
    names = [of(mark) for mark in one.marks]
    common = [name for name, _ in Counter(names).most_common()]
    shown = common if len(common) <= _HUES else common[: _HUES - 1]
    low, high = one.points[:, :2].min(axis=0), one.points[:, :2].max(axis=0)
    spread = [float(high[n] - low[n]) or 1.0 for n in (0, 1)]
    dots: list[str] = []
    for name, mark, place in zip(names, one.marks, one.points.tolist(), strict=True):
        hue = shown.index(name) if name in shown else _HUES - 1
        x = 6 + 328 * (place[0] - float(low[0])) / spread[0]
        y = 234 - 228 * (place[1] - float(low[1])) / spread[1]
        told = f"{mark.case}: {mark.bug_class}, {'right' if mark.success else 'wrong'} line"
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="dot c{hue}"><title>{escaped(told)}</title></circle>'
        )
    kinds = [*shown, *(["others"] if len(common) > len(shown) else [])]
    legend = "".join(
        f'<li><i class="c{n if name != "others" else _HUES - 1}"></i>{escaped(name or "unnamed")}</li>'
        for n, name in enumerate(kinds)
    )
    picture = _svg(f"{one.kind} states by {title}", 340, 240, "".join(dots))
    return f'<div class="card"><h3>By {title}</h3>{picture}<ul class="legend">{legend}</ul></div>'


def _patterns(patterns: Sequence[Pattern]) -> str:
    rows = "".join(
        f'<tr><td>{escaped(kind)}</td><td>{escaped(exception)}</td><td>{edit}</td><td class="n">{failed}</td>'
        f'<td class="n">{total}</td></tr>'
        for (kind, exception, edit), failed, total in patterns[:_SHOWN]
    )
    return (
        '<h2 id="errors">Error patterns</h2><p class="soft">Where the likeliest answer points at a wrong line, '
        'the most frequent first.</p><div class="scroll"><table><thead><tr><th>bug class</th><th>exception</th>'
        f'<th>edit</th><th class="n">failed</th><th class="n">cases</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _location(rows: Sequence[LocationQuality]) -> str:
    if not rows:
        return '<h2 id="location">Location</h2><p class="soft">The reference has no probe: it had too few cases.</p>'
    body = "".join(
        f"<tr><td>{row.source}</td>"
        + "".join(f'<td class="n">{100 * hit:.1f}</td>' for hit in row.hits)
        + f'<td class="n">{row.ece:.3f}</td><td class="n">{row.nll:.2f}</td></tr>'
        for row in rows
    )
    return (
        f'<h2 id="location">Location: pointer, probe, calibrated</h2><p class="soft">On {rows[0].examples} cases of '
        f"the reference that nothing was fitted to ({rows[0].faulty} with a fault). ECE: how far the likeliest "
        "answer's probability is from how often it is right.</p>"
        '<div class="scroll"><table><thead><tr><th>by</th><th class="n">'
        'hit@1 %</th><th class="n">hit@3 %</th><th class="n">hit@5 %</th><th class="n">ECE</th><th class="n">nats</th>'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _svg(title: str, wide: float, tall: float, body: str) -> str:
    return (
        f'<svg viewBox="0 0 {wide:.0f} {tall:.0f}" role="img" aria-label="{escaped(title)}">'
        f"<title>{escaped(title)}</title>{body}</svg>"
    )
