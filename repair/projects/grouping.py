"""Failing tests sorted by the fault that is thought to cause them (pure: runs nothing, reads nothing).

Three rules, the surer first. Failures belong together when (1) the same type of error was raised at the same innermost
line of the project's sources; (2) without such a line, the same type of error was raised at the same function, as by
the parameters of one test; (3) the groups so found execute the same distinctive lines: those that failing tests run and
few passing ones do; (4) a line that all failing tests of both execute is rare: at most RARE of the passing tests do.
Groups are joined by (3) where the Jaccard index of their distinctive lines is at least ALIKE, as in failure clustering
by localization (Jones, Bowring and Harrold 2007). Two groups too many cost time; one too few
joins faults that no single patch repairs. So the threshold leans to more groups.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from repair.defects import Frame, Traceback
from repair.traces.places import in_library, owner, plain_path

ALIKE = 0.5
RARE = 0.15
_LEAST_PASSING = 10  # with fewer passing tests nothing is rare
_FEW = 0.7  # a line is distinctive when its Ochiai is at least this share of the group's largest
_KEY = 12  # hexadecimal digits

Lines = Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an error was raised; `line` 0 where only the file is known. `ours`: in a source that may be repaired."""

    path: str
    line: int = 0
    function: str = ""
    ours: bool = True

    def __str__(self) -> str:
        """As in a title: `humanize/number.py:42 (ordinal)`."""
        named = self.function if self.function.strip("<>") == self.function else ""
        return f"{self.path}{f':{self.line}' * bool(self.line)}{f' ({named})' * bool(named)}"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failing test: what was raised, where, and which lines of the project's sources it executed."""

    test: str
    error_type: str = ""
    place: Place | None = None
    lines: Lines = field(default_factory=dict[str, frozenset[int]])


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one supposed fault, sorted by test; `failures[0]` stands for all in titles."""

    failures: tuple[Failure, ...]

    @property
    def tests(self) -> tuple[str, ...]:
        """Ids of the failing tests, sorted."""
        return tuple(f.test for f in self.failures)

    @property
    def leader(self) -> Failure:
        """The failure to show: the most frequent place among those in our sources, else the first."""
        counts: dict[Place | None, int] = defaultdict(int)
        for failure in self.failures:
            counts[failure.place] += 1
        return min(self.failures, key=lambda f: (not (f.place and f.place.ours), -counts[f.place], f.test))

    @property
    def key(self) -> str:
        """The same in every run over the same code; numbers of lines do not count."""
        first = self.leader
        place = (first.place.path, first.place.function) if first.place else ("", "")
        return key_of(*self.tests, first.error_type, *place)

    @property
    def title(self) -> str:
        """`ZeroDivisionError in humanize/number.py:42 (ordinal), 3 tests`."""
        return title_of(self.leader.error_type, self.leader.place, len(self.failures))


def key_of(*facts: str) -> str:
    """A short hash of facts that do not change from run to run."""
    return hashlib.sha256("\0".join(facts).encode("utf-8", "surrogatepass")).hexdigest()[:_KEY]


def title_of(error_type: str, place: Place | None, tests: int) -> str:
    """One line for people; `tests` 0 where only a report speaks of the fault."""
    where = f" in {place}" if place else ""
    count = f", {tests} test{'s' * (tests != 1)}" if tests else ", reported"
    return f"{error_type or 'failure'}{where}{count}"


class Owners:
    """Whose file a frame's path means; looks up by name, so that thousands of sources cost nothing."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self._paths):
            self._by_name[path.rpartition("/")[2]].append(path)

    def path_of(self, frame: Frame) -> str | None:
        """Our path; also for absolute paths and those of a log. A name that stands for any file is nobody's."""
        if frame.path in self._paths:
            return frame.path
        alike = self._by_name.get(frame.path.replace("\\", "/").rpartition("/")[2])
        return owner(frame, alike) if alike else None

    def frames(self, trace: Traceback | None) -> tuple[tuple[str, int], ...]:
        """(path, line) of the frames in our sources, innermost first."""
        if trace is None:
            return ()
        owned = ((self.path_of(f), f.line) for f in trace.frames[::-1])
        return tuple(dict.fromkeys((path, line) for path, line in owned if path))

    def place(self, trace: Traceback | None) -> Place | None:
        """The innermost frame that lies in one of our sources; else the innermost one that has a relative path."""
        if trace is None:
            return None
        for frame in trace.frames[::-1]:
            if path := self.path_of(frame):
                return Place(path, frame.line, frame.function)
        tests = (f for f in trace.frames[::-1] if _is_relative(plain_path(f.path)) and not in_library(f))
        return next((Place(f.path, f.line, f.function, ours=False) for f in tests), None)


def _is_relative(path: str) -> bool:
    return bool(path) and not path.startswith(("/", "<", "[", ".."))


def group(failures: Iterable[Failure], passing: Iterable[Lines] = (), *, alike: float = ALIKE) -> tuple[Group, ...]:
    """Every failure in exactly one group; larger groups first, then by their first test.

    `passing` are the executed lines of each passing test. Deterministic, whatever the order of either.
    """
    sure = _surely_equal(failures)
    good = tuple(passing)
    counts = passing_counts(good, frozenset(path for f in _all(sure) for path in f.lines))
    rare = RARE * len(good) if len(good) >= _LEAST_PASSING else -1.0
    joined: list[_Joined] = []
    for members in sorted(sure, key=lambda m: (-len(m), m[0].test)):
        own = _distinctive(members, counts)
        common = frozenset(at for at in _common(members) if counts.get(at, 0) <= rare)
        like = [jaccard(own, one.head) >= alike or bool(common & one.common) for one in joined]
        if any(like):
            joined[like.index(True)].take(members, common)
        else:
            joined.append(_Joined(list(members), own, common))
    groups = (Group(tuple(sorted(one.members, key=lambda f: f.test))) for one in joined)
    return tuple(sorted(groups, key=lambda g: (-len(g.failures), g.tests)))


@dataclass(slots=True)
class _Joined:
    """A group that grows. `head` stays: what joins must be like it, not like what joined before."""

    members: list[Failure]
    head: frozenset[tuple[str, int]]
    common: frozenset[tuple[str, int]]  # rare lines that all members execute

    def take(self, members: Sequence[Failure], common: frozenset[tuple[str, int]]) -> None:
        self.members += members
        self.common &= common


def _common(members: Sequence[Failure]) -> frozenset[tuple[str, int]]:
    """Lines that all of them execute."""
    executed = [{(path, line) for path, lines in f.lines.items() for line in lines} for f in members]
    return frozenset(set.intersection(*executed)) if executed else frozenset()


def _all(groups: Iterable[Iterable[Failure]]) -> Iterable[Failure]:
    return (failure for members in groups for failure in members)


def _surely_equal(failures: Iterable[Failure]) -> list[list[Failure]]:
    """Rules (1) and (2)."""
    found: dict[tuple[object, ...], list[Failure]] = defaultdict(list)
    for failure in sorted(failures, key=lambda f: f.test):
        place = failure.place
        if place is None:
            key: tuple[object, ...] = ("", failure.test)
        elif place.ours:
            key = ("ours", failure.error_type, place.path, place.line)
        else:
            key = ("test", failure.error_type, place.path, place.function or failure.test)
        found[key].append(failure)
    return list(found.values())


def passing_counts(passing: Iterable[Lines], paths: frozenset[str]) -> dict[tuple[str, int], int]:
    """How many passing tests execute each line of `paths`."""
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for files in passing:
        for path in files.keys() & paths:
            for line in files[path]:
                counts[path, line] += 1
    return counts


def _distinctive(members: Sequence[Failure], counts: Mapping[tuple[str, int], int]) -> frozenset[tuple[str, int]]:
    """Lines whose Ochiai over the group's failing and all passing tests is near the group's largest."""
    ran: dict[tuple[str, int], int] = defaultdict(int)
    for failure in members:
        for path, lines in failure.lines.items():
            for line in lines:
                ran[path, line] += 1
    squares = {at: ef * ef / (len(members) * (ef + counts.get(at, 0))) for at, ef in ran.items()}
    least = _FEW * _FEW * max(squares.values(), default=0.0)
    return frozenset(at for at, square in squares.items() if square >= least)


def jaccard(one: frozenset[tuple[str, int]], other: frozenset[tuple[str, int]]) -> float:
    """Share of common elements, 0 where both are empty: nothing is known then."""
    return len(one & other) / len(one | other) if one and other else 0.0
