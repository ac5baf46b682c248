"""Code with what is believed of it: the line map, evidence outside of the code, the change with evidence marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from repair.explain.values import EvidenceMap, LocationMap, Subject, UnitKind, UnitScore
from repair.views import Hunk, View
from serve.explaining.pictures.marks import bar, figure, level, percent, scroll, share_bar, short, signed, size, text

AROUND = 3  # lines of context of a change
_WIDTH = 300  # characters of a line that are shown


def code_scores(evidence: EvidenceMap | None) -> Mapping[int, float]:
    """Evidence by line of the file."""
    scores = evidence.scores if evidence else ()
    return {s.unit.number: s.score for s in scores if s.unit.kind is UnitKind.CODE}


def line_map(subject: Subject, where: LocationMap | None, evidence: EvidenceMap | None) -> str:
    """Every line that the model read: how probable the fault is there, and how much the line is evidence."""
    view, scores = subject.view, code_scores(evidence)
    largest = size(s.score for s in evidence.scores) if evidence else 0.0
    believed = {one.line: one.calibrated for one in where.lines} if where else {}
    best = {one.line: place for place, one in enumerate(where.top(), 1) if one.calibrated >= 0.01} if where else {}
    peak = max(believed.values(), default=0.0) or 1.0
    rows: list[str] = []
    for line, code in enumerate(view.lines, view.first_line):
        chance = believed.get(line)
        heat = share_bar(chance / peak, 44) if chance is not None else ""
        badge = f'<span class="rank">{best[line]}. {percent(believed[line])}</span>' if line in best else ""
        score = scores.get(line)
        told = f'<span class="n">{signed(score)}</span>' if score is not None else ""
        mark = '<span class="chip">changed</span>' if line in subject.changed else ""
        kind = level(score, largest) if score is not None else ""
        state = "changed" if mark else "same"
        rows.append(
            f'<tr class="{state}"><th scope="row">{line}</th><td class="heat">{heat}</td><td>{badge}</td>'
            f'<td class="n">{told}</td><td class="code {kind}">{text(code[:_WIDTH]) or " "}{mark}</td></tr>'
        )
    head = "".join(
        f'<th scope="col"{kind}>{one}</th>'
        for one, kind in (
            ("line", ""), ("where", ' class="heat"'), ("suspect", ""), ("evidence", ' class="n"'),
            (short(view.path, 80), ""),
        )
    )  # fmt: skip
    whole = f'<table class="lines"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return figure("Where the fault is believed to be, and what the change rests on", whole, _about(where, evidence))


def _about(where: LocationMap | None, evidence: EvidenceMap | None) -> str:
    told: list[str] = []
    if where is not None:
        source = "calibrated on held-out faults" if where.calibrated else "not calibrated: the model's own confidence"
        told.append(
            f"Bars: probability that the fault begins at the line, the longest is the likeliest ({source}); "
            f"that there is no fault: {percent(where.no_fault)}."
        )
    if evidence is not None:
        told.append(
            f"Background: how much the line speaks for the change ({evidence.method.value}, nats of log-probability); "
            "the second hue speaks against it. Evidence is what the model used, not where the fault is, and neither "
            "shows that the change is right."
        )
    return " ".join(told) or "Nothing is known of these lines."


def unit_bars(evidence: EvidenceMap, *, code: int = 5) -> str:
    """Evidence in error, traceback, tests and context, and the `code` strongest lines of code."""
    outside = [s for s in evidence.scores if s.unit.kind is not UnitKind.CODE]
    inside = sorted((s for s in evidence.scores if s.unit.kind is UnitKind.CODE), key=lambda s: -abs(s.score))[:code]
    shown = (*outside[:40], *sorted(inside, key=lambda s: s.unit.number))
    largest = size(s.score for s in evidence.scores)
    rows = "".join(_unit_row(one, largest) for one in shown)
    head = '<th scope="col">unit</th><th scope="col" class="n">nats</th><th scope="col">against | for</th>'
    whole = (
        f'<table class="units"><thead><tr>{head}<th scope="col">what it says</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    left = len(outside) - 40
    more = f" {left} more are left out." if left > 0 else ""
    return figure(
        f"Evidence by {evidence.method.value}",
        whole,
        "How much the log-probability rests on each part of what the model read: error, traceback, tests, context, and "
        f"the strongest lines of code. It says what the model used, not what it ought to have used.{more}",
    )


def _unit_row(one: UnitScore, largest: float) -> str:
    said = short(one.unit.text, 90) or '<span class="soft">–</span>'
    return (
        f'<tr><th scope="row">{text(one.unit.label)}</th><td class="n">{signed(one.score)}</td>'
        f'<td>{bar(one.score, largest)}</td><td class="said">{said}</td></tr>'
    )


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of the change; `number` is the old file's, None for a new line."""

    kind: str  # plus, minus, same, gap
    number: int | None
    text: str


def diff_of(view: View, hunks: Sequence[Hunk], around: int = AROUND) -> tuple[DiffLine, ...]:
    """The change in the window's lines, with what stands around it."""
    every = tuple(_every(view, sorted(hunks)))
    near = {
        m for n, one in enumerate(every) if one.kind in ("plus", "minus") for m in range(n - around, n + around + 1)
    }
    found: list[DiffLine] = []
    for n, one in enumerate(every):
        if n in near:
            found.append(one)
        elif found and found[-1].kind != "gap":
            found.append(DiffLine("gap", None, "…"))
    return tuple(found[:-1] if found and found[-1].kind == "gap" else found)  # what comes after is not between


def _every(view: View, hunks: Sequence[Hunk]) -> Iterator[DiffLine]:
    line = view.first_line
    for hunk in hunks:
        while line < hunk.first and line <= view.last_line:
            yield DiffLine("same", line, view.lines[line - view.first_line])
            line += 1
        while line <= min(hunk.last, view.last_line):
            yield DiffLine("minus", line, view.lines[line - view.first_line])
            line += 1
        if hunk.text or hunk.inserts:
            for new in hunk.text.split("\n"):
                yield DiffLine("plus", None, new)
    while line <= view.last_line:
        yield DiffLine("same", line, view.lines[line - view.first_line])
        line += 1


def marked_diff(subject: Subject, evidence: EvidenceMap | None) -> str:
    """The change; lines around it that are evidence carry their figure, and so do the strongest lines elsewhere."""
    view, scores = subject.view, code_scores(evidence)
    largest = size(s.score for s in evidence.scores) if evidence else 0.0
    lines = diff_of(view, subject.hunks)
    rows: list[str] = []
    for one in lines:
        sign = {"plus": "+", "minus": "\N{MINUS SIGN}"}.get(one.kind, " ")
        score = scores.get(one.number) if one.number is not None else None
        told = signed(score) if score is not None and level(score, largest) else ""
        kind = level(score, largest) if score is not None else ""
        number = "" if one.number is None else str(one.number)
        rows.append(
            f'<tr class="{one.kind}"><td class="n line">{number}</td><td class="n {kind}">{told}</td>'
            f'<td class="code">{sign} {text(one.text[:_WIDTH])}</td></tr>'
        )
    head = '<th scope="col" class="n">line</th><th scope="col" class="n">evidence</th>'
    whole = (
        f'<table class="lines diff"><thead><tr>{head}<th scope="col">{short(view.path, 80)}</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    shown = {one.number for one in lines}
    away = _elsewhere(evidence, shown) if evidence else ""
    return scroll("The change with evidence marks", whole) + away


def _elsewhere(evidence: EvidenceMap, shown: set[int | None]) -> str:
    """The strongest evidence that is not in the diff's lines."""
    kept = [
        s for s in evidence.top(4)
        if s.score >= 0.005 and not (s.unit.kind is UnitKind.CODE and s.unit.number in shown)
    ]  # fmt: skip
    said = "; ".join(
        f"{text(s.unit.label)} ({signed(s.score)})" + (f" <code>{short(s.unit.text, 70)}</code>" if s.unit.text else "")
        for s in kept
    )
    return f'<p class="soft">Evidence outside of these lines: {said}.</p>' if said else ""
