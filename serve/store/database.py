"""Database: connections, transactions and the clock of the store, on SQLite or PostgreSQL.

The only module that knows how the two differ. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from serve.store.errors import StoreError

T = TypeVar("T")
Clock = Callable[[], int]  # microseconds since 1970, UTC

_BUSY_SECONDS = 30.0  # how long SQLite waits for another writer
_PAUSES = (0.05, 0.2, 0.5, 1.0)  # before a transaction on a lost connection is tried again
_WRITE = {"emend_write": True}
_DURABLE = {"emend_write": True, "emend_durable": True}
_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_TRIED_AGAIN = frozenset(
    {"40001", "40P01", "57P01", "57P02", "57P03"}
)  # serialization, deadlock, server stops or starts


class Database:
    """Transactions on one database. Safe to use from several threads."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        """Prepares connections (makes the file of SQLite). `clock` is for tests. Raises StoreError."""
        self._url = _parsed(url)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self._clock = clock
        self.path = _sqlite_file(self._url) if self.sqlite else None
        self.engine = self._engine()

    @property
    def where(self) -> str:
        """The database in words, without user and password."""
        if self.path is not None:
            return str(self.path)
        return f"the PostgreSQL database {self._url.database or ''} on {self._url.host or 'this machine'}"

    def write(self, work: Callable[[Connection, int], T], *, durable: bool = False) -> T:
        """Run `work(connection, now)` in one transaction that writes; `durable`: it outlasts a loss of power.

        `work` may run again where the connection was lost, even after its commit. Raises StoreError.
        """
        options = _DURABLE if durable else _WRITE

        def run() -> T:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                return work(connection, self.now(connection))

        return self._tried(run)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work(connection)` in one transaction that only reads. Raises StoreError."""

        def run() -> T:
            with self.engine.connect() as connection, connection.begin():
                return work(connection)

        return self._tried(run)

    def now(self, connection: Connection) -> int:
        """Microseconds since 1970: of PostgreSQL's clock, as machines that share it may differ."""
        if self._clock is not None:
            return self._clock()
        return time.time_ns() // 1000 if self.sqlite else int(connection.execute(_NOW).scalar_one())

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT of this database's dialect, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _tried(self, run: Callable[[], T]) -> T:
        for pause in (*_PAUSES, None):
            try:
                return run()
            except PoolTimeout as error:
                raise StoreError(f"{self.where} is too busy: no connection came free; try again") from error
            except DBAPIError as error:
                if not _is_outside(error):
                    raise
                if pause is None or not _is_passing(error):
                    raise self.failure(error) from error
                time.sleep(pause * (0.5 + random.random()))
        raise AssertionError  # pragma: no cover - the last pause is None

    def failure(self, error: DBAPIError) -> StoreError:
        """What failed, in a sentence."""
        said = " ".join(str(error.orig).split())[:300]
        advice = (
            "check its folder's permissions and free space"
            if self.sqlite
            else "check that it runs and the database URL"
        )
        return StoreError(f"{self.where} cannot be used: {said}; {advice}")

    def _engine(self) -> Engine:
        try:
            if self.path is not None:
                _prepare(self.path)
                engine = create_engine(self._url, connect_args={"timeout": _BUSY_SECONDS})
                event.listen(engine, "connect", _sqlite_connected)
                event.listen(engine, "begin", _sqlite_begin)
                return engine
            alive = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
            return create_engine(self._url, pool_pre_ping=True, connect_args=alive)
        except ModuleNotFoundError as error:
            raise StoreError("PostgreSQL needs psycopg: pip install 'emend[postgres]'") from error


def _parsed(url: str) -> URL:
    """The URL with the driver that we use. Raises StoreError, without the URL's text: it may hold a password."""
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        parsed = None
    except ModuleNotFoundError as error:
        raise StoreError("this database's driver is not installed: pip install 'emend[postgres]'") from error
    if url.startswith("postgres://"):
        parsed = make_url("postgresql" + url.removeprefix("postgres"))
    name = parsed.drivername if parsed is not None else ""
    if parsed is not None and name in {"postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed is not None and name in {"sqlite", "sqlite+pysqlite"}:
        if parsed.database in {None, "", ":memory:"} or (parsed.database or "").startswith("file:"):
            raise StoreError("the database must be a file: set `database` to sqlite:////path/to/emend.db")
        return parsed.set(drivername="sqlite+pysqlite")
    raise StoreError("`database` is no URL that is known: use sqlite:////path/to/emend.db or postgresql://HOST/NAME")


def _sqlite_file(url: URL) -> Path:
    return Path(url.database or "").absolute()


def _prepare(path: Path) -> None:
    """Make the file, for its owner only: it holds code, and what is derived from keys."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if path.stat().st_uid == os.geteuid():
            path.chmod(0o600)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"{path} cannot be opened: {reason}; set `database` to a place that can be written") from error


def _sqlite_connected(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's way lets two readers become writers
    connection.execute("PRAGMA foreign_keys = ON")


def _sqlite_begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("emend_write"):
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('emend_durable') else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_outside(error: DBAPIError) -> bool:
    """Whether the database failed, and not our statement."""
    return isinstance(error, OperationalError | InterfaceError | InternalError) or type(error) is DatabaseError


def _is_passing(error: DBAPIError) -> bool:
    """Whether the same transaction may go well in a moment."""
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state in _TRIED_AGAIN
