"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    _jobs()
    _keys()
    _answers()


def downgrade() -> None:
    """Drop them, and all that they hold."""
    for name in ("journal", "feedback", "replies", "sessions", "keys", "job_events", "job_texts", "jobs"):
        op.drop_table(name)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _jobs() -> None:
    op.create_table(
        "jobs",
        _text("id"), _text("key_id"), _text("idempotency_key", nullable=True), _text("body_hash"), _text("kind"),
        _text("label"), _number("priority"), _text("state"), _number("attempt"), _number("spared"),
        _number("attempts"), _time("created"), _time("started", nullable=True), _time("finished", nullable=True),
        _time("available"), _text("owner", nullable=True), _time("lease", nullable=True),
        sa.Column("cancelling", sa.Boolean(), nullable=False, server_default=sa.false()),
        _number("candidates"), _number("plausible"), _text("model"), _number("last_seq"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("key_id", "idempotency_key", name="uq_jobs_key"),
    )  # fmt: skip
    op.create_index("ix_jobs_state", "jobs", ["state", "priority", "created"])
    op.create_table(
        "job_texts",
        _text("job_id"), _text("body"), _text("result", nullable=True), _text("error", nullable=True),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_texts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_texts_job_id", ondelete="CASCADE"),
    )  # fmt: skip
    op.create_table(
        "job_events",
        _text("job_id"), sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False), _text("name"),
        _text("data", nullable=True),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_job_events"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_job_id", ondelete="CASCADE"),
    )  # fmt: skip


def _keys() -> None:
    op.create_table(
        "keys",
        _text("id"), _text("hash"), _text("name"), _text("scopes"), _time("created"), _time("expires", nullable=True),
        _time("revoked", nullable=True), _time("last_used", nullable=True), _number("rate", nullable=True),
        _number("concurrent", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )  # fmt: skip
    op.create_table(
        "sessions",
        _text("hash"), _text("key_id"), _time("expires"),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_sessions_key_id", ondelete="CASCADE"),
    )  # fmt: skip
    op.create_index("ix_sessions_key_id", "sessions", ["key_id"])


def _answers() -> None:
    op.create_table(
        "replies",
        _text("key_id"), _text("idempotency_key"), _text("body_hash"), _time("created"), _time("lease", nullable=True),
        _number("status", nullable=True), _text("media_type", nullable=True), _text("body", nullable=True),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name="pk_replies"),
    )  # fmt: skip
    op.create_index("ix_replies_created", "replies", ["created"])
    op.create_table(
        "feedback",
        _text("key_id"), _text("subject_id"), sa.Column("patch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False), _text("comment"), _time("created"),
        sa.PrimaryKeyConstraint("key_id", "subject_id", "patch", name="pk_feedback"),
    )  # fmt: skip
    op.create_index("ix_feedback_subject", "feedback", ["subject_id"])
    op.create_table(
        "journal",
        _text("id"), _text("key_id"), _time("created"), _text("request"), _text("answer"),
        sa.PrimaryKeyConstraint("id", name="pk_journal"),
    )  # fmt: skip
    op.create_index("ix_journal_created", "journal", ["created", "id"])
