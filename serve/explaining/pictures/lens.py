"""What each layer would say already, when the new text overtakes the old one, and which states bring it back."""

from __future__ import annotations

import math

from repair.explain.values import Array, LensTable, PatchingGrid
from serve.explaining.pictures.marks import (
    figure,
    grid,
    label,
    level,
    listed,
    number,
    percent,
    short,
    signed,
    size,
    svg,
    table,
    text,
)

_APART = 13.0  # pixels between two names


def _depth(n: int) -> str:
    return "embeddings" if n == 0 else f"after layer {n - 1}"


def lens_table(found: LensTable) -> str:
    """Layers by tokens of the answer; the last layer on top."""
    head = "".join(f'<th scope="col"><code>{short(p, 16) or "␣"}</code></th>' for p in found.positions)
    rows: list[str] = []
    for n in reversed(range(len(found.words))):
        cells = "".join(
            f'<td class="{level(float(c), 1.0)}"><code>{short(w.replace(chr(10), "⏎"), 16) or "␣"}</code> '
            f'<span class="small-n">{percent(float(c))}</span></td>'
            for w, c in zip(found.words[n], found.chance[n], strict=True)
        )
        rows.append(f'<tr><th scope="row">{_depth(n)}</th>{cells}</tr>')
    whole = (
        f'<table class="lens"><thead><tr><th scope="col">answer:</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return figure(
        "What each layer would already answer",
        whole,
        "The logit lens: the likeliest token when the last norm and the head read a layer's state, with its "
        "probability. Early layers do not write for the head: nonsense there means that the lens cannot read them, not "
        "that nothing is decided.",
    )


def race(found: LensTable) -> str:
    """Log-probability of the new and of the old text by layer."""
    values = [v for part in (found.fixed, found.original) for v in map(float, part) if math.isfinite(v)]
    low, high = min(values, default=-1.0), max(values, default=0.0)
    spread = (high - low) or 1.0
    count = len(found.fixed)
    left, wide, tall = 46, max(260, 26 * (count - 1)), 150

    def path(series: Array, kind: str) -> str:
        dots = [
            (left + wide * n / max(count - 1, 1), 12 + tall * (high - v) / spread)
            for n, v in enumerate(map(float, series))
            if math.isfinite(v)
        ]
        line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in dots) if dots else "M0 0"
        marks = "".join(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in dots)
        return f'<path class="line {kind}-line" d="{line}"/>{marks}'

    named = sorted(
        (16 + tall * (high - float(series[-1])) / spread, name)
        for series, name in ((found.fixed, "new text"), (found.original, "old text"))
        if count and math.isfinite(float(series[-1]))
    )
    lowest = [at - _APART for at, _ in named[:1]]
    for at, _ in named:
        lowest.append(max(at, lowest[-1] + _APART))  # names of lines that end together stand below each other
    ends = "".join(label(left + wide + 6, y, name) for y, (_, name) in zip(lowest[1:], named, strict=True))
    axis = (
        f'<path class="axis" d="M{left} 8V{12 + tall}H{left + wide}"/>'
        + label(left - 6, 18, number(high), end=True)
        + label(left - 6, 12 + tall, number(low), end=True)
        + label(left, tall + 30, "embeddings")
        + label(left + wide, tall + 30, f"layer {count - 2}", end=True)
    )
    first = next((n for n in range(count) if all(found.fixed[m] > found.original[m] for m in range(n, count))), None)
    said = "The new text never leads to the end" if first is None else f"The new text leads for good {_depth(first)}"
    drawing = path(found.original, "a") + path(found.fixed, "f") + ends + axis
    rows = [
        (_depth(n), signed(float(found.fixed[n])), signed(float(found.original[n])), signed(float(d)))
        for n, d in enumerate(found.fixed - found.original)
    ]
    return figure(
        "When the new text overtakes the old one",
        svg("race", (left + wide + 74, tall + 36 + _APART), ("Log-probability by layer", said), drawing),
        f"Log-probability (nats) of the whole answer read from each layer by the lens. {said}. The lens is a reading "
        "aid, not a record of a decision.",
        table(("depth", "#new text", "#old text", "#difference"), rows, "Log-probability by layer"),
    )


def patching_grid(found: PatchingGrid) -> str:
    """Layers by lines: how much of the difference a swapped state restores."""
    rows = [f"layer {n}" for n in range(found.restored.shape[0])]
    columns = [str(n) for n in found.lines]
    order = sorted(
        (
            (float(v), n, m)
            for n, row in enumerate(found.restored)
            for m, v in enumerate(row)
            if math.isfinite(float(v))
        ),
        key=lambda one: -abs(one[0]),
    )[:8]
    told = [f"line {found.lines[m]} at layer {n}: {percent(v) if v >= 0 else signed(v)}" for v, n, m in order]
    wide = 6 if len(columns) > 60 else 18
    return figure(
        "Which states carry the repair",
        grid(
            "patching", found.restored, rows, columns, ("Restored share by layer and line", "; ".join(told[:5])),
            cell=(wide, 18), largest=max(1.0, size(v for v, _, _ in order)),
        ),
        "The state of one line at one layer is put from the faulty program into the repaired one's run: the share of "
        "the lost log-probability that comes back (1 is all, the second hue makes it worse). Log-probability of the "
        f"change {number(found.clean)} with the fault, {number(found.corrupt)} without. It shows what is enough to "
        "bring the answer back, not all that takes part.",
        listed(text(one) for one in told),
    )  # fmt: skip
