"""Databases of both kinds, and a clock that the test moves."""

import pytest

from serve.store import Store
from serve.store.tables import metadata
from tests.serve.store.postgres import postgres, url  # noqa: F401 - fixtures

SECOND = 1_000_000


class Clock:
    """Microseconds since 1970 that pass when told."""

    def __init__(self):
        self.now = 1_800_000_000 * SECOND

    def __call__(self):
        self.now += 1  # no two moments are the same
        return self.now

    def wait(self, seconds):
        self.now += int(seconds * SECOND)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def shared_url(postgres):  # noqa: F811
    """A database that tests empty after them: making one costs more than most tests."""
    return postgres.url()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path, clock):
    if request.param == "sqlite":
        opened = Store.open(f"sqlite:///{tmp_path / 'emend.db'}", clock=clock)
        yield opened
    else:
        opened = Store.open(request.getfixturevalue("shared_url"), clock=clock)
        yield opened
        for table in reversed(metadata.sorted_tables):
            opened._database.write(lambda c, _, table=table: c.execute(table.delete()))
    opened.close()
