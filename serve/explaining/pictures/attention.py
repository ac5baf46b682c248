"""Where heads look: layers by heads, rows onto units, arcs between lines. Descriptive only, never why."""

from __future__ import annotations

import math

import numpy as np

from repair.explain.values import Array, AttentionMap
from serve.explaining.pictures.marks import (
    bar,
    figure,
    grid,
    label,
    listed,
    number,
    percent,
    rect,
    room,
    size,
    svg,
    table,
    tag,
    text,
)

NOT_WHY = "Where the head looks, not why."
_MOST = 48  # rows and columns of the matrix
_ARCS = 30


def head_grid(found: AttentionMap) -> str:
    """Three grids of layers by heads: entropy, mass on the first token, mass within the own line."""
    layers, heads = found.entropy.shape
    rows, columns = [f"layer {n}" for n in range(layers)], [str(n) for n in range(heads)]
    pictures = "".join(
        f'<div class="small"><h4>{text(title)}</h4>'
        + grid(
            f"heads-{name}", values, rows, columns, (f"{title}, layer by head", _extremes(values, unit)), cell=(16, 16)
        )
        + "</div>"
        for name, title, values, unit in (
            ("entropy", "entropy, nats", found.entropy, "nats"),
            ("sink", "share on the first token", found.sink, ""),
            ("same", "share within the own line", found.same, ""),
        )
    )
    return figure(
        "What kind of heads there are",
        f'<div class="side">{pictures}</div>',
        f"{NOT_WHY} High entropy: the head spreads over many tokens. Much mass on the first token is a resting place "
        "that healthy heads have too (an attention sink), no sign of a fault.",
        listed(
            f"{text(name)}: {text(_extremes(values, unit))}"
            for name, values, unit in (
                ("entropy", found.entropy, "nats"),
                ("on the first token", found.sink, ""),
                ("within the own line", found.same, ""),
            )
        ),
    )


def _extremes(values: Array, unit: str) -> str:
    if not values.size:
        return "no heads"
    low, high = (np.unravel_index(int(at), values.shape) for at in (np.argmin(values), np.argmax(values)))
    return (
        f"from {number(float(values[low]))} (layer {low[0]}, head {low[1]}) to {number(float(values[high]))} {unit} "
        f"(layer {high[0]}, head {high[1]})"
    ).replace("  ", " ")


def _which(found: AttentionMap) -> str:
    layer = "mean of all layers" if found.layer is None else f"layer {found.layer}"
    return f"{layer}, " + ("mean of its heads" if found.head is None else f"head {found.head}")


def line_matrix(found: AttentionMap) -> str:
    """From each line onto each unit; of many the ones with the most mass."""
    rows = _strongest(found.lines.max(axis=1) if found.lines.size else np.zeros(len(found.rows), np.float32))
    columns = _strongest(found.lines.sum(axis=0))
    values = found.lines[np.ix_(rows, columns)] if rows and columns else np.zeros((0, 0), np.float32)
    names = [found.rows[n] for n in rows]
    tags = [tag(found.units[n]) for n in columns]
    left = len(found.rows) - len(rows), len(found.units) - len(columns)
    more = f" {left[0]} rows and {left[1]} columns with less mass are left out." if any(left) else ""
    return figure(
        f"From each line onto each unit ({_which(found)})",
        grid("matrix", values, names, tags, ("Attention from rows onto units", _top_words(found)), cell=(15, 15)),
        f"{NOT_WHY} A row is a line's end or a token of the answer; a column is a unit that it looks back to. What is "
        f"missing to 1 in a row lies on the prompt's structure.{more}",
        _pairs(found),
    )


def _strongest(mass: Array) -> list[int]:
    """Indices of the `_MOST` largest, in order of place."""
    return sorted(int(n) for n in np.argsort(-mass, kind="stable")[:_MOST])


def _links(found: AttentionMap) -> list[tuple[float, int, int]]:
    """(mass, row, unit) of looks from one unit onto another one, the most first; answers onto any."""
    places = {unit.label: n for n, unit in enumerate(found.units)}
    links = [
        (float(found.lines[row, unit]), row, unit)
        for row in range(found.lines.shape[0])
        for unit in np.argsort(-found.lines[row], kind="stable")[:6].tolist()
        if places.get(found.rows[row]) != unit and math.isfinite(float(found.lines[row, unit]))
    ]
    return sorted(links, key=lambda one: (-one[0], one[1], one[2]))


def _top_words(found: AttentionMap) -> str:
    told = [f"{found.rows[r]} onto {found.units[u].label} {percent(m)}" for m, r, u in _links(found)[:5]]
    return "; ".join(told) or "no mass between units"


def _pairs(found: AttentionMap) -> str:
    rows = [
        (text(found.rows[r]), text(found.units[u].label), f"{m:.3f}") for m, r, u in _links(found)[:12] if m >= 0.001
    ]
    return table(("from", "onto", "#mass"), rows, "The strongest looks")


def arcs(found: AttentionMap) -> str:
    """Lines in order with arcs from where a head stands to where it looks, and the flow from the answer onto units."""
    places = {unit.label: n for n, unit in enumerate(found.units)}
    links = [
        (mass, places[found.rows[row]], unit)
        for mass, row, unit in _links(found)
        if found.rows[row] in places and mass >= 0.01
    ][:_ARCS]
    flow = [float(v) for v in found.flow]
    used = {n for _, a, b in links for n in (a, b)} | set(np.argsort(-found.flow, kind="stable")[:12].tolist())
    order = sorted(used)
    at = {n: 18 + 20 * place for place, n in enumerate(order)}
    names = [found.units[n].label for n in order]
    reach = 40 + 3.2 * len(order)
    left = reach + room(names)
    peak, most = size(m for m, _, _ in links), size(flow)
    parts = [label(left, 10, "flow from the answer", limit=40)]
    for mass, a, b in reversed(links):
        bend = 14 + (reach - 16) * min(abs(a - b) / max(len(order) - 1, 1), 1.0)
        width = 0.6 + 3.4 * mass / peak
        parts.append(
            f'<path class="arc" d="M{reach:g} {at[a]}C{reach - bend:g} {at[a]} {reach - bend:g} {at[b]} {reach:g} '
            f'{at[b]}" stroke-width="{width:.2f}" stroke-opacity="{0.25 + 0.6 * mass / peak:.2f}">'
            f"<title>{text(found.units[a].label)} onto {text(found.units[b].label)}: {mass:.3f}</title></path>"
        )
    for n, name in zip(order, names, strict=True):
        parts.append(label(reach + 4, at[n] + 4, name))
        share = flow[n] / most if most > 0 and math.isfinite(flow[n]) else 0.0
        parts.append(rect(left, at[n] - 4, (120 * max(share, 0.0), 9), "f", 1.0, f"{name}: {number(flow[n])}"))
    box = left + 150, 24 + 20 * len(order)
    rows = [
        (text(found.units[n].label), bar(flow[n], most, 80), f"{flow[n]:.3f}")
        for n in sorted(order, key=lambda n: -flow[n])
    ]
    said = "; ".join(f"{found.units[n].label} {percent(flow[n])}" for n in sorted(order, key=lambda n: -flow[n])[:5])
    return figure(
        f"Flow between lines ({_which(found)})",
        svg("arcs", box, ("Attention between lines as arcs, flow from the answer as bars", said), "".join(parts)),
        f"{NOT_WHY} Arcs: the strongest looks of one line onto another. Bars: attention of all layers multiplied out "
        "from the answer onto units (rollout), which overrates whatever is passed on.",
        table(("unit", "flow", "#share"), rows, "Flow from the answer"),
    )
