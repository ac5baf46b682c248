"""The HTTP service: three routes around an Engine. Start it with `emend serve`.

The event loop only moves bytes: repairs run in worker threads, report by events, and stop when the client
leaves. Nothing of a request is kept or logged.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from threading import Event as Flag
from threading import Semaphore
from typing import Annotated, Any, Protocol

from fastapi import Body, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from repair.errors import EmendError
from repair.pipeline import CandidateJudged, Event, Finished, SuspectsFound
from repair.sources import Source
from serve import problems
from serve.gate import Gate
from serve.limits import is_loopback
from serve.settings import Settings
from serve.wire import EXAMPLES, LocalizationOut, RepairIn, RepairOut, localization_out, patch_out, repair_out

_POLL_SECONDS = 0.2  # how often we look whether the client is still there


class Repairing(Protocol):
    """What the service needs of an engine (`serve.engine.Engine`)."""

    @property
    def model_name(self) -> str:
        """Name of the model, "none" without one."""
        ...

    def repair(self, body: RepairIn) -> Generator[Event]:
        """Events of one repair; closing it ends the repair."""
        ...

    def localize(self, body: RepairIn) -> Generator[SuspectsFound]:
        """The suspects, once."""
        ...


@dataclass(frozen=True, slots=True)
class _Failed:
    error: EmendError


@dataclass(frozen=True, slots=True)
class _Ended:
    pass


class _Desk:
    """Takes requests up to a bound, works on them in threads, frees a place only when its work has ended."""

    def __init__(self, settings: Settings) -> None:
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="repair")
        self._places = Semaphore(settings.workers + settings.waiting)

    async def work(self, request: Request, steps: Generator[Any]) -> AsyncGenerator[Any]:
        """What `steps` yields, computed in a worker, until the client leaves. Raises BusyError when full."""
        if not self._places.acquire(blocking=False):
            raise problems.BusyError("all places are taken, come again")
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        stop = Flag()
        future = self._pool.submit(_run, steps, stop, lambda item: loop.call_soon_threadsafe(queue.put_nowait, item))
        future.add_done_callback(lambda _: self._places.release())
        looked = loop.time()
        try:
            while not isinstance(item := await _next(queue), _Ended):
                if loop.time() - looked >= _POLL_SECONDS:
                    if await request.is_disconnected():
                        return
                    looked = loop.time()
                if item is not None:
                    yield item
            await asyncio.wrap_future(future)  # raises what nobody foresaw
        finally:
            stop.set()
            future.cancel()  # only does something while it waits for a worker

    def close(self) -> None:
        """Take no more; what runs stops by itself once its client is gone."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _next(queue: asyncio.Queue[Any]) -> Any:  # noqa: ANN401 - whatever the steps yield
    """The next item, None when there was none for a while."""
    try:
        return await asyncio.wait_for(queue.get(), _POLL_SECONDS)
    except TimeoutError:
        return None


def _run(steps: Generator[Any], stop: Flag, tell: Callable[[object], object]) -> None:
    """Tell each step until the last one or until `stop`; closing `steps` ends the processes that it started."""
    try:
        with closing(steps):
            for item in steps:
                if stop.is_set():
                    return
                tell(item)
    except EmendError as error:
        tell(_Failed(error))
    finally:
        if not stop.is_set():
            tell(_Ended())


def create_app(settings: Settings, engine: Repairing) -> FastAPI:
    """The service around an engine. The engine is used from worker threads."""
    desk = _Desk(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        desk.close()

    app = FastAPI(title="Emend", version="1", summary="Repairs code from an error message.", lifespan=lifespan)
    problems.install(app)
    hosts = ("127.0.0.1", "localhost", "[::1]", settings.host) if is_loopback(settings.host) else None
    app.add_middleware(Gate, max_body_bytes=settings.max_body_bytes, body_seconds=settings.body_seconds, hosts=hosts)
    answers: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {"application/problem+json": {}}}
        for code, text in (
            (409, "The tests pass already"),
            (413, "Body too large"),
            (422, "Unusable input"),
            (503, "Busy"),
        )
    }

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Alive."""
        return {"status": "ok"}

    @app.post("/v1/repairs", response_model=RepairOut, responses=answers)
    async def repairs(request: Request, body: Annotated[RepairIn, Body(openapi_examples=EXAMPLES)]) -> Response:
        """Fault spans and judged patches, as JSON or, when Accept asks for it, as `text/event-stream`."""
        told = _Told(f"rep_{uuid.uuid4().hex}", engine, {s.path: s for s in body.to_sources()})
        body.test_files()  # refuse before waiting for a worker
        events = desk.work(request, engine.repair(body))
        if "text/event-stream" in request.headers.get("accept", ""):
            first = await anext(events, None)  # so that a refusal has its own status
            if not isinstance(first, _Failed):
                lines = _stream(told, first, events)
                return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
            last = first
        else:
            last = await _last(events)
        return _json(told.result(last)) if isinstance(last, Finished) else _failed(last)

    @app.post("/v1/localizations", response_model=LocalizationOut, responses=answers)
    async def localizations(request: Request, body: Annotated[RepairIn, Body(openapi_examples=EXAMPLES)]) -> Response:
        """Ranked spans that may hold the fault."""
        told = _Told(f"loc_{uuid.uuid4().hex}", engine, {s.path: s for s in body.to_sources()})
        last = await _last(desk.work(request, engine.localize(body)))
        return _json(told.localization(last)) if isinstance(last, SuspectsFound) else _failed(last)

    return app


@dataclass(frozen=True, slots=True)
class _Told:
    """Events of one request in the words of the wire."""

    id: str
    engine: Repairing
    sources: Mapping[str, Source]

    def localization(self, found: SuspectsFound) -> LocalizationOut:
        return localization_out(
            found.suspects, self.sources, identity=self.id, model=self.engine.model_name, no_fault=found.no_fault
        )

    def result(self, finished: Finished) -> RepairOut:
        return repair_out(finished.result, identity=self.id, model=self.engine.model_name)

    def sse(self, event: object) -> str:
        """One server-sent event."""
        match event:
            case SuspectsFound():
                return _sse("suspects", self.localization(event).model_dump_json())
            case CandidateJudged():
                return _sse("candidate", patch_out(event.judgement, self.sources).model_dump_json())
            case Finished():
                return _sse("result", self.result(event).model_dump_json())
            case _Failed():
                return _sse("error", json.dumps(problems.of_error(event.error)))
            case _:
                return ": nothing\n\n"


async def _last(events: AsyncIterator[Any]) -> Any:  # noqa: ANN401 - an event or a failure, None when the client left
    last = None
    async for event in events:
        last = event
    return last


async def _stream(told: _Told, first: object, events: AsyncGenerator[Any]) -> AsyncIterator[str]:
    try:
        yield told.sse(first)
        async for event in events:
            yield told.sse(event)
    finally:
        await events.aclose()


def _sse(name: str, json_text: str) -> str:
    return f"event: {name}\ndata: {json_text}\n\n"


def _json(value: BaseModel) -> Response:
    return Response(value.model_dump_json(), media_type="application/json")


def _failed(last: object) -> Response:
    if isinstance(last, _Failed):
        return problems.response(problems.of_error(last.error))
    return Response(status_code=499)  # the client has left; nobody reads this
