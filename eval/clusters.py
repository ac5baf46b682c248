"""Failed tasks in groups that call for the same cure, with examples and with what to train or build next. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.failures import FAILED, TRAINABLE, UNTYPED, WORDS, Pattern, bug_type, pattern
from eval.measurement import Measurement
from repair.verdicts import Verdict

EXAMPLES = 3
VARIOUS = "various"
_SMALLEST = 2  # a group of fewer tasks is told with the others of its pattern and bug type
_MIXES = {
    Verdict.BROKEN: "mostly broken",
    Verdict.UNFIXED: "mostly unfixed",
    Verdict.REGRESSED: "mostly regressed",
    Verdict.PLAUSIBLE: "mostly plausible",
    Verdict.UNDECIDED: "undecided, no tests were given",
}
_ADVICE = {
    Pattern.PLAUSIBLE_BUT_WRONG: "The tests let a wrong patch pass: rank plausible patches better (train the scorer "
    "on pairs of a wrong and a right plausible patch of {bugs}), or add tests before choosing.",
    Pattern.UNREADABLE: "Teach the model the format of answers before anything else: train on short examples of it, "
    "constrain the decoding, or take a model that knows it.",
    Pattern.NOT_LOCALIZED: "Train localization on more {bugs}: inject this class with its error texts, and give "
    "more evidence (tests with coverage).",
    Pattern.NO_FIX_IN_POOL: "The line is found but its fix is never proposed: inject more {bugs} to train "
    "proposals, or build a mutation operator that makes this change.",
    Pattern.TIMED_OUT: "Not a matter of training first: judge faster (warm workers, fewer tests a candidate) or give "
    "more seconds; a better ranking of {bugs} helps as well.",
    Pattern.RANKED_TOO_LOW: "The fix is there: train the ranking on {bugs} (pairs of fix and rejected candidates), or "
    "give more candidates.",
    Pattern.UNDIAGNOSED: "Give these tasks a reference (`fixed_code`): without one nobody can say what failed.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One failed task: what was wanted, what was chosen, where it was looked for."""

    id: str
    reference_diff: str
    chosen_diff: str
    suspects: tuple[int, ...]
    fault_lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Tasks that failed alike. `needs`: bug types to make more training data of, empty where data is no cure."""

    name: str
    pattern: Pattern
    bug_type: str
    mix: str  # of the verdicts
    size: str  # of the reference
    ids: tuple[str, ...]
    examples: tuple[Example, ...]
    advice: str
    needs: tuple[str, ...]

    @property
    def count(self) -> int:
        """Tasks."""
        return len(self.ids)


def clusters(measurements: Iterable[Measurement]) -> tuple[Cluster, ...]:
    """Groups of the failed tasks by pattern, bug type, verdicts and size of the reference; the largest first."""
    fine: defaultdict[tuple[Pattern, str, str, str], list[Measurement]] = defaultdict(list)
    for m in measurements:
        if (kind := pattern(m)) in FAILED:
            fine[kind, bug_type(m), verdict_mix(m), reference_size(m)].append(m)
    groups: defaultdict[tuple[Pattern, str, str, str], list[Measurement]] = defaultdict(list)
    alone = Counter(key[:2] for key, rows in fine.items() if len(rows) < _SMALLEST)
    for key, rows in fine.items():
        pooled = len(rows) < _SMALLEST and alone[key[:2]] > 1
        groups[(*key[:2], VARIOUS, VARIOUS) if pooled else key].extend(rows)
    found = [_cluster(key, rows) for key, rows in groups.items()]
    return tuple(sorted(found, key=lambda c: (-c.count, c.name)))


def needs(found: Iterable[Cluster]) -> tuple[tuple[str, int], ...]:
    """Bug types to make more training data of, with the number of tasks that failed for want of it."""
    counts: Counter[str] = Counter()
    for cluster in found:
        counts.update(dict.fromkeys(cluster.needs, cluster.count))
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _cluster(key: tuple[Pattern, str, str, str], rows: Sequence[Measurement]) -> Cluster:
    kind, bug, mix, size = key
    name = f"{bug}: {WORDS[kind]}"
    if mix != VARIOUS:
        name += f"; candidates {mix}; the reference {_SIZES[size]}"
    return Cluster(
        name,
        kind,
        bug,
        mix,
        size,
        tuple(m.id for m in rows),
        tuple(_example(m) for m in sorted(rows, key=_readable)[:EXAMPLES]),
        advice(kind, bug),
        () if bug == UNTYPED or kind not in TRAINABLE else (bug,),
    )


def advice(kind: Pattern, bug: str = UNTYPED) -> str:
    """What to train or build next where tasks fail so, in sentences. Raises KeyError where `kind` is no failure."""
    return _ADVICE[kind].format(bugs="such bugs" if bug == UNTYPED else f"bugs of the class {bug!r}")


def _readable(m: Measurement) -> tuple[int, int]:
    """Short ones first."""
    return len(m.reference_diff) + len(m.diff), m.fault_rank or 0


def _example(m: Measurement) -> Example:
    return Example(m.id, m.reference_diff, m.diff, m.suspects, m.fault_lines)


def verdict_mix(m: Measurement) -> str:
    """What more than half of the judged candidates came to, in words."""
    total = sum(m.verdicts.values())
    if not total:
        return "not judged"
    for verdict, words in _MIXES.items():
        if 2 * m.verdicts.get(verdict, 0) > total:
            return words
    return "of mixed verdicts"


_SIZES = {
    "one line": "changes one line",
    "several lines": "changes several lines",
    "insertion": "only adds lines",
    "deletion": "only removes lines",
    "no reference": "is not there",
}


def reference_size(m: Measurement) -> str:
    """A key of `_SIZES`, by the lines that the reference removes and adds."""
    hunks = m.reference_diff.split("\n@@")[1:]  # what stands before the first is the head of the diff
    lines = [line for hunk in hunks for line in hunk.split("\n")[1:]]
    removed = sum(line.startswith("-") for line in lines)
    added = sum(line.startswith("+") for line in lines)
    if not removed and not added:
        return "no reference"
    if not removed or not added:
        return "insertion" if added else "deletion"
    return "one line" if removed == added == 1 else "several lines"
