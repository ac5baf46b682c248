"""The journal: repairs that the operator chose to keep, with what is known of them, labels and summaries.

Texts come here without what must not be kept; facts, labels and summaries are redacted here, whoever writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, func, insert, or_, select

from repair.errors import InputError
from serve.security.redaction import redact, redact_value
from serve.store.database import Database
from serve.store.journalwanted import EVERYTHING, Wanted, conditions
from serve.store.tables import DAY, JOURNAL_FACTS, feedback, journal, journal_labels, journal_summaries, keys

MOST_LABELS = 20  # of an entry
LABEL = r"^[a-z0-9][a-z0-9\-]{0,39}$"  # also as JavaScript reads it with the flag v
_KIND = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,79}")
_MOST = 500
_MOST_KINDS = 50  # summaries of an entry
_MOST_CHARS = 256_000  # of one summary as JSON
_MOST_WORDS = 200
_FACTS = tuple(journal.c[name] for name in JOURNAL_FACTS)
_KEY_NAME = func.coalesce(keys.c.name, "").label("key_name")
_SHORT = (journal.c.id, journal.c.key_id, journal.c.created, *_FACTS, _KEY_NAME)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an entry, "" where it is not. `verdict`: of the chosen or else the best patch, "none" without.

    `suggested` is a label; `timing` is seconds from the arrival to the end of each stage.
    """

    kind: str = ""
    request_id: str = ""
    language: str = ""
    error_type: str = ""
    error_kind: str = ""
    edit_kind: str = ""
    model: str = ""
    adapter: str = ""
    verdict: str = ""
    suggested: str = ""
    timing: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Entry:
    """A repair; `request` and `answer` are JSON. `created` is microseconds since 1970; a list leaves texts out."""

    id: str
    key_id: str
    created: int
    request: str = ""
    answer: str = ""
    facts: Facts = field(default_factory=Facts)
    key_name: str = ""
    labels: tuple[str, ...] = ()
    summaries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


@dataclass(frozen=True, slots=True)
class Words:
    """Labels and models that entries have, in the order of the alphabet."""

    labels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


class Journal:
    """The journal of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, entry_id: str, key_id: str, request_json: str, answer_json: str, facts: Facts | None = None,
        summaries: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        """Keep a repair with its summaries by kind; of two with one id the first stays."""
        values = {"id": entry_id, "key_id": key_id, "request": request_json, "answer": answer_json}
        values |= _columns(facts or Facts())
        kept = [{"entry_id": entry_id, **_summary(kind, told)} for kind, told in (summaries or {}).items()]
        statement = self._database.insert(journal).on_conflict_do_nothing().returning(journal.c.id)

        def work(connection: Connection, now: int) -> None:
            new = connection.execute(statement, {**values, "created": now}).one_or_none()
            if new is not None and kept:
                connection.execute(insert(journal_summaries), [{**row, "created": now} for row in kept])

        self._database.write(work)

    def get(self, entry_id: str) -> Entry | None:
        """An entry with its texts and summaries."""
        query = _joined(*_SHORT, journal.c.request, journal.c.answer).where(journal.c.id == entry_id)
        told = select(journal_summaries).where(journal_summaries.c.entry_id == entry_id)
        told = told.order_by(journal_summaries.c.created, journal_summaries.c.kind)

        def work(connection: Connection) -> Entry | None:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            summaries = connection.execute(told).mappings().all()
            found = replace(_entry(row), request=str(row["request"]), answer=str(row["answer"]))
            found = replace(found, summaries={str(one["kind"]): json.loads(one["summary"]) for one in summaries})
            return _labelled(connection, (found,))[0]

        return self._database.read(work)

    def list(
        self, limit: int = 50, before: str | None = None, wanted: Wanted = EVERYTHING
    ) -> tuple[tuple[Entry, ...], str | None]:
        """Entries newest first, without texts, and where to go on. Raises InputError for a `before` of elsewhere."""
        limit = max(1, min(limit, _MOST))
        query = _joined(*_SHORT).where(*conditions(wanted))
        query = query.order_by(journal.c.created.desc(), journal.c.id.desc()).limit(limit + 1)
        if before is not None:
            created, entry_id = _place(before)
            same = and_(journal.c.created == created, journal.c.id < entry_id)
            query = query.where(or_(journal.c.created < created, same))

        def work(connection: Connection) -> tuple[tuple[Entry, ...], bool]:
            rows = connection.execute(query).mappings().all()
            return _labelled(connection, tuple(_entry(row) for row in rows[:limit])), len(rows) > limit

        entries, more = self._database.read(work)
        return entries, f"{entries[-1].created}.{entries[-1].id}" if more else None

    def words(self) -> Words:
        """Labels and models to choose from, some hundred at most."""
        labels = select(journal_labels.c.label).distinct().order_by(journal_labels.c.label).limit(_MOST_WORDS)
        models = select(journal.c.model).where(journal.c.model != "").distinct().order_by(journal.c.model)
        models = models.limit(_MOST_WORDS)
        return self._database.read(
            lambda c: Words(tuple(c.execute(labels).scalars()), tuple(c.execute(models).scalars()))
        )

    def add_summary(self, entry_id: str, kind: str, summary: Mapping[str, Any]) -> bool:
        """Keep a JSON object beside an entry, secrets redacted; of one kind the last stays. False without the entry.

        Raises InputError for a kind or an object that cannot be kept.
        """
        row = {"entry_id": entry_id, **_summary(kind, summary)}
        mine = journal_summaries.c.entry_id == entry_id
        others = select(func.count()).where(mine, journal_summaries.c.kind != kind)

        def work(connection: Connection, now: int) -> bool:
            if not _held(connection, entry_id):
                return False
            if connection.execute(others).scalar_one() >= _MOST_KINDS:
                raise InputError(f"kind: an entry has at most {_MOST_KINDS} summaries", field="kind")
            said = {"summary": row["summary"], "created": now}
            adding = self._database.insert(journal_summaries).values(**row, created=now)
            connection.execute(adding.on_conflict_do_update(index_elements=["entry_id", "kind"], set_=said))
            return True

        return self._database.write(work)

    def label(self, entry_id: str, labels: Collection[str]) -> tuple[str, ...] | None:
        """Set labels; all that the entry has then, None without the entry. Raises InputError, and sets none then."""
        for label in labels:
            check_label(label)
        rows = [{"entry_id": entry_id, "label": label} for label in dict.fromkeys(labels)]

        def work(connection: Connection, _: int) -> tuple[str, ...] | None:
            if not _held(connection, entry_id):
                return None
            for row in rows:
                connection.execute(self._database.insert(journal_labels).values(**row).on_conflict_do_nothing())
            found = _labels(connection, entry_id)
            if len(found) > MOST_LABELS:
                raise InputError(f"label: an entry has at most {MOST_LABELS} labels; remove one first", field="label")
            return found

        return self._database.write(work)

    def unlabel(self, entry_id: str, labels: Collection[str]) -> tuple[str, ...] | None:
        """Remove labels; those that the entry has then, None without the entry."""
        which = (journal_labels.c.entry_id == entry_id, journal_labels.c.label.in_(tuple(labels)))

        def work(connection: Connection, _: int) -> tuple[str, ...] | None:
            if not _held(connection, entry_id):
                return None
            connection.execute(delete(journal_labels).where(*which))
            return _labels(connection, entry_id)

        return self._database.write(work)

    def remove(self, entry_id: str) -> bool:
        """Delete an entry, its labels and summaries, and what was said of it. False where there is none."""

        def work(connection: Connection, _: int) -> bool:
            connection.execute(delete(feedback).where(feedback.c.subject_id == entry_id))
            return connection.execute(delete(journal).where(journal.c.id == entry_id)).rowcount > 0

        return self._database.write(work)

    def prune(self, days: float) -> int:
        """Delete entries that are older, their labels and summaries with them. How many."""
        return self._database.write(
            lambda c, now: c.execute(delete(journal).where(journal.c.created < now - int(days * DAY))).rowcount
        )


def check_label(label: str) -> None:
    """Raises InputError for what cannot be a label."""
    if not re.fullmatch(LABEL, label) or redact(label) != label:
        raise InputError(
            "label: use a-z, 0-9 and -, at most 40 characters, and nothing that looks like a secret", field="label"
        )


def _joined(*columns: Any):  # noqa: ANN202, ANN401 - SQLAlchemy's own values
    return select(*columns).select_from(journal.outerjoin(keys, keys.c.id == journal.c.key_id))


def _held(connection: Connection, entry_id: str) -> bool:
    """Whether there is such an entry; nobody deletes it before our transaction ends."""
    query = select(journal.c.id).where(journal.c.id == entry_id).with_for_update()
    return connection.execute(query).one_or_none() is not None


def _labels(connection: Connection, entry_id: str) -> tuple[str, ...]:
    query = select(journal_labels.c.label).where(journal_labels.c.entry_id == entry_id)
    return tuple(sorted(connection.execute(query).scalars()))


def _labelled(connection: Connection, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    query = select(journal_labels).where(journal_labels.c.entry_id.in_([entry.id for entry in entries]))
    found: dict[str, set[str]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["entry_id"], set()).add(row["label"])
    return tuple(replace(entry, labels=tuple(sorted(found.get(entry.id, ())))) for entry in entries)


def _columns(facts: Facts) -> dict[str, str]:
    told = {name: redact(str(getattr(facts, name))) for name in JOURNAL_FACTS if name != "timing"}
    return {**told, "timing": json.dumps(dict(facts.timing))}


def _summary(kind: str, summary: Mapping[str, Any]) -> dict[str, str]:
    """The columns of a summary. Raises InputError."""
    if not _KIND.fullmatch(kind):
        raise InputError("kind: use a-z, 0-9 and -_.:, at most 80 characters", field="kind")
    try:
        text = json.dumps(redact_value(dict(summary)), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(f"summary: it is no JSON object ({error})", field="summary") from error
    if len(text) > _MOST_CHARS:
        raise InputError(f"summary: {len(text)} characters; at most {_MOST_CHARS} are kept", field="summary")
    return {"kind": kind, "summary": text}


def _entry(row: RowMapping) -> Entry:
    told = {name: str(row[name]) for name in JOURNAL_FACTS if name != "timing"}
    facts = Facts(**told, timing=json.loads(row["timing"] or "{}"))  # pyright: ignore[reportArgumentType]
    return Entry(row["id"], row["key_id"], row["created"], facts=facts, key_name=str(row["key_name"]))


def _place(before: str) -> tuple[int, str]:
    created, _, entry_id = before.partition(".")
    if not created.isascii() or not created.isdigit() or len(created) > 18:
        raise InputError("before: take it from `next` of the answer before", field="before")
    return int(created), entry_id
