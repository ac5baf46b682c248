"""Runs over repositories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "batch_runs",
        _text("id"), _text("settings"), _time("created"), _time("finished", nullable=True), _time("used"),
        _text("owner", nullable=True), _time("lease", nullable=True), _flag("cancelling"),
        sa.PrimaryKeyConstraint("id", name="pk_batch_runs"),
    )  # fmt: skip
    op.create_table(
        "batch_items",
        _text("run_id"), _text("name"), _text("kind"), _text("key"), _number("position"), _number("priority"),
        _text("state"), _number("attempt"), _flag("cancelling"), _text("body", nullable=True),
        _text("result", nullable=True),
        sa.PrimaryKeyConstraint("run_id", "name", "kind", "key", name="pk_batch_items"),
        sa.ForeignKeyConstraint(["run_id"], ["batch_runs.id"], name="fk_batch_items_run_id", ondelete="CASCADE"),
    )  # fmt: skip


def downgrade() -> None:
    """Drop them, and all that they hold."""
    for name in ("batch_items", "batch_runs"):
        op.drop_table(name)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
