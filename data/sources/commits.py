"""Bug-fix commits of a repository as Records: one pass over the history, then the functions of the chosen ones.

Owns the order of the work: which commits are looked at, reverts and copies, the cursor. The rules are `fixes`, the
functions `data.pairs`, git `data.repositories`. Must not know how records are cleaned or stored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from data.changes import Change, Commit, Lost, Patched
from data.licence_texts import licence_of
from data.pairs import Pair, PairLimits, file_pairs
from data.records import ErrorOrigin, Origin, Record
from data.repositories import LARGEST, Contents, Repository
from data.sources.fixes import (
    THRESHOLD,
    Judged,
    judge_message,
    judge_paths,
    judge_size,
    program,
    reverted,
    together,
)

_TESTING = re.compile(r"test_|(?:setup|teardown)_(?:module|function|class)$")  # tests beside the program
ENDINGS = frozenset({".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".java"})
_REPORTED = re.compile(
    r"^(?:[>*|E-]|\s)*(?P<quote>`*)"
    r"(?P<line>(?:[a-z_]\w*\.)*(?P<type>[A-Z]\w*(?:Error|Exception|Interrupt)): \S[^\n]{0,300}?)(?P=quote)\s*$",
    re.MULTILINE,
)
_PAIR = PairLimits()


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a fix. `threshold` is the least sum of reasons, `functions` the most changed in a commit."""

    threshold: float = THRESHOLD
    functions: int = 3
    pair: PairLimits = _PAIR
    largest: int = LARGEST  # bytes of a file that is read
    batch: int = 64  # commits in a unit of work


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a repository was mined: the tips walked from, and the identities of the fixes taken."""

    tips: frozenset[str] = frozenset()
    patches: frozenset[str] = frozenset()


@dataclass(slots=True)
class Tally:
    """Counts of a run; `cursor` is set once the whole history is done."""

    commits: int = 0
    candidates: int = 0  # passed the rules that need no contents
    fixes: int = 0  # gave at least one pair
    pairs: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])  # by reason; commits, files or functions
    reverted: set[str] = field(default_factory=set[str])  # ids that this run saw reverted, also of earlier runs
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A candidate and what is known without its contents."""

    commit: str
    judged: Judged


@dataclass(frozen=True, slots=True)
class Unit:
    """A batch of candidates: all that `work` needs, small enough to be sent to another process."""

    repository: Repository
    licence: str
    tasks: tuple[Task, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class Findings:
    """What came of one candidate."""

    commit: str
    identity: str = ""
    records: tuple[Record, ...] = ()
    skipped: tuple[str, ...] = ()


Spread = Callable[[Callable[[Unit], tuple[Findings, ...]], Iterable[Unit]], Iterable[tuple[Findings, ...]]]


@dataclass(slots=True)
class _Reverts:
    """What was reverted by commits seen so far. Children come first, so a reverted revert is known as such in time."""

    ids: set[str] = field(default_factory=set[str])
    titles: Counter[str] = field(default_factory=Counter[str])

    def struck(self, commit: Commit) -> bool:
        """Whether a later commit took this one back; notes what this one takes back otherwise."""
        subject = commit.message.partition("\n")[0]
        if any(commit.id.startswith(one) for one in self.ids):
            return True
        if self.titles[subject] > 0:
            self.titles[subject] -= 1
            return True
        taken = reverted(commit.message)
        if taken is not None:
            self.ids.update(taken.ids)
            self.titles.update([taken.title] if taken.title else [])
        return False


def candidates(repository: Repository, ids: Iterable[str], options: Options, tally: Tally) -> Iterator[Task]:
    """Commits that message and paths allow to be fixes, without a look at contents; newest first."""
    reverts = _Reverts()
    for commit in repository.log(tuple(ids)):
        tally.commits += 1
        if isinstance(commit, Lost):
            tally.skipped[commit.reason] += 1
            continue
        tally.skipped.update(c.reason for c in commit.changes if c.reason not in ("", "added or deleted"))
        if reverts.struck(commit):
            tally.skipped["reverted later"] += 1
            tally.reverted.add(commit.id)
            continue
        judged = together(judge_message(commit.message), judge_paths([change.path for change in commit.changes]))
        if judged.veto or judged.score + 1 < options.threshold:  # a small size may still add one
            tally.skipped[_rule(judged.veto)] += 1
            continue
        tally.candidates += 1
        yield Task(commit.id, judged)
    tally.reverted |= reverts.ids


def _rule(veto: str) -> str:
    """A veto without the word that it quotes, so that counts stay few."""
    return re.sub(r" ['\"].*", " otherwise", veto) if veto else "too little speaks for a fix"


def work(unit: Unit) -> tuple[Findings, ...]:
    """The records of a batch. Pure but for reading the repository, so it can run in any process."""
    with unit.repository.contents(unit.options.largest) as contents:
        judged = {task.commit: task.judged for task in unit.tasks}
        found = unit.repository.patches(tuple(judged), ENDINGS)
        return tuple(
            Findings(one.id, skipped=(one.reason,))
            if isinstance(one, Lost)
            else _findings(unit, one, judged[one.commit.id], contents)
            for one in found
        )


def _size(patched: Patched) -> tuple[int, int]:
    own = [change for change in patched.commit.changes if program(change.path)]
    hunks = [hunk for change in own for hunk in patched.hunks.get((change.old, change.new), ())]
    return len(hunks), sum(max(hunk.count, hunk.new_count) for hunk in hunks)


def _findings(unit: Unit, patched: Patched, judged: Judged, contents: Contents) -> Findings:
    commit, options = patched.commit, unit.options
    whole = together(judged, judge_size(*_size(patched)))
    if whole.veto or whole.score < options.threshold:
        return Findings(commit.id, patched.identity, (), (_rule(whole.veto),))
    pairs: list[Pair] = []
    skipped: list[str] = []
    for change in commit.changes:
        if change.reason or change.old == change.new or not program(change.path):
            continue
        if (change.old, change.new) in patched.hunks:
            own, reasons = _file(change, contents, options)
            pairs += own
            skipped += reasons
        else:
            skipped.append("binary or huge")
    if len(pairs) > options.functions:
        return Findings(commit.id, patched.identity, (), (*skipped, "many functions"))
    records = tuple(_record(unit, commit, pair, whole.reasons) for pair in pairs)
    return Findings(commit.id, patched.identity, records, tuple(skipped))


def _file(change: Change, contents: Contents, options: Options) -> tuple[list[Pair], list[str]]:
    """The pairs of one changed file, and why other functions of it gave none."""
    (before, missing), (after, gone) = contents.read(change.old), contents.read(change.new)
    if missing or gone:
        return [], [missing or gone]
    found = file_pairs(change.path, before, after, options.pair)
    kept: list[Pair] = []
    reasons = list(found.reasons)
    for pair in found.pairs:
        if pair.prose:
            reasons.append("only words of messages")
        elif _TESTING.match(pair.function.rpartition(".")[2]):
            reasons.append("a test")
        else:
            kept.append(pair)
    return kept, reasons


def _date(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


def reported_error(message: str) -> tuple[str, str]:
    """The exception line that a message's body quotes and its type, empty where there is none."""
    found = _REPORTED.search(message.partition("\n")[2])
    return (found["line"], found["type"]) if found is not None else ("", "")


def _record(unit: Unit, commit: Commit, pair: Pair, reasons: tuple[str, ...]) -> Record:
    error, error_type = reported_error(commit.message)
    return Record(
        language=pair.language,
        buggy=pair.buggy,
        fixed=pair.fixed,
        origin=Origin.COMMIT,
        path=pair.path,
        first_line=pair.first_line,
        function=pair.function,
        context=pair.context,
        error=error,
        error_type=error_type,
        error_origin=ErrorOrigin.REPORTED if error else ErrorOrigin.NONE,
        repository=unit.repository.name,
        revision=commit.id,
        authored=_date(commit.authored),
        licence=unit.licence,
        message=commit.message.partition("\n")[0].strip(),
        reasons=reasons,
    )


def units(
    repository: Repository, tips: Collection[str], options: Options, cursor: Cursor, tally: Tally
) -> Iterator[Unit]:
    """The work that a run has to do, in order: the same for the same commits, options and cursor.

    Oldest first, so that commits made since leave the earlier units as they were and a build need not redo them.
    """
    licence = licence_of(repository.notice())
    found = list(candidates(repository, repository.commits(tips, cursor.tips), options, tally))
    tasks = reversed(found)
    while batch := tuple(islice(tasks, options.batch)):
        yield Unit(repository, licence, batch, options)


def mine(
    repository: Repository,
    options: Options | None = None,
    cursor: Cursor | None = None,
    tally: Tally | None = None,
    spread: Spread = map,
) -> Iterator[Record]:
    """Records of all fixes not seen at `cursor`; `tally.cursor`, set at the very end, is where the next run goes on.

    `spread` runs `work` over the units in order: `map`, or the `map` of a pool of processes.
    Raises InputError for an empty history or one that cannot be walked.
    """
    options, cursor, tally = options or Options(), cursor or Cursor(), tally if tally is not None else Tally()
    tips, patches = repository.tips(), set(cursor.patches)
    for batch in spread(work, units(repository, tips, options, cursor, tally)):
        for findings in batch:
            tally.skipped.update(findings.skipped)
            if not findings.records:
                continue
            if findings.identity in patches:
                tally.skipped["copy of another commit"] += 1
                continue
            patches.add(findings.identity)
            tally.fixes += 1
            tally.pairs += len(findings.records)
            yield from findings.records
    tally.cursor = Cursor(frozenset(tips), frozenset(patches))
