"""Idempotency keys of direct requests: the same key and body get the answer that was given, the work is done once.

After the draft standard "The Idempotency-Key HTTP Header Field" (IETF httpapi): another body is 422, a request that is
still being worked on 409.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from repair.errors import InputError
from serve.problems import InFlightError
from serve.store import Store
from serve.store.replies import InFlight, Mismatch, Replay

_SLACK = 60.0  # seconds beyond the longest request; then the key is free again (the server was killed)


@dataclass(slots=True)
class Reply:
    """What was answered before (status, media type, body), or the place to keep what will be."""

    store: Store
    key_id: str
    key: str | None
    earlier: tuple[int, str, str] | None = None
    kept: bool = False

    async def keep(self, status: int, media_type: str, body: str) -> None:
        """Keep an answer for the next request with this key."""
        if self.key is not None:
            await asyncio.to_thread(self.store.replies.finish, self.key_id, self.key, status, media_type, body)
            self.kept = True


class Replies:
    """Answers by idempotency key."""

    def __init__(self, store: Store, longest: float) -> None:
        """`longest`: seconds that a request may take."""
        self._store = store
        self._lease = longest + _SLACK

    @asynccontextmanager
    async def one(self, key_id: str, key: str | None, digest: str) -> AsyncGenerator[Reply]:
        """The reply of a request. Raises InputError for a key of another body, InFlightError while one is at work."""
        reply = Reply(self._store, key_id, key)
        if key is None:
            yield reply
            return
        found = await asyncio.to_thread(self._store.replies.begin, key_id, key, digest, self._lease)
        if isinstance(found, Mismatch):
            raise InputError("Idempotency-Key: it was used for another body; take a new one", field="Idempotency-Key")
        if isinstance(found, InFlight):
            raise InFlightError("a request with this Idempotency-Key is still being worked on; come again")
        if isinstance(found, Replay):
            reply.earlier = (found.status, found.media_type, found.body)
            yield reply
            return
        try:
            yield reply
        finally:
            if not reply.kept:  # also where the client has left: the next one does the work
                await asyncio.shield(asyncio.to_thread(self._store.replies.abandon, key_id, key))
