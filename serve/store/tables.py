"""The tables, as SQLAlchemy Core knows them. `migrations` make them; a test holds the two equal.

Times are UTC, microseconds since 1970, as integers. Texts that may be large lie apart from what heartbeats rewrite.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.types import TypeDecorator

SECOND = 1_000_000
DAY = 86_400 * SECOND

JOURNAL_FACTS = (
    "kind", "request_id", "language", "error_type", "error_kind", "edit_kind", "model", "adapter", "verdict",
    "suggested", "timing",
)  # fmt: skip
"""What is known of an entry of the journal beside its texts; empty where it is not known."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class PlainText(TypeDecorator[str]):
    """Text that both databases take: PostgreSQL refuses NUL, both refuse halves of surrogate pairs."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - not our signature
        """The text with a replacement character or "?" where it holds what cannot be kept."""
        return None if value is None else value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _text(
    name: str, reference: str = "", *, primary_key: bool = False, nullable: bool = False, index: bool = False
) -> Column[str]:
    more = [ForeignKey(reference, ondelete="CASCADE")] if reference else []
    return Column(name, PlainText(), *more, primary_key=primary_key, nullable=nullable, index=index)


def _fact(name: str) -> Column[str]:
    return Column(name, PlainText(), nullable=False, server_default="")


def _time(name: str, *, nullable: bool = False, index: bool = False) -> Column[int]:
    return Column(name, BigInteger(), nullable=nullable, index=index)


jobs = Table(
    "jobs", metadata,
    _text("id", primary_key=True),
    _text("key_id"),  # of the API key that submitted it, "" where none is asked for
    _text("idempotency_key", nullable=True),
    _text("body_hash"),
    _text("kind"),
    _text("label"),
    Column("priority", Integer(), nullable=False),
    _text("state"),
    Column("attempt", Integer(), nullable=False),  # only grows: it fences those who lost their lease
    Column("spared", Integer(), nullable=False),  # attempts that do not count, as a stop of the service ended them
    Column("attempts", Integer(), nullable=False),  # how many may count
    _time("created"),
    _time("started", nullable=True),
    _time("finished", nullable=True),
    _time("available"),  # not before this time
    _text("owner", nullable=True),
    _time("lease", nullable=True),  # until when it belongs to `owner`
    Column("cancelling", Boolean(), nullable=False, server_default=false()),
    Column("candidates", Integer(), nullable=False),
    Column("plausible", Integer(), nullable=False),
    _text("model"),
    Column("last_seq", Integer(), nullable=False),
    UniqueConstraint("key_id", "idempotency_key", name="uq_jobs_key"),
    Index("ix_jobs_state", "state", "priority", "created"),
)  # fmt: skip

job_texts = Table(
    "job_texts", metadata,
    _text("job_id", "jobs.id", primary_key=True),
    _text("body"),
    _text("result", nullable=True),
    _text("error", nullable=True),
)  # fmt: skip

job_events = Table(
    "job_events", metadata,
    _text("job_id", "jobs.id", primary_key=True),
    Column("seq", Integer(), primary_key=True, autoincrement=False),
    _text("name"),
    _text("data", nullable=True),  # of `result` and `error` it lies in job_texts
)  # fmt: skip

keys = Table(
    "keys", metadata,
    _text("id", primary_key=True),
    _text("hash"),
    _text("name"),
    _text("scopes"),  # with blanks between
    _time("created"),
    _time("expires", nullable=True),
    _time("revoked", nullable=True),
    _time("last_used", nullable=True),
    Column("rate", Integer(), nullable=True),
    Column("concurrent", Integer(), nullable=True),
)  # fmt: skip

sessions = Table(
    "sessions", metadata,
    _text("hash", primary_key=True),
    _text("key_id", "keys.id", index=True),
    _time("expires"),
)  # fmt: skip

replies = Table(
    "replies", metadata,
    _text("key_id", primary_key=True),
    _text("idempotency_key", primary_key=True),
    _text("body_hash"),
    _time("created", index=True),
    _time("lease", nullable=True),  # until when it is being worked on; null once there is an answer
    Column("status", Integer(), nullable=True),
    _text("media_type", nullable=True),
    _text("body", nullable=True),
)  # fmt: skip

feedback = Table(
    "feedback", metadata,
    _text("key_id", primary_key=True),
    _text("subject_id", primary_key=True),
    Column("patch", Integer(), primary_key=True, autoincrement=False),
    Column("accepted", Boolean(), nullable=False),
    _text("comment"),
    _time("created"),
    Index("ix_feedback_subject", "subject_id"),
)  # fmt: skip

journal = Table(
    "journal", metadata,
    _text("id", primary_key=True),
    _text("key_id"),
    _time("created"),
    _text("request"),
    _text("answer"),
    *(_fact(name) for name in JOURNAL_FACTS),
    Index("ix_journal_created", "created", "id"),
)  # fmt: skip

journal_labels = Table(
    "journal_labels", metadata,
    _text("entry_id", "journal.id", primary_key=True),
    _text("label", primary_key=True),
    Index("ix_journal_labels_label", "label"),
)  # fmt: skip

journal_summaries = Table(
    "journal_summaries", metadata,
    _text("entry_id", "journal.id", primary_key=True),
    _text("kind", primary_key=True),
    _text("summary"),  # JSON
    _time("created"),
)  # fmt: skip

batch_runs = Table(
    "batch_runs", metadata,
    _text("id", primary_key=True),
    _text("settings"),  # JSON: what a run must be resumed with
    _time("created"),
    _time("finished", nullable=True),
    Column("used", BigInteger(), nullable=False),  # microseconds that coordinators worked on it
    _text("owner", nullable=True),  # the coordinator
    _time("lease", nullable=True),  # until when it is the coordinator's
    Column("cancelling", Boolean(), nullable=False, server_default=false()),
)  # fmt: skip

batch_items = Table(
    "batch_items", metadata,
    _text("run_id", "batch_runs.id", primary_key=True),
    _text("name", primary_key=True),  # of the repository
    _text("kind", primary_key=True),
    _text("key", primary_key=True),  # of the fault, "" where there is none
    Column("position", Integer(), nullable=False),  # of the repository, as it was given
    Column("priority", Integer(), nullable=False),
    _text("state"),
    Column("attempt", Integer(), nullable=False),
    Column("cancelling", Boolean(), nullable=False, server_default=false()),  # of a diagnosis: the whole repository
    _text("body", nullable=True),  # of a diagnosis: the order
    _text("result", nullable=True),
)  # fmt: skip
