"""Errors as problem+json (RFC 9457): every refusal names what is wrong, where there is one the field too.

Owns which error is which status, and the headers that go with it. No path of this machine and no stack trace gets
into an answer here; knows nothing of routes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from repair.errors import BoundaryError, EmendError, InputError, ModelError, NothingToRepair, OracleError, SandboxError
from serve.security.scrubbing import scrub, scrub_all

MEDIA_TYPE = "application/problem+json"
REQUEST_ID: ContextVar[str] = ContextVar("emend_request_id", default="")  # of the request that is answered

_RETRY_SECONDS = 5


class BusyError(EmendError):
    """All places for requests are taken."""

    retry_after: float = _RETRY_SECONDS


class LimitError(EmendError):
    """The caller asked for more than it may at a time; `retry_after` seconds later it may again."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnauthorizedError(EmendError):
    """No key that is valid. The sentence never tells why one is not."""

    def __init__(self) -> None:
        super().__init__("give a valid key as `Authorization: Bearer emend_...`; `emend keys create` makes one")


class ForbiddenError(EmendError):
    """The caller is known and may not do this."""


class NotFoundError(EmendError):
    """There is no such thing, or it is somebody else's."""


class InFlightError(EmendError):
    """The same request is being worked on already."""

    retry_after: float = _RETRY_SECONDS


class MediaTypeError(EmendError):
    """The body is in a form that nobody here reads."""


class DeadlineError(EmendError):
    """Nothing was found by the time that the caller set."""


_KINDS: tuple[tuple[type[EmendError], int, str], ...] = (
    (BusyError, 429, "busy"),
    (LimitError, 429, "limit"),
    (UnauthorizedError, 401, "unauthorized"),
    (ForbiddenError, 403, "forbidden"),
    (NotFoundError, 404, "not-found"),
    (InFlightError, 409, "in-flight"),
    (MediaTypeError, 415, "media-type"),
    (DeadlineError, 504, "deadline"),
    (NothingToRepair, 409, "nothing-to-repair"),
    (InputError, 422, "bad-input"),
    (OracleError, 422, "tests-unusable"),
    (SandboxError, 503, "no-sandbox"),
    (ModelError, 503, "model-failed"),
)
# Errors of modules that import this one, by name: serve.pool and serve.store
_KINDS_BY_NAME = {"WorkerLost": (503, "worker-lost"), "StoreError": (503, "store")}
_TITLES = {
    400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed",
    408: "Request timeout", 409: "Conflict", 413: "Body too large", 415: "Unsupported media type",
    422: "Unprocessable input", 429: "Too many requests", 500: "Internal error", 503: "Not available",
    504: "Deadline passed",
}  # fmt: skip
_TITLES_BY_KIND = {"nothing-to-repair": "Nothing to repair", "in-flight": "In flight"}


def title(status: int) -> str:
    """What a status means, in two words."""
    return _TITLES.get(status, "Error")


def problem(status: int, detail: str, *, kind: str = "", errors: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """The body of an error: type, title, status, detail, and the fields at fault."""
    body: dict[str, Any] = {
        "type": f"urn:emend:{kind}" if kind else "about:blank",
        "title": _TITLES_BY_KIND.get(kind, title(status)),
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return body


def of_error(error: EmendError) -> dict[str, Any]:
    """The problem that an error of ours is; paths of this machine are left out of its sentence."""
    status, kind = _kind(error)
    about_us = isinstance(error, BoundaryError) and not isinstance(error, OracleError)  # which quotes users' tests
    detail = scrub_all(str(error)) if about_us else scrub(str(error))
    field = error.field if isinstance(error, InputError) else ""
    body = problem(status, detail, kind=kind, errors=[{"field": field, "message": detail}] if field else [])
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        body["retry_after"] = max(1, math.ceil(retry_after))
    return body


def _kind(error: EmendError) -> tuple[int, str]:
    for cls, status, kind in _KINDS:
        if isinstance(error, cls):
            return status, kind
    names = (cls.__name__ for cls in type(error).__mro__)
    return next((_KINDS_BY_NAME[name] for name in names if name in _KINDS_BY_NAME), (500, "internal"))


def response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as a response; 429 and 503 say when to come again, 401 how to authenticate."""
    status = int(body["status"])
    told: dict[str, str] = {}
    if status in (429, 503) or "retry_after" in body:
        told["Retry-After"] = str(body.get("retry_after", _RETRY_SECONDS))
    if status == 401:
        told["WWW-Authenticate"] = "Bearer"
    own = {"request_id": identity} if (identity := REQUEST_ID.get()) else {}
    content = _sendable({**body, **own})
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE, headers={**told, **(headers or {})})


def internal(error: Exception) -> JSONResponse:
    """What a client learns of an error that nobody foresaw: its kind; the log has the rest."""
    return response(problem(500, f"internal error ({type(error).__name__})", kind="internal"))


def _sendable(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """Half surrogate pairs, which JSON can hold and UTF-8 cannot, as question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_sendable(key): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    return value


def _field(location: Sequence[int | str]) -> str:
    """The field of a body, query, path or header, as the client wrote it."""
    return ".".join(str(part)[:100] for part in location[1:]) or str(location[0] if location else "body")


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""

    @app.exception_handler(EmendError)
    async def ours(_: Request, error: EmendError) -> JSONResponse:
        return response(of_error(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(e["type"] == "json_invalid" for e in found):
            return response(problem(400, "the body is not JSON", kind="not-json"))
        errors = [{"field": _field(e["loc"]), "message": str(e["msg"])} for e in found[:20]]
        return response(problem(422, f"{errors[0]['field']}: {errors[0]['message']}", kind="bad-input", errors=errors))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return response(problem(error.status_code, scrub(str(error.detail))), error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        # the log has the traceback (Starlette raises it again); the client learns no more than its kind
        return internal(error)
