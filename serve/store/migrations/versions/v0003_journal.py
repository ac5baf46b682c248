"""What is known of an entry of the journal: facts, labels and summaries."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_FACTS = (
    "kind", "request_id", "language", "error_type", "error_kind", "edit_kind", "model", "adapter", "verdict",
    "suggested", "timing",
)  # fmt: skip


def upgrade() -> None:
    """Make their columns and tables, and say of older entries what their answers tell."""
    for name in _FACTS:
        op.add_column("journal", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "journal_labels",
        _text("entry_id"), _text("label"),
        sa.PrimaryKeyConstraint("entry_id", "label", name="pk_journal_labels"),
        sa.ForeignKeyConstraint(["entry_id"], ["journal.id"], name="fk_journal_labels_entry_id", ondelete="CASCADE"),
    )  # fmt: skip
    op.create_index("ix_journal_labels_label", "journal_labels", ["label"])
    op.create_table(
        "journal_summaries",
        _text("entry_id"), _text("kind"), _text("summary"), sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "kind", name="pk_journal_summaries"),
        sa.ForeignKeyConstraint(["entry_id"], ["journal.id"], name="fk_journal_summaries_entry_id", ondelete="CASCADE"),
    )  # fmt: skip
    _fill()


def downgrade() -> None:
    """Drop them, and all that they hold."""
    for name in ("journal_summaries", "journal_labels"):
        op.drop_table(name)
    for name in _FACTS:
        op.drop_column("journal", name)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _fill() -> None:
    """Filters must find entries that are older than the columns, too: model and verdict stand in the answer."""
    journal = sa.table("journal", *(sa.column(name) for name in ("id", "answer", "kind", "model", "verdict")))
    connection = op.get_bind()
    for entry_id in connection.execute(sa.select(journal.c.id)).scalars().all():
        mine = journal.c.id == entry_id
        try:
            answer = json.loads(connection.execute(sa.select(journal.c.answer).where(mine)).scalar_one())
            patches = answer.get("patches")
            best = patches[answer.get("chosen") or 0]["verdict"] if patches else "none"
            kind = "localization" if patches is None else "repair"
            values = {"kind": kind, "model": str(answer.get("model") or ""), "verdict": str(best)}
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # no answer that we know: the entry stays as it is
        connection.execute(sa.update(journal).where(mine).values(**values))
