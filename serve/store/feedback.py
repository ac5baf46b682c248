"""What became of patches: accepted or not, by whom. Of several words on one patch the last counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from serve.store.database import Database
from serve.store.tables import DAY, feedback


@dataclass(frozen=True, slots=True)
class Said:
    """One word on one patch; `created` is microseconds since 1970."""

    key_id: str
    subject_id: str
    patch: int
    accepted: bool
    comment: str
    created: int


class Feedback:
    """The feedback of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key_id: str, subject_id: str, patch: int, accepted: bool, comment: str = "") -> None:
        """Note what became of the patch with this number of a repair or job."""
        values = {"key_id": key_id, "subject_id": subject_id, "patch": patch}

        def work(connection: Connection, now: int) -> None:
            said = {"accepted": accepted, "comment": comment, "created": now}
            insert = self._database.insert(feedback).values(**values, **said)
            connection.execute(insert.on_conflict_do_update(index_elements=list(values), set_=said))

        self._database.write(work)

    def of(self, subject_id: str) -> list[Said]:
        """All that was said of a repair or job, by patch."""
        query = select(feedback).where(feedback.c.subject_id == subject_id)
        query = query.order_by(feedback.c.patch, feedback.c.created)
        return [Said(**row) for row in self._database.read(lambda c: c.execute(query).mappings().all())]

    def of_all(self, subject_ids: Sequence[str]) -> dict[str, list[Said]]:
        """The same of several, by id; those of which nothing was said are left out."""
        query = select(feedback).where(feedback.c.subject_id.in_(tuple(subject_ids)))
        query = query.order_by(feedback.c.patch, feedback.c.created)
        found: dict[str, list[Said]] = {}
        for row in self._database.read(lambda c: c.execute(query).mappings().all()):
            found.setdefault(row["subject_id"], []).append(Said(**row))
        return found

    def prune(self, days: float) -> int:
        """Delete what was said longer ago. How much."""
        old = feedback.c.created
        return self._database.write(
            lambda c, now: c.execute(delete(feedback).where(old < now - int(days * DAY))).rowcount
        )
