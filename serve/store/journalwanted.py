"""Which entries of the journal are wanted, as a value and as conditions of SQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from serve.store.tables import feedback, journal, journal_labels

Decision = Literal["accepted", "rejected", "none"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Entries that have all of this; None: whatever. Times are microseconds since 1970, `until` is exclusive.

    `decision`: a patch was accepted or rejected by the last word on it, or nothing was said. `text` stands in request
    or answer, upper and lower case of ASCII letters the same.
    """

    label: str | None = None
    language: str | None = None
    verdict: str | None = None
    model: str | None = None
    decision: Decision | None = None
    text: str | None = None
    since: int | None = None
    until: int | None = None


EVERYTHING = Wanted()


def conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    """What the rows of `journal` must fulfil."""
    found: list[ColumnElement[bool]] = [
        journal.c[name] == value
        for name in ("language", "verdict", "model")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.label is not None:
        mine = and_(journal_labels.c.entry_id == journal.c.id, journal_labels.c.label == wanted.label)
        found.append(exists(select(journal_labels.c.label).where(mine)))
    if wanted.decision is not None:
        found.append(_decided(wanted.decision))
    if wanted.text:
        written = json.dumps(wanted.text)[1:-1].lower()  # the texts are JSON
        texts = (journal.c.request, journal.c.answer)
        found.append(or_(*(func.lower(text).contains(written, autoescape=True) for text in texts)))
    if wanted.since is not None:
        found.append(journal.c.created >= wanted.since)
    if wanted.until is not None:
        found.append(journal.c.created < wanted.until)
    return found


def _decided(decision: Decision) -> ColumnElement[bool]:
    of_it = feedback.c.subject_id == journal.c.id
    if decision == "none":
        return ~exists(select(feedback.c.patch).where(of_it))
    later = feedback.alias("later")
    overruled = and_(
        later.c.subject_id == feedback.c.subject_id,
        later.c.patch == feedback.c.patch,
        later.c.created > feedback.c.created,
    )
    last = and_(of_it, feedback.c.accepted.is_(decision == "accepted"), ~exists(select(later.c.patch).where(overruled)))
    return exists(select(feedback.c.patch).where(last))
