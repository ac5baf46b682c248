"""The values of jobs and how rows become them."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, insert, update

from serve.store.tables import job_events, job_texts, jobs
from serve.wire_jobs import ENDED, JobKind, JobState


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit: `body` is the JSON of its request, `key_id` the API key's id ("" without keys)."""

    kind: JobKind
    body: str
    key_id: str = ""
    label: str = ""
    priority: int = 0
    model: str = ""
    idempotency_key: str | None = None

    @property
    def body_hash(self) -> str:
        """Equal for jobs that ask the same."""
        asked = json.dumps([self.kind, self.label, self.priority, self.body])
        return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are microseconds since 1970; `result` and `error` are JSON. A list leaves texts out."""

    id: str
    key_id: str
    kind: JobKind
    label: str
    priority: int
    state: JobState
    attempt: int
    created: int
    started: int | None
    finished: int | None
    cancelling: bool
    candidates: int
    plausible: int
    model: str
    last_seq: int
    body: str = ""
    result: str | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event of a job that runs; `plausible` says that it is a candidate that passes, `model` who answers."""

    name: str
    data: str
    plausible: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event; `seq` counts from 1 in each job, without gaps."""

    seq: int
    name: str
    data: str


SHORT = tuple(jobs.c[name] for name in Job.__dataclass_fields__ if name in jobs.c)
WHOLE = (*SHORT, job_texts.c.body, job_texts.c.result, job_texts.c.error)


def job_of(row: RowMapping) -> Job:
    """A row of SHORT or WHOLE."""
    return Job(**row)


def new_id() -> str:
    """An id of a job; younger ones sort later."""
    return f"job_{time.time_ns() // 1000:014x}{secrets.token_hex(9)}"


def state_data(state: JobState, attempt: int) -> str:
    """The data of a `state` event."""
    return json.dumps({"state": state, "attempt": attempt})


def append(connection: Connection, job_id: str, after: int, events: Sequence[tuple[str, str | None]]) -> int:
    """Add events after the seq `after`; the new last seq. The caller holds the job's row."""
    rows = [
        {"job_id": job_id, "seq": after + n, "name": name, "data": data} for n, (name, data) in enumerate(events, 1)
    ]
    connection.execute(insert(job_events), rows)
    return after + len(rows)


def end(connection: Connection, row: RowMapping, state: JobState, body: str | None, now: int) -> None:
    """Write the end of a job whose row (id, attempt, last_seq) the caller holds, with its last events."""
    name = "result" if state == "succeeded" else "error"
    last: list[tuple[str, str | None]] = [] if body is None else [(name, None)]
    last.append(("state", state_data(state, int(row["attempt"]))))
    seq = append(connection, row["id"], int(row["last_seq"]), last)
    ended: dict[str, Any] = {"state": state, "finished": now, "lease": None, "last_seq": seq}
    connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(**ended))
    if body is not None:
        change = update(job_texts).where(job_texts.c.job_id == row["id"])
        connection.execute(change.values(result=body) if name == "result" else change.values(error=body))


def requeue(connection: Connection, row: RowMapping, *, available: int, spared: int) -> None:
    """Put a job whose row the caller holds back into the queue."""
    seq = append(
        connection, row["id"], int(row["last_seq"]), [("state", state_data("queued", int(row["attempt"])))]
    )  # fmt: skip
    change = update(jobs).where(jobs.c.id == row["id"])
    connection.execute(
        change.values(state="queued", owner=None, lease=None, available=available, spared=spared, last_seq=seq)
    )


def removed(connection: Connection, *which: ColumnElement[bool]) -> int:
    """Delete jobs; their texts and events go with them. How many."""
    return connection.execute(delete(jobs).where(*which)).rowcount
