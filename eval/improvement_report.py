"""What `emend improve` tells: the report as a value, as JSON and as Markdown, which is also what a terminal shows.

Owns the words and their order. Must not know how anything came about; the HTML page is `eval.improvement_page`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from eval.clusters import Cluster
from eval.improvement import Built, Plan, Tuned
from eval.improvement_effect import Comparison
from eval.stats import Share

SHOWN = 12  # names of rows that are listed
_CLUSTERS = 6  # groups of failures that a terminal shows


@dataclass(frozen=True, slots=True)
class Step:
    """One of the five steps: what came of it in a sentence, and its wall seconds."""

    name: str
    seconds: float
    told: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that the loop did. What was not reached is None."""

    settings: Mapping[str, str]
    steps: tuple[Step, ...]
    diagnosis: Share  # correct, of the diagnosis half
    left_out: tuple[tuple[str, str], ...]  # rows of both halves that could not be used, with the reason
    plan: Plan
    built: Built | None = None
    tuned: Tuned | None = None
    comparison: Comparison | None = None
    clusters: tuple[Cluster, ...] = ()  # failures of the diagnosis half

    @property
    def verdict(self) -> str:
        """What came of it all, in a sentence or two."""
        tuned = self.tuned
        if tuned is None:
            return f"Nothing was trained: {self.plan.reason}."
        effect = effect_of(self.comparison) if self.comparison else ""
        if not tuned.taken:
            return f"The gate's answer was {tuned.outcome}: nothing is taken. {effect}".strip()
        forced = f" although the gate's answer was {tuned.outcome} (--force)" if tuned.forced else ""
        return f"An adapter is taken{forced}: {tuned.adapter}. {effect}".strip()


def effect_of(found: Comparison) -> str:
    """Whether the measured half shows a difference, and which."""
    if found.difference is None:
        return "On the measured half nothing can be compared."
    told = (
        f"On the measured half {found.before.count} of {found.before.total} became {found.after.count} correct "
        f"({len(found.gained)} gained, {len(found.lost)} lost)"
    )
    if found.p_value < 0.05:
        return f"{told}, which is {'better' if found.difference > 0 else 'worse'} than chance explains."
    return f"{told}, which is within chance."


def clock(found: Comparison) -> str:
    """A warning for figures that hang on the speed of the machine."""
    before, after = found.cut
    return f"the clock ended {before} unsolved rows before and {after} after: with more --seconds they may differ"


def points(difference: float | None, interval: tuple[float, float] | None) -> str:
    """A difference of shares in percentage points with its interval."""
    if difference is None or interval is None:
        return "-"
    return f"{100 * difference:+.1f} [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}] points"


def number(value: float | None) -> str:
    """A figure of the gate's table."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def percent(share: Share) -> str:
    """A share with its count."""
    return "-" if share.value is None else f"{100 * share.value:.1f} % ({share.count} of {share.total})"


def minutes(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def report_json(report: Report) -> str:
    """Everything; a share is its count and total."""
    return json.dumps({"format": 1, "verdict": report.verdict, **asdict(report)}, indent=2, ensure_ascii=False) + "\n"


def report_markdown(report: Report) -> str:
    """The report for a terminal or a ticket."""
    return "\n".join(line for part in _parts(report) for line in (*part, "")).rstrip() + "\n"


def _parts(report: Report) -> Iterator[Sequence[str]]:
    yield [report.verdict]
    yield ["## Steps", "", *table(("step", "time", "what came of it"), [(s.name, minutes(s.seconds), s.told)
           for s in report.steps])]  # fmt: skip
    if report.plan.weaknesses:
        yield ["## Weaknesses (diagnosis half)", "", *table(WEAK_HEAD, weak_rows(report))]
    if report.clusters:
        yield ["## Failures in groups (diagnosis half)", "", *_groups(report.clusters)]
    if report.tuned and report.tuned.rows:
        reasons = [f"- {reason}" for reason in report.tuned.reasons]
        yield [f"## Gate: {report.tuned.outcome}", "", *table(GATE_HEAD, gate_rows(report.tuned)), *reasons]
    if report.comparison:
        yield ["## Before and after (measured half)", "", *table(CHANGE_HEAD, change_rows(report.comparison)), "",
               INTERVALS]  # fmt: skip
        yield table(PATTERN_HEAD, pattern_rows(report.comparison))
        yield list(_names(report.comparison))


WEAK_HEAD = ("bug class", "failed", "of", "mostly", "share of the built faults", "pairs trained on")
GATE_HEAD = ("figure", "base", "tuned", "interval of the difference", "examples", "verdict")
CHANGE_HEAD = ("correct", "before", "after", "difference")
PATTERN_HEAD = ("pattern", "before", "after", "difference")
INTERVALS = "Intervals are 95 %, Newcombe's for paired shares; p is McNemar's exact test."


def weak_rows(report: Report) -> list[tuple[str, ...]]:
    """Classes with failures, then those that are built all the same."""
    shares, trained = report.plan.shares, report.built.train if report.built else {}
    names = [w.bug_type for w in report.plan.weaknesses]
    rows = [(w.bug_type, str(w.failed), str(w.total), w.pattern) for w in report.plan.weaknesses]
    rows += [(name, "0", "", "") for name in shares if name not in names]
    return [(*row, f"{100 * shares.get(row[0], 0):.0f} %", str(trained.get(row[0], 0))) for row in rows]


def gate_rows(tuned: Tuned) -> list[tuple[str, ...]]:
    """The gate's table."""
    rows: list[tuple[str, ...]] = []
    for row in tuned.rows:
        name = f"{row.figure} *" if row.figure == tuned.goal else row.figure
        known = row.low is not None and row.high is not None
        interval = f"[{row.low:+.4f}, {row.high:+.4f}]" if known else "-"
        rows.append((name, number(row.base), number(row.tuned), interval, str(row.examples), row.verdict))
    return rows


def change_rows(found: Comparison) -> list[tuple[str, ...]]:
    """All rows, then each class, then the plausible ones."""
    p = f"; p = {found.p_value:.2g}"
    rows = [("all", percent(found.before), percent(found.after), points(found.difference, found.interval) + p)]
    for change in found.changes:
        moved = change.after.count - change.before.count
        rows.append((change.bug_type, percent(change.before), percent(change.after), f"{moved:+d} rows"))
    moved = found.plausible_after.count - found.plausible_before.count
    rows.append(("plausible, all", percent(found.plausible_before), percent(found.plausible_after), f"{moved:+d} rows"))
    return rows


def pattern_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Rows by what became of them."""
    return [(m.pattern.value, str(m.before), str(m.after), f"{m.after - m.before:+d}") for m in found.patterns]


def rows_told(count: int) -> str:
    """A number of rows in words."""
    return "1 row" if count == 1 else f"{count} rows"


def _groups(found: Sequence[Cluster]) -> Iterator[str]:
    for one in found[:_CLUSTERS]:
        yield f"- {rows_told(one.count)}: {one.name}. {one.advice}"
    if rest := found[_CLUSTERS:]:
        yield f"- {rows_told(sum(one.count for one in rest))} in {len(rest)} smaller groups"


def _names(found: Comparison) -> Iterator[str]:
    for label, names in (("gained", found.gained), ("lost", found.lost)):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{label}: {', '.join(names[:SHOWN]) or 'none'}{more}"
    if any(found.cut):
        yield clock(found)
    if found.unknown:
        yield f"left out: {found.unknown} rows of which correctness is not known (no held-out tests)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned lines of a Markdown table."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = [f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |" for row in cells]
    return [lines[0], f"|{'|'.join('-' * (w + 2) for w in widths)}|", *lines[1:]]
