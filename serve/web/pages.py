"""The pages: HTML around /v1. Owns templates and static files; who calls, jobs and headers come from outside.

Reads `request.state`: `csp_nonce`, `caller` (None: nobody is logged in), `csrf` and `session` (empty: there is no
session to end). Everything else the scripts of the page ask of /v1, as any client does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Protocol, cast, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serve.web.assets import Assets
from serve.web.glass_pages import add_glass_pages
from serve.wire_jobs import JobsOut, JobState, Scope

_HERE = Path(__file__).parent
_PICTURES = _HERE.parent / "explaining" / "pictures"  # whose style sheet goes with what it draws
_STATES: tuple[JobState, ...] = get_args(JobState)
_WORDS = {"succeeded": "done", "infra_error": "could not run"}  # of states; src/wire.ts has the same


class Visitor(Protocol):
    """Who calls."""

    def may(self, scope: Scope) -> bool:
        """Whether a scope is among the caller's."""
        ...


class Look(Protocol):
    """What the pages show that is not asked of /v1 by their scripts. Each sees only what the caller may see."""

    async def jobs(self, request: Request, state: JobState | None, before: str | None) -> JobsOut:
        """Jobs, newest first."""
        ...

    async def submitted(self, request: Request, job_id: str) -> str | None:
        """The RepairIn of a job as JSON, None where there is no such job."""
        ...


def page_router(look: Look, *more: Callable[[APIRouter, Pages], None]) -> APIRouter:
    """The routes of the pages and of their static files; `more` adds those of other modules.

    Raises OSError where the files of the package are missing.
    """
    router = APIRouter(include_in_schema=False)
    assets = Assets.read(_HERE / "static", _PICTURES)
    pages = Pages(assets)
    _add_jobs(router, look, pages)
    add_glass_pages(router, look, pages)
    for add in more:
        add(router, pages)

    @router.get("/")
    async def repair(request: Request) -> Response:
        return pages.show(request, "repair", job="", submitted=None)

    @router.get("/keys")
    async def keys(request: Request) -> Response:
        return pages.show(request, "keys", scopes=get_args(Scope))

    @router.get("/login")
    async def login(request: Request) -> Response:
        return pages.render(request, "login", 200, {})

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return assets.answer(request, name)

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return RedirectResponse(assets.url("icon.svg"), 308)

    return router


def _add_jobs(router: APIRouter, look: Look, pages: Pages) -> None:
    @router.get("/jobs")
    async def jobs(
        request: Request,
        state: JobState | None = None,
        before: Annotated[str | None, Query(max_length=100)] = None,
        hx_request: Annotated[bool, Header()] = False,
    ) -> Response:
        if visitor(request) is None:
            return to_login()
        found = await look.jobs(request, state, before)
        name = "job_rows" if hx_request else "jobs"
        answer = pages.show(request, name, found=found, state=state, before=before, states=_STATES)
        answer.headers["Vary"] = "HX-Request"
        return answer

    @router.get("/jobs/{job_id}")
    async def job(request: Request, job_id: str) -> Response:
        if visitor(request) is None:
            return to_login()
        body = await look.submitted(request, job_id)
        if body is None:
            return pages.render(request, "missing", 404, {})
        return pages.show(request, "repair", job=job_id, submitted=json.loads(body))


class Pages:
    """Templates and what all of them are told."""

    def __init__(self, assets: Assets) -> None:
        loader = FileSystemLoader(_HERE / "templates")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        self._told: dict[str, object] = {"asset": assets.url, "jobs_url": _jobs_url, "word": _word}

    def show(self, request: Request, name: str, **values: object) -> Response:
        """A page, or the way to /login for who is not known."""
        return to_login() if visitor(request) is None else self.render(request, name, 200, values)

    def knows(self, request: Request) -> bool:
        """Whether the caller is known."""
        return visitor(request) is not None

    def render(self, request: Request, name: str, status: int, values: Mapping[str, object]) -> Response:
        """A page, whoever asks."""
        state, caller = request.state, visitor(request)
        common = {
            "page": name,
            "nonce": state.csp_nonce,
            "csrf": getattr(state, "csrf", ""),
            "session": bool(getattr(state, "session", "")),
            "known": caller is not None,
            "may_jobs": caller is not None and caller.may("jobs"),
            "may_keys": caller is not None and caller.may("admin"),
        }
        return HTMLResponse(
            self._templates.get_template(f"{name}.html").render({**self._told, **common, **values}), status
        )


def visitor(request: Request) -> Visitor | None:
    """Who calls, None where nobody is logged in."""
    return cast("Visitor | None", getattr(request.state, "caller", None))


def _word(state: str) -> str:
    return _WORDS.get(state, state)


def _jobs_url(state: str | None = None, before: str | None = None) -> str:
    given = {name: value for name, value in (("state", state), ("before", before)) if value}
    return f"/jobs?{urlencode(given)}" if given else "/jobs"


def to_login() -> Response:
    """The way to /login."""
    return RedirectResponse("/login", 303)
