"""The journal: repairs that the operator chose to keep. What must not be kept was taken out before it comes here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, or_, select

from repair.errors import InputError
from serve.store.database import Database
from serve.store.tables import DAY, feedback, journal

_MOST = 500
_SHORT = (journal.c.id, journal.c.key_id, journal.c.created)


@dataclass(frozen=True, slots=True)
class Entry:
    """A repair; `request` and `answer` are JSON, "" in a list. `created` is microseconds since 1970."""

    id: str
    key_id: str
    created: int
    request: str = ""
    answer: str = ""


class Journal:
    """The journal of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry_id: str, key_id: str, request_json: str, answer_json: str) -> None:
        """Keep a repair; of two with one id the first stays."""
        values = {"id": entry_id, "key_id": key_id, "request": request_json, "answer": answer_json}
        insert = self._database.insert(journal).on_conflict_do_nothing()
        self._database.write(lambda c, now: c.execute(insert, {**values, "created": now}))

    def get(self, entry_id: str) -> Entry | None:
        """An entry with its texts."""
        query = select(journal).where(journal.c.id == entry_id)
        row = self._database.read(lambda c: c.execute(query).mappings().one_or_none())
        return None if row is None else Entry(**row)

    def list(self, limit: int = 50, before: str | None = None) -> tuple[tuple[Entry, ...], str | None]:
        """Entries newest first, without texts, and where to go on. Raises InputError for a `before` of elsewhere."""
        limit = max(1, min(limit, _MOST))
        query = select(*_SHORT).order_by(journal.c.created.desc(), journal.c.id.desc()).limit(limit + 1)
        if before is not None:
            created, entry_id = _place(before)
            same = and_(journal.c.created == created, journal.c.id < entry_id)
            query = query.where(or_(journal.c.created < created, same))
        rows = self._database.read(lambda c: c.execute(query).mappings().all())
        entries = tuple(Entry(**row) for row in rows[:limit])
        more = len(rows) > limit
        return entries, f"{entries[-1].created}.{entries[-1].id}" if more else None

    def remove(self, entry_id: str) -> bool:
        """Delete an entry and what was said of it. False where there is none."""

        def work(connection: Connection, _: int) -> bool:
            connection.execute(delete(feedback).where(feedback.c.subject_id == entry_id))
            return connection.execute(delete(journal).where(journal.c.id == entry_id)).rowcount > 0

        return self._database.write(work)

    def prune(self, days: float) -> int:
        """Delete entries that are older. How many."""
        return self._database.write(
            lambda c, now: c.execute(delete(journal).where(journal.c.created < now - int(days * DAY))).rowcount
        )


def _place(before: str) -> tuple[int, str]:
    created, _, entry_id = before.partition(".")
    if not created.isascii() or not created.isdigit() or len(created) > 18:
        raise InputError("before: take it from `next` of the answer before", field="before")
    return int(created), entry_id
