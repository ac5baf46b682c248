"""Jobs in the words of the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from pydantic import ValidationError

from serve.store.jobs import Job
from serve.wire import CostOut, LocalizationOut, RepairOut
from serve.wire_jobs import JobOut, Problem, Progress


def job_out(job: Job) -> JobOut:
    """A job for the wire."""
    result, error = None, None if job.error is None else Problem.model_validate_json(job.error)
    try:
        result = None if job.result is None else RepairOut.model_validate_json(job.result)
    except ValidationError:  # results outlast versions
        detail = "the result was written by another version of Emend and cannot be shown; submit the job again"
        error = Problem(type="urn:emend:other-version", title="Not available", status=410, detail=detail)
    return JobOut(
        id=job.id,
        kind=job.kind,
        label=job.label,
        state=job.state,
        attempt=job.attempt,
        created=time_out(job.created),
        started=None if job.started is None else time_out(job.started),
        finished=None if job.finished is None else time_out(job.finished),
        progress=Progress(candidates=job.candidates, plausible=job.plausible),
        model=job.model,
        result=result,
        error=error,
    )


def time_out(microseconds: int) -> str:
    """A time of the store (microseconds since 1970) as RFC 3339 says it, in UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}Z"


def located(localization: str, seconds: float) -> str:
    """The result of a localization job: an answer without patches, as results of jobs have one form."""
    found = LocalizationOut.model_validate_json(localization)
    cost = CostOut(seconds=round(seconds, 3), prompt_tokens=0, completion_tokens=0, test_runs=0, candidates=0)
    whole = RepairOut(**dict(found), cost=cost, patches=[], chosen=None, notes=[])
    return whole.model_dump_json()


def deadline_of(body: str) -> float | None:
    """The deadline that a request (JSON of a RepairIn) sets, in seconds from its arrival."""
    budget = json.loads(body).get("budget") or {}
    deadline = budget.get("deadline")
    return None if deadline is None else float(deadline)
