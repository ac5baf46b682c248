"""What is known of a repository under repair: the order, the diagnosis, each fault, each fix, and what they cost.

Plain values that can be pickled and stored (`repair.codec.to_json` and `from_json` take each of them but Groundwork
and Project). What an equal run gives again stands apart from what it does not: every figure in seconds is in `Spent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from repair.defects import Evidence
from repair.errors import InputError


class Standing(StrEnum):
    """How a repository came out of a run."""

    REPAIRED = "repaired"  # every fault has a fix, and all fixes stand together
    PARTLY = "partly repaired"
    UNREPAIRED = "unrepaired"  # faults, and no fix for any
    HEALTHY = "healthy"  # every test passes: nothing to repair
    FLAKY = "flaky"  # what fails passes in other runs of the same code
    UNREADABLE = "unreadable"  # no repository, no such commit, a missing permission, a damaged object
    TOO_LARGE = "too large"
    NO_TESTS = "no tests"
    NO_ENVIRONMENT = "no environment"  # the interpreter or the declared dependencies cannot be had
    BROKEN_BUILD = "broken build"  # nothing can be collected or compiled, and no source of ours is why
    NEEDS_NETWORK = "needs the network"
    NEEDS_SERVICE = "needs a service"  # a database, a broker, a display
    HOSTILE = "hostile"  # its tests attack what runs them
    OVER_BUDGET = "over budget"  # nothing was found before its bounds were reached
    CANCELLED = "cancelled"
    LOST = "lost"  # the worker died, twice: nothing follows about the repository


class Refusal(Exception):
    """A repository that cannot be worked on, and why. It ends that repository's part of a run, not the run."""

    def __init__(self, standing: Standing, reason: str) -> None:
        super().__init__(reason)
        self.standing, self.reason = standing, reason

    def __reduce__(self) -> tuple[type[Refusal], tuple[Standing, str]]:
        # an exception is made again from what it shows, which is the reason alone
        return type(self), (self.standing, self.reason)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one repository may cost; 0 is no bound. `candidates` and `fault_seconds` are for each fault.

    `tokens` counts prompt and completion; `money` is in the currency of the prices that the run was given.
    """

    seconds: float = 1800.0
    fault_seconds: float = 300.0
    test_runs: int = 0
    tokens: int = 0
    money: float = 0.0
    candidates: int = 400
    faults: int = 20
    tree_mib: int = 200  # of the files of a commit; a sandbox takes in half of its disk, 256 MiB
    tree_files: int = 50_000
    run_seconds: float = 900.0  # of one run of all tests; a third of `seconds` where that is less

    def __post_init__(self) -> None:
        for name, least in (("seconds", 0), ("test_runs", 0), ("tokens", 0), ("money", 0), ("candidates", 1),
                            ("faults", 1), ("fault_seconds", 0), ("tree_mib", 0), ("tree_files", 0),
                            ("run_seconds", 0)):  # fmt: skip
            if not getattr(self, name) >= least:
                raise InputError(f"{name} is {getattr(self, name)}; at least {least} is needed", field=name)


@dataclass(frozen=True, slots=True)
class Order:
    """One repository to repair. `name` is unique in a run and fit for a file name (letters, digits, ".", "_", "-").

    `report` is the text of a CI log or an error report, `alerts` a SARIF file's text, `green` a commit known to be
    good; "" where there is none. `requirements` are installed into an environment of our own beside the declared ones.
    """

    name: str
    place: str  # a path or an address
    commit: str = "HEAD"
    test: str = ""  # "": found out
    python: str = ""  # interpreter or virtual environment; "": the project's own, or one that is built
    requirements: tuple[str, ...] = ()
    report: str = ""
    alerts: str = ""
    green: str = ""
    priority: int = 0  # larger is earlier
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class Project:
    """A repository made ready: a tree of our own at `root`, how its tests run, with what."""

    order: Order
    root: Path
    commit: str  # full id
    branch: str  # that HEAD is on, "" when detached or given by id
    language: str
    command: str  # the test command, "" where there are no tests but a report or alerts
    runner: str  # "pytest", "unittest", "node --test", "npm", "maven", "gradle", "tox", "given", ...
    why: str  # what the command was taken from, for the report
    python: Path | None = None
    environment: str = ""  # where the interpreter comes from, in words
    git_dir: Path | None = None  # the history, for reading only; None where there is none at hand
    notes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()  # submodules that the tree lacks
    pointers: tuple[str, ...] = ()  # files of which LFS has not fetched the content


@dataclass(frozen=True, slots=True)
class Groundwork:
    """All runs of the unchanged code together, for judging candidates. Too large for a report.

    `lines`: test -> path -> executed lines (1-based); empty where the runner does not tell (`traced` is False then).
    `seconds`: of single tests. `start`: seconds of a run beside its tests.
    """

    passing: frozenset[str]
    failing: frozenset[str]
    flaky: frozenset[str] = frozenset()
    lines: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict[str, Mapping[str, frozenset[int]]])
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    start: float = 0.0
    wall_seconds: float = 0.0  # of a whole run
    cpu_seconds: float = 0.0
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """A suspected place: a file, a function (`name`) or a line; `first` and `last` are 1-based lines, inclusive.

    Scores of one level sum to at most 1.
    """

    path: str
    score: float
    first: int = 0
    last: int = 0
    name: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Failures that one fault is thought to cause. `key` is the same in every run over the same commit.

    `tests` is empty where only a report or an alert speaks of it.
    """

    key: str
    title: str
    tests: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    files: tuple[Ranked, ...] = ()
    functions: tuple[Ranked, ...] = ()
    lines: tuple[Ranked, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """What something cost. `executed` counts single tests that were run, `whole` runs of everything."""

    seconds: float = 0.0
    test_runs: int = 0
    whole: int = 0
    executed: int = 0
    candidates: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Both kinds."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.seconds + other.seconds,
            self.test_runs + other.test_runs,
            self.whole + other.whole,
            self.executed + other.executed,
            self.candidates + other.candidates,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the tests of a repository say, and where its faults are thought to be."""

    commit: str
    branch: str
    language: str
    command: str
    runner: str
    environment: str
    tests: int  # that were collected
    passing: int
    failing: tuple[str, ...]
    flaky: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...] = ()
    spent: Spent = field(default_factory=Spent)


class State(StrEnum):
    """How the repair of one fault ended."""

    FIXED = "fixed"  # its failing tests pass, nothing else changed for the worse, seen twice
    PROPOSED = "proposed"  # a patch that no test of the project could judge
    UNFIXED = "unfixed"
    OVER_BUDGET = "over budget"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A test written for a report.

    `before` is how it fails on the unchanged code; `passes` whether on the patched (None: there is no patch).
    """

    path: str
    text: str
    test: str  # its id
    before: str
    passes: bool | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """The end of one fault's repair. `diff` is unified, with a/ and b/, "" without a patch.

    `fixed` are the failing tests that the patch makes pass; `checked` the passing ones that were run again in the last
    whole run. `alternatives` are further plausible diffs, best first.
    """

    fault: str  # its key
    state: State
    reason: str = ""
    diff: str = ""
    paths: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    checked: int = 0
    impacted: int = 0  # passing tests that execute what the patch changes
    score: float = 0.0
    verdict: str = ""  # the word of repair.verdicts.Verdict
    origin: str = ""  # what proposed it
    alternatives: tuple[str, ...] = ()
    reproduction: Reproduction | None = None
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Combination:
    """All fixes of a repository laid over each other, in the order of `fixes` (keys), and all tests run on that.

    `left_out` are fixes that do not fit with those before them, with the reason.
    """

    fixes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    diff: str = ""
    passed: bool = False
    reason: str = ""
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run says of one repository."""

    name: str
    place: str
    standing: Standing
    reason: str
    diagnosis: Diagnosis | None = None
    fixes: tuple[Fix, ...] = ()
    combination: Combination | None = None
    spent: Spent = field(default_factory=Spent)

    def timeless(self) -> Outcome:
        """The same without what was spent: equal for equal runs."""
        nothing = Spent()
        return replace(
            self,
            diagnosis=replace(self.diagnosis, spent=nothing) if self.diagnosis else None,
            fixes=tuple(replace(fix, spent=nothing) for fix in self.fixes),
            combination=replace(self.combination, spent=nothing) if self.combination else None,
            spent=nothing,
        )
