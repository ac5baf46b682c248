"""Why a task failed, and which bug types would gain most from training. Pure: reads measurements, nothing else.

Clusters with examples and advice are `eval.clusters`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eval.measurement import Measurement, Status, Stop
from eval.stats import Share

LOCATED = 5  # a fault is localized when it is among so many first suspects
UNTYPED = "unnamed"  # a task whose suite names no bug type


class Pattern(StrEnum):
    """What became of a task, and where it went wrong."""

    SOLVED = "solved"
    PLAUSIBLE_BUT_WRONG = "plausible-but-wrong"
    UNREADABLE = "unreadable"
    NOT_LOCALIZED = "not-localized"
    NO_FIX_IN_POOL = "localized-but-no-fix-in-pool"
    TIMED_OUT = "timed-out"
    RANKED_TOO_LOW = "in-pool-but-ranked-too-low"
    UNDIAGNOSED = "undiagnosed"  # nothing found, and no reference that could tell why
    UNKNOWN = "unknown"  # plausible, neither right nor wrong by what the suite has
    BROKEN_ROW = "broken-row"
    UNSCORED = "unscored"


FAILED = frozenset(
    {
        Pattern.PLAUSIBLE_BUT_WRONG,
        Pattern.UNREADABLE,
        Pattern.NOT_LOCALIZED,
        Pattern.NO_FIX_IN_POOL,
        Pattern.TIMED_OUT,
        Pattern.RANKED_TOO_LOW,
        Pattern.UNDIAGNOSED,
    }
)
"""Patterns that a better repair would end; the others are solved, not known, or say nothing about the repair."""

TRAINABLE = FAILED - {Pattern.UNREADABLE, Pattern.TIMED_OUT, Pattern.UNDIAGNOSED}
"""Failures that more examples of the bug's class may cure; the others want time, a format or a reference first."""

WORDS = {
    Pattern.SOLVED: "a correct patch was chosen",
    Pattern.PLAUSIBLE_BUT_WRONG: "the chosen patch passes the tests and is wrong",
    Pattern.UNREADABLE: "most of the model's answers hold no readable change",
    Pattern.NOT_LOCALIZED: f"no line of the fault is among the first {LOCATED} suspects",
    Pattern.NO_FIX_IN_POOL: "right line, but no candidate is the fix",
    Pattern.TIMED_OUT: "the seconds ended before the fix was judged",
    Pattern.RANKED_TOO_LOW: "the fix is among the candidates, but came too late",
    Pattern.UNDIAGNOSED: "nothing found, and no reference that tells why",
    Pattern.UNKNOWN: "plausible, neither right nor wrong by what the suite has",
    Pattern.BROKEN_ROW: "the case failed its own check",
    Pattern.UNSCORED: "sandbox, model or tests failed",
}


def pattern(m: Measurement) -> Pattern:
    """The one pattern of a task; the first of these that holds.

    1. Broken rows and unscored ones: nothing about the repair may be concluded.
    2. A chosen patch that passes: solved, wrong or unknown; what happened before it was chosen no longer matters.
    3. Unreadable: while most answers cannot be read, the ranks below describe the search alone, not the model.
    4. Not localized, before what ended the run: seconds and candidates then went to the wrong lines, and a pool that
       lacks the fix follows from it (it is made of the suspicious lines).
    5. No fix in the pool, before timed out: more seconds cannot find what is not there.
    6. Timed out, before ranked too low: the same order may have been enough on a faster machine.
    7. Ranked too low: the fix is there, or was judged and another was shown first.
    """
    if m.status is Status.LEFT_OUT:
        return Pattern.BROKEN_ROW
    if m.status is Status.UNSCORED:
        return Pattern.UNSCORED
    if m.status is Status.REPAIRED:
        known = {True: Pattern.SOLVED, False: Pattern.PLAUSIBLE_BUT_WRONG}
        return Pattern.UNKNOWN if m.correct is None else known[m.correct]
    if m.plausible_count == 0 and 2 * m.unreadable > m.proposed:
        return Pattern.UNREADABLE
    return _searched(m)


def _searched(m: Measurement) -> Pattern:
    """Of a task for which nothing was found by answers that can be read."""
    told = bool(m.fault_lines) or m.fault_rank is not None  # whether a reference says where the fault is
    if told and (m.fault_rank is None or m.fault_rank > LOCATED):
        return Pattern.NOT_LOCALIZED
    reached = m.in_pool is True or m.first_correct is not None
    if m.in_pool is False and not reached:
        return Pattern.NO_FIX_IN_POOL
    if m.stop == Stop.SECONDS:
        return Pattern.TIMED_OUT
    return Pattern.RANKED_TOO_LOW if reached else Pattern.UNDIAGNOSED


def bug_type(m: Measurement) -> str:
    """The suite's name for the bug, UNTYPED where it has none."""
    return m.bug_type or UNTYPED


@dataclass(frozen=True, slots=True)
class Weakness:
    """A bug type and what fails there. `pattern` is the most frequent one of its failures.

    `trainable` counts the failures that training can help (`TRAINABLE`).
    """

    bug_type: str
    failed: int
    total: int
    trainable: int
    pattern: Pattern

    @property
    def share(self) -> Share:
        """Of the tasks known to be solved or failed, those that failed."""
        return Share(self.failed, self.total)

    @property
    def gain(self) -> float:
        """Tasks that fail for certain: the share's lower 95 % bound times the tasks.

        Neither a rare type that always fails nor a frequent one that seldom does can win much.
        """
        return (self.share.interval or (0.0, 0.0))[0] * self.total


def weaknesses(measurements: Iterable[Measurement]) -> tuple[Weakness, ...]:
    """Bug types with failures, those that would gain most first (see `Weakness.gain`).

    `total` counts the tasks known to be solved or failed.
    """
    found: defaultdict[str, list[Pattern]] = defaultdict(list)
    for m in measurements:
        if (kind := pattern(m)) is Pattern.SOLVED or kind in FAILED:
            found[bug_type(m)].append(kind)
    weak = [_weakness(name, kinds) for name, kinds in found.items() if FAILED & set(kinds)]
    return tuple(sorted(weak, key=lambda w: (-w.gain, -w.failed, w.bug_type)))


def _weakness(name: str, kinds: Sequence[Pattern]) -> Weakness:
    failed = Counter(kind for kind in kinds if kind in FAILED)
    most = min(failed, key=lambda kind: (-failed[kind], list(Pattern).index(kind)))
    return Weakness(name, failed.total(), len(kinds), sum(kind in TRAINABLE for kind in kinds), most)
