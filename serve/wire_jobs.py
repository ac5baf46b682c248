"""The JSON of jobs, feedback, models, keys and problems. As `wire.py`, it knows nothing of HTTP or the store."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.wire import RepairIn, RepairOut

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "infra_error"]
JobKind = Literal["repair", "localization"]
ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled", "infra_error"})
Scope = Literal["repair", "jobs", "metrics", "admin"]

_Id = Annotated[str, Field(pattern=r"^[a-z]{3}_[0-9a-f]{32}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FieldError(_Strict):
    """A field at fault."""

    field: str
    message: str


class Problem(BaseModel):
    """An error, RFC 9457."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class JobIn(_Strict):
    """The body of POST /v1/jobs."""

    kind: JobKind = "repair"
    request: RepairIn
    label: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] = ""
    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    """Jobs of a higher priority are taken first."""


class Progress(_Strict):
    """How far a job is."""

    candidates: int = 0
    plausible: int = 0


class JobOut(_Strict):
    """A job. Times are RFC 3339 in UTC; `result` and `error` only once it has ended, never in a list."""

    id: str
    kind: JobKind
    label: str
    state: JobState
    attempt: int
    created: str
    started: str | None = None
    finished: str | None = None
    progress: Progress = Progress()
    model: str = ""
    result: RepairOut | None = None
    error: Problem | None = None


class JobsOut(_Strict):
    """Jobs, newest first; `next` is the value of `before` for those after them."""

    jobs: list[JobOut]
    next: str | None = None


class FeedbackIn(_Strict):
    """What became of a patch: `patch` counts from 0 in the answer's `patches`."""

    id: _Id
    patch: Annotated[int, Field(ge=0, lt=10_000)]
    accepted: bool
    comment: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] = ""


class ModelOut(_Strict):
    """A model that requests may name. Without location probabilities the ranking rests on the error and tests."""

    name: str
    description: str
    adapters: list[str]
    default: bool
    location_probabilities: bool


class ModelsOut(_Strict):
    """The answer of GET /v1/models."""

    models: list[ModelOut]


class KeyIn(_Strict):
    """The body of POST /v1/keys."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] = ["repair", "jobs"]
    days: Annotated[float, Field(gt=0, le=3650)] | None = None
    rate_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    concurrent: Annotated[int, Field(ge=1, le=10_000)] | None = None


class KeyOut(_Strict):
    """A key, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created: str
    expires: str | None
    revoked: bool
    last_used: str | None = None
    rate_per_minute: int | None = None
    concurrent: int | None = None


class NewKeyOut(KeyOut):
    """A key that was just made; `key` is shown this once."""

    key: str


class KeysOut(_Strict):
    """The answer of GET /v1/keys."""

    keys: list[KeyOut]


class JournalEntryOut(_Strict):
    """A repair that was kept, secrets redacted; texts that are not known are empty.

    `feedback` by patch number: accepted or not; `timing`: seconds from the arrival to the end of each stage;
    `suggested`: a label that fits; `summaries` by kind. A list leaves request, answer, comments and summaries out.
    """

    id: str
    created: str
    key: str
    key_name: str = ""
    kind: str = ""
    request_id: str = ""
    language: str = ""
    error_type: str = ""
    error_kind: str = ""
    edit_kind: str = ""
    model: str = ""
    adapter: str = ""
    verdict: str = ""
    labels: list[str] = []
    suggested: str = ""
    timing: dict[str, float] = {}
    request: dict[str, Any] | None = None
    answer: dict[str, Any] | None = None
    feedback: dict[int, bool] = {}
    comments: dict[int, str] = {}
    summaries: dict[str, dict[str, Any]] = {}


class LabelsOut(_Strict):
    """The labels of an entry of the journal, in the order of the alphabet."""

    labels: list[str]


class JournalOut(_Strict):
    """The answer of GET /v1/journal, newest first, without the texts."""

    entries: list[JournalEntryOut]
    next: str | None = None
