"""Alarms against the model's own quantiles as a control chart: a band of what is usual, a dot for what was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from repair.explain.values import Alarm
from serve.explaining.pictures.marks import figure, label, number, rect, room, svg, table, text

_MOST = 60
_BAND = 120.0  # pixels from the lowest to the highest usual value
_SIDE = 90.0


def control_chart(alarms: Sequence[Alarm]) -> str:
    """One row an alarm; each band is stretched to the same width."""
    if not alarms:
        return '<p class="soft">Nothing lies outside of what this model does on clean data.</p>'
    shown = alarms[:_MOST]
    names = [_name(one) for one in shown]
    left = room(names, 44)
    parts = [label(left + _SIDE, 11, "usual"), label(left + _SIDE + _BAND, 11, "→ more", end=False)]
    for n, (one, name) in enumerate(zip(shown, names, strict=True)):
        y = 20 + 20 * n
        x = left + _SIDE + _place(one)
        parts += [
            label(left - 6, y + 11, name, end=True, limit=44),
            rect(left, y + 6, (2 * _SIDE + _BAND, 2), "ground"),
            rect(left + _SIDE, y + 2, (_BAND, 11), "f", 0.35),
            f'<circle class="a" cx="{x:.1f}" cy="{y + 7}" r="5"><title>{text(one)}</title></circle>',
        ]
    box = left + 2 * _SIDE + _BAND + 8, 28 + 20 * len(shown)
    rows = [
        (text(_name(one)), number(one.value), number(one.low), number(one.high), text(one.kind.value)) for one in shown
    ]
    left_out = f" {len(alarms) - _MOST} more are left out." if len(alarms) > _MOST else ""
    return figure(
        "What looks unlike the model's own past",
        svg("control", box, ("Control chart of alarms", "; ".join(map(str, shown[:5]))), "".join(parts)),
        "Band: the model's own quantiles on clean data, stretched to one width. Dot: this prompt, on a scale that is "
        "logarithmic outside of the band. An alarm says unusual, not wrong; unusual code raises alarms too." + left_out,
        table(("what", "#seen", "#from", "#to", "kind"), rows, "Alarms"),
    )


def _name(one: Alarm) -> str:
    where = f"layer {one.layer}"
    where += f" head {one.head}" if one.head is not None else ""
    where += f" neuron {one.neuron}" if one.neuron is not None else ""
    return f"{where}: {one.statistic}"


def _place(one: Alarm) -> float:
    """Pixels from the band's beginning; logarithmic and bounded beyond it."""
    width = one.high - one.low
    if not (math.isfinite(width) and math.isfinite(one.value)) or width <= 0:
        return _BAND + _SIDE / 2
    at = (one.value - one.low) / width
    if 0 <= at <= 1:
        return _BAND * at
    beyond = min(0.15 + math.log10(1 + (at - 1 if at > 1 else -at)) / 2, 0.95) * _SIDE
    return _BAND + beyond if at > 1 else -beyond
