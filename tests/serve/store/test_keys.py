"""Keys and sessions in the store, on both databases."""

import hashlib

from sqlalchemy import select

from serve.store.tables import keys, sessions


def rows(store, table):
    return store._database.read(lambda c: c.execute(select(table)).mappings().all())


def test_a_key_is_found_by_its_token_alone(store):
    assert not store.keys.any()
    row, token = store.keys.create("ci", ("repair", "jobs"), rate=7, concurrent=2)
    assert store.keys.any()
    assert token.startswith(f"emend_{row.id}_") and len(token.split("_", 2)[2]) == 43
    assert store.keys.find(token) == row
    assert (row.scopes, row.rate, row.concurrent) == (("repair", "jobs"), 7, 2)
    _, other = store.keys.create("other", ("admin",))
    swapped = "_".join([*token.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in (
        "",
        "_",
        "emend",
        f"emend_{row.id}",
        f"emend_{row.id}_",
        token[:-1],
        token + "x",
        "E" + token[1:],
        swapped,
        "\0\ud800",
    ):
        assert store.keys.find(wrong) is None


def test_only_the_hash_of_a_secret_is_kept(store):
    row, token = store.keys.create("ci", ("repair",))
    cookie = store.sessions.create(row.id, 60)
    secret = token.split("_", 2)[2]
    kept = f"{rows(store, keys)} {rows(store, sessions)}"
    assert secret not in kept and cookie not in kept
    assert hashlib.sha256(secret.encode()).hexdigest() in kept
    assert hashlib.sha256(cookie.encode()).hexdigest() in kept


def test_a_revoked_or_expired_key_opens_nothing(store, clock):
    row, token = store.keys.create("ci", ("repair",))
    cookie = store.sessions.create(row.id, 3600)
    assert store.sessions.find(cookie) == row
    assert store.keys.revoke(row.id) and not store.keys.revoke(row.id) and not store.keys.revoke("no such key")
    assert store.keys.find(token) is None and store.sessions.find(cookie) is None
    assert store.keys.list()[0].revoked is not None
    short, token = store.keys.create("short", ("repair",), clock() + 60_000_000)
    cookie = store.sessions.create(short.id, 3600)
    assert store.keys.find(token) == short and store.sessions.find(cookie) == short
    clock.wait(60)
    assert store.keys.find(token) is None and store.sessions.find(cookie) is None
    assert [key.name for key in store.keys.list()] == ["ci", "short"]


def test_use_is_noted_once_a_minute(store, clock):
    row, _ = store.keys.create("ci", ("repair",))

    def used():
        store.keys.touch(row.id)
        return store.keys.list()[0].last_used

    first = used()
    clock.wait(30)
    assert used() == first
    clock.wait(31)
    assert used() > first


def test_a_session_ends_by_time_or_by_itself(store, clock):
    row, _ = store.keys.create("ci", ("repair",))
    one, two = store.sessions.create(row.id, 60), store.sessions.create(row.id, 600)
    store.sessions.drop(two)
    assert store.sessions.find(two) is None and store.sessions.find(one) == row
    assert store.sessions.find("") is None
    clock.wait(61)
    assert store.sessions.find(one) is None
    store.sessions.create(row.id, 60)
    assert len(rows(store, sessions)) == 1  # the one that ended was deleted
