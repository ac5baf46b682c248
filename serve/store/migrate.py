"""Brings a database to the tables of this version, by Alembic. Safe when several processes open one at a time.

Knows nothing of what the tables mean; the steps lie in `migrations/versions`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from serve.store.database import Clock, Database
from serve.store.errors import StoreError
from serve.store.tables import metadata

_LOCK_NUMBER = 0x656D656E64  # "emend", of the advisory lock
_IN_PROCESS = threading.Lock()  # Alembic's `op` is one for all threads


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade (or downgrade, for tests) to a revision. Raises StoreError, also for a database of a newer Emend."""
    try:
        with _IN_PROCESS, _one_process(database.path):
            _upgrade(database, revision)
    except DBAPIError as error:
        raise database.failure(error) from error
    except sqlite3.Error as error:
        raise StoreError(f"{database.where} cannot be used: {error}; check that it is a database of Emend") from error


def migrated(url: str, clock: Clock | None = None) -> Database:
    """The database of a SQLAlchemy URL with this version's tables. Raises StoreError."""
    database = Database(url, clock)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def current(connection: Connection) -> str | None:
    """The revision that a database is at, None where it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def scripts() -> ScriptDirectory:
    """The migrations of this version."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return ScriptDirectory.from_config(config)


def _upgrade(database: Database, revision: str) -> None:
    script = scripts()
    with database.engine.connect().execution_options(emend_write=True) as connection, connection.begin():
        if not database.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        now = current(connection)
        try:
            if now is not None:
                script.get_revision(now)
            _run(script, connection, revision, back=revision == "base" or _is_before(script, revision, now))
        except (CommandError, ResolutionError) as error:
            raise StoreError(
                f"{database.where} is of another version of Emend (revision {now}); install that version or a newer one"
            ) from error


def _is_before(script: ScriptDirectory, revision: str, now: str | None) -> bool:
    if revision == "head" or now is None or revision == now:
        return False
    return revision in {step.revision for step in script.iterate_revisions(now, "base")}


def _run(script: ScriptDirectory, connection: Connection, revision: str, *, back: bool) -> None:
    def steps(at: Any, _: MigrationContext) -> Any:  # noqa: ANN401 - Alembic's own values, as in alembic.command
        one_way = script._downgrade_revs if back else script._upgrade_revs  # pyright: ignore[reportPrivateUsage]
        return one_way(revision, at)

    with EnvironmentContext(Config(), script, fn=steps, destination_rev=revision) as environment:
        environment.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()


@contextmanager
def _one_process(path: Path | None) -> Generator[None]:
    """Hold the lock beside an SQLite file, and switch it to a write-ahead log, which ignores the busy time-out."""
    if path is None:
        yield
        return
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(sqlite3.connect(path, timeout=30.0)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        yield
    finally:
        os.close(lock)
