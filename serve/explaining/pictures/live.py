"""The same question without and with interventions: probabilities by line, suspects and proposals side by side."""

from __future__ import annotations

from collections.abc import Iterator

from repair.explain.values import Answers, Interventions, LiveComparison, Proposal
from repair.views import View
from serve.explaining.pictures.lines import diff_of
from serve.explaining.pictures.marks import (
    figure,
    label,
    listed,
    notes,
    percent,
    rect,
    short,
    signed,
    size,
    svg,
    table,
    text,
)

_MOST = 60  # lines of the strip
_PROPOSALS = 5
_DIFF = 12


def changes(made: Interventions) -> str:
    """What was changed, as a list; a sentence where nothing was."""
    told = tuple(_changes(made))
    return listed(told) if told else "<p>Nothing was changed: both sides are the same question.</p>"


def _changes(made: Interventions) -> Iterator[str]:
    if made.adapter_scale != 1.0:
        yield f"adapter scaled by {made.adapter_scale:g}"
    if made.layers_off:
        yield "layers off: " + ", ".join(map(str, made.layers_off))
    if made.heads_off:
        yield "heads off: " + ", ".join(f"layer {a} head {b}" for a, b in made.heads_off)
    for one in made.neurons:
        yield f"layer {one.layer}, neuron {one.neuron} times {one.scale:g}"
    for edit in made.edits:
        said = f"now <code>{short(edit.text, 80)}</code>" if edit.text else "taken out"
        yield f"{text(edit.kind.value)} {edit.number}: {said}"
    for name, value in (("temperature", made.temperature), ("top-p", made.top_p), ("beams", made.beams)):
        if value is not None:
            yield f"{name} {value:g}"


def strip(live: LiveComparison, view: View) -> str:
    """Two bars a line: before, after."""
    sides = [
        {one.line: one.calibrated for one in side.where.lines} if side.where else {}
        for side in (live.before, live.after)
    ]
    lines = sorted({*sides[0], *sides[1]}, key=lambda n: -max(side.get(n, 0.0) for side in sides))[:_MOST]
    if not lines:
        return '<p class="soft">This model tells no probabilities of lines.</p>'
    peak = size(v for side in sides for v in side.values()) or 1.0
    parts = [label(40, 10, "before"), label(260, 10, "after"), label(490, 10, short(view.path, 40))]
    rows: list[tuple[str, ...]] = []
    for place, line in enumerate(sorted(lines)):
        y = 20 + 18 * place
        code = view.lines[line - view.first_line] if view.first_line <= line <= view.last_line else ""
        parts.append(label(34, y + 10, line, end=True))
        for side, x in zip(sides, (40, 260), strict=True):
            chance = side.get(line, 0.0)
            parts += [
                rect(x, y + 1, (150, 11), "ground"), rect(x, y + 1, (150 * chance / peak, 11), "w"),
                label(x + 156, y + 11, percent(chance)),
            ]  # fmt: skip
        parts.append(label(490, y + 11, code.strip(), limit=48, kind="t mono"))
        before, after = (side.get(line, 0.0) for side in sides)
        rows.append((str(line), percent(before), percent(after), f"{100 * (after - before):+.0f}"))
    moved = max(lines, key=lambda n: abs(sides[1].get(n, 0.0) - sides[0].get(n, 0.0)))
    said = f"Line {moved} moves most: {percent(sides[0].get(moved, 0.0))} to {percent(sides[1].get(moved, 0.0))}"
    return figure(
        "Where the fault is believed to be, before and after",
        svg("strip", (850, 26 + 18 * len(lines)), ("Probability of lines before and after", said), "".join(parts)),
        f"{said}. The same prompt and the same seed: what differs is due to the changes named above, in this model "
        "and for this prompt.",
        table(("line", "#before", "#after", "#points"), rows, "Probability by line"),
    )


def proposals(live: LiveComparison, view: View) -> str:
    """Repairs of both sides."""
    sides = "".join(
        f'<div class="half"><h4>{name}</h4>{_change(answers)}{_proposed(answers.proposals, view, name)}</div>'
        for name, answers in (("Before", live.before), ("After", live.after))
    )
    return f'<h3>Proposals</h3><div class="side">{sides}</div>{notes(live.notes)}'


def _change(answers: Answers) -> str:
    if answers.change is None:
        return '<p class="soft">This model gives the explained change no log-probability.</p>'
    return f'<p class="soft">log-probability of the explained change: {signed(answers.change)}</p>'


def _proposed(found: tuple[Proposal, ...], view: View, side: str) -> str:
    if not found:
        return "<p>No proposal.</p>"
    shown: list[str] = []
    for one in found[:_PROPOSALS]:
        kinds = {"plus": "+", "minus": "\N{MINUS SIGN}", "gap": "…"}
        lines = "".join(
            f'<span class="{line.kind}">{kinds.get(line.kind, " ")} {text(line.text[:200])}</span>'
            for line in diff_of(view, one.hunks, around=0)[:_DIFF]
            if line.kind != "gap"
        )
        told = "" if one.logprob is None else f' <span class="soft">log-probability {signed(one.logprob)}</span>'
        named = f'tabindex="0" role="region" aria-label="{side}: proposal {len(shown) + 1}"'
        where = f"line {min((h.first for h in one.hunks), default=0)}"
        shown.append(f"<li>{where}{told}<pre {named}>{lines}</pre></li>")
    return f"<ol>{''.join(shown)}</ol>"
