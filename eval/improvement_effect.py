"""What training changed: the measured half before and after, as values. Pure.

Tests and intervals are `eval.paired`'s, reasons of failures `eval.failures`'.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eval import paired
from eval.failures import Pattern, bug_type, pattern
from eval.measurement import Measurement, Status, Stop
from eval.stats import Share


@dataclass(frozen=True, slots=True)
class Change:
    """One class before and after: the correct ones."""

    bug_type: str
    before: Share
    after: Share


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows a pattern had before and after."""

    pattern: Pattern
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The measured half before and after. `difference` is after - before, None where nothing is known of both."""

    before: Share
    after: Share
    plausible_before: Share
    plausible_after: Share
    gained: tuple[str, ...]  # rows that are correct only after
    lost: tuple[str, ...]
    unknown: int  # rows of which correctness is not known in both runs
    difference: float | None
    interval: tuple[float, float] | None  # 95 %, `paired.paired_interval`
    p_value: float  # McNemar, exact, two-sided
    changes: tuple[Change, ...] = ()
    patterns: tuple[Moved, ...] = ()
    cut: tuple[int, int] = (0, 0)  # unsolved rows, before and after, that ran out of seconds before candidates


Rows = Mapping[str, Measurement]


def compare(before: Sequence[Measurement], after: Sequence[Measurement]) -> Comparison:
    """The same rows under both models; rows that are scored and known in both count."""
    then, now = ({m.id: m for m in those if m.scored} for those in (before, after))
    both = sorted(then.keys() & now.keys())
    then, now = ({n: those[n] for n in both} for those in (then, now))
    right = [{n: m.correct for n, m in those.items()} for those in (then, now)]
    found = paired.compare(right[0], right[1])
    return Comparison(
        before=found.before,
        after=found.after,
        plausible_before=_plausible(then),
        plausible_after=_plausible(now),
        gained=tuple(n for n in both if right[0][n] is False and right[1][n] is True),
        lost=tuple(n for n in both if right[0][n] is True and right[1][n] is False),
        unknown=found.unknown,
        difference=found.difference,
        interval=found.interval,
        p_value=found.p_value,
        changes=_changes(then, now),
        patterns=_patterns(then, now),
        cut=(_cut(then.values()), _cut(now.values())),
    )


def _plausible(rows: Rows) -> Share:
    return Share(sum(m.first_plausible is not None for m in rows.values()), len(rows))


def _cut(found: Iterable[Measurement]) -> int:
    return sum(one.status is Status.NONE_FOUND and one.stop == Stop.SECONDS for one in found)


def _changes(then: Rows, now: Rows) -> tuple[Change, ...]:
    """The classes, of which most is known first."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, one in then.items():
        groups[bug_type(one)].append(name)
    made: list[Change] = []
    for kind, names in groups.items():
        found = paired.compare(*({n: those[n].correct for n in names} for those in (then, now)))
        if found.known:
            made.append(Change(kind, found.before, found.after))
    return tuple(sorted(made, key=lambda change: (-change.before.total, change.bug_type)))


def _patterns(then: Rows, now: Rows) -> tuple[Moved, ...]:
    """All patterns that either has, in the order of `Pattern`."""
    before, after = (Counter(pattern(m) for m in those.values()) for those in (then, now))
    return tuple(Moved(kind, before[kind], after[kind]) for kind in Pattern if before[kind] or after[kind])
