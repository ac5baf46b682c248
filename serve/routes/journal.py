"""/v1/journal: what was kept of repairs, for an admin to look at and delete. It is filled elsewhere."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from serve.problems import NotFoundError
from serve.routes.answers import as_json, documented
from serve.routes.times import rfc3339
from serve.store import Store
from serve.store.journal import Entry
from serve.wire_jobs import JournalEntryOut, JournalOut

_ERRORS = documented(401, 403, 404, 422, 429, 503)
_NOT_THERE = "there is no such entry (any more)"


def journal_router(store: Store) -> APIRouter:
    """The three routes."""
    router = APIRouter(prefix="/v1/journal", tags=["journal"])

    @router.get("", response_model=JournalOut, responses=_ERRORS)
    async def listed(
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Entries, newest first, without their texts; `before` is `next` of the answer before."""
        return as_json(await asyncio.to_thread(journal_page, store, limit, before))

    @router.get("/{entry_id}", response_model=JournalEntryOut, responses=_ERRORS)
    async def one(entry_id: str) -> Response:
        """An entry: request and answer without secrets, and what was said of the patches."""
        found = await asyncio.to_thread(journal_entry, store, entry_id)
        if found is None:
            raise NotFoundError(_NOT_THERE)
        return as_json(found)

    @router.delete("/{entry_id}", status_code=204, responses=_ERRORS)
    async def delete(entry_id: str) -> Response:
        """Delete an entry and what was said of it."""
        if not await asyncio.to_thread(store.journal.remove, entry_id):
            raise NotFoundError(_NOT_THERE)
        return Response(status_code=204)

    return router


def journal_page(store: Store, limit: int, before: str | None) -> JournalOut:
    """A page of the journal, with the feedback of each entry. Blocks. Raises InputError for a wrong `before`."""
    entries, further = store.journal.list(limit, before)
    return JournalOut(entries=[_entry_out(store, entry) for entry in entries], next=further)


def journal_entry(store: Store, entry_id: str) -> JournalEntryOut | None:
    """An entry with its texts. Blocks."""
    entry = store.journal.get(entry_id)
    return None if entry is None else _entry_out(store, entry)


def _entry_out(store: Store, entry: Entry) -> JournalEntryOut:
    said = {word.patch: word.accepted for word in store.feedback.of(entry.id)}
    return JournalEntryOut(
        id=entry.id,
        created=rfc3339(entry.created),
        key=entry.key_id,
        request=json.loads(entry.request) if entry.request else None,
        answer=json.loads(entry.answer) if entry.answer else None,
        feedback=said,
    )
