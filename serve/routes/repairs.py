"""POST /v1/repairs and /v1/localizations: work while the client waits. Nothing of a request is kept unasked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Request
from fastapi.responses import Response, StreamingResponse

from repair.errors import EmendError
from serve import problems
from serve.engine import Task
from serve.journal.keeping import Keeper
from serve.journal.knowing import Noting
from serve.parts import Parts
from serve.pool import Refused
from serve.routes.answers import (
    EVENT_STREAM,
    STREAM_HEADERS,
    documented,
    kept_alive,
    performed,
    problem_of,
    sse,
    wants_events,
    while_there,
)
from serve.routes.replies import Replies
from serve.security.callers import caller_of
from serve.telling import Told
from serve.wire import EXAMPLES, LocalizationOut, RepairIn, RepairOut

Kind = Literal["repair", "localization"]
_JSON = "application/json"
_Body = Annotated[RepairIn, Body(openapi_examples=EXAMPLES)]
_ERRORS = documented(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 504)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {EVENT_STREAM: {}},
        "description": "The answer, or events as they come",
    }
}
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same body gives the same answer for a day, and the work is done once",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: what is sent, and kept for an idempotency key."""

    status: int
    media_type: str
    body: str

    def response(self) -> Response:
        """As a response."""
        if self.status >= 400:
            return problems.response(json.loads(self.body))
        return Response(self.body, status_code=self.status, media_type=self.media_type)


def task_of(kind: Kind, body: RepairIn) -> Task:
    """The task that a body means. Raises InputError with the field at fault, before anybody waits for a place."""
    body.to_sources()
    body.test_files()
    expires = None if body.budget.deadline is None else time.time() + body.budget.deadline
    prefix = "rep" if kind == "repair" else "loc"
    return Task(kind, f"{prefix}_{uuid.uuid4().hex}", body.model_dump_json(exclude_defaults=True), expires)


def repairs_router(parts: Parts) -> APIRouter:
    """The two routes."""
    router = APIRouter(tags=["repairs"])
    asked = _Asked(parts)

    @router.post("/v1/repairs", response_model=RepairOut, responses={**_STREAM, **_ERRORS})
    async def repairs(request: Request, body: _Body, idempotency_key: IdempotencyKey = None) -> Response:
        """Fault spans and judged patches, as JSON or, when Accept asks for it, as `text/event-stream`."""
        return await asked.answer(request, "repair", body, idempotency_key)

    @router.post("/v1/localizations", response_model=LocalizationOut, responses=_ERRORS)
    async def localizations(request: Request, body: _Body, idempotency_key: IdempotencyKey = None) -> Response:
        """Ranked spans that may hold the fault."""
        return await asked.answer(request, "localization", body, idempotency_key)

    return router


class _Asked:
    """Answers direct requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._keeper = Keeper(parts.store.journal, on=parts.settings.journal)
        self._replies = Replies(parts.store, parts.settings.max_seconds)

    async def answer(self, request: Request, kind: Kind, body: RepairIn, key: str | None) -> Response:
        """The whole answer, or a stream of what is found. Raises InputError and what the store raises."""
        caller = caller_of(request)
        task = await asyncio.to_thread(task_of, kind, body)
        digest = hashlib.sha256(f"{kind}\n{task.body}".encode()).hexdigest()
        async with self._replies.one(caller.key_id, key, digest) as reply:
            if reply.earlier is not None:
                return Answer(*reply.earlier).response()
            request_id = getattr(request.state, "request_id", "")
            noting = self._keeper.begin(task.id, caller.key_id, kind, request_id)
            events = _noted(performed(self._parts.runner, task), noting)
            keep = partial(self._keep, noting, task.body)
            if kind == "repair" and wants_events(request):
                return await _stream(events, keep)
            answer = await _whole(request, events)
            if answer is None:
                return Response(status_code=499)  # the client has left; nobody reads this
            if answer.status == 200:
                await keep(answer.body)
            if answer.status < 500:  # what failed on our side may be asked for again
                await reply.keep(answer.status, answer.media_type, answer.body)
            return answer.response()

    async def _keep(self, noting: Noting | None, request_json: str, answer_json: str) -> None:
        if noting is not None:
            await asyncio.to_thread(self._keeper.keep, noting, request_json, answer_json)


async def _noted(events: AsyncGenerator[Told], noting: Noting | None) -> AsyncGenerator[Told]:
    async with aclosing(events):
        async for told in events:
            if noting is not None:
                noting.observe(told)
            yield told


async def _stream(events: AsyncGenerator[Told], keep: Callable[[str], Awaitable[None]]) -> Response:
    try:
        first = await anext(events)  # so that a refusal has its own status
    except (EmendError, Refused) as error:
        return problems.response(problem_of(error))

    async def lines() -> AsyncGenerator[str]:
        async with aclosing(events):
            yield sse(first.name, first.data)
            try:
                async for told in events:
                    if told.name == "result":
                        await keep(told.data)
                    yield sse(told.name, told.data)
            except (EmendError, Refused) as error:
                yield sse("error", json.dumps(problem_of(error)))

    return StreamingResponse(kept_alive(lines()), media_type=EVENT_STREAM, headers=STREAM_HEADERS)


async def _whole(request: Request, events: AsyncGenerator[Told]) -> Answer | None:
    """The answer at the end of the events, None when the client has left."""
    try:
        last = await while_there(request, events)
    except (EmendError, Refused) as error:
        problem = problem_of(error)
        return Answer(problem["status"], problems.MEDIA_TYPE, json.dumps(problem))
    return None if last is None else Answer(200, _JSON, last.data)
