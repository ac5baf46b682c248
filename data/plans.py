"""Plans: every choice that a dataset depends on, as a TOML recipe is read into it; one table for each concern.

Owns the fields, their defaults and what they must keep to. How a table becomes a plan is `data.toml`'s; what is
done with it is `data.dataset`'s.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar

from data.recipe import Recipe
from data.shards import digest
from repair.errors import InputError
from repair.mutate import BUG_CLASSES

if TYPE_CHECKING:
    from typing import Any

EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class Commits:
    """Bug-fix commits of repositories (paths, or addresses that are cloned into `cache`)."""

    kind: ClassVar[str] = "commits"
    repositories: tuple[str, ...]
    cache: str = ""  # folder for clones; needed for addresses
    threshold: float = 0.0  # least sum of reasons to be taken for a fix; 0: the miner's own
    functions: int = 3  # changed ones in a commit at most
    licence: str = ""  # SPDX, where you know it better than what lies in the repository


@dataclass(frozen=True, slots=True)
class Releases:
    """Consecutive versions of packages in a folder of wheels or sdists."""

    kind: ClassVar[str] = "releases"
    path: str
    level: str = "patch"  # compared: "patch" 1.2.3 with 1.2.4 only, "minor" also 1.2.3 with 1.3.0
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Inject:
    """Faults put into the functions of a folder of wheels, or of a folder of source files."""

    kind: ClassVar[str] = "inject"
    path: str
    licence: str = ""  # of a folder of source files; wheels name their own
    repository: str = ""  # name of a folder of source files; "" for the folder's own
    each: int = 2  # faults of one function
    clean_share: float = 0.18  # records without a fault
    second_share: float = 0.07  # faulty records with a second fault
    cap: int = 4_000_000  # bytes of a package
    test_share: float = 0.1  # of the cap, that tests may have
    seed: int = 1

    def __post_init__(self) -> None:
        _shares(self, "clean_share", "second_share", "test_share")
        _least(self, 1, "each", "cap")


@dataclass(frozen=True, slots=True)
class Rewrites:
    """Functions rewritten by a model, kept where the result is another program that parses."""

    kind: ClassVar[str] = "rewrites"
    path: str
    model: str = ""  # directory, hub id or server as for `--model`; "" for the shipped one
    licence: str = ""
    repository: str = ""
    each: int = 4  # proposals kept of one function
    asked: int = 16  # proposals asked for
    functions: int = 1000  # of one package at most
    cap: int = 4_000_000
    test_share: float = 0.1
    seed: int = 1

    def __post_init__(self) -> None:
        _shares(self, "test_share")
        _least(self, 1, "each", "asked", "functions", "cap")


@dataclass(frozen=True, slots=True)
class Feedback:
    """An export of the repair journal."""

    kind: ClassVar[str] = "feedback"
    path: str
    licence: str = ""  # of the code that was repaired
    repository: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """Rows of a suite. They are never trained on: `role` must say so."""

    kind: ClassVar[str] = "suite"
    path: str
    role: str = ""

    def __post_init__(self) -> None:
        if self.role != EVALUATION:
            raise InputError(
                f'a suite measures and may not be trained on: set role = "{EVALUATION}", its rows then go to the test '
                "split and everything else is kept apart from them",
                field="role",
            )


@dataclass(frozen=True, slots=True)
class Adversarial:
    """Adversarial inputs: the file that `emend model attack --train-set` writes."""

    kind: ClassVar[str] = "adversarial"
    path: str


@dataclass(frozen=True, slots=True)
class Executable:
    """Mutants of checkouts that the projects' own tests notice."""

    kind: ClassVar[str] = "executable"
    projects: tuple[str, ...]
    command: str = "python -m pytest -q"
    python: str = ""  # interpreter or virtual environment of the tests
    mutants: int = 100  # kept ones of each project
    attempts: int = 0  # tried ones; 0: ten for each kept one
    sources: tuple[str, ...] = ()  # patterns of the files that may be mutated; none: all but tests
    whole: bool = False  # run every test for each mutant, not only those that reach it and a few others
    licence: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        _least(self, 1, "mutants")


Source = Commits | Releases | Inject | Rewrites | Feedback | Suite | Adversarial | Executable
KINDS: tuple[type[Source], ...] = (Commits, Releases, Inject, Rewrites, Feedback, Suite, Adversarial, Executable)


@dataclass(frozen=True, slots=True)
class Clean:
    """Which cleaning steps are taken; decontamination cannot be left out."""

    parse: bool = True
    cosmetic: bool = True
    labels: bool = True
    secrets: bool = True
    licences: bool = True
    duplicates: bool = True
    classes: tuple[str, ...] = ()  # bug classes that are kept, beside code without a fault; none: all

    def __post_init__(self) -> None:
        unknown = sorted(set(self.classes) - set(BUG_CLASSES))
        if unknown:
            raise InputError(f"{unknown[0]!r} is no bug class: there are {', '.join(BUG_CLASSES)}", field="classes")


@dataclass(frozen=True, slots=True)
class Decontaminate:
    """What no record may hold, besides the marks that ship with Emend and the suites among the sources."""

    marks: tuple[str, ...] = ()  # files of marks
    suites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """How records are divided. A repository lies in one split only, unless `by` is "time" or "file".

    "file" is for the code of one team: the files of each repository are divided, other projects stay unknown.

    With `after` (a date as 2025-01-31) test records are of that day or later, and all others are earlier.
    """

    validation: float = 0.05  # share of the repositories
    test: float = 0.05
    seed: int = 1
    by: str = "repository"  # or "file"; or "time": the date alone decides
    after: str = ""
    validation_repositories: tuple[str, ...] = ()
    test_repositories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _shares(self, "validation", "test")
        if self.validation + self.test > 1:
            raise InputError("split.validation and split.test are more than everything", field="test")
        if self.by not in ("repository", "file", "time"):
            raise InputError(f'split.by is {self.by!r}; it is "repository", "file" or "time"', field="by")
        if self.by == "time" and not self.after:
            raise InputError('split.by = "time" needs the date in split.after', field="after")
        if self.after and not _is_date(self.after):
            raise InputError(f"split.after is {self.after!r}; write a date as 2025-01-31", field="after")
        both = set(self.validation_repositories) & set(self.test_repositories)
        if both:
            raise InputError(f"{min(both)!r} is named for validation and for test", field="test_repositories")


@dataclass(frozen=True, slots=True)
class Augment:
    """Each training record written differently without changing what it means (`data.augment`), `copies` times more.

    Renaming of parameters is left out: code outside of a record may call them by name.
    """

    copies: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        _least(self, 0, "copies")


@dataclass(frozen=True, slots=True)
class Write:
    """The files of the dataset; with a `tokenizer` (tokenizer.json) packed training rows, too."""

    rows: int = 20_000  # of one Parquet shard
    tokenizer: str = ""
    row: int = 1024  # tokens of a packed row

    def __post_init__(self) -> None:
        _least(self, 1, "rows", "row")


@dataclass(frozen=True, slots=True)
class Plan:
    """One dataset. `output` and `jobs` change nothing in it."""

    kind: ClassVar[str] = "dataset"
    sources: tuple[Source, ...]
    name: str = "emend-dataset"
    output: str = ""
    jobs: int = 1
    clean: Clean = field(default_factory=Clean)
    decontaminate: Decontaminate = field(default_factory=Decontaminate)
    split: Split = field(default_factory=Split)
    augment: Augment = field(default_factory=Augment)
    write: Write = field(default_factory=Write)

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("the recipe has no [[sources]]", field="sources")
        _least(self, 1, "jobs")

    def choices(self) -> dict[str, Any]:
        """All that the dataset depends on, as JSON values."""
        values = asdict(self)
        values["sources"] = [source_choices(one) for one in self.sources]
        return {key: value for key, value in values.items() if key not in ("output", "jobs")}

    def digest(self) -> str:
        """Equal for plans of equal datasets, as long as the sources' contents are."""
        return digest(self.choices())


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """The corpus of the embedded model: see `data.build`."""

    kind: ClassVar[str] = "corpus"
    wheels: str
    output: str = ""
    marks: str = ""  # "" for those that ship with Emend
    suites: tuple[str, ...] = ()
    jobs: int = 1  # processes that read packages and write packs; it changes nothing in the corpus
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        _least(self, 1, "jobs")


def source_choices(source: Source) -> dict[str, Any]:
    """One source's choices as JSON values."""
    return {"kind": source.kind, **asdict(source)}


def _shares(table: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(table, name) <= 1:
            raise InputError(f"{name} is {getattr(table, name)}; it is a share between 0 and 1", field=name)


def _least(table: object, least: int, *names: str) -> None:
    for name in names:
        if getattr(table, name) < least:
            raise InputError(f"{name} is {getattr(table, name)}; it must be at least {least}", field=name)


def _is_date(text: str) -> bool:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
