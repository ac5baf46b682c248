"""Sees every request: gives it an id, measures it, writes its line in the log, and ends what nobody foresaw as 500.

ASGI middleware. The log and the metrics know templates, never raw paths, queries, bodies or texts of errors.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import problems
from serve.observe.logs import frames
from serve.observe.metrics import Metrics
from serve.security.table import template

HEADER = "X-Request-ID"
CLIENT_LEFT = 499  # no answer was begun; nginx's number
_VALID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
_QUIET = frozenset({"/healthz", "/livez", "/readyz", "/metrics", "/static/{path:path}"})
_log = structlog.get_logger("emend.http")


class _Course:
    """What was seen of one request."""

    __slots__ = ("_clock", "began", "first", "status")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.began = clock()
        self.first: float | None = None
        self.status = CLIENT_LEFT

    def seconds(self) -> float:
        return self._clock() - self.began

    def started(self, status: int) -> None:
        self.status = status
        self.first = self.seconds()


class Observed:
    """ASGI middleware around all that answers."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self.metrics = metrics
        self.clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on; count and log when the answer has ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        identity = given if _VALID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        course = _Course(self.clock)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = identity
                course.started(message["status"])
            await send(message)

        token = problems.REQUEST_ID.set(identity)
        try:
            await self._answer(scope, receive, told, course)
        finally:
            problems.REQUEST_ID.reset(token)
            self._note(scope, course, identity)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, course: _Course) -> None:
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:
            # no message: it may hold what the user sent
            _log.error(
                "internal error",
                kind=type(error).__name__,
                at=frames(error.__traceback__),
                route=template(scope["path"]),
            )
            if course.first is None:
                await problems.internal(error)(scope, receive, send)
            else:
                raise  # the answer has begun: only breaking the connection tells that it is not whole

    def _note(self, scope: Scope, course: _Course, identity: str) -> None:
        route, seconds = template(scope["path"]), course.seconds()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        first = seconds if course.first is None else course.first
        self.metrics.answered(route, method, course.status, seconds=seconds, first_byte=first)
        caller = scope["state"].get("caller")
        fields: dict[str, Any] = {"request_id": identity, "key": caller.key_id if caller else None}
        fields |= {"method": method, "route": route, "status": course.status}
        fields |= {"seconds": round(seconds, 4), "first_byte": round(first, 4)}
        quiet = route in _QUIET and course.status < 400
        (_log.debug if quiet else _log.info)("answered", **fields)
