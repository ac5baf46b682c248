"""Errors as problem+json (RFC 9457): every refusal names what is wrong, where there is one the field too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from repair.errors import EmendError, InputError, ModelError, NothingToRepair, OracleError, SandboxError


class BusyError(EmendError):
    """All places for requests are taken."""


_KINDS: tuple[tuple[type[EmendError], int, str], ...] = (
    (BusyError, 503, "busy"),
    (NothingToRepair, 409, "nothing-to-repair"),
    (InputError, 422, "bad-input"),
    (OracleError, 422, "tests-unusable"),
    (SandboxError, 503, "no-sandbox"),
    (ModelError, 503, "model-failed"),
)
_TITLES = {
    400: "Bad request", 403: "Forbidden", 404: "Not found", 405: "Method not allowed", 408: "Request timeout",
    409: "Nothing to repair", 413: "Body too large", 422: "Unprocessable input", 500: "Internal error",
    503: "Not available",
}  # fmt: skip


def problem(status: int, detail: str, *, kind: str = "", errors: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """The body of an error: type, title, status, detail, and the fields at fault."""
    body: dict[str, Any] = {
        "type": f"urn:emend:{kind}" if kind else "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return body


def of_error(error: EmendError) -> dict[str, Any]:
    """The problem that an error of ours is."""
    status, kind = next(((s, k) for cls, s, k in _KINDS if isinstance(error, cls)), (500, "internal"))
    field = error.field if isinstance(error, InputError) else ""
    errors = [{"field": field, "message": str(error)}] if field else []
    return problem(status, str(error), kind=kind, errors=errors)


def response(body: dict[str, Any]) -> JSONResponse:
    """A problem as a response; 503 says when to come again."""
    headers = {"Retry-After": "5"} if body["status"] == 503 else None
    return JSONResponse(body, status_code=body["status"], media_type="application/problem+json", headers=headers)


def _field(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location if part != "body") or "body"


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
        errors = [{"field": _field(e["loc"]), "message": str(e["msg"])} for e in found]
        return response(problem(422, f"{errors[0]['field']}: {errors[0]['message']}", kind="bad-input", errors=errors))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return response(problem(error.status_code, str(error.detail)))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        # the log has the traceback (Starlette raises it again); the client learns no more than its kind
        return response(problem(500, f"internal error ({type(error).__name__})", kind="internal"))
