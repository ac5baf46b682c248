"""What all pictures are made of: escaped text, cells of a grid, bars, figures with caption and text alternative."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import escape

from repair.explain.values import Array, Unit
from serve.batch.wording import one_line, visible

LEVELS = 8
_TOLD_CELLS = 2500  # with more of them cells have no words of their own: the page stays small
_MOST_NOTES = 100
_CHARACTER = 6.9  # pixels of a character of the pictures' font, for room beside labels


def stylesheet() -> str:
    """The rules that the pictures need, for a `<style>` or a file of the page's own."""
    return (Path(__file__).parent / "pictures.css").read_text(encoding="utf-8")


def text(value: object) -> str:
    """Any text, harmless: odd characters spelled out, markup escaped."""
    return str(escape(visible(str(value))))


def short(value: object, limit: int = 60) -> str:
    """Text in one line of at most `limit` characters, escaped."""
    return str(escape(one_line(str(value), limit)))


def number(value: float, digits: int = 3) -> str:
    """A figure for people."""
    return f"{value:.{digits}g}" if math.isfinite(value) else "not known"


def signed(value: float) -> str:
    """A figure with its sign; "0" for one that rounds to nothing."""
    if not math.isfinite(value):
        return "not known"
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") if abs(value) >= 0.005 else "0"


def percent(value: float) -> str:
    """A probability."""
    if not math.isfinite(value):
        return "not known"
    return f"{100 * value:.0f} %" if value >= 0.01 or value <= 0 else "under 1 %"


def level(value: float, largest: float) -> str:
    """The class of a background: f1 to f8 for, a1 to a8 against; "" where it is next to nothing."""
    if not (math.isfinite(value) and math.isfinite(largest)) or largest <= 0:
        return ""
    step = min(round(LEVELS * abs(value) / largest), LEVELS)
    return f"{'f' if value > 0 else 'a'}{step}" if step else ""


def size(values: Iterable[float]) -> float:
    """The largest finite magnitude, 0 without any."""
    return max((abs(float(v)) for v in values if math.isfinite(float(v))), default=0.0)


def svg(name: str, box: tuple[float, float], words: tuple[str, str], body: str) -> str:
    """A drawing of `box` pixels; `words` are its title and description; `name` is unique in the page."""
    width, height = box
    return (
        f'<svg class="drawing" role="img" aria-labelledby="{name}-t {name}-d" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{name}-t">{text(words[0])}</title><desc id="{name}-d">{text(words[1])}</desc>{body}</svg>'
    )


def label(x: float, y: float, value: object, *, end: bool = False, limit: int = 34, kind: str = "t") -> str:
    """Text in a drawing, `end`: that ends at x."""
    anchor = ' text-anchor="end"' if end else ""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{anchor}>{short(value, limit)}</text>'


def rect(x: float, y: float, box: tuple[float, float], kind: str, opacity: float = 1.0, told: str = "") -> str:
    """A rectangle in a colour of the style sheet."""
    seen = "" if opacity >= 1 else f' fill-opacity="{opacity:.2f}"'
    place = f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{max(box[0], 0):.4g}" height="{max(box[1], 0):.4g}"{seen}'
    return f"{place}><title>{text(told)}</title></rect>" if told else f"{place}/>"


def room(labels: Iterable[str], limit: int = 34) -> float:
    """Pixels that labels take at most."""
    return 8 + _CHARACTER * max((min(len(one), limit) for one in labels), default=0)


def grid(  # noqa: PLR0913 - what a grid shows
    name: str,
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    words: tuple[str, str],
    *,
    cell: tuple[float, float] = (18, 18),
    kind: str = "f",
    largest: float | None = None,
) -> str:
    """A heat map of values (rows, columns); negative ones have the second hue. Column labels stand slanted."""
    left, top = room(rows), 6 + 0.75 * room(columns, 16) if max(map(len, columns), default=0) > 3 else 18
    peak = largest if largest is not None else size(float(v) for v in values.flat)
    told = len(rows) * len(columns) <= _TOLD_CELLS
    width, height = cell
    parts: list[str] = []
    for at, row in enumerate(rows):
        y = top + at * height
        parts.append(label(left - 6, y + height / 2 + 4, row, end=True))
        parts.append(rect(left, y, (width * len(columns), height - 1), "ground"))
        for n, column in enumerate(columns):
            value = float(values[at, n])
            share = min(abs(value) / peak, 1.0) if peak > 0 and math.isfinite(value) else 0.0
            if share < 0.02 and not told:
                continue
            hue = kind if value >= 0 else "a"
            said = f"{row}, {column}: {number(value)}" if told else ""
            parts.append(rect(left + n * width, y, (width - 1, height - 1), hue, 0.95 * share, said))
    every = max(1, math.ceil(14 / width))
    for n in range(0, len(columns), every):
        x = left + (n + 0.5) * width
        if top == 18:
            parts.append(f'<text class="t" x="{x:g}" y="13" text-anchor="middle">{short(columns[n], 3)}</text>')
        else:
            turn = f"translate({x + 3:g} {top - 4:g}) rotate(-50)"
            parts.append(f'<text class="t" transform="{turn}">{short(columns[n], 16)}</text>')
    spill = 0 if top == 18 else room(columns[-1:], 16) * 0.65
    box = left + width * len(columns) + spill + 4, top + height * len(rows) + 4
    return svg(name, box, words, "".join(parts))


def bar(value: float, largest: float, width: int = 120) -> str:
    """A bar from the middle: to the right for, to the left against. Only ornament: the figure stands beside it."""
    share = min(abs(value) / largest, 1.0) if largest > 0 and math.isfinite(value) else 0.0
    half = width / 2
    body = rect(half if value >= 0 else half - share * half, 2, (share * half, 9), "f" if value >= 0 else "a")
    line = f'<path class="axis" d="M{half:g} 0V13"/>'
    return f'<svg class="bar" aria-hidden="true" width="{width}" height="13">{body}{line}</svg>'


def share_bar(share: float, width: int = 60, kind: str = "w") -> str:
    """A bar from the left, for a share of 1."""
    kept = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    body = rect(0, 2, (width, 9), "ground") + rect(0, 2, (kept * width, 9), kind)
    return f'<svg class="bar" aria-hidden="true" width="{width}" height="13">{body}</svg>'


def scroll(named: str, inside: str) -> str:
    """A region that scrolls sideways on a narrow screen."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(named)}">{inside}</div>'


def figure(title: str, drawing: str, caption: str, alternative: str = "") -> str:
    """A picture under its title, with what it is and what it is not; `alternative` says the same in words (HTML)."""
    words = f"<details><summary>The same in words</summary>{alternative}</details>" if alternative else ""
    return (
        f'<figure class="picture"><h3>{text(title)}</h3>{scroll(title, drawing)}'
        f"<figcaption>{text(caption)}</figcaption>{words}</figure>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], named: str = "") -> str:
    """A table of escaped cells, in a region of its own when named; heads that begin with `#` stand over figures."""
    classes = [' class="n"' if one.startswith("#") else "" for one in head]
    top = "".join(
        f'<th scope="col"{kind}>{text(one.removeprefix("#"))}</th>' for one, kind in zip(head, classes, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{one}</td>" for one, kind in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return scroll(named, whole) if named else whole


def listed(items: Iterable[str], kind: str = "notes") -> str:
    """A list of sentences that are escaped already; "" without any."""
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="{kind}">{inside}</ul>' if inside else ""


def notes(sentences: Iterable[str]) -> str:
    """Remarks of a part, the first hundred."""
    told = list(sentences)
    shown = [short(one, 400) for one in told[:_MOST_NOTES]]
    return listed([*shown, f"and {len(told) - len(shown)} more"] if len(told) > len(shown) else shown)


def tag(unit: Unit) -> str:
    """A unit's short name for axes: `8`, `error`, `frame 8`, `test 2`."""
    named = {"code": f"{unit.number}", "error": "error"}
    return named.get(unit.kind.value, f"{unit.kind.value} {unit.number}")
