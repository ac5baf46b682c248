"""The journal in the words of the wire, for routes, pages and commands. The functions block."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from serve.journal.asking import JournalAsk
from serve.routes.times import rfc3339
from serve.store import Store
from serve.store.feedback import Said
from serve.store.journal import Entry
from serve.store.journalwanted import EVERYTHING, Wanted
from serve.wire_jobs import JournalEntryOut, JournalOut

_PAGE = 50


def journal_page(store: Store, limit: int, before: str | None, wanted: Wanted = EVERYTHING) -> JournalOut:
    """A page of the journal, with the feedback of each entry. Raises InputError for a wrong `before`."""
    entries, further = store.journal.list(limit, before, wanted)
    said = store.feedback.of_all([entry.id for entry in entries])
    return JournalOut(entries=[_entry_out(entry, said.get(entry.id, ())) for entry in entries], next=further)


def journal_entry(store: Store, entry_id: str) -> JournalEntryOut | None:
    """An entry with its texts."""
    entry = store.journal.get(entry_id)
    return None if entry is None else _entry_out(entry, store.feedback.of(entry.id))


class JournalLooking:
    """What the pages show of the journal (`serve.web.journal_pages.JournalLook`). Reads the store in threads."""

    def __init__(self, store: Store, *, kept: bool) -> None:
        self._store = store
        self.kept = kept

    async def entries(self, asked: JournalAsk, before: str | None) -> JournalOut:
        """Entries, newest first. Raises InputError for a wrong time or `before`."""
        return await asyncio.to_thread(journal_page, self._store, _PAGE, before, asked.wanted())

    async def entry(self, entry_id: str) -> JournalEntryOut | None:
        """An entry with its texts."""
        return await asyncio.to_thread(journal_entry, self._store, entry_id)

    async def words(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Labels and models to choose from."""
        found = await asyncio.to_thread(self._store.journal.words)
        return found.labels, found.models


def _entry_out(entry: Entry, said: Sequence[Said]) -> JournalEntryOut:
    facts = entry.facts
    whole = bool(entry.request)
    return JournalEntryOut(
        id=entry.id,
        created=rfc3339(entry.created),
        key=entry.key_id,
        key_name=entry.key_name,
        kind=facts.kind,
        request_id=facts.request_id,
        language=facts.language,
        error_type=facts.error_type,
        error_kind=facts.error_kind,
        edit_kind=facts.edit_kind,
        model=facts.model,
        adapter=facts.adapter,
        verdict=facts.verdict,
        labels=list(entry.labels),
        suggested="" if facts.suggested in entry.labels else facts.suggested,
        timing=dict(facts.timing),
        request=json.loads(entry.request) if entry.request else None,
        answer=json.loads(entry.answer) if entry.answer else None,
        feedback={word.patch: word.accepted for word in said},
        comments={word.patch: word.comment for word in said if word.comment} if whole else {},
        summaries={kind: dict(told) for kind, told in entry.summaries.items()},
    )
