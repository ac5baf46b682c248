"""The forest plot of gaps: each group against the rest of its attribute, on a common scale around 0. An SVG card."""

from __future__ import annotations

from collections.abc import Sequence

from data.charts import WIDTH, cut, escaped, length
from data.sheet import card, table
from eval.forest import GapRow

_ROW, _HEAD, _TOP = 34, 28, 4
_NAMES = {"bug_type": "bug class", "identifier_language": "identifier language", "fault_position": "fault position"}


def forest_card(rows: Sequence[GapRow], title: str, ident: str) -> str:
    """The picture with its table; "" where there is no group with a rest to compare it with."""
    if not rows:
        return ""
    cells = [
        (
            _name(row.attribute), row.group or "-", f"{row.share.count} of {row.share.total}",
            f"{row.rest.count} of {row.rest.total}", f"{100 * row.difference:+.1f}",
            f"{100 * row.low:+.1f} to {100 * row.high:+.1f}{'' if row.bootstrap else ' *'}",
        )
        for row in rows
    ]  # fmt: skip
    head = ("attribute", "group", "correct", "the rest", "gap, points", "95 %")
    apart = sum(row.apart for row in rows)
    note = (
        f"Share of a group less that of all other tasks, in points, with 95 % bootstrap intervals. {apart} of "
        f"{len(rows)} leave out 0; by chance one in twenty would: the warnings of the table above allow for that. "
        "Orange: below the rest."
    )
    if not all(row.bootstrap for row in rows):
        note += " Open circles: a share of 0 or 1 has no bootstrap, Newcombe's interval stands there (* in the table)."
    return card(title, forest(rows, title, ident), table(head, cells, numbers=(2, 3, 4, 5)), note)


def forest(rows: Sequence[GapRow], title: str, ident: str) -> str:
    """The SVG: attributes as headings, a line with a point for each group, 0 in the middle."""
    most = max(max(abs(row.low), abs(row.high)) for row in rows) or 1.0
    middle = WIDTH / 2

    def at(value: float) -> float:
        return middle + (middle - 4) * value / most

    parts: list[str] = []
    top, attribute = float(_TOP), None
    for row in rows:
        if row.attribute != attribute:
            attribute = row.attribute
            parts.append(
                f'<text x="0" y="{top + 15:.0f}" class="soft" '
                f'style="font-weight:650">{escaped(_name(attribute))}</text>'
            )
            top += _HEAD
        parts.append(_row(row, top, at(row.low), at(row.difference), at(row.high)))
        top += _ROW
    axis = f'<line x1="{middle}" y1="{_TOP}" x2="{middle}" y2="{top:.0f}" class="axis" stroke-dasharray="3 3"/>'
    ticks = "".join(
        f'<text x="{x:.0f}" y="{top + 12:.0f}" class="tick{kind}">{100 * value:+.0f}</text>'
        for value, x, kind in ((-most, 14.0, ""), (0.0, middle, ""), (most, WIDTH - 14.0, ""))
    )
    name = f'<text x="{middle}" y="{top + 27:.0f}" class="axis-name">points above or below the rest</text>'
    told = "; ".join(f"{_name(r.attribute)} {r.group} {100 * r.difference:+.1f}" for r in rows)
    return (
        f'<svg viewBox="0 0 {WIDTH} {top + 32:.0f}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escaped(title)}</title>'
        f'<desc id="{ident}-d">{escaped(f"Gaps in points: {told}")}</desc>'
        f"{axis}{''.join(parts)}{ticks}{name}</svg>"
    )


def _row(row: GapRow, top: float, low: float, point: float, high: float) -> str:
    told = f"{100 * row.difference:+.1f}"
    bounds = f" · {100 * row.low:+.1f} to {100 * row.high:+.1f}"
    label = cut(row.group or "-", WIDTH - length(told + bounds) - 12)
    y = top + 23
    colour = "var(--second)" if row.apart and row.difference < 0 else "var(--accent)"
    fill = colour if row.bootstrap else "var(--card)"
    return (
        f"<g><title>{escaped(row.group)}: {told}{bounds} points</title>"
        f'<text x="0" y="{top + 12:.0f}" class="name">{escaped(label)}</text>'
        f'<text x="{WIDTH}" y="{top + 12:.0f}" class="value">{told}<tspan class="soft">{bounds}</tspan></text>'
        f'<line x1="{low:.1f}" y1="{y:.0f}" x2="{high:.1f}" y2="{y:.0f}" style="stroke:{colour};stroke-width:2.5"/>'
        f'<circle cx="{point:.1f}" cy="{y:.0f}" r="4" style="fill:{fill};stroke:{colour};stroke-width:1.5"/></g>'
    )


def _name(attribute: str) -> str:
    return _NAMES.get(attribute, attribute)
