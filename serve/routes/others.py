"""The small routes: feedback, models, health and metrics."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from serve.parts import Parts
from serve.routes.answers import as_json, documented
from serve.security.callers import caller_of
from serve.security.redaction import redact
from serve.wire_jobs import FeedbackIn, ModelOut, ModelsOut

_ERRORS = documented(400, 401, 403, 415, 422, 429, 503)
_CHECK_SECONDS = 5.0


class HealthOut(BaseModel):
    """The answer of GET /healthz."""

    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """The answer of GET /readyz: `parts` says of each "ok" or what is not ready."""

    status: Literal["ready", "not ready"]
    parts: dict[str, str]


def work_router(parts: Parts) -> APIRouter:
    """Feedback and models."""
    router = APIRouter(prefix="/v1", tags=["repairs"])

    @router.post("/feedback", status_code=204, responses=_ERRORS)
    async def feedback(request: Request, body: FeedbackIn) -> Response:
        """What became of a patch. Said twice, the last word counts."""
        said = (caller_of(request).key_id, body.id, body.patch, body.accepted, redact(body.comment))
        await asyncio.to_thread(parts.store.feedback.add, *said)
        return Response(status_code=204)

    @router.get("/models", response_model=ModelsOut, responses=_ERRORS)
    async def models() -> Response:
        """Models and adapters that a request may name in its options."""
        found = await asyncio.to_thread(parts.models.listed)
        return as_json(ModelsOut(models=[ModelOut.model_validate(asdict(info), strict=False) for info in found]))

    return router


def health_router(parts: Parts) -> APIRouter:
    """What machines ask: alive, ready, how much."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_model=HealthOut)
    @router.get("/livez", response_model=HealthOut)
    async def alive() -> Response:
        """Alive: the event loop answers."""
        return as_json(HealthOut())

    @router.get("/readyz", response_model=ReadyOut, responses={503: {"model": ReadyOut}})
    async def ready() -> Response:
        """Ready: the model generates, the store answers, processes are there, tests have their sandbox."""
        names = list(parts.checks)
        states = await asyncio.gather(*(_state(parts, name) for name in names))
        found = dict(zip(names, states, strict=True))
        fine = all(state == "ok" for state in states)
        out = ReadyOut(status="ready" if fine else "not ready", parts=found)
        return as_json(out, 200 if fine else 503, None if fine else {"Retry-After": "5"})

    @router.get("/metrics", response_class=Response, responses=documented(401, 403, 429))
    async def numbers() -> Response:
        """Prometheus' text format. Needs the scope `metrics`, or `metrics_token` as bearer."""
        content, media_type = await asyncio.to_thread(parts.metrics.render)
        return Response(content, media_type=media_type)

    return router


async def _state(parts: Parts, name: str) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await parts.checks[name]() or "ok"
    except TimeoutError:
        return f"did not answer within {_CHECK_SECONDS:g} seconds"
