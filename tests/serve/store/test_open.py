"""Opening a store: migrations there and back, many processes at once, what is refused, and who may read it."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from serve.store import Store, StoreError
from serve.store.database import Database
from serve.store.jobs import NewJob
from serve.store.migrate import current, migrate, scripts
from serve.store.tables import metadata
from tests.serve.store.postgres import PASSWORD

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def database(url):
    opened = Database(url)
    yield opened
    opened.close()


def tables(database):
    return set(database.read(lambda c: inspect(c).get_table_names()))


def test_an_empty_and_a_current_database_are_opened(url):
    for number in range(2):
        store = Store.open(url)
        store.check()
        store.jobs.submit(NewJob("repair", "{}"))
        assert len(store.jobs.list()[0]) == number + 1
        store.close()


def test_the_migrations_make_what_the_tables_say(database):
    migrate(database)

    def difference(connection):
        options = {"compare_type": True, "compare_server_default": False}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert database.read(difference) == []
    assert database.read(current) == scripts().get_current_head()


def test_migrations_go_back_and_there_again(database):
    migrate(database)
    whole = tables(database)
    assert whole == {*metadata.tables, "alembic_version"}
    migrate(database, "base")
    assert tables(database) == {"alembic_version"} and database.read(current) is None
    for step in reversed([step.revision for step in scripts().walk_revisions()]):
        migrate(database, step)
        assert database.read(current) == step
    assert tables(database) == whole


def test_a_failed_migration_leaves_nothing_behind(database):
    database.write(lambda c, _: c.execute(text("CREATE TABLE keys (id INTEGER)")))  # in the way of the second step
    with pytest.raises(StoreError, match="keys"):
        migrate(database)
    assert tables(database) <= {"keys", "alembic_version"}


def test_a_database_of_a_newer_version_is_refused(url):
    Store.open(url).close()
    database = Database(url)
    database.write(lambda c, _: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(StoreError, match="another version of Emend"):
        migrate(database)
    assert database.read(lambda c: c.execute(text("SELECT version_num FROM alembic_version")).scalar_one()) == "9999"
    database.close()


def test_processes_may_open_one_at_once(url):
    script = (
        "import sys\nfrom serve.store import Store\nfrom serve.store.jobs import NewJob\n"
        "sys.stdin.readline()\nstore = Store.open(sys.argv[1])\n"
        "store.jobs.submit(NewJob('repair', '{}', idempotency_key=sys.argv[2]))\nstore.close()\n"
    )
    argv = [sys.executable, "-c", script, url]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*argv, str(number)], cwd=ROOT, **pipes) for number in range(3)]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    store = Store.open(url)
    assert store.jobs.counts()["queued"] == 3
    store.close()


def test_sqlite_is_for_its_owner_and_durable(tmp_path):
    path = tmp_path / "new" / "folder" / "emend.db"
    store = Store.open(f"sqlite:///{path}")
    store.jobs.submit(NewJob("repair", "{}"))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("emend.db", "emend.db-wal", "emend.db-shm", "emend.db.lock"), 0o600)
    names = ("journal_mode", "foreign_keys", "busy_timeout")
    pragmas = store._database.read(lambda c: [c.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names])
    assert pragmas == ["wal", 1, 30000]
    seen = []
    for durable in (True, False):
        store._database.write(
            lambda c, _: seen.append(c.exec_driver_sql("PRAGMA synchronous").scalar_one()), durable=durable
        )
    assert seen == [2, 1]  # FULL, NORMAL
    store.close()


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "emend.db"
    path.touch(0o644)
    Store.open(f"sqlite:///{path}").close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://root:s3cret-of-the-tests@h/d", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://u@h/d"],
)  # fmt: skip
def test_what_is_no_database_of_ours_is_refused(url):
    with pytest.raises(StoreError, match="database") as refused:
        Store.open(url)
    assert PASSWORD not in str(refused.value)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "emend.db"
    path.write_text("my notes, " * 1000)
    with pytest.raises(StoreError, match=r"emend\.db"):
        Store.open(f"sqlite:///{path}")
    assert path.read_text() == "my notes, " * 1000


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="set `database` to a place that can be written"):
        Store.open(f"sqlite:///{tmp_path}/file/emend.db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server_that_is_not_there_is_named_without_its_password(scheme):
    with pytest.raises(StoreError) as refused:
        Store.open(f"{scheme}://emend:{PASSWORD}@127.0.0.1:9/jobs?sslpassword={PASSWORD}")
    assert "127.0.0.1" in str(refused.value) and "check that it runs" in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_a_wrong_password_is_told_without_it(postgres):
    with pytest.raises(StoreError) as refused:
        Store.open(postgres.url().replace(PASSWORD, "wrong-" + PASSWORD))
    assert "password authentication failed" in str(refused.value) and PASSWORD not in str(refused.value)


def test_a_check_tells_that_the_tables_are_gone(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/emend.db")
    store._database.write(lambda c, _: c.execute(text("DROP TABLE sessions")) and c.execute(text("DROP TABLE keys")))
    with pytest.raises(StoreError):
        store.check()
    store.close()
