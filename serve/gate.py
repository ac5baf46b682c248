"""What is decided about a request before anything reads it: its host, its size, how long it takes to come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import problem, response


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _host_name(header: str) -> str:
    """A Host header without its port; brackets of IPv6 stay."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]


class Gate:
    """ASGI middleware. `hosts` None allows any Host header; else others are refused (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, body_seconds: float, hosts: Sequence[str] | None) -> None:
        self.app = app
        self.limit = max_body_bytes
        self.seconds = body_seconds
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on with the body read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refused(scope)
        if refusal is None:
            try:
                async with asyncio.timeout(self.seconds):
                    body = await self._body(receive)
            except TimeoutError:
                refusal = (408, f"the body did not arrive within {self.seconds:g} seconds")
            else:
                if body is not None:
                    await self.app(scope, _replayed(body, receive), send)
                    return
                refusal = (413, f"the body is larger than {self.limit} bytes")
        status, detail = refusal
        await response(problem(status, detail))(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        host = b"".join(_headers(scope, b"host")).decode("latin-1")
        if self.hosts is not None and _host_name(host) not in self.hosts:
            return 403, f"host {host!r} is not served here"
        for length in _headers(scope, b"content-length"):
            if length.isdigit() and int(length) > self.limit:
                return 413, f"the body has {int(length)} bytes; the limit is {self.limit}"
        return None

    async def _body(self, receive: Receive) -> list[Message] | None:
        """All messages of the body, or None as soon as it is too large."""
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self.limit:
                return None
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return messages


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replay() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return replay
