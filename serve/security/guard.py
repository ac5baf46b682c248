"""Default-deny: no request passes that the table of routes, a key and its limits do not allow.

ASGI middleware. Owns the order of refusals; who calls is the Authority's, how much the Quotas'. Sets `state.caller`,
`state.csrf` and `state.session` for routes. Query strings are never looked at: keys in them would get into logs.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from repair.errors import EmendError
from serve import problems
from serve.problems import ForbiddenError, NotFoundError, UnauthorizedError
from serve.security.callers import Authority, Caller, Identity
from serve.security.quotas import Allowance, Quotas, RateError
from serve.security.table import PAGES, Need, Place, place

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_UNKNOWN_ADDRESS = "unknown"  # a Unix socket has no peer address: all share one count


@dataclass(frozen=True, slots=True)
class _Admitted:
    caller: Caller | None  # None on open routes
    allowance: Allowance | None = None
    counted: bool = False  # it holds a place of its key


class Guard:
    """ASGI middleware; `authority` says who calls."""

    def __init__(self, app: ASGIApp, *, authority: Authority, quotas: Quotas | None = None) -> None:
        self.app = app
        self.authority = authority
        self.quotas = quotas or Quotas(clock=authority.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on and count until the answer has ended."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        admitted = await self._admitted(scope)
        if isinstance(admitted, Response):
            await admitted(scope, receive, send)
            return
        try:
            await self.app(scope, receive, _with_allowance(send, admitted.allowance))
        finally:
            if admitted.counted and admitted.caller:
                self.quotas.leave(admitted.caller)

    async def _admitted(self, scope: Scope) -> _Admitted | Response:
        found = place(scope["path"])
        try:
            return await self._admit(scope, found)
        except RateError as error:
            return problems.response(problems.of_error(error), error.allowance.headers())
        except UnauthorizedError as error:
            if found is not None and found.template in PAGES and "text/html" in Headers(scope=scope).get("accept", ""):
                return RedirectResponse("/login", status_code=303)
            return problems.response(problems.of_error(error))
        except EmendError as error:
            return problems.response(problems.of_error(error))

    async def _admit(self, scope: Scope, found: Place | None) -> _Admitted | Response:
        headers, method = Headers(scope=scope), scope["method"]
        state = scope.setdefault("state", {})
        state.update(caller=None, csrf="", session="")
        need = found.need(method) if found else None
        if need == "open":
            if method not in _SAFE:
                _check_site(headers, self.authority.settings.public_url)
            return _Admitted(None)
        client = scope.get("client")
        identity = await self.authority.identify(headers, client[0] if client else _UNKNOWN_ADDRESS)
        if identity is None:
            raise UnauthorizedError
        state.update(caller=identity.caller, csrf=identity.csrf, session=identity.session)
        if found is None:
            raise NotFoundError("there is nothing at this path; /openapi.json lists what is served")
        if need is None:
            return _not_allowed(found)
        self._permit(identity, need, method, headers)
        return self._count(identity.caller, found)

    def _permit(self, identity: Identity, need: Need, method: str, headers: Headers) -> None:
        if need not in ("any", "open") and not identity.caller.may(need):
            raise ForbiddenError(f"this needs a key with the scope {need}")
        if method in _SAFE or "authorization" in headers:
            return
        # a browser adds a cookie, and reaches loopback, by itself: what a foreign page makes it send is refused
        _check_site(headers, self.authority.settings.public_url)
        if identity.session:
            _check_csrf(headers.get("x-csrf-token", ""), identity.csrf)

    def _count(self, caller: Caller, found: Place) -> _Admitted:
        if not found.template.startswith("/v1/"):  # pages, /metrics and health
            return _Admitted(caller)
        allowance = self.quotas.take(caller)
        self.quotas.enter(caller)
        return _Admitted(caller, allowance, counted=True)


def _check_site(headers: Headers, public_url: str) -> None:
    """Refuse what another site's page sent. Raises ForbiddenError. Fetch Metadata (W3C) and Origin (RFC 6454)."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError("this was sent by a page of another site")
    origin = headers.get("origin")
    if origin is None:
        return
    own = {headers.get("host", ""), urlsplit(public_url).netloc} - {""}
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        netloc = ""
    if netloc not in own:
        raise ForbiddenError("this was sent by a page of another origin")


def _check_csrf(given: str, expected: str) -> None:
    if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise ForbiddenError("the X-CSRF-Token is missing or of another session; load the page again")


def _not_allowed(found: Place) -> Response:
    methods = sorted(found.needs)
    body = problems.problem(405, f"this path takes {', '.join(methods)}", kind="method")
    return problems.response(body, {"Allow": ", ".join(methods)})


def _with_allowance(send: Send, allowance: Allowance | None) -> Send:
    if allowance is None:
        return send

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(allowance.headers())
        await send(message)

    return told
