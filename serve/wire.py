"""The JSON that crosses the wire, for HTTP and for `--json`: pydantic models and their values.

Owns names, limits and the 1-based line/column form of spans (end exclusive, as in SARIF). Knows
nothing of HTTP, models or tests. Fields that it does not know are refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from repair.defects import Budget, Defect, Location, RepairRequest
from repair.diffs import render_diff
from repair.edits import Patch, Span
from repair.errors import InputError
from repair.oracles.commands import is_test_name
from repair.sources import Source
from repair.traces import parse_error
from repair.verdicts import Cost, Judgement, Observation, Outcome, RepairResult, Suspect
from serve.limits import MAX_SOURCE_BYTES, MIB
from serve.projects import chosen_sources, unpack_text

MAX_FILES = 64
MAX_NAME_BYTES = 255  # of one name in a path: what Linux can write
MAX_ERROR_CHARS = 200_000
MAX_ARCHIVE_CHARS = 4 * (16 * MIB // 3 + 1)  # in base64; the service's own limit of a body may be lower
MAX_SUSPECTS = 20
MAX_PATCHES = 50


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileIn(_Strict):
    """A file by its text; `path` is relative to the project, with forward slashes."""

    path: Annotated[str, Field(min_length=1, max_length=512)]
    text: str


class TestIn(_Strict):
    """What decides whether a patch is plausible; runs in the sandbox only.

    The rest of an `archive` is there too; without a command and files, its tests by their names run.
    """

    __test__ = False

    command: Annotated[str, Field(max_length=4096)] | None = None
    files: Annotated[list[FileIn], Field(max_length=MAX_FILES)] = []


class SpanOut(_Strict):
    """Lines and columns count from 1; the end is exclusive."""

    start_line: Annotated[int, Field(ge=1)]
    start_column: Annotated[int, Field(ge=1)] = 1
    end_line: Annotated[int, Field(ge=1)]
    end_column: Annotated[int, Field(ge=1)] = 1


class LocationIn(_Strict):
    """Where the caller says the fault is."""

    path: str
    span: SpanOut


class BudgetIn(_Strict):
    """What the repair may cost; the service's own limits stand above it."""

    candidates: Annotated[int, Field(ge=1, le=10_000)] | None = None
    seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    deadline: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Wall seconds from the arrival of the request, waiting included; what is found by then is the answer."""


class OptionsIn(_Strict):
    """How to search. `order` "random" judges the same candidates in a seeded random order."""

    order: Literal["model", "heuristic", "random"] = "model"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A name of GET /v1/models; without it the service's default."""
    adapter: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A name of that model's adapters."""


class RepairIn(_Strict):
    """The body of POST /v1/repairs and /v1/localizations."""

    archive: Annotated[str, Field(max_length=MAX_ARCHIVE_CHARS)] | None = None
    """The whole project as .zip, .tar, .tar.gz or .tar.xz in base64; `files` replace members of the same path."""
    files: Annotated[list[FileIn], Field(max_length=MAX_FILES, validate_default=True)] = []
    """The files that may be changed; may be left out where there is an `archive`."""
    paths: Annotated[list[str], Field(max_length=MAX_FILES)] = []
    """Members of the archive that may be changed too; without `files` and `paths`, those that the error names."""
    language: Literal["python", "javascript", "typescript", "tsx", "java"] | None = None
    error: Annotated[str, Field(max_length=MAX_ERROR_CHARS)] | None = None
    test: TestIn | None = None
    location: LocationIn | None = None
    budget: BudgetIn = BudgetIn()
    options: OptionsIn = OptionsIn()

    @field_validator("files")
    @classmethod
    def _some(cls, files: list[FileIn], info: ValidationInfo) -> list[FileIn]:
        if not files and not info.data.get("archive"):
            raise ValueError("give at least one file, or an archive")
        return files

    def _members(self) -> Mapping[str, bytes]:
        """Files of the archive without those that `files` replace; not kept, as a request may wait for long."""
        given = [file.path for file in self.files]
        members = unpack_text(self.archive) if self.archive else {}
        for number, path in enumerate(given):
            _refuse_nested(path, members, f"files.{number}.path")
        return {path: content for path, content in members.items() if path not in given}

    def _chosen(self, members: Mapping[str, bytes]) -> tuple[Source, ...]:
        """What may be changed of the archive's files."""
        if self.archive is None:
            if self.paths:
                raise InputError("paths name members of an archive, and there is none", field="paths")
            return ()
        paths = self.paths or ([self.location.path] if self.location and not self.files else [])
        if self.files and not paths:
            return ()
        sent = {file.path for file in self.test.files} if self.test else set[str]()
        eligible = {path: content for path, content in members.items() if path in paths or path not in sent}
        return chosen_sources(eligible, paths, self._defect, most=MAX_FILES)

    @property
    def _defect(self) -> Defect:
        return parse_error(self.error) if self.error and self.error.strip() else Defect()

    def to_sources(self) -> tuple[Source, ...]:
        """The files that may be changed. Raises InputError with the field at fault."""
        given = tuple(_source(file, f"files.{n}", self.language) for n, file in enumerate(self.files))
        return given + self._chosen(self._members())

    def test_files(self) -> dict[str, bytes]:
        """Test files by path. Raises InputError for a test without content or a path that cannot be."""
        if self.test is None:
            return {}
        if self.test.command is not None and not self.test.command.strip():
            raise InputError("the test command is empty", field="test.command")
        members = self._members()
        known = {source.path for source in self._chosen(members)} | {file.path for file in self.files}
        found = {path: content for path, content in members.items() if path not in known}
        if not self.test.files and self.test.command is None and not any(map(is_test_name, found)):
            raise InputError("test has neither a command nor files", field="test")
        for number, file in enumerate(self.test.files):
            field = f"test.files.{number}"
            content = _source(file, field, None).to_bytes()
            if file.path in known:
                raise InputError(f"{file.path} is the file or a folder of another one", field=f"{field}.path")
            _refuse_nested(file.path, (*known, *members), f"{field}.path")
            known.add(file.path)
            found[file.path] = content
        return found

    def to_request(self, *, max_candidates: int, max_seconds: float) -> RepairRequest:
        """The request that this body means. Raises InputError with the field at fault."""
        budget = Budget(
            candidates=min(self.budget.candidates or Budget().candidates, max_candidates),
            seconds=min(self.budget.seconds or Budget().seconds, max_seconds),
        )
        return RepairRequest(
            sources=self.to_sources(),
            defect=self._defect,
            budget=budget,
            location=_location(self.location),
            tests="\n\n".join(f.text for f in self.test.files) if self.test else "",
        )


def _source(file: FileIn, field: str, language: str | None) -> Source:
    check_path(file.path, f"{field}.path")
    try:
        content = file.text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{file.path}: the text holds half of a surrogate pair", field=f"{field}.text") from error
    if len(content) > MAX_SOURCE_BYTES:
        message = f"{file.path}: {len(content)} bytes; Emend repairs files of up to {MAX_SOURCE_BYTES}"
        raise InputError(message, field=f"{field}.text")
    try:
        return Source.from_bytes(file.path, content, language=language or "")
    except InputError as error:
        raise InputError(str(error), field=f"{field}.text") from error


def check_path(path: str, field: str) -> None:
    """Refuse what is not a plain relative path. Raises InputError naming `field`."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InputError(f"{path!r} is not a relative path inside the project", field=field)
    if any(len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES for part in parts):
        raise InputError(f"a name in {path[:60]!r}... has more than {MAX_NAME_BYTES} bytes", field=field)


def _refuse_nested(path: str, others: Iterable[str], field: str) -> None:
    """Refuse a path that is a folder of another one, or lies below it."""
    if any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in others):
        raise InputError(f"{path} is the file or a folder of another one", field=field)


def _location(location: LocationIn | None) -> Location | None:
    if location is None:
        return None
    span = location.span
    if (span.end_line, span.end_column) < (span.start_line, span.start_column):
        raise InputError("location.span ends before it starts", field="location.span")
    last = span.end_line - 1 if span.end_column == 1 and span.end_line > span.start_line else span.end_line
    return Location(location.path, span.start_line, last)


class FaultOut(_Strict):
    """A place that may hold the fault."""

    path: str
    span: SpanOut
    suspiciousness: float
    reasons: list[str]


class EditOut(_Strict):
    """One replacement in the text as it was sent."""

    path: str
    span: SpanOut
    text: str


class TestsOut(_Strict):
    """What the tests said of a patch; `status` "not run" where nothing ran."""

    __test__ = False

    status: Literal["passed", "failed", "not run"]
    passed: int = 0
    failed: int = 0
    runs: int = 0
    failing: list[str] = []
    reason: str = ""


class PatchOut(_Strict):
    """A candidate, judged. `score` orders patches; higher is better."""

    diff: str
    edits: list[EditOut]
    score: float
    verdict: str
    origin: str
    tests: TestsOut


class CostOut(_Strict):
    """What the repair took."""

    seconds: float
    prompt_tokens: int
    completion_tokens: int
    test_runs: int
    candidates: int


class LocalizationOut(_Strict):
    """The answer of /v1/localizations."""

    id: str
    fault: list[FaultOut]
    no_fault: float | None = None
    model: str


class RepairOut(LocalizationOut):
    """The answer of /v1/repairs. `patches` are ranked best first; `chosen` indexes the plausible one to take."""

    cost: CostOut
    patches: list[PatchOut]
    chosen: int | None
    notes: list[str]


def span_out(source: Source, span: Span) -> SpanOut:
    """A span of offsets as lines and columns of `source`."""
    start_line, start_column = source.position(span.start)
    end_line, end_column = source.position(span.end)
    return SpanOut(start_line=start_line, start_column=start_column, end_line=end_line, end_column=end_column)


def fault_out(suspect: Suspect, sources: Mapping[str, Source]) -> FaultOut:
    """A suspect for the wire."""
    return FaultOut(
        path=suspect.path,
        span=span_out(sources[suspect.path], suspect.span),
        suspiciousness=round(suspect.suspiciousness, 6),
        reasons=list(suspect.reasons),
    )


def edits_out(patch: Patch, sources: Mapping[str, Source]) -> list[EditOut]:
    """A patch's edits, in the order of files and offsets."""
    return [
        EditOut(path=file.path, span=span_out(sources[file.path], edit.span), text=edit.text)
        for file in patch.files
        for edit in file.edits
    ]


def outcome_out(observations: tuple[Observation, ...], reason: str) -> TestsOut:
    """The last run's tests, and how many runs there were."""
    if not observations:
        return TestsOut(status="not run", reason=reason)
    last = observations[-1]
    failing = sorted(last.ids(Outcome.FAILED, Outcome.ERROR))
    return TestsOut(
        status="passed" if all(o.passed for o in observations) else "failed",
        passed=len(last.ids(Outcome.PASSED)),
        failed=len(failing),
        runs=len(observations),
        failing=failing[:50],
        reason=reason or last.reason,
    )


def patch_out(judgement: Judgement, sources: Mapping[str, Source]) -> PatchOut:
    """A judged candidate for the wire."""
    candidate = judgement.candidate
    return PatchOut(
        diff=render_diff(candidate.patch, sources),
        edits=edits_out(candidate.patch, sources),
        score=round(candidate.score, 6),
        verdict=judgement.verdict.value,
        origin=candidate.origin,
        tests=outcome_out(judgement.observations, judgement.reason),
    )


def cost_out(cost: Cost) -> CostOut:
    """A cost for the wire."""
    return CostOut(
        seconds=round(cost.seconds, 3),
        prompt_tokens=cost.prompt_tokens,
        completion_tokens=cost.completion_tokens,
        test_runs=cost.test_runs,
        candidates=cost.candidates,
    )


def localization_out(
    suspects: Sequence[Suspect],
    sources: Mapping[str, Source],
    *,
    identity: str,
    model: str,
    no_fault: float | None,
) -> LocalizationOut:
    """Suspects for the wire."""
    fault = [fault_out(s, sources) for s in suspects[:MAX_SUSPECTS]]
    return LocalizationOut(id=identity, fault=fault, no_fault=no_fault, model=model)


def repair_out(result: RepairResult, *, identity: str, model: str, most: int = MAX_PATCHES) -> RepairOut:
    """A finished repair for the wire, with at most `most` patches."""
    sources = {source.path: source for source in result.request.sources}
    shown = result.judgements[:most]
    return RepairOut(
        id=identity,
        fault=[fault_out(s, sources) for s in result.suspects[:MAX_SUSPECTS]],
        no_fault=result.no_fault,
        patches=[patch_out(j, sources) for j in shown],
        chosen=next((n for n, j in enumerate(shown) if j is result.chosen), None),
        model=model,
        cost=cost_out(result.cost),
        notes=list(result.notes),
    )


EXAMPLES: dict[str, Any] = {
    "traceback": {
        "summary": "Code and its traceback, no tests",
        "value": {
            "files": [{"path": "mean.py", "text": "def mean(xs):\n    return sum(xs) / len(x)\n"}],
            "error": 'Traceback (most recent call last):\n  File "mean.py", line 2, in mean\n'
            "    return sum(xs) / len(x)\nNameError: name 'x' is not defined",
        },
    },
    "tests": {
        "summary": "Code and a test that fails",
        "value": {
            "files": [{"path": "mean.py", "text": "def mean(xs):\n    return sum(xs) / (len(xs) + 1)\n"}],
            "test": {
                "files": [
                    {
                        "path": "test_mean.py",
                        "text": "from mean import mean\n\n\ndef test_mean():\n    assert mean([1, 3]) == 2\n",
                    }
                ]
            },
            "budget": {"candidates": 100, "seconds": 20},
        },
    },
}
