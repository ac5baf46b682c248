"""What stands around the pictures: the sentence with its badge, tests and run-time values, quality, timing, remarks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from repair.explain.values import (
    Badge,
    Checked,
    EvidenceMap,
    Explanation,
    LineValues,
    MethodQuality,
    RunValues,
    Stage,
    Trust,
)
from serve.explaining.pictures.marks import (
    figure,
    listed,
    notes,
    number,
    percent,
    share_bar,
    short,
    signed,
    size,
    table,
    text,
)

_WORDS = {
    Trust.FAITHFUL: ("good", "faithful"),
    Trust.WEAK: ("fair", "weak"),
    Trust.FAILED: ("bad", "no reliable explanation"),
    Trust.UNMEASURED: ("", "not measured"),
}
_QUOTED = re.compile("`([^`<>]+)`")  # code in a sentence, after escaping
_TRUSTED = (Trust.FAITHFUL, Trust.WEAK, Trust.UNMEASURED, Trust.FAILED)


def best_evidence(found: Sequence[EvidenceMap]) -> EvidenceMap | None:
    """The map to show first: the one that is trusted most, of equals the first."""
    return min(found, key=lambda one: _TRUSTED.index(one.badge.trust), default=None)


def badge(found: Badge) -> str:
    """Quality as a chip with its reason and measures."""
    mood, name = _WORDS[found.trust]
    measures = ", ".join(f"{text(what)} {number(value)}" for what, value in found.measures)
    why = short(found.why, 300)
    said = f"{why} ({measures})" if why and measures else why or measures
    return f'<p class="badge"><span class="chip {mood}">{name}</span> <span class="soft">{said}</span></p>'


def sentence(found: Explanation) -> str:
    """In ten seconds: which line is suspected and why."""
    said = _QUOTED.sub(r"<code>\1</code>", short(found.sentence, 600))
    lead = f'<p class="sentence">{said}</p>{badge(found.badge)}'
    cards = _suspects(found) + _reasons(found)
    return f'{lead}<div class="cards">{cards}</div>' if cards else lead


def _suspects(found: Explanation) -> str:
    view = found.subject.view
    if found.where is None:
        lines = sorted(found.subject.changed)[:3]
        items = [f"<b>line {n}</b>" + _code(found, n) for n in lines]
        return f'<div class="card"><h3>Changed</h3>{listed(items, "plain")}</div>' if items else ""
    items = [
        f'{share_bar(one.calibrated)} <b>line {one.line}</b> <span class="n">{percent(one.calibrated)}</span>'
        + _code(found, one.line)
        for one in found.where.top()
        if view.first_line <= one.line <= view.last_line and one.calibrated >= 0.01
    ]
    return f'<div class="card"><h3>Suspected</h3>{listed(items, "plain") or "<p>No line stands out.</p>"}</div>'


def _code(found: Explanation, line: int) -> str:
    view = found.subject.view
    if not view.first_line <= line <= view.last_line:
        return ""
    return f'<div class="where"><code>{short(view.lines[line - view.first_line].strip(), 90)}</code></div>'


def _reasons(found: Explanation) -> str:
    evidence = best_evidence(found.evidence)
    if evidence is None:
        return ""
    if evidence.badge.trust is Trust.FAILED:
        return '<div class="card"><h3>Because of</h3><p>No reliable explanation: see the evidence below.</p></div>'
    items = [
        f'<b>{text(one.unit.label)}</b> <span class="n">{signed(one.score)}</span>'
        + (f'<div class="where"><code>{short(one.unit.text.strip(), 90)}</code></div>' if one.unit.text else "")
        for one in evidence.top(leave_out=found.subject.changed)
        if one.score >= 0.005
    ]
    inside = listed(items, "plain") or "<p>Nothing beside the changed lines speaks for the change.</p>"
    return f'<div class="card"><h3>Because of</h3>{inside}</div>'


def method_quality(evidence: EvidenceMap, quality: Sequence[MethodQuality]) -> str:
    """What is known of the method: its badge here, and how it did on held-out faults."""
    known = next((one for one in quality if one.method is evidence.method), None)
    told = badge(evidence.badge)
    if known is not None and not known.beats_random:
        told += (
            '<p><span class="chip bad">does not beat random</span> <span class="soft">On held-out faults this method '
            "was no better than a random order of the units: do not rest anything on it.</span></p>"
        )
    return told


def quality_table(quality: Sequence[MethodQuality]) -> str:
    """Measured methods of this checkpoint."""
    if not quality:
        return '<p class="soft">The methods were not measured for this checkpoint.</p>'
    names = tuple(dict.fromkeys(name for one in quality for name, _, _ in one.measures))
    rows: list[Sequence[str]] = []
    for one in quality:
        got = {name: f"{value:.2f} ({chance:.2f})" for name, value, chance in one.measures}
        verdict = "yes" if one.beats_random else '<span class="chip bad">does not beat random</span>'
        told = (got.get(name, "") for name in names)
        rows.append((text(one.method.value), f"{one.examples:,}", *told, verdict))
    head = ("method", "#faults", *(f"#{name}" for name in names), "better than random")
    about = '<p class="soft">In parentheses what a random order gives.</p>'
    return f"<h3>The methods on held-out faults</h3>{about}{table(head, rows, 'Quality of methods')}"


def tests(checked: Checked | None, values: RunValues | None) -> str:
    """What the tests said, and what a failing one saw around the change."""
    if checked is None or not checked.verdict:
        told = '<p class="soft">No test was run: nothing is known of what the change does.</p>'
    else:
        mood = "good" if checked.verdict == "plausible" else "bad" if checked.failed else "fair"
        counts = f"{checked.passed:,} passed, {checked.failed:,} failed with the change"
        reason = f": {short(checked.reason, 300)}" if checked.reason else ""
        failing = listed(f"<code>{short(one, 200)}</code>" for one in checked.failing[:10])
        before = f"<p>Without the change these fail:</p>{failing}" if failing else ""
        told = (
            f'<p><span class="chip {mood}">{text(checked.verdict)}</span> {counts}{reason}</p>{before}'
            '<p class="soft">Passing tests do not show that a change is right: review it.</p>'
        )
    return told + (run_values(values) if values else "")


def run_values(found: RunValues) -> str:
    """Variables around the change, before and after."""
    sides = "".join(
        f'<div class="half"><h4>{name}</h4>{_values(lines, name)}</div>'
        for name, lines in (("As it is", found.before), ("With the change", found.after))
    )
    return (
        f"<h3>What the test saw</h3>"
        f'<p class="soft">Variables when <code>{short(found.test, 160)}</code> came to a line for the last time, '
        "shortened. Line numbers are those of each program.</p>"
        f'<div class="side">{sides}</div>'
    )


def _values(lines: Sequence[LineValues], named: str) -> str:
    rows = [
        (str(one.line), f"{one.hits:,}", f"<code>{short(name, 60)}</code>", f"<code>{short(value, 160)}</code>")
        for one in lines
        for name, value in (one.values or (("", ""),))
    ]
    if not rows:
        return "<p>The test did not come there.</p>"
    return table(("#line", "#visits", "name", "value"), rows, f"Values: {named}")


def stage_bars(stages: Sequence[Stage]) -> str:
    """Seconds of each stage."""
    if not stages:
        return '<p class="soft">No time was taken.</p>'
    most = size(one.seconds for one in stages) or 1.0
    rows = [
        (short(one.name, 60), share_bar(one.seconds / most, 160, "f"), f"{number(one.seconds)} s") for one in stages
    ]
    whole = sum(one.seconds for one in stages)
    return figure(
        "Where the time went",
        table(("stage", "share", "#seconds"), rows),
        f"Wall seconds on this machine, {number(whole)} s together. Single readings: another run differs.",
    )


def remarks(found: Explanation) -> str:
    """Notes, and what is not there and why."""
    missing = listed(f"<b>{text(part.value)}</b>: {short(why, 400)}" for part, why in found.unavailable)
    told = notes(found.notes)
    gone = f"<h3>Not available</h3>{missing}" if missing else ""
    return f"{told}{gone}" or '<p class="soft">Nothing to remark.</p>'
