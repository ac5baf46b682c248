"""Pictures as inline SVG: bars for counts by name, columns for distributions. Text in, text out.

Drawn 360 units wide, the width of a telephone, so that letters never become too small; colours come from the page's
style (`var(--...)`), so that light and dark need one picture. Each has a title and a description for those who hear it.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Sequence

WIDTH = 360
ROW = 34
_CHARACTER, _NARROW, _CAPITAL, _WIDE = 7.4, 4.4, 8.6, 11.8  # widths of letters at 12 units, rather too much
_COLUMNS = 150  # height of the plot of a column chart
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def escaped(text: str) -> str:
    """For HTML; control and direction characters are spelled out, so that nothing hides or turns the text around."""
    return html.escape(_ODD.sub(lambda m: f"\\u{ord(m.group(0)):04x}", text), quote=True)


def length(text: str) -> float:
    """About how wide a text is drawn, in units: nothing here can measure the reader's letters."""
    return sum(
        _NARROW
        if c in "iljtf.,:;|'!()[]/ "
        else _WIDE
        if c in "mwMW@%" or ord(c) > 0x2E7F
        else _CAPITAL
        if c.isupper()
        else _CHARACTER
        for c in text
    )


def cut(text: str, width: float) -> str:
    """At most so many units of text, the middle left out."""
    if length(text) <= width:
        return text
    left, right = "", ""
    rest = text
    while rest and length(f"{left}{right}…{rest[0]}") <= width:
        if len(left) <= len(right):
            left, rest = left + rest[0], rest[1:]
        else:
            right, rest = rest[-1] + right, rest[:-1]
    return f"{left}…{right}"


def percent(count: float, whole: float) -> str:
    """A share in percent, "<0.1 %" where it is that small."""
    value = 100 * count / whole if whole else 0.0
    if 0 < value < 0.1:
        return "<0.1 %"
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def bars(rows: Sequence[tuple[str, int]], title: str, *, whole: int, ident: str) -> str:
    """Horizontal bars, the name above each; lengths are relative to the longest."""
    most = max((count for _, count in rows), default=0) or 1
    parts: list[str] = []
    for number, (name, count) in enumerate(rows):
        top = number * ROW
        told = f"{count:,}"
        note = f" · {percent(count, whole)}"
        label = cut(name, WIDTH - length(told + note) - 8)
        size = max(1.5, WIDTH * count / most) if count else 0
        parts.append(
            f"<g><title>{escaped(name)}: {told}</title>"
            f'<text x="0" y="{top + 13}" class="name">{escaped(label)}</text>'
            f'<text x="{WIDTH}" y="{top + 13}" class="value">{told}<tspan class="soft">{note}</tspan></text>'
            f'<rect x="0" y="{top + 19}" width="{WIDTH}" height="7" rx="3.5" class="track"/>'
            f'<rect x="0" y="{top + 19}" width="{size:.1f}" height="7" rx="{min(3.5, size / 2):.1f}" class="bar"/>'
            "</g>"
        )
    told = "; ".join(f"{name} {count}" for name, count in rows[:8])
    return _svg(title, f"Bars: {told}", len(rows) * ROW or ROW, "".join(parts), ident)


def columns(
    bins: Sequence[tuple[str, int]], title: str, *, ident: str, expected: Sequence[float] = (), axis: str = ""
) -> str:
    """A histogram; `expected` is drawn as a line of steps over it."""
    top, base = 18, 18 + _COLUMNS
    most = max((*(count for _, count in bins), *expected), default=0) or 1
    step = WIDTH / max(1, len(bins))
    slanted = any(length(name) * 0.8 > step for name, _ in bins)
    parts = [f'<line x1="0" y1="{base + 0.5}" x2="{WIDTH}" y2="{base + 0.5}" class="axis"/>']
    for number, (name, count) in enumerate(bins):
        height = _COLUMNS * count / most
        x, middle = number * step, (number + 0.5) * step
        if count:
            height = max(1.5, height)
            parts.append(
                f"<g><title>{escaped(name)}: {count:,}</title>"
                f'<rect x="{x + 1.5:.1f}" y="{base - height:.1f}" width="{step - 3:.1f}" height="{height:.1f}" '
                'rx="2" class="bar"/>'
                f'<text x="{middle:.1f}" y="{base - height - 4:.1f}" class="count">{_short(count)}</text></g>'
            )
        turn = f' transform="rotate(-40 {middle:.1f} {base + 13})"' if slanted else ""
        where = "tick end" if slanted else "tick"
        parts.append(f'<text x="{middle:.1f}" y="{base + 13}" class="{where}"{turn}>{escaped(name)}</text>')
    if expected:
        parts.append(_steps(expected, step, base, most))
    longest = max((len(name) for name, _ in bins), default=0)
    below = 16 + (longest * 4.2 if slanted else 4)
    if axis:
        parts.append(f'<text x="{WIDTH / 2}" y="{base + below + 10:.1f}" class="axis-name">{escaped(axis)}</text>')
        below += 14
    told = "; ".join(f"{name}: {count}" for name, count in bins)
    return _svg(title, f"Columns: {told}", top + _COLUMNS + below, "".join(parts), ident)


def _steps(expected: Sequence[float], step: float, base: float, most: float) -> str:
    heights = [base - _COLUMNS * value / most for value in expected]
    points = itertools.chain.from_iterable(
        (f"{n * step:.1f},{y:.1f}", f"{(n + 1) * step:.1f},{y:.1f}") for n, y in enumerate(heights)
    )
    return f'<polyline points="{" ".join(points)}" class="expected"/>'


def _short(count: int) -> str:
    for size, sign in ((1_000_000, "M"), (1_000, "k")):
        if count >= 10 * size or (count >= size > 1_000):
            return f"{count / size:.0f}{sign}" if count >= 10 * size else f"{count / size:.1f}{sign}"
    return f"{count}"


def intervals(rows: Sequence[tuple[str, float, float, float]], title: str, *, ident: str) -> str:
    """Shares with their intervals, on a scale from 0 to the largest bound."""
    most = max((high for *_, high in rows), default=0.0) or 1.0
    parts: list[str] = []
    for number, (name, value, low, high) in enumerate(rows):
        top = number * ROW
        told = f"{100 * value:.1f} %"
        bounds = f" · {100 * low:.1f} to {100 * high:.1f}"
        label = cut(name, WIDTH - length(told + bounds) - 8)
        left, right, at = (WIDTH * x / most for x in (low, high, value))
        at = min(max(at, 4.0), WIDTH - 4.0)
        parts.append(
            f"<g><title>{escaped(name)}: {told}{bounds}</title>"
            f'<text x="0" y="{top + 13}" class="name">{escaped(label)}</text>'
            f'<text x="{WIDTH}" y="{top + 13}" class="value">{told}<tspan class="soft">{bounds}</tspan></text>'
            f'<rect x="0" y="{top + 21}" width="{WIDTH}" height="3" rx="1.5" class="track"/>'
            f'<rect x="{left:.1f}" y="{top + 19}" width="{max(2.0, right - left):.1f}" height="7" '
            'rx="3.5" class="range"/>'
            f'<circle cx="{at:.1f}" cy="{top + 22.5}" r="4" class="point"/></g>'
        )
    told = "; ".join(f"{name} {100 * value:.1f} %" for name, value, *_ in rows)
    return _svg(title, f"Shares with 95 % intervals: {told}", len(rows) * ROW or ROW, "".join(parts), ident)


def _svg(title: str, description: str, height: float, body: str, ident: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escaped(title)}</title><desc id="{ident}-d">{escaped(description)}</desc>{body}</svg>'
    )
