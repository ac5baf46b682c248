"""Jobs: what clients do to them. What their owners do stands in `leases`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, insert, select, update

from serve.store.database import Database
from serve.store.errors import DuplicateError
from serve.store.jobrows import (
    SHORT,
    WHOLE,
    Job,
    NewEvent,
    NewJob,
    StoredEvent,
    append,
    end,
    job_of,
    new_id,
    removed,
    state_data,
)
from serve.store.leases import Leases
from serve.store.tables import DAY, SECOND, job_events, job_texts, jobs
from serve.wire_jobs import ENDED, JobState

__all__ = ["Job", "Jobs", "Mark", "NewEvent", "NewJob", "StoredEvent"]

_MOST = 500
_WHOLE = select(*WHOLE).join(job_texts, job_texts.c.job_id == jobs.c.id)
_DATA = func.coalesce(
    job_events.c.data, case((job_events.c.name == "result", job_texts.c.result), else_=job_texts.c.error), "{}"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a job is: cheap to ask for."""

    state: JobState
    last_seq: int

    @property
    def ended(self) -> bool:
        """Whether no event will follow after `last_seq`."""
        return self.state in ENDED


class Jobs(Leases):
    """The jobs of a store."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    def submit(self, job: NewJob) -> tuple[Job, bool]:
        """Accept a job; it then outlasts the loss of processes and power. False: it was submitted before.

        Raises DuplicateError when its idempotency key was used for another body.
        """
        job_id = new_id()
        return self._database.write(lambda c, now: self._submitted(c, job, job_id, now), durable=True)

    def get(self, job_id: str, owner_key: str | None = None) -> Job | None:
        """A job, with its texts; with `owner_key` only one that this key submitted."""
        query = _WHOLE.where(jobs.c.id == job_id)
        if owner_key is not None:
            query = query.where(jobs.c.key_id == owner_key)
        row = self._database.read(lambda c: c.execute(query).mappings().one_or_none())
        return None if row is None else job_of(row)

    def list(
        self, owner_key: str | None = None, state: JobState | None = None, limit: int = 50, before: str | None = None
    ) -> tuple[tuple[Job, ...], str | None]:
        """Jobs without texts, newest first, and the `before` that goes on; None at the end."""
        limit = max(1, min(limit, _MOST))
        query = select(*SHORT).order_by(jobs.c.id.desc()).limit(limit + 1)
        if owner_key is not None:
            query = query.where(jobs.c.key_id == owner_key)
        if state is not None:
            query = query.where(jobs.c.state == state)
        if before is not None:
            query = query.where(jobs.c.id < before)
        rows = self._database.read(lambda c: c.execute(query).mappings().all())
        found = tuple(job_of(row) for row in rows[:limit])
        return found, found[-1].id if len(rows) > limit else None

    def cancel(self, job_id: str) -> JobState | None:
        """End a job that waits, ask for the end of one that runs. Its state then; None where there is none."""

        def work(connection: Connection, now: int) -> JobState | None:
            query = select(jobs.c.id, jobs.c.attempt, jobs.c.last_seq, jobs.c.state).where(jobs.c.id == job_id)
            row = connection.execute(query.with_for_update()).mappings().one_or_none()
            if row is None or row["state"] in ENDED:
                return None if row is None else row["state"]
            if row["state"] == "queued":
                end(connection, row, "cancelled", None, now)
                return "cancelled"
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(cancelling=True))
            return "running"

        return self._database.write(work)

    def remove(self, job_id: str) -> bool:
        """Delete a job that has ended, with its events. False where there is none, or it has not ended."""
        return self._database.write(lambda c, _: removed(c, jobs.c.id == job_id, jobs.c.state.in_(ENDED)) > 0)

    def events(self, job_id: str, after: int = 0, limit: int = _MOST) -> tuple[StoredEvent, ...]:
        """The next events of a job after a seq, in order. Candidates of an earlier attempt are void."""
        query = (
            select(job_events.c.seq, job_events.c.name, _DATA.label("data"))
            .join(job_texts, job_texts.c.job_id == job_events.c.job_id)
            .where(job_events.c.job_id == job_id, job_events.c.seq > min(after, 2**31 - 1))
            .order_by(job_events.c.seq)
            .limit(limit)
        )
        return tuple(StoredEvent(**row) for row in self._database.read(lambda c: c.execute(query).mappings().all()))

    def mark(self, job_id: str) -> Mark | None:
        """How far a job is; None where there is none."""
        query = select(jobs.c.state, jobs.c.last_seq).where(jobs.c.id == job_id)
        row = self._database.read(lambda c: c.execute(query).mappings().one_or_none())
        return None if row is None else Mark(**row)

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        found = self._database.read(lambda c: c.execute(query).all())
        states: tuple[JobState, ...] = ("queued", "running", *sorted(ENDED))
        return {**dict.fromkeys(states, 0), **{state: int(number) for state, number in found}}

    def oldest_queued_seconds(self) -> float:
        """For how long the oldest job that waits was there; 0 where none waits."""
        query = select(func.min(jobs.c.created)).where(jobs.c.state == "queued")
        oldest, now = self._database.read(lambda c: (c.execute(query).scalar_one_or_none(), self._database.now(c)))
        return 0.0 if oldest is None else max(0.0, (now - int(oldest)) / SECOND)

    def prune(self, days: float) -> int:
        """Delete jobs that ended longer ago. How many."""
        old = jobs.c.finished
        return self._database.write(lambda c, now: removed(c, old < now - int(days * DAY), jobs.c.state.in_(ENDED)))

    def _submitted(self, connection: Connection, job: NewJob, job_id: str, now: int) -> tuple[Job, bool]:
        values = {
            "id": job_id, "key_id": job.key_id, "idempotency_key": job.idempotency_key, "body_hash": job.body_hash,
            "kind": job.kind, "label": job.label, "priority": job.priority, "state": "queued", "attempt": 0,
            "spared": 0, "attempts": 1, "created": now, "available": now, "candidates": 0, "plausible": 0,
            "model": job.model, "last_seq": 1,
        }  # fmt: skip
        fresh = self._database.insert(jobs).values(**values).on_conflict_do_nothing().returning(jobs.c.id)
        if connection.execute(fresh).one_or_none() is not None:
            connection.execute(insert(job_texts).values(job_id=job_id, body=job.body))
            append(connection, job_id, 0, [("state", state_data("queued", 0))])
            return job_of(connection.execute(_WHOLE.where(jobs.c.id == job_id)).mappings().one()), True
        same = (jobs.c.key_id == job.key_id) & (jobs.c.idempotency_key == job.idempotency_key)
        query = _WHOLE.add_columns(jobs.c.body_hash).where((jobs.c.id == job_id) | same)
        row = connection.execute(query).mappings().one()
        found = dict(row)
        if found.pop("body_hash") != job.body_hash:
            raise DuplicateError
        return Job(**found), found["id"] == job_id
