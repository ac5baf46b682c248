"""The journal in the words of the wire, for routes, pages and commands. All functions here block."""

from __future__ import annotations

import json
from collections.abc import Sequence

from serve.routes.times import rfc3339
from serve.store import Store
from serve.store.feedback import Said
from serve.store.journal import Entry
from serve.store.journalwanted import EVERYTHING, Wanted
from serve.wire_jobs import JournalEntryOut, JournalOut


def journal_page(store: Store, limit: int, before: str | None, wanted: Wanted = EVERYTHING) -> JournalOut:
    """A page of the journal, with the feedback of each entry. Raises InputError for a wrong `before`."""
    entries, further = store.journal.list(limit, before, wanted)
    said = store.feedback.of_all([entry.id for entry in entries])
    return JournalOut(entries=[_entry_out(entry, said.get(entry.id, ())) for entry in entries], next=further)


def journal_entry(store: Store, entry_id: str) -> JournalEntryOut | None:
    """An entry with its texts."""
    entry = store.journal.get(entry_id)
    return None if entry is None else _entry_out(entry, store.feedback.of(entry.id))


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
