"""What the routes share: answers as bytes, server-sent events, and work that ends when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from repair.errors import EmendError
from serve import problems
from serve.engine import Task
from serve.pool import Refused, Runner, WorkerLost
from serve.telling import Told

EVENT_STREAM = "text/event-stream"
EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {EVENT_STREAM: {}}, "description": "Events as they come"}}
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold events back
_POLL_SECONDS = 0.2  # how often we look whether the client is still there
_ALIVE_SECONDS = 15.0  # a comment keeps proxies from closing a stream in which nothing happens


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of a route for OpenAPI, all as problem+json."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": problems.title(status), "content": content} for status in statuses}


def as_json(value: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value of the wire as an answer."""
    return Response(
        value.model_dump_json(), status_code=status, media_type="application/json", headers=dict(headers or {})
    )


def wants_events(request: Request) -> bool:
    """Whether the client asked for a stream."""
    return EVENT_STREAM in request.headers.get("accept", "")


def sse(name: str, data: str, *, number: int | None = None) -> str:
    """One server-sent event; `data` is JSON, which has no line breaks."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n"


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem that an error of a task is."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, EmendError):
        return problems.of_error(error)
    raise error


async def performed(runner: Runner, task: Task) -> AsyncGenerator[Told]:
    """Do a task; once more where its process dies before it has said anything."""
    for attempt in (1, 2):
        said = False
        try:
            async with aclosing(runner.run(task)) as events:
                async for told in events:
                    said = True
                    yield told
                return
        except WorkerLost:
            if said or attempt == 2:
                raise


async def while_there(request: Request, events: AsyncGenerator[Told]) -> Told | None:
    """The last event; None as soon as the client has left, what worked for it is stopped then."""

    async def last() -> Told | None:
        found = None
        async with aclosing(events):
            async for told in events:
                found = told
        return found

    work = asyncio.ensure_future(last())
    try:
        while not (await asyncio.wait({work}, timeout=_POLL_SECONDS))[0]:
            if await request.is_disconnected():
                return None
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def kept_alive(lines: AsyncGenerator[str], *, until: asyncio.Event | None = None) -> AsyncGenerator[str]:
    """A stream with a comment whenever nothing was said for a while; it may be ended from outside by `until`."""
    ahead = asyncio.ensure_future(anext(lines, None))
    end = asyncio.ensure_future((until or asyncio.Event()).wait())
    try:
        while True:
            done, _ = await asyncio.wait({ahead, end}, timeout=_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if end in done:
                return
            if not done:
                yield ": still here\n\n"
                continue
            line = ahead.result()
            if line is None:
                return
            yield line
            ahead = asyncio.ensure_future(anext(lines, None))
    finally:
        ahead.cancel()
        end.cancel()
        await asyncio.gather(ahead, end, return_exceptions=True)
        await lines.aclose()
