"""/v1/keys: keys are made, listed and revoked by an admin. A key's secret is only in the answer that makes it."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from fastapi import APIRouter
from fastapi.responses import Response

from repair.errors import InputError
from serve.problems import NotFoundError
from serve.routes.answers import as_json, documented
from serve.routes.times import rfc3339
from serve.security.callers import Authority
from serve.store.keys import KeyRow
from serve.wire_jobs import KeyIn, KeyOut, KeysOut, NewKeyOut, Scope

_ERRORS = documented(400, 401, 403, 415, 422, 429, 503)
_ONE = documented(401, 403, 404, 429, 503)
DAY = 86_400 * 1_000_000  # microseconds


def keys_router(authority: Authority) -> APIRouter:
    """The three routes."""
    router = APIRouter(prefix="/v1/keys", tags=["keys"])
    keys = authority.keys

    @router.get("", response_model=KeysOut, responses=_ONE)
    async def listed() -> Response:
        """All keys, oldest first, revoked and expired ones too."""
        return as_json(KeysOut(keys=[key_out(row) for row in await asyncio.to_thread(keys.list)]))

    @router.post("", status_code=201, response_model=NewKeyOut, responses=_ERRORS)
    async def create(body: KeyIn) -> Response:
        """A new key. It cannot be shown again."""
        made = await asyncio.to_thread(make_key, authority, body)
        return as_json(made, 201)

    @router.delete("/{key_id}", status_code=204, responses=_ONE)
    async def revoke(key_id: str) -> Response:
        """End a key for good; it holds here at once, in other processes within seconds."""
        if not await asyncio.to_thread(keys.revoke, key_id):
            raise NotFoundError("there is no such key that is not revoked")
        authority.forget()
        return Response(status_code=204)

    return router


def make_key(authority: Authority, body: KeyIn) -> NewKeyOut:
    """Make a key in the store. Raises InputError for a name that cannot be kept, StoreError."""
    check_name(body.name)
    expires = None if body.days is None else int(time.time() * 1e6 + body.days * DAY)
    scopes = tuple(dict.fromkeys(body.scopes))
    row, token = authority.keys.create(body.name, scopes, expires, body.rate_per_minute, body.concurrent)
    return NewKeyOut(key=token, **key_out(row).model_dump())


def check_name(name: str) -> None:
    """Raises InputError for a name that tables and terminals cannot show."""
    if not name.isprintable():
        raise InputError("name: only characters that can be printed", field="name")


def key_out(row: KeyRow) -> KeyOut:
    """A key for the wire."""
    return KeyOut(
        id=row.id,
        name=row.name,
        scopes=[cast("Scope", scope) for scope in row.scopes],
        created=rfc3339(row.created),
        expires=None if row.expires is None else rfc3339(row.expires),
        revoked=row.revoked is not None,
        last_used=None if row.last_used is None else rfc3339(row.last_used),
        rate_per_minute=row.rate,
        concurrent=row.concurrent,
    )
