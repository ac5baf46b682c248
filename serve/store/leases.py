"""Who works on which job. At least once, with fencing: whoever lost a lease can write nothing any more.

A claim is one short transaction (PostgreSQL: FOR UPDATE SKIP LOCKED; SQLite: BEGIN IMMEDIATE) that raises `attempt`;
all that its owner writes later names owner and attempt. Each write may be repeated after a lost connection.
Source: "How to do distributed locking", M. Kleppmann, 2016 (fencing tokens); PostgreSQL manual, SELECT, SKIP LOCKED.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Executable, RowMapping, and_, exists, or_, select, update

from serve.store.database import Database
from serve.store.jobrows import WHOLE, Job, NewEvent, append, end, job_of, requeue, state_data
from serve.store.tables import SECOND, job_texts, jobs
from serve.wire_jobs import JobState

_HELD = (
    jobs.c.id, jobs.c.attempt, jobs.c.last_seq, jobs.c.state, jobs.c.spared, jobs.c.attempts, jobs.c.cancelling,
    jobs.c.owner,
)  # fmt: skip


class Leases:
    """What a dispatcher does to jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, owner: str, lease_seconds: float, attempts: int = 3) -> Job | None:
        """Take the job of highest priority, the oldest of these, for so long; None where none waits.

        A running job whose lease has ended is taken again, or failed once `attempts` of it were lost.
        """

        def work(connection: Connection, now: int) -> Job | None:
            _bury(connection, now)
            row = connection.execute(_next(now)).mappings().one_or_none()
            if row is None:
                return None
            lease = {"owner": owner, "lease": now + int(lease_seconds * SECOND), "attempts": attempts, "started": now}
            return _take(connection, row, lease)

        # a look first: it takes no lock that another writer waits for
        return self._database.write(work) if self._database.read(self._any_claimable) else None

    def _any_claimable(self, connection: Connection) -> bool:
        query = select(exists().where(_claimable(self._database.now(connection))))
        return bool(connection.execute(query).scalar_one())

    def cancelled(self, owner: str) -> frozenset[str]:
        """The ids of the jobs of an owner that are to be cancelled."""
        mine = and_(jobs.c.state == "running", jobs.c.cancelling, jobs.c.owner == owner)
        found = self._database.read(lambda c: c.execute(select(jobs.c.id).where(mine)).scalars().all())
        return frozenset(found)

    def heartbeat(self, job_id: str, owner: str, attempt: int, lease_seconds: float) -> Literal["go", "cancel", "lost"]:
        """Hold a job for longer: go on, stop as it is cancelled, or stop as another has it."""
        mine = and_(_mine(job_id, owner, attempt), jobs.c.state == "running")
        change = update(jobs).where(mine).returning(jobs.c.cancelling)

        def work(connection: Connection, now: int) -> Literal["go", "cancel", "lost"]:
            held = connection.execute(change.values(lease=now + int(lease_seconds * SECOND))).scalar_one_or_none()
            if held is None:
                return "lost"
            return "cancel" if held else "go"

        return self._database.write(work)

    def tell(self, job_id: str, owner: str, attempt: int, events: Sequence[NewEvent], after: int | None = None) -> bool:
        """Append events; False when the job is not ours any more.

        `after`, the seq of the last event that the caller knows of, makes it safe to call again after a StoreError.
        """

        def work(connection: Connection, _: int) -> bool:
            row = _held(connection, job_id, owner, attempt)
            if row is None or row["state"] != "running":
                return False
            last = int(row["last_seq"])
            if not events or (after is not None and last >= after + len(events)):
                return True
            seq = append(connection, job_id, last, [(event.name, event.data) for event in events])
            values: dict[str, Any] = {
                "last_seq": seq,
                "candidates": jobs.c.candidates + sum(event.name == "candidate" for event in events),
                "plausible": jobs.c.plausible + sum(event.plausible for event in events),
            }
            named = [event.model for event in events if event.model]
            if named:
                values["model"] = named[-1]
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
            return True

        return self._database.write(work)

    def finish(self, job_id: str, owner: str, attempt: int, state: JobState, body: str | None = None) -> bool:
        """End a job, once: `body` is the result where it succeeded, else the problem. False when it is not ours."""

        def work(connection: Connection, now: int) -> bool:
            row = _held(connection, job_id, owner, attempt)
            if row is None:
                return False
            if row["state"] == "running":
                end(connection, row, state, body, now)
                return True
            return row["state"] == state  # said before, and the answer was lost

        return self._database.write(work, durable=True)

    def retry(self, job_id: str, owner: str, attempt: int, body: str, delay_seconds: float) -> bool:
        """Back to the queue after a failure that is not the job's; `infra_error` with `body` once attempts are used up.

        False when it is not ours.
        """

        def work(connection: Connection, now: int) -> bool:
            row = _held(connection, job_id, owner, attempt)
            if row is None or row["state"] != "running":
                return False
            if row["cancelling"]:
                end(connection, row, "cancelled", None, now)
            elif _used_up(row):
                end(connection, row, "infra_error", body, now)
            else:
                requeue(
                    connection, row, available=now + int(delay_seconds * SECOND), spared=int(row["spared"])
                )  # fmt: skip
            return True

        return self._database.write(work)

    def release(self, job_id: str, owner: str, attempt: int) -> bool:
        """Back to the queue as the service stops; the attempt does not count. False when it is not ours."""

        def work(connection: Connection, now: int) -> bool:
            row = _held(connection, job_id, owner, attempt)
            if row is None or row["state"] != "running":
                return False
            if row["cancelling"]:
                end(connection, row, "cancelled", None, now)
            else:
                requeue(connection, row, available=now, spared=int(row["spared"]) + 1)
            return True

        return self._database.write(work)


def _claimable(now: int) -> ColumnElement[bool]:
    """What waits, or whose owner is gone."""
    waits = and_(jobs.c.state == "queued", jobs.c.available <= now)
    lost = and_(jobs.c.state == "running", jobs.c.lease < now)
    return and_(jobs.c.state.in_(("queued", "running")), or_(waits, lost))


def _mine(job_id: str, owner: str, attempt: int) -> ColumnElement[bool]:
    return and_(jobs.c.id == job_id, jobs.c.owner == owner, jobs.c.attempt == attempt)


def _held(connection: Connection, job_id: str, owner: str, attempt: int) -> RowMapping | None:
    query = select(*_HELD).where(_mine(job_id, owner, attempt)).with_for_update()
    return connection.execute(query).mappings().one_or_none()


def _used_up(row: RowMapping) -> bool:
    return int(row["attempt"]) - int(row["spared"]) >= int(row["attempts"])


def _next(now: int) -> Executable:
    """The job to take."""
    query = select(*_HELD).where(_claimable(now))
    order = query.order_by(jobs.c.priority.desc(), jobs.c.created, jobs.c.id)
    return order.limit(1).with_for_update(skip_locked=True)


def _take(connection: Connection, row: RowMapping, lease: Mapping[str, Any]) -> Job:
    job_id, attempt = row["id"], int(row["attempt"]) + 1
    seq = append(connection, job_id, int(row["last_seq"]), [("state", state_data("running", attempt))])
    connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(
            state="running", attempt=attempt, candidates=0, plausible=0, last_seq=seq, **lease
        )
    )  # fmt: skip
    query = select(*WHOLE).join(job_texts, job_texts.c.job_id == jobs.c.id).where(jobs.c.id == job_id)
    return job_of(connection.execute(query).mappings().one())


def _bury(connection: Connection, now: int) -> None:
    """End the running jobs whose owners are gone and that were cancelled or have no attempt left."""
    lost = and_(jobs.c.state == "running", jobs.c.lease < now)
    spent = or_(jobs.c.cancelling, jobs.c.attempt - jobs.c.spared >= jobs.c.attempts)
    query = select(*_HELD).where(lost, spent).with_for_update(skip_locked=True)
    for row in connection.execute(query).mappings().all():
        if row["cancelling"]:
            end(connection, row, "cancelled", None, now)
        else:
            end(connection, row, "failed", _poison(int(row["attempt"]) - int(row["spared"])), now)


def _poison(lost: int) -> str:
    detail = f"{lost} processes were lost while they worked on this job; it is not tried again: look at their logs"
    return json.dumps({"type": "urn:emend:attempts-used-up", "title": "Failed", "status": 500, "detail": detail})
