"""Store: one database, and the narrow interfaces to what it keeps. All calls block: use threads in an event loop."""

from __future__ import annotations

from typing import Self

from sqlalchemy import text

from serve.store.database import Clock, Database
from serve.store.feedback import Feedback
from serve.store.jobs import Jobs
from serve.store.journal import Journal
from serve.store.keys import Keys
from serve.store.migrate import migrated
from serve.store.replies import Replies
from serve.store.sessions import Sessions

_CHECK = text("SELECT count(*) FROM keys WHERE id = ''")


class Store:
    """The durable store. Several processes may have the same one open; threads may share one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.jobs = Jobs(database)
        self.keys = Keys(database)
        self.sessions = Sessions(database)
        self.replies = Replies(database)
        self.feedback = Feedback(database)
        self.journal = Journal(database)

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None) -> Self:
        """Open the database of a SQLAlchemy URL and migrate it to this version's tables.

        `clock` (microseconds since 1970) is for tests. Raises StoreError.
        """
        return cls(migrated(url, clock))

    def check(self) -> None:
        """Ask the database something small. Raises StoreError when it does not answer."""
        self._database.read(lambda connection: connection.execute(_CHECK).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
