"""/v1/journal: what was kept of repairs, for an admin to look at, label, export and delete. It is filled elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response, StreamingResponse

from serve.journal.asking import JournalAsk
from serve.journal.rows import Count, export_rows
from serve.journal.shown import journal_entry, journal_page
from serve.problems import NotFoundError
from serve.routes.answers import as_json, documented
from serve.store import Store
from serve.store.journal import LABEL
from serve.wire_jobs import JournalEntryOut, JournalOut, LabelsOut

LINES = "application/x-ndjson"
_ERRORS = documented(401, 403, 404, 422, 429, 503)
_NOT_THERE = "there is no such entry (any more)"
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {LINES: {"schema": {"type": "string"}}},
        "description": "JSON lines, one for each file of a patch that was accepted or rejected",
    }
}
_Asked = Annotated[JournalAsk, Query()]
_Label = Annotated[str, Path(pattern=LABEL, examples=["off-by-one"])]


def journal_router(store: Store) -> APIRouter:
    """The routes of the journal."""
    router = APIRouter(prefix="/v1/journal", tags=["journal"])
    _lists(router, store)
    _entries(router, store)
    return router


def _lists(router: APIRouter, store: Store) -> None:
    @router.get("", response_model=JournalOut, responses=_ERRORS)
    async def listed(
        asked: _Asked,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Entries, newest first, without their texts; `before` is `next` of the answer before."""
        return as_json(await asyncio.to_thread(journal_page, store, limit, before, asked.wanted()))

    @router.get("/export", response_class=Response, responses={**_EXPORTED, **_ERRORS})
    async def export(asked: _Asked) -> Response:
        """Accepted and rejected patches as a source of kind `feedback` for `emend data build`."""
        lines = _lines(store, asked)
        first = await asyncio.to_thread(next, lines, "")  # so that a store that does not answer has its status
        attached = {"Content-Disposition": 'attachment; filename="journal.jsonl"', "Cache-Control": "no-store"}
        return StreamingResponse(chain((first,), lines), media_type=LINES, headers=attached)


def _entries(router: APIRouter, store: Store) -> None:
    @router.get("/{entry_id}", response_model=JournalEntryOut, responses=_ERRORS)
    async def one(entry_id: str) -> Response:
        """An entry: request and answer without secrets, summaries, and what was said of the patches."""
        found = await asyncio.to_thread(journal_entry, store, entry_id)
        if found is None:
            raise NotFoundError(_NOT_THERE)
        return as_json(found)

    @router.delete("/{entry_id}", status_code=204, responses=_ERRORS)
    async def delete(entry_id: str) -> Response:
        """Delete an entry, its labels and summaries, and what was said of it."""
        if not await asyncio.to_thread(store.journal.remove, entry_id):
            raise NotFoundError(_NOT_THERE)
        return Response(status_code=204)

    @router.put("/{entry_id}/labels/{label}", response_model=LabelsOut, responses=_ERRORS)
    async def label(entry_id: str, label: _Label) -> Response:
        """Set a label; the labels that the entry has then, 20 at most."""
        return _labelled(await asyncio.to_thread(store.journal.label, entry_id, (label,)))

    @router.delete("/{entry_id}/labels/{label}", response_model=LabelsOut, responses=_ERRORS)
    async def unlabel(entry_id: str, label: _Label) -> Response:
        """Remove a label, if it is there; the labels that the entry has then."""
        return _labelled(await asyncio.to_thread(store.journal.unlabel, entry_id, (label,)))


def _labelled(labels: tuple[str, ...] | None) -> Response:
    if labels is None:
        raise NotFoundError(_NOT_THERE)
    return as_json(LabelsOut(labels=list(labels)))


def _lines(store: Store, asked: JournalAsk) -> Iterator[str]:
    return (json.dumps(row) + "\n" for row in export_rows(store, Count(), asked.wanted()))
