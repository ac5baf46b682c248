"""Where heads look before and after training, head by head: what regularisation moved, at what cost.

Descriptive only. Each figure is a mean over cases; both models read the same prompts and answers. Pure, but for
`looked`, which asks an opened network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.charts import WIDTH, escaped
from repair.errors import InputError
from repair.explain.values import Array, UnitKind

if TYPE_CHECKING:
    from repair.explain.cases import Case
    from repair.explain.glass import Glass
    from repair.explain.passages import Passage

STATISTICS = ("entropy", "first-token mass", "same-line mass", "evidence mass")
_EVIDENCE = frozenset({UnitKind.ERROR, UnitKind.FRAME, UnitKind.TEST})


@dataclass(frozen=True, slots=True, eq=False)
class HeadsSeen:
    """Of one model: statistics (4, layers, heads) in the order of `STATISTICS`, and its scores for each case."""

    name: str
    statistics: Array
    change: tuple[float, ...]  # log P(the repair), nats
    located: tuple[bool, ...]  # whether the likeliest line is the fault's first


@dataclass(frozen=True, slots=True)
class Moved:
    """One statistic before and after: means over heads, the head that moved most, and the root mean square move."""

    statistic: str
    before: float
    after: float
    layer: int
    head: int
    most: float
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class HeadsCompared:
    """Two models of one shape on the same cases. `change`: mean gain in log P(the repair) a case, nats."""

    before: HeadsSeen
    after: HeadsSeen
    moved: tuple[Moved, ...]
    change: float
    located: tuple[float, float]  # shares before and after


def evidence_tokens(found: Passage, changed: frozenset[int]) -> tuple[int, ...]:
    """Positions of what speaks for the repair: error text, frames, tests, and the lines of code that it changes."""
    wanted = {
        number
        for number, unit in enumerate(found.units)
        if unit.kind in _EVIDENCE or (unit.kind is UnitKind.CODE and unit.number in changed)
    }
    return tuple(at for at, owner in enumerate(found.owner) if owner in wanted)


def looked(glass: Glass, cases: Sequence[Case]) -> HeadsSeen:
    """Ask a network about cases with a repair. Raises InputError without cases, ModelError when the model fails."""
    from repair.explain.attention import attention_statistics
    from repair.explain.glass import Watch
    from repair.explain.passages import passage

    if not cases:
        raise InputError("there is no case with a fault to look at", field="cases")
    local = glass.local()
    gathered: list[Array] = []
    change: list[float] = []
    located: list[bool] = []
    for case in cases:
        found = passage(local.answers, case.view, case.hunks)
        whole = attention_statistics(glass, found)
        rows = tuple(range(found.prompt - 1, len(found.ids) - 1))
        seen = glass.run(found.ids, Watch(rows=rows, attention=True)).attention
        onto = list(evidence_tokens(found, case.subject.changed))
        mass = np.stack([layer[:, :, onto].sum(-1).mean(-1).numpy() for layer in seen])
        gathered.append(np.stack([whole.entropy, whole.sink, whole.same, mass]))
        change.append(float(local.score(case.view, [case.hunks])[0]))
        lines = local.locate(case.view).lines
        located.append(bool(lines) and max(lines, key=lambda n: lines[n]) == case.fault)
    return HeadsSeen(glass.name, np.mean(gathered, 0).astype(np.float32), tuple(change), tuple(located))


def compared(before: HeadsSeen, after: HeadsSeen) -> HeadsCompared:
    """Raises InputError where the models do not have the same layers and heads, or saw other cases."""
    if before.statistics.shape != after.statistics.shape or len(before.change) != len(after.change):
        shapes = [" x ".join(map(str, one.statistics.shape[1:])) for one in (before, after)]
        raise InputError(
            f"layers x heads are {shapes[0]} before and {shapes[1]} after: compare a model with its own adapter",
            field="after",
        )
    moved: list[Moved] = []
    for name, old, new in zip(STATISTICS, before.statistics, after.statistics, strict=True):
        step = new - old
        layer, head = (int(n) for n in np.unravel_index(int(np.abs(step).argmax()), step.shape))
        moved.append(
            Moved(
                name, float(old.mean()), float(new.mean()), layer, head, float(step[layer, head]),
                float(np.sqrt(np.square(step).mean())),
            )
        )  # fmt: skip
    gain = float(np.mean(np.subtract(after.change, before.change)))
    shares = float(np.mean(before.located)), float(np.mean(after.located))
    return HeadsCompared(before, after, tuple(moved), gain, shares)


def head_grids(found: HeadsCompared, statistic: int, ident: str) -> str:
    """One SVG: layers down, heads across, before at the left and after at the right, one scale for both."""
    grids = found.before.statistics[statistic], found.after.statistics[statistic]
    layers, heads = grids[0].shape
    low, high = float(min(g.min() for g in grids)), float(max(g.max() for g in grids))
    left, gap, top = 22.0, 12.0, 34.0
    size = (WIDTH - 2 * left - gap) / 2 / heads
    tall = max(8.0, min(22.0, size))
    parts: list[str] = []
    for side, (name, grid) in enumerate(zip(("before", "after"), grids, strict=True)):
        x0 = left + side * (left + gap + heads * size)
        parts.append(f'<text x="{x0:.1f}" y="12" class="name">{name} {grid.mean():.3g}</text>')
        step = max(1, round(16 / size))
        for head in range(0, heads, step):
            parts.append(f'<text x="{x0 + (head + 0.5) * size:.1f}" y="{top - 5}" class="tick">{head}</text>')
        for layer in range(layers):
            y = top + layer * tall
            if layer % max(1, round(12 / tall)) == 0:
                parts.append(f'<text x="{x0 - 5:.1f}" y="{y + tall / 2 + 4:.1f}" class="tick end">{layer}</text>')
            for head in range(heads):
                value = float(grid[layer, head])
                share = round(100 * (value - low) / (high - low)) if high > low else 0
                parts.append(
                    f'<rect x="{x0 + head * size + 0.5:.1f}" y="{y + 0.5:.1f}" width="{max(0.5, size - 1):.1f}" '
                    f'height="{tall - 1:.1f}" style="fill:color-mix(in srgb, var(--accent) {share}%, var(--track))">'
                    f"<title>{name}, layer {layer}, head {head}: {value:.3g}</title></rect>"
                )
    moved = found.moved[statistic]
    told = f"{moved.statistic}: mean {moved.before:.3g} before, {moved.after:.3g} after; layers down, heads across"
    return (
        f'<svg viewBox="0 0 {WIDTH} {top + layers * tall + 4:.0f}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escaped(moved.statistic)}</title><desc id="{ident}-d">{escaped(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def heads_page(found: HeadsCompared, cases: str) -> str:
    """A page of all four grids with their figures, complete without a network and without scripts."""
    from data.sheet import card, style, table, tile

    cards: list[str] = []
    for number, m in enumerate(found.moved):
        rows = [
            ("mean over heads", f"{m.before:.4f}", f"{m.after:.4f}", f"{m.after - m.before:+.4f}"),
            (f"layer {m.layer}, head {m.head} (moved most)", f"{_at(found.before, number, m):.4f}",
             f"{_at(found.after, number, m):.4f}", f"{m.most:+.4f}"),
            ("root mean square move", "", "", f"{m.spread:.4f}"),
        ]  # fmt: skip
        body = table(("", "before", "after", "difference"), rows)
        cards.append(card(m.statistic.capitalize(), head_grids(found, number, f"heads-{number}"), body, _NOTES[number]))
    tiles = "".join(
        tile(*pair)
        for pair in (
            (f"{found.change:+.3f}", "nats: log P(the repair) a case, after less before"),
            (f"{100 * found.located[0]:.1f} %", "fault located first, before"),
            (f"{100 * found.located[1]:.1f} %", "fault located first, after"),
        )
    )
    meta = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>Heads before and after</title>"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{meta}<style>{style()}</style></head><body><main><header>'
        f"<h1>Heads before and after</h1>"
        f'<p class="lead" style="overflow-wrap:anywhere">Before: {escaped(found.before.name)}. After: '
        f"{escaped(found.after.name)}. {escaped(cases)}. Where the heads look, not why.</p></header>"
        f'<div class="tiles">{tiles}</div><div class="cards">{"".join(cards)}</div>'
        "<footer>Written by <code>emend model heads</code>.</footer></main></body></html>\n"
    )


_NOTES = (
    "Nats; 0 looks at one token. Over the ends of lines and the answer.",
    "Share of attention on the first token: a head at rest, which is normal.",
    "Share within the row's own line.",
    "Share of the answer's attention on the error, the frames, the test and the lines that the repair changes.",
)


def _at(seen: HeadsSeen, statistic: int, moved: Moved) -> float:
    return float(seen.statistics[statistic, moved.layer, moved.head])
