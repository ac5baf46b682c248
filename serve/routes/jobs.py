"""/v1/jobs: repairs that outlive their request, and their events. The store is the truth; nothing is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from serve.jobs import follow, job_out
from serve.parts import Parts
from serve.routes.answers import EVENT_STREAM, STREAM_HEADERS, as_json, documented, kept_alive, sse
from serve.routes.repairs import IdempotencyKey, task_of
from serve.security.callers import Caller, caller_of
from serve.store.jobrows import Job, NewJob
from serve.wire import EXAMPLES
from serve.wire_jobs import ENDED, JobIn, JobOut, JobsOut, JobState

_ERRORS = documented(400, 401, 403, 413, 415, 422, 429, 503)
_ONE = documented(401, 403, 404, 422, 429, 503)
_EXAMPLES = {name: {**example, "value": {"request": example["value"]}} for name, example in EXAMPLES.items()}


def _owner(caller: Caller) -> str | None:
    """Whose jobs a caller sees: an admin those of all."""
    return None if "admin" in caller.scopes else caller.key_id


def jobs_router(parts: Parts) -> APIRouter:
    """The routes of jobs."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    jobs = parts.store.jobs

    async def _found(request: Request, job_id: str) -> Job:
        job = await asyncio.to_thread(jobs.get, job_id, _owner(caller_of(request)))
        if job is None:
            raise HTTPException(404, f"there is no job {job_id[:40]} (any more)")
        return job

    @router.post("", status_code=202, response_model=JobOut, responses=_ERRORS)
    async def submit(
        request: Request,
        body: Annotated[JobIn, Body(openapi_examples=_EXAMPLES)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Accept a job. It is done though client, server or database are lost meanwhile."""
        task = await asyncio.to_thread(task_of, body.kind, body.request)
        new = NewJob(
            kind=body.kind, body=task.body, key_id=caller_of(request).key_id, label=body.label,
            priority=body.priority, idempotency_key=idempotency_key,
        )  # fmt: skip
        job, _ = await asyncio.to_thread(jobs.submit, new)
        parts.queue.notify()
        return as_json(job_out(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.get("", response_model=JobsOut, responses=_ONE)
    async def listed(
        request: Request,
        state: JobState | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str | None, Query(max_length=100)] = None,
    ) -> Response:
        """Jobs, newest first, without their results."""
        found, following = await asyncio.to_thread(jobs.list, _owner(caller_of(request)), state, limit, before)
        short = [job_out(job).model_copy(update={"result": None, "error": None}) for job in found]
        return as_json(JobsOut(jobs=short, next=following))

    @router.get("/{job_id}", response_model=JobOut, responses=_ONE)
    async def one(request: Request, job_id: str) -> Response:
        """A job, with its result once it has one."""
        return as_json(job_out(await _found(request, job_id)))

    @router.delete("/{job_id}", status_code=204, responses={**_ONE, 202: {"model": JobOut}})
    async def ended(request: Request, job_id: str) -> Response:
        """Cancel a job that runs (202), remove one that waits or has ended (204)."""
        job = await _found(request, job_id)
        if job.state == "running":
            await asyncio.to_thread(jobs.cancel, job.id)
            parts.queue.notify()
            return as_json(job_out(await _found(request, job_id)), 202)
        if job.state not in ENDED:
            await asyncio.to_thread(jobs.cancel, job.id)
        await asyncio.to_thread(jobs.remove, job.id)
        return Response(status_code=204)

    @router.get("/{job_id}/events", responses={200: {"content": {EVENT_STREAM: {}}}, **_ONE})
    async def events(
        request: Request,
        job_id: str,
        last_event_id: Annotated[int, Header(ge=0, le=2**53)] = 0,
    ) -> Response:
        """What has happened and happens to a job, as `text/event-stream`; goes on after `Last-Event-ID`."""
        job = await _found(request, job_id)

        async def lines() -> AsyncGenerator[str]:
            async for event in follow(parts.store, job.id, last_event_id):
                yield sse(event.name, event.data, number=event.seq)

        return StreamingResponse(kept_alive(lines()), media_type=EVENT_STREAM, headers=STREAM_HEADERS)

    return router
