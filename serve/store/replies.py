"""Answers of direct requests by idempotency key, so that a repeated request is answered and not done again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from serve.store.database import Database
from serve.store.tables import SECOND, replies

_HOUR = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Fresh:
    """Nobody has asked this: do the work, then `finish` or `abandon`."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The same request is being worked on."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What was answered."""

    status: int
    media_type: str
    body: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another body."""


class Replies:
    """The answers of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, key_id: str, idempotency_key: str, body_hash: str, lease_seconds: float
    ) -> Fresh | InFlight | Replay | Mismatch:
        """What to do with a request. A lease that ran out (its server was killed) is given anew."""
        one = _one(key_id, idempotency_key)
        insert = self._database.insert(replies).on_conflict_do_nothing().returning(replies.c.key_id)

        def work(connection: Connection, now: int) -> Fresh | InFlight | Replay | Mismatch:
            lease = now + int(lease_seconds * SECOND)
            values = {"key_id": key_id, "idempotency_key": idempotency_key, "body_hash": body_hash}
            if connection.execute(insert, {**values, "created": now, "lease": lease}).one_or_none() is not None:
                return Fresh()
            row = connection.execute(select(replies).where(one).with_for_update()).mappings().one_or_none()
            if row is None:  # abandoned or pruned this moment: the caller comes again
                return InFlight()
            if row["body_hash"] != body_hash:
                return Mismatch()
            if row["lease"] is None:
                return Replay(int(row["status"]), str(row["media_type"]), str(row["body"]))
            if int(row["lease"]) > now:
                return InFlight()
            connection.execute(update(replies).where(one).values(lease=lease))
            return Fresh()

        return self._database.write(work)

    def finish(self, key_id: str, idempotency_key: str, status: int, media_type: str, body: str) -> None:
        """Keep the answer. The first one stays."""
        unanswered = and_(_one(key_id, idempotency_key), replies.c.lease.is_not(None))
        change = update(replies).where(unanswered)
        change = change.values(lease=None, status=status, media_type=media_type, body=body)
        self._database.write(lambda c, _: c.execute(change))

    def abandon(self, key_id: str, idempotency_key: str) -> None:
        """Forget a request that has no answer; the next one does the work."""
        unanswered = and_(_one(key_id, idempotency_key), replies.c.lease.is_not(None))
        self._database.write(lambda c, _: c.execute(delete(replies).where(unanswered)))

    def prune(self, hours: float) -> int:
        """Delete answers that are older, and requests whose lease ended as long ago. How many."""

        def work(connection: Connection, now: int) -> int:
            old = now - int(hours * _HOUR)
            gone = delete(replies).where(
                replies.c.created < old, (replies.c.lease.is_(None)) | (replies.c.lease < now)
            )  # fmt: skip
            return connection.execute(gone).rowcount

        return self._database.write(work)


def _one(key_id: str, idempotency_key: str) -> ColumnElement[bool]:
    return and_(replies.c.key_id == key_id, replies.c.idempotency_key == idempotency_key)
