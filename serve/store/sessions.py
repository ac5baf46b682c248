"""Sessions of the page: a cookie's token stands for a key. Kept hashed; ends with its key."""

from __future__ import annotations

import secrets

from sqlalchemy import delete, select

from serve.store.database import Database
from serve.store.keys import KeyRow, digest, key_row, valid
from serve.store.tables import SECOND, keys, sessions


class Sessions:
    """The sessions of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, key_id: str, seconds: float) -> str:
        """A session of a key; its token (43 characters, safe in a cookie). Those that ended are deleted by the way."""
        token = secrets.token_urlsafe(32)
        insert = self._database.insert(sessions).on_conflict_do_nothing()
        values = {"hash": digest(token), "key_id": key_id}
        self._database.write(
            lambda c, now: (
                c.execute(delete(sessions).where(sessions.c.expires <= now)),
                c.execute(insert, {**values, "expires": now + int(seconds * SECOND)}),
            )
        )
        return token

    def find(self, token: str) -> KeyRow | None:
        """The key of a session; None once the session or its key has ended."""
        query = (
            select(keys, sessions.c.expires.label("ends"))
            .join(sessions, sessions.c.key_id == keys.c.id)
            .where(sessions.c.hash == digest(token))
        )
        row, now = self._database.read(lambda c: (c.execute(query).mappings().one_or_none(), self._database.now(c)))
        if row is None or int(row["ends"]) <= now:
            return None
        return valid(key_row(row), now)

    def drop(self, token: str) -> None:
        """End a session."""
        self._database.write(lambda c, _: c.execute(delete(sessions).where(sessions.c.hash == digest(token))))
