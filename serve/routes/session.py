"""POST /login and /logout: a key becomes a session of a browser, and ends. The page at /login is elsewhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from serve.routes.answers import documented
from serve.security.callers import SESSION_SECONDS, Authority

_UNKNOWN_ADDRESS = "unknown"


class LoginIn(BaseModel):
    """The body of POST /login."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[str, Field(min_length=1, max_length=400)]


def session_router(authority: Authority) -> APIRouter:
    """The two routes."""
    router = APIRouter(include_in_schema=False)  # the page's own, no part of the interface

    @router.post("/login", status_code=204, responses=documented(400, 401, 403, 413, 415, 422, 429, 503))
    async def login(request: Request, body: LoginIn) -> Response:
        """Open a session for a key; the cookie cannot be read by scripts and is sent to this site only."""
        address = request.client.host if request.client else _UNKNOWN_ADDRESS
        token = await authority.login(body.key, address)
        answer = Response(status_code=204)
        answer.set_cookie(
            authority.cookie,
            token,
            max_age=int(SESSION_SECONDS),
            path="/",
            httponly=True,
            secure=authority.secure,
            samesite="strict",
        )
        return answer

    @router.post("/logout", status_code=204, responses=documented(401, 403, 415, 429, 503))
    async def logout(request: Request) -> Response:
        """End the session."""
        if request.state.session:
            await authority.logout(request.state.session)
        answer = Response(status_code=204)
        answer.delete_cookie(authority.cookie, path="/", secure=authority.secure, httponly=True, samesite="strict")
        return answer

    return router
