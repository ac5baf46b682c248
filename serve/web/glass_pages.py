"""The pages "Why?" and "Model". Their scripts ask /v1/explanations; nothing of an anonymous request is kept here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Protocol, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serve.explaining.wire import MethodName

_METHODS: tuple[MethodName, ...] = get_args(MethodName)


class Submitted(Protocol):
    """Where requests of jobs are looked up."""

    async def submitted(self, request: Request, job_id: str) -> str | None:
        """The RepairIn of a job as JSON, None where there is no such job of the caller."""
        ...


class Shows(Protocol):
    """What renders pages (`serve.web.pages`)."""

    def show(self, request: Request, name: str, **values: object) -> Response:
        """A page, or the way to /login for who is not known."""
        ...

    def render(self, request: Request, name: str, status: int, values: Mapping[str, object]) -> Response:
        """A page, whoever asks."""
        ...

    def knows(self, request: Request) -> bool:
        """Whether the caller is known."""
        ...


def add_glass_pages(router: APIRouter, look: Submitted, pages: Shows) -> None:
    """Add the two pages to a router."""

    @router.get("/why")
    async def why(
        request: Request,
        job: Annotated[str, Query(max_length=100)] = "",
        patch: Annotated[int, Query(ge=0, le=10_000)] = 0,
    ) -> Response:
        submitted = None
        if job and pages.knows(request):
            body = await look.submitted(request, job)
            if body is None:
                return pages.render(request, "missing", 404, {})
            submitted = json.loads(body)
        return pages.show(request, "why", job=job, patch=patch, submitted=submitted)

    @router.get("/model")
    async def model(request: Request) -> Response:
        return pages.show(request, "model", methods=_METHODS)
