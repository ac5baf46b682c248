"""/v1/jobs: repairs that outlive their request, and their events. The store is the truth; nothing is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from repair.errors import InputError
from serve.jobs import follow, job_out
from serve.parts import Parts
from serve.problems import NotFoundError
from serve.routes.answers import EVENT_STREAM, EVENTS, STREAM_HEADERS, as_json, documented, kept_alive, sse
from serve.routes.repairs import IdempotencyKey, task_of
from serve.security.callers import Caller, caller_of
from serve.store.jobrows import Job, NewJob
from serve.wire import EXAMPLES
from serve.wire_jobs import JobIn, JobOut, JobsOut, JobState

_ERRORS = documented(400, 401, 403, 413, 415, 422, 429, 503)
_ONE = documented(401, 403, 404, 422, 429, 503)
_EXAMPLES: dict[str, Any] = {
    name: {**example, "value": {"request": example["value"]}} for name, example in EXAMPLES.items()
}


def owner_of(caller: Caller) -> str | None:
    """Whose jobs a caller sees: an admin those of all."""
    return None if "admin" in caller.scopes else caller.key_id


def jobs_router(parts: Parts) -> APIRouter:
    """The routes of jobs."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    asked = _Asked(parts)
    _writing(router, asked)
    _reading(router, asked)
    return router


def _writing(router: APIRouter, asked: _Asked) -> None:
    @router.post("", status_code=202, response_model=JobOut, responses=_ERRORS)
    async def submit(
        request: Request,
        body: Annotated[JobIn, Body(openapi_examples=_EXAMPLES)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Accept a job. It is done though client, server or database are lost meanwhile."""
        job = await asked.submit(caller_of(request), body, idempotency_key)
        return as_json(job_out(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.delete("/{job_id}", status_code=204, responses={**_ONE, 202: {"model": JobOut}})
    async def ended(request: Request, job_id: str) -> Response:
        """Cancel a job that runs (202), remove one that waits or has ended (204)."""
        job = await asked.end(caller_of(request), job_id)
        return Response(status_code=204) if job is None else as_json(job_out(job), 202)


def _reading(router: APIRouter, asked: _Asked) -> None:
    @router.get("", response_model=JobsOut, responses=_ONE)
    async def listed(
        request: Request,
        state: JobState | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str | None, Query(max_length=100)] = None,
    ) -> Response:
        """Jobs, newest first, without their results."""
        owner = owner_of(caller_of(request))
        found, following = await asyncio.to_thread(asked.jobs.list, owner, state, limit, before)
        short = [job_out(job).model_copy(update={"result": None, "error": None}) for job in found]
        return as_json(JobsOut(jobs=short, next=following))

    @router.get("/{job_id}", response_model=JobOut, responses=_ONE)
    async def one(request: Request, job_id: str) -> Response:
        """A job, with its result once it has one."""
        return as_json(job_out(await asked.found(caller_of(request), job_id)))

    @router.get("/{job_id}/events", response_class=Response, responses={**EVENTS, **_ONE})
    async def events(
        request: Request, job_id: str, last_event_id: Annotated[int, Header(ge=0, le=2**53)] = 0
    ) -> Response:
        """What has happened and happens to a job, as `text/event-stream`; goes on after `Last-Event-ID`."""
        job = await asked.found(caller_of(request), job_id)
        lines = kept_alive(asked.lines(job.id, last_event_id), until=asked.draining)
        return StreamingResponse(lines, media_type=EVENT_STREAM, headers=STREAM_HEADERS)


class _Asked:
    """What the routes ask of the store, in threads."""

    def __init__(self, parts: Parts) -> None:
        self.jobs = parts.store.jobs
        self.draining = parts.draining
        self._parts = parts

    async def found(self, caller: Caller, job_id: str) -> Job:
        """A job of the caller. Raises NotFoundError, also for that of another."""
        job = await asyncio.to_thread(self.jobs.get, job_id, owner_of(caller))
        if job is None:
            raise NotFoundError("there is no such job (any more)")
        return job

    async def submit(self, caller: Caller, body: JobIn, key: str | None) -> Job:
        """The job that was accepted, now or before with the same key. Raises InputError naming the field."""
        if body.request.budget.deadline is not None:
            raise InputError("a job has no deadline; give it budget.seconds", field="request.budget.deadline")
        try:
            task = await asyncio.to_thread(task_of, body.kind, body.request)
        except InputError as error:
            raise InputError(str(error), field=f"request.{error.field}" if error.field else "request") from error
        new = NewJob(
            kind=body.kind, body=task.body, key_id=caller.key_id, label=body.label, priority=body.priority,
            idempotency_key=key,
        )  # fmt: skip
        job, _ = await asyncio.to_thread(self.jobs.submit, new)
        self._parts.queue.notify()
        return job

    async def end(self, caller: Caller, job_id: str) -> Job | None:
        """Cancel a job, or remove it; the job while it still runs."""
        job = await self.found(caller, job_id)
        if await asyncio.to_thread(self.jobs.cancel, job.id) == "running":
            self._parts.queue.notify()
            return await self.found(caller, job_id)
        await asyncio.to_thread(self.jobs.remove, job.id)
        return None

    async def lines(self, job_id: str, after: int) -> AsyncGenerator[str]:
        """The events of a job as a stream; whoever loses it comes again after a second."""
        yield "retry: 1000\n\n"
        async with aclosing(follow(self._parts.store, job_id, after)) as events:
            async for event in events:
                yield sse(event.name, event.data, number=event.seq)
