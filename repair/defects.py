"""What is known of a fault: evidence, the defect, the request for its repair and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from repair.errors import InputError
from repair.sources import Source


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of a stack: `path` as printed, 1-based `line`, the function's name where printed."""

    path: str
    line: int
    function: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Traceback:
    """A raised error: its type, its message and the frames, innermost LAST as Python prints them."""

    error_type: str
    message: str
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding of a compiler, type checker or linter. `line` and `column` are 1-based, column 0 unknown."""

    path: str
    line: int
    message: str
    column: int = 0
    code: str = ""
    tool: str = ""
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class FailingTest:
    """A test that fails: its id, the failure's message, and its trace where there was one."""

    test_id: str
    message: str = ""
    trace: Traceback | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Error text in no format that we know, kept as it came."""

    text: str


Evidence = FailingTest | Traceback | Diagnostic | Report


@dataclass(frozen=True, slots=True)
class Defect:
    """Our record of a fault and its failures: all evidence, most telling first; may be empty."""

    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What one repair may cost: candidates judged (or returned, without tests), wall seconds."""

    candidates: int = 400
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise InputError(f"budget.candidates is {self.candidates}; at least 1 is needed", field="budget.candidates")
        if not self.seconds > 0:
            raise InputError(f"budget.seconds is {self.seconds}; it must be more than 0", field="budget.seconds")


@dataclass(frozen=True, slots=True)
class Location:
    """A place that the caller says is at fault: lines 1-based, inclusive."""

    path: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """All that one repair starts from. `sources` are the files that may be changed."""

    sources: tuple[Source, ...]
    defect: Defect = field(default_factory=Defect)
    budget: Budget = field(default_factory=Budget)
    location: Location | None = None
    tests: str = ""  # text of the failing test, for the model to read; never changed

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("no source file was given", field="files")
        paths = [s.path for s in self.sources]
        if len(set(paths)) != len(paths):
            raise InputError("a source file was given twice", field="files")
        if self.location is not None and self.location.path not in paths:
            raise InputError(f"location names {self.location.path}, which is no file given", field="location.path")

    def source(self, path: str) -> Source:
        """The source of that path. Raises InputError when there is none."""
        for source in self.sources:
            if source.path == path:
                return source
        raise InputError(f"{path} is not among the files of the request", field="path")
