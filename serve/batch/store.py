"""The run store: a run, its items, who coordinates it. On SQLite or PostgreSQL; every call is one transaction.

A run has one coordinator at a time, by a lease that it renews; whoever lost it can write nothing any more (fencing
by the owner's name). Source: "How to do distributed locking", M. Kleppmann, 2016.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from sqlalchemy import Connection, and_, func, select, update
from sqlalchemy.engine import make_url

from repair.codec import from_json, to_json
from repair.errors import InputError
from repair.projects.values import Order
from serve.batch.items import Ended, ItemState, Kind, Ref, ended_text, read_ended
from serve.batch.owners import Owner, dead
from serve.store.database import Clock, Database
from serve.store.errors import StoreError
from serve.store.migrate import migrated
from serve.store.tables import SECOND, batch_items, batch_runs

LEASE_SECONDS = 10.0
_COLUMNS = (batch_items.c.name, batch_items.c.kind, batch_items.c.key)


class TakenOver(StoreError):
    """Another coordinator has this run now: this one was silent for longer than its lease."""

    def __init__(self) -> None:
        super().__init__("another emend batch has taken this run over, as this one was silent for too long")


@dataclass(frozen=True, slots=True)
class Row:
    """An item as it is stored. `ended` may tell what was spent on an item that is queued again."""

    ref: Ref
    state: ItemState
    attempt: int = 0
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A run that is there already. `seconds`: how long coordinators worked on it; `settings` is JSON."""

    settings: str
    orders: tuple[Order, ...]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What is to be cancelled: everything, or repositories by name."""

    all: bool = False
    names: frozenset[str] = frozenset()


class RunStore(Protocol):
    """Keeps runs. Every method raises StoreError; those that name an owner TakenOver, too."""

    @property
    def where(self) -> str:
        """The database, without user and password; equal for equal databases."""
        ...

    def known(self, run: str) -> Known | None:
        """A run, None where there is none."""
        ...

    def begin(self, run: str, settings: str, orders: Sequence[Order], owner: Owner) -> None:
        """Become the coordinator of a run, which is made where there is none. Items that ran are queued again.

        An order that is there keeps its items and takes the new bounds. Raises InputError: somebody coordinates it.
        """
        ...

    def beat(self, run: str, owner: Owner, seconds: float) -> None:
        """Hold the run for LEASE_SECONDS more, `seconds` of work later than the last time."""
        ...

    def end(self, run: str, owner: Owner, *, finished: bool) -> None:
        """Give the run up; a request to cancel everything is answered by that."""
        ...

    def rows(self, run: str) -> tuple[Row, ...]:
        """All items, in no order."""
        ...

    def start(self, run: str, owner: Owner, refs: Sequence[Ref]) -> None:
        """Items run now; those that were not there are added."""
        ...

    def finish(self, run: str, owner: Owner, row: Row, following: Sequence[Ref] = ()) -> None:
        """Write how an item ended, and queue the items that follow from it, in one transaction."""
        ...

    def cancel(self, run: str, name: str = "") -> bool:
        """Ask for the end of a repository, of all without a name. False where there is none of that name."""
        ...

    def cancelled(self, run: str) -> Cancelled:
        """What was asked to end."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class SqlRunStore:
    """A RunStore in one database."""

    def __init__(self, database: Database, where: str) -> None:
        self._database, self._where = database, where

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None) -> Self:
        """Open the database of a SQLAlchemy URL and migrate it to this version's tables. Raises StoreError."""
        plain = make_url(url)
        return cls(migrated(url, clock), f"{plain.host or ''}:{plain.port or ''}/{plain.database or ''}")

    @property
    def where(self) -> str:
        """As RunStore."""
        return self._where

    def known(self, run: str) -> Known | None:
        """As RunStore."""

        def work(connection: Connection) -> Known | None:
            query = select(batch_runs.c.settings, batch_runs.c.used).where(batch_runs.c.id == run)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            orders = select(batch_items.c.body).where(
                batch_items.c.run_id == run, batch_items.c.kind == Kind.DIAGNOSE.value
            )
            bodies = connection.execute(orders.order_by(batch_items.c.position)).scalars()
            return Known(row.settings, tuple(from_json(Order, json.loads(str(b))) for b in bodies), row.used / SECOND)

        return self._database.read(work)

    def begin(self, run: str, settings: str, orders: Sequence[Order], owner: Owner) -> None:
        """As RunStore."""

        def work(connection: Connection, now: int) -> None:
            values = {"id": run, "settings": settings, "created": now, "used": 0}
            fresh = self._database.insert(batch_runs).values(**values)
            change = {"settings": settings}
            connection.execute(fresh.on_conflict_do_update(index_elements=("id",), set_=change))
            query = select(batch_runs.c.owner, batch_runs.c.lease).where(batch_runs.c.id == run).with_for_update()
            held = connection.execute(query).one()
            other = Owner.read(held.owner) if held.owner else None
            if other and other != owner and held.lease > now and not dead(other):
                raise InputError(
                    f"another emend batch works on this run (process {other.pid} on {other.host}): wait for its end, "
                    "or end it with --cancel all",
                    field="resume",
                )
            mine = {"owner": owner.text, "lease": now + int(LEASE_SECONDS * SECOND), "finished": None}
            connection.execute(update(batch_runs).where(batch_runs.c.id == run).values(**mine, cancelling=False))
            self._orders(connection, run, orders)
            ran = and_(batch_items.c.run_id == run, batch_items.c.state == ItemState.RUNNING.value)
            connection.execute(update(batch_items).where(ran).values(state=ItemState.QUEUED.value))

        self._database.write(work, durable=True)

    def _orders(self, connection: Connection, run: str, orders: Sequence[Order]) -> None:
        rows = [
            {
                "run_id": run, "name": order.name, "kind": Kind.DIAGNOSE.value, "key": "", "position": position,
                "priority": order.priority, "state": ItemState.QUEUED.value, "attempt": 0,
                "body": json.dumps(to_json(order)),
            }
            for position, order in enumerate(orders)
        ]  # fmt: skip
        if not rows:
            return
        fresh = self._database.insert(batch_items)
        change = {name: fresh.excluded[name] for name in ("body", "priority", "position")}
        keys = ("run_id", "name", "kind", "key")
        connection.execute(fresh.on_conflict_do_update(index_elements=keys, set_=change), rows)

    def beat(self, run: str, owner: Owner, seconds: float) -> None:
        """As RunStore."""

        def work(connection: Connection, now: int) -> None:
            lease = now + int(LEASE_SECONDS * SECOND)
            change = update(batch_runs).where(batch_runs.c.id == run, batch_runs.c.owner == owner.text)
            more = {"lease": lease, "used": batch_runs.c.used + int(seconds * SECOND)}
            if connection.execute(change.values(**more)).rowcount != 1:
                raise TakenOver

        self._database.write(work)

    def end(self, run: str, owner: Owner, *, finished: bool) -> None:
        """As RunStore."""

        def work(connection: Connection, now: int) -> None:
            change = update(batch_runs).where(batch_runs.c.id == run, batch_runs.c.owner == owner.text)
            over = {"owner": None, "lease": None, "finished": now if finished else None, "cancelling": False}
            connection.execute(change.values(**over))

        self._database.write(work, durable=True)

    def rows(self, run: str) -> tuple[Row, ...]:
        """As RunStore."""
        columns = (*_COLUMNS, batch_items.c.state, batch_items.c.attempt, batch_items.c.result)
        query = select(*columns).where(batch_items.c.run_id == run)
        found = self._database.read(lambda c: c.execute(query).all())
        return tuple(
            Row(
                Ref(one.name, Kind(one.kind), one.key),
                ItemState(one.state),
                one.attempt,
                None if one.result is None else read_ended(one.result),
            )
            for one in found
        )

    def start(self, run: str, owner: Owner, refs: Sequence[Ref]) -> None:
        """As RunStore."""

        def work(connection: Connection, _: int) -> None:
            _check(connection, run, owner)
            self._add(connection, run, refs)
            for ref in refs:
                change = update(batch_items).where(_is(run, ref))
                connection.execute(
                    change.values(state=ItemState.RUNNING.value, attempt=batch_items.c.attempt + 1)
                )  # fmt: skip

        self._database.write(work)

    def finish(self, run: str, owner: Owner, row: Row, following: Sequence[Ref] = ()) -> None:
        """As RunStore."""
        text = None if row.ended is None else ended_text(row.ended)

        def work(connection: Connection, _: int) -> None:
            _check(connection, run, owner)
            self._add(connection, run, (row.ref, *following))
            connection.execute(
                update(batch_items).where(_is(run, row.ref)).values(state=row.state.value, result=text)
            )  # fmt: skip

        self._database.write(work, durable=True)

    def _add(self, connection: Connection, run: str, refs: Sequence[Ref]) -> None:
        """Queue items that are not there yet; a diagnosis always is."""
        rows = [
            {
                "run_id": run, "name": ref.name, "kind": ref.kind.value, "key": ref.key, "position": 0, "priority": 0,
                "state": ItemState.QUEUED.value, "attempt": 0,
            }
            for ref in refs if ref.kind is not Kind.DIAGNOSE
        ]  # fmt: skip
        if rows:
            connection.execute(self._database.insert(batch_items).on_conflict_do_nothing(), rows)

    def cancel(self, run: str, name: str = "") -> bool:
        """As RunStore."""
        first = and_(batch_items.c.run_id == run, batch_items.c.kind == Kind.DIAGNOSE.value, batch_items.c.name == name)
        change = update(batch_items).where(first) if name else update(batch_runs).where(batch_runs.c.id == run)
        return self._database.write(lambda c, _: c.execute(change.values(cancelling=True)).rowcount > 0)

    def cancelled(self, run: str) -> Cancelled:
        """As RunStore."""

        def work(connection: Connection) -> Cancelled:
            query = select(func.count()).where(batch_runs.c.id == run, batch_runs.c.cancelling)
            names = select(batch_items.c.name).where(batch_items.c.run_id == run, batch_items.c.cancelling)
            everything = connection.execute(query).scalar_one() > 0
            return Cancelled(everything, frozenset(connection.execute(names).scalars().all()))

        return self._database.read(work)

    def close(self) -> None:
        """As RunStore."""
        self._database.close()


def _is(run: str, ref: Ref):  # noqa: ANN202 - SQLAlchemy's own type of conditions
    table = batch_items.c
    return and_(table.run_id == run, table.name == ref.name, table.kind == ref.kind.value, table.key == ref.key)


def _check(connection: Connection, run: str, owner: Owner) -> None:
    query = select(batch_runs.c.owner).where(batch_runs.c.id == run).with_for_update(read=True)
    if connection.execute(query).scalar_one_or_none() != owner.text:
        raise TakenOver
