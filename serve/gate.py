"""What is decided about a request before anything reads it: its host, its size and form, how long it takes to come.

Owns the body until it is whole: an app behind the Gate gets it at once, decompressed, as JSON in UTF-8 by its header.
Knows nothing of callers.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import problem, response

SMALL = 64 * 1024  # bytes of a body that holds no code
SMALL_ROUTES = ("/login", "/logout", "/v1/keys", "/v1/feedback")
_STEP = 64 * 1024  # bytes decompressed at a time
_GZIP = 16 + zlib.MAX_WBITS


class _RefusalError(Exception):
    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


@dataclass(frozen=True, slots=True)
class _Form:
    """What the headers say of the body."""

    json: bool
    gzip: bool


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _host_name(header: str) -> str:
    """A Host header without its port, in lower case; brackets of IPv6 stay."""
    header = header.lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]


class Gate:
    """ASGI middleware. `hosts` None allows any Host header; else others are refused (DNS rebinding)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        body_seconds: float,
        hosts: Sequence[str] | None,
        route_bytes: Mapping[str, int] | None = None,
    ) -> None:
        """`route_bytes` are smaller limits by path; without it those of SMALL_ROUTES."""
        self.app = app
        self.limit = max_body_bytes
        self.seconds = body_seconds
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self.route_bytes = dict.fromkeys(SMALL_ROUTES, SMALL) if route_bytes is None else dict(route_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on with the body read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except _RefusalError as refusal:
            answer = response(problem(refusal.status, refusal.detail), refusal.headers)
            await answer(scope, receive, send)
            return
        if body is not None:  # else the client has left in the middle
            await self.app(_plain(scope, body), _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        limit = min(self.limit, self.route_bytes.get(scope.get("path", ""), self.limit))
        self._check_target(scope)
        _check_length(scope, limit)
        form = _form(scope)
        try:
            async with asyncio.timeout(self.seconds):
                body = await _body(receive, limit)
        except TimeoutError:
            raise _RefusalError(408, f"the body did not arrive within {self.seconds:g} seconds") from None
        if not body:
            return body
        if not form.json:
            raise _RefusalError(415, "send the body as Content-Type: application/json in UTF-8")
        if form.gzip:
            body = _decompressed(body, limit)
        _check_text(body)
        return body

    def _check_target(self, scope: Scope) -> None:
        host = b"".join(_headers(scope, b"host")).decode("latin-1")
        if self.hosts is not None and _host_name(host) not in self.hosts:
            raise _RefusalError(403, f"host {host[:100]!r} is not served here")
        if "\0" in scope.get("path", "") or b"%00" in scope.get("query_string", b""):
            raise _RefusalError(400, "the address holds a NUL")


def _check_length(scope: Scope, limit: int) -> None:
    for length in _headers(scope, b"content-length"):
        if length.isdigit() and (len(length) > 18 or int(length) > limit):
            raise _RefusalError(413, f"the body has {length[:18].decode()} bytes; the limit is {limit}")


def _form(scope: Scope) -> _Form:
    """What the headers say. Raises _RefusalError for an encoding that is not read here."""
    encodings = [part.strip().lower() for value in _headers(scope, b"content-encoding") for part in value.split(b",")]
    found = [encoding for encoding in encodings if encoding not in (b"", b"identity")]
    if found not in ([], [b"gzip"], [b"x-gzip"]):
        raise _RefusalError(415, "the body may be compressed once, by gzip", {"Accept-Encoding": "gzip"})
    content_type = b",".join(_headers(scope, b"content-type")).decode("latin-1").lower()
    media, *parameters = (part.strip() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    json = media == "application/json" or (media.startswith("application/") and media.endswith("+json"))
    return _Form(json and all(charset in ("utf-8", "utf8") for charset in charsets), bool(found))


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The body, None when the client has left. Raises _RefusalError as soon as it is too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _RefusalError(413, f"the body is larger than {limit} bytes")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _decompressed(body: bytes, limit: int) -> bytes:
    """A gzip body (RFC 1952, one member or several), never more than `limit` bytes of it. Raises _RefusalError."""
    found = bytearray()
    try:
        while body:
            member = zlib.decompressobj(wbits=_GZIP)
            while body and not member.eof:
                found += member.decompress(body, min(_STEP, limit + 1 - len(found)))
                if len(found) > limit:
                    raise _RefusalError(413, f"the decompressed body is larger than {limit} bytes")
                body = member.unconsumed_tail
            if not member.eof:
                raise _RefusalError(400, "the gzip body ends too early")
            body = member.unused_data
    except zlib.error:
        raise _RefusalError(400, "the body is not gzip, as its Content-Encoding says") from None
    return bytes(found)


def _check_text(body: bytes) -> None:
    if b"\0" in body:
        raise _RefusalError(400, "the body holds a NUL byte; send text as JSON")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RefusalError(400, f"the body is not UTF-8 (byte {error.start})") from None


def _plain(scope: Scope, body: bytes) -> Scope:
    """The scope as if the body had come uncompressed, in one piece. The state stays the same object."""
    dropped = (b"content-encoding", b"content-length", b"transfer-encoding")
    if not any(key == b"content-encoding" for key, _ in scope["headers"]):
        return scope
    kept = [(key, value) for key, value in scope["headers"] if key not in dropped]
    return {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
