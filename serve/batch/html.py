"""report.html: the whole run as one page without scripts and without anything from elsewhere, light and dark.

Owns what the page shows and how much of it; its looks are `templates/report.html`. Everything is escaped by the
template engine, control and direction characters are spelled out before. Every repository has a line, those with
faults a section in full as long as the page stays below LARGEST bytes, then a short one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from repair.defects import Evidence
from repair.projects.values import Fault, Outcome, Ranked, Standing, State
from serve.batch.messages import verdict_of
from serve.batch.report import RunInfo
from serve.batch.wording import (
    REVIEW,
    Entry,
    counted,
    cut_lines,
    entries,
    evidence_text,
    fixed_count,
    one_line,
    place_of,
    reproduced,
    verified,
    visible,
)

LARGEST = 8_000_000  # bytes of a page with all that is shown in full
_LEAST = 20_000  # bytes: with less left nothing is tried in full
_HERE = Path(__file__).parent
_DIFF, _ALTERNATIVE, _TEXT = 200, 60, 30  # lines
_MANY = 10  # tests, notes and reasons of one thing
_PLACES, _EVIDENCE, _ALTERNATIVES = 5, 3, 3
_KINDS = {"+": "plus", "-": "minus", "@": "gap", "\\": "gap", "d": "gap"}
_GOOD = {Standing.REPAIRED, Standing.PARTLY, Standing.HEALTHY, State.FIXED}
_BAD = {Standing.UNREPAIRED, Standing.HOSTILE, Standing.LOST, State.UNFIXED, State.LOST}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a diff or a text; `kind` is plus, minus, gap or same."""

    kind: str
    text: str


def html_report(outcomes: Sequence[Outcome], run: RunInfo) -> str:
    """The page; repositories by name."""
    known = sorted(outcomes, key=lambda o: o.name)
    environment = _environment()
    section = environment.get_template("repository.html")
    room = LARGEST
    sections: list[Markup] = []
    for number, outcome in enumerate(known, 1):
        if entries(outcome):
            common = {"number": number, "outcome": outcome, "diagnosis": outcome.diagnosis, "run": run}
            text = section.render(**common, entries=entries(outcome), short=False) if room > _LEAST else ""
            if not text or len(text.encode("utf-8", "replace")) > room:
                text = section.render(**common, entries=(), short=True)
            room -= len(text.encode("utf-8", "replace"))
            sections.append(Markup(text))
    return environment.get_template("report.html").render(
        run=run,
        outcomes=tuple(enumerate(known, 1)),
        sections=sections,
        standings=[(standing, count) for standing, count in _standings(known)],
        tiles=_tiles(known),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_final,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cast("dict[str, object]", environment.globals).update(
        counted=counted, diff=diff_lines, evidence=_evidence, first=_first, levels=_levels, line=one_line, mood=_mood,
        place=place_of, reproduced=reproduced, review=REVIEW, text=text_lines, verdict=verdict_of, verified=verified,
        fixed_count=fixed_count, entries=entries, alternatives=_ALTERNATIVES, percent=_percent,
    )  # fmt: skip
    return environment


def _final(value: object) -> object:
    """Whatever a template shows, harmless; the engine escapes it afterwards."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def diff_lines(diff: str, *, alternative: bool = False) -> tuple[Line, ...]:
    """A diff to show, cut; a last line says what was left out."""
    shown, left = cut_lines(diff, _ALTERNATIVE if alternative else _DIFF)
    lines = tuple(Line("gap" if one.startswith(("--- ", "+++ ")) and _is_head(shown, n) else
                       _KINDS.get(one[:1], "same"), one) for n, one in enumerate(shown))  # fmt: skip
    return (*lines, Line("gap", f"… {counted(left, 'line')} left out")) if left else lines


def _is_head(lines: Sequence[str], number: int) -> bool:
    """Whether a line names a file: a removed "-- x" looks the same."""
    pair = number if lines[number].startswith("--- ") else number - 1
    return (
        0 <= pair < len(lines) - 1
        and lines[pair].startswith("--- ")
        and lines[pair + 1].startswith("+++ ")
        and (pair == 0 or not lines[pair - 1].startswith((" ", "+", "-", "@")))
    )


def text_lines(text: str) -> tuple[Line, ...]:
    """A text to show, cut; a last line says what was left out."""
    if not text.strip():
        return ()
    shown, left = cut_lines(text, _TEXT)
    lines = tuple(Line("same", one) for one in shown)
    return (*lines, Line("gap", f"… {counted(left, 'line')} left out")) if left else lines


def _evidence(fault: Fault) -> tuple[tuple[str, tuple[Line, ...]], ...]:
    def told(one: Evidence) -> tuple[str, tuple[Line, ...]]:
        head, text = evidence_text(one)
        return head, text_lines(text)

    return tuple(told(one) for one in fault.evidence[:_EVIDENCE])


def _levels(fault: Fault) -> tuple[tuple[str, tuple[Ranked, ...]], ...]:
    """The rankings that there are, coarse to fine."""
    told = (("Files", fault.files), ("Functions", fault.functions), ("Lines", fault.lines))
    return tuple((name, ranked[:_PLACES]) for name, ranked in told if ranked)


def _first(items: Sequence[str]) -> tuple[str, ...]:
    """The first of many, each in one line, and how many more there are."""
    more = (f"and {len(items) - _MANY:,} more",) if len(items) > _MANY else ()
    return (*(one_line(item, 300) for item in items[:_MANY]), *more)


def _percent(score: float) -> int:
    """The width of a score's bar."""
    return round(100 * min(max(score, 0.0), 1.0))


def _mood(state: Standing | State | None) -> str:
    return "good" if state in _GOOD else "bad" if state in _BAD else ""


def _standings(outcomes: Iterable[Outcome]) -> tuple[tuple[Standing, int], ...]:
    count = Counter(outcome.standing for outcome in outcomes)
    return tuple((standing, count[standing]) for standing in Standing if count[standing])


def _tiles(outcomes: Sequence[Outcome]) -> tuple[tuple[str, str], ...]:
    known: list[Entry] = [entry for outcome in outcomes for entry in entries(outcome)]
    states = [entry.fix.state for entry in known if entry.fix]
    return (
        (f"{len(outcomes):,}", "repository" if len(outcomes) == 1 else "repositories"),
        (f"{len(known):,}", "faults found"),
        (f"{states.count(State.FIXED):,}", "fixed: the tests pass"),
        (f"{states.count(State.PROPOSED):,}", "proposed, not tested"),
        (f"{sum(o.spent.test_runs for o in outcomes):,}", "test runs"),
        (f"{sum(o.spent.seconds for o in outcomes):,.0f} s", "spent, all repositories together"),
    )
