"""Databases of both kinds, and a clock that the test moves."""

import pytest

from serve.store import Store
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


@pytest.fixture
def store(url, clock):  # noqa: F811
    opened = Store.open(url, clock=clock)
    yield opened
    opened.close()
