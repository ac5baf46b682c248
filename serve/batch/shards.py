"""Several databases as one run store: each repository lies in one of them, by its name.

Rendezvous hashing: every name belongs to the database of the largest hash of both, so that the order of the
databases does not matter and a further one takes only its share of new runs. Source: "Using Name-Based Mappings to
Increase Hit Rates", D. Thaler, C. Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from repair.errors import InputError
from repair.projects.values import Order
from serve.batch.items import Ref
from serve.batch.owners import Owner
from serve.batch.store import Cancelled, Known, Row, RunStore, SqlRunStore


class Sharded:
    """A RunStore over others. A run has a row in each; its coordinator holds them all."""

    def __init__(self, stores: Sequence[RunStore]) -> None:
        """Raises InputError for none, or for the same database twice."""
        places = [store.where for store in stores]
        if not places or len(set(places)) < len(places):
            raise InputError("--store: give each database once", field="store")
        self._stores = tuple(stores)

    @property
    def where(self) -> str:
        """As RunStore."""
        return ", ".join(sorted(store.where for store in self._stores))

    def of(self, name: str) -> RunStore:
        """The store of a repository."""
        return max(self._stores, key=lambda store: _weight(name, store.where))

    def known(self, run: str) -> Known | None:
        """As RunStore. The orders of one database after those of another."""
        found = tuple(known for store in self._stores if (known := store.known(run)))
        if not found:
            return None
        orders = tuple(order for known in found for order in known.orders)
        return Known(found[0].settings, orders, max(known.seconds for known in found))

    def begin(self, run: str, settings: str, orders: Sequence[Order], owner: Owner) -> None:
        """As RunStore."""
        begun: list[RunStore] = []
        try:
            for store in sorted(self._stores, key=lambda store: store.where):  # two coordinators cannot hold half each
                store.begin(run, settings, [order for order in orders if self.of(order.name) is store], owner)
                begun.append(store)
        except BaseException:
            for store in begun:
                store.end(run, owner, finished=False)
            raise

    def beat(self, run: str, owner: Owner, seconds: float) -> None:
        """As RunStore."""
        for store in self._stores:
            store.beat(run, owner, seconds)

    def end(self, run: str, owner: Owner, *, finished: bool) -> None:
        """As RunStore."""
        for store in self._stores:
            store.end(run, owner, finished=finished)

    def rows(self, run: str) -> tuple[Row, ...]:
        """As RunStore."""
        return tuple(row for store in self._stores for row in store.rows(run))

    def start(self, run: str, owner: Owner, refs: Sequence[Ref]) -> None:
        """As RunStore; one transaction a database."""
        for store in self._stores:
            if mine := [ref for ref in refs if self.of(ref.name) is store]:
                store.start(run, owner, mine)

    def finish(self, run: str, owner: Owner, row: Row, following: Sequence[Ref] = ()) -> None:
        """As RunStore: what follows from an item is of the same repository."""
        self.of(row.ref.name).finish(run, owner, row, following)

    def cancel(self, run: str, name: str = "") -> bool:
        """As RunStore."""
        if name:
            return self.of(name).cancel(run, name)
        asked = [store.cancel(run) for store in self._stores]  # each of them, not only up to the first
        return any(asked)

    def cancelled(self, run: str) -> Cancelled:
        """As RunStore."""
        found = [store.cancelled(run) for store in self._stores]
        return Cancelled(any(one.all for one in found), frozenset().union(*(one.names for one in found)))

    def close(self) -> None:
        """As RunStore."""
        for store in self._stores:
            store.close()


def open_stores(urls: Sequence[str]) -> RunStore:
    """The store of one URL, or of several together. Raises StoreError, InputError."""
    opened: list[RunStore] = []
    try:
        for url in urls:
            opened.append(SqlRunStore.open(url))
        return opened[0] if len(opened) == 1 else Sharded(opened)
    except BaseException:
        for store in opened:
            store.close()
        raise


def _weight(name: str, where: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{where}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
