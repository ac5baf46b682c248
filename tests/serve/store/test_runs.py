"""The run store on both databases and over several: who coordinates, what is kept, what is cancelled."""

import os
import subprocess
from dataclasses import replace

import pytest

from repair.errors import InputError
from repair.projects.values import Bounds, Diagnosis, Fault, Fix, Spent, Standing, State
from serve.batch.items import Ended, ItemState, Kind, Ref, ended_text, read_ended
from serve.batch.owners import Owner, dead
from serve.batch.shards import Sharded, open_stores
from serve.batch.store import LEASE_SECONDS, Cancelled, Row, SqlRunStore, TakenOver
from serve.store.tables import metadata
from tests.serve.batch.scripts import order

ORDERS = tuple(order(name, priority=n, report="\0 \udc80 é") for n, name in enumerate("abcdefgh"))


@pytest.fixture(params=["sqlite", "postgres", "sharded"])
def store(request, tmp_path, clock):
    files = [SqlRunStore.open(f"sqlite:///{tmp_path / name}.db", clock=clock) for name in ("one", "two", "three")]
    if request.param == "sqlite":
        opened = files[0]
    elif request.param == "sharded":
        opened = Sharded(files)
    else:
        opened = SqlRunStore.open(request.getfixturevalue("shared_url"), clock=clock)
    yield opened
    if request.param == "postgres":
        for table in reversed(metadata.sorted_tables):
            opened._database.write(lambda c, _, table=table: c.execute(table.delete()))
    for one in (opened, *files):
        one.close()


def rows_of(store):
    return {row.ref: row for row in store.rows("r")}


def test_a_run_is_found_again(store):
    assert store.known("r") is None and store.rows("r") == ()
    store.begin("r", '{"model": null}', ORDERS, Owner.here())
    known = store.known("r")
    assert known.settings == '{"model": null}' and known.seconds == 0
    assert {one.name: one for one in known.orders} == {one.name: one for one in ORDERS}
    assert {row.state for row in store.rows("r")} == {ItemState.QUEUED} and len(store.rows("r")) == len(ORDERS)


def test_what_ended_stays_and_what_ran_is_queued_again(store):
    owner, first, second = Owner.here(), Ref("a", Kind.DIAGNOSE), Ref("b", Kind.DIAGNOSE)
    mend = Ref("a", Kind.MEND, "f1")
    store.begin("r", "{}", ORDERS, owner)
    store.start("r", owner, (first, second))
    assert rows_of(store)[second] == Row(second, ItemState.RUNNING, 1)
    ended = Ended(standing=Standing.NO_TESTS, reason="é \0", spent=Spent(1.5, 2))
    store.finish("r", owner, Row(first, ItemState.DONE, ended=ended), (mend,))
    assert rows_of(store)[mend].state is ItemState.QUEUED
    store.start("r", owner, (mend,))
    store.end("r", owner, finished=False)
    again = Owner.here()
    store.begin("r", "{}", [replace(one, bounds=Bounds(seconds=7)) for one in ORDERS], again)
    rows = rows_of(store)
    assert rows[first] == Row(first, ItemState.DONE, 1, ended)
    assert rows[second] == Row(second, ItemState.QUEUED, 1) and rows[mend] == Row(mend, ItemState.QUEUED, 1)
    assert {one.bounds.seconds for one in store.known("r").orders} == {7}


def test_only_one_coordinates_at_a_time(store, clock):
    mine, other = Owner.here(), Owner.here()
    store.begin("r", "{}", ORDERS, mine)
    with pytest.raises(InputError, match=rf"process {os.getpid()} on .*--cancel all"):
        store.begin("r", "{}", ORDERS, other)
    clock.wait(LEASE_SECONDS - 1)
    store.beat("r", mine, 9)
    clock.wait(LEASE_SECONDS - 1)
    with pytest.raises(InputError):
        store.begin("r", "{}", ORDERS, other)
    clock.wait(2)
    store.begin("r", "{}", ORDERS, other)
    row = Row(Ref("a", Kind.DIAGNOSE), ItemState.DONE, ended=Ended())
    for late in (
        lambda: store.beat("r", mine, 1),
        lambda: store.start("r", mine, (row.ref,)),
        lambda: store.finish("r", mine, row),
    ):
        with pytest.raises(TakenOver):
            late()
    assert rows_of(store)[row.ref].state is ItemState.QUEUED
    store.end("r", mine, finished=True)  # without effect
    store.beat("r", other, 2)
    assert store.known("r").seconds == 11


def test_a_dead_process_of_this_machine_holds_nothing(store):
    process = subprocess.Popen(["sleep", "60"])
    here = Owner.here()
    gone = replace(here, pid=process.pid, started="1.00")
    assert dead(gone) and not dead(here) and not dead(replace(gone, host="elsewhere"))  # a later process has its number
    process.kill()
    process.wait()
    assert dead(gone) and Owner.read(gone.text) == gone
    store.begin("r", "{}", ORDERS, replace(gone, host="elsewhere"))
    with pytest.raises(InputError, match="elsewhere"):
        store.begin("r", "{}", ORDERS, here)
    store.end("r", replace(gone, host="elsewhere"), finished=False)
    store.begin("r", "{}", ORDERS, gone)
    store.begin("r", "{}", ORDERS, here)


def test_cancelling_is_heard_until_it_is_answered(store):
    owner = Owner.here()
    assert not store.cancel("r") and store.cancelled("r") == Cancelled()
    store.begin("r", "{}", ORDERS, owner)
    assert not store.cancel("r", "nobody")
    assert store.cancel("r", "c") and store.cancel("r")
    assert store.cancelled("r") == Cancelled(True, frozenset("c"))
    store.end("r", owner, finished=False)
    assert store.cancelled("r") == Cancelled(False, frozenset("c"))


def test_every_end_of_an_item_can_be_stored():
    diagnosis = Diagnosis("0", "", "python", "", "", "", 1, 0, ("t",), (), (Fault("f", "x", ("t",), ()),))
    for ended in (
        Ended(diagnosis=diagnosis, shelved=("0", "d 1", "")),
        Ended(fix=Fix("f", State.FIXED, diff="-\udc80\n"), bounds=Bounds()),
        Ended(spent=Spent(seconds=0.1)),
    ):
        assert read_ended(ended_text(ended)) == ended


def test_repositories_are_spread_and_stay_where_they_are(tmp_path):
    urls = [f"sqlite:///{tmp_path / str(n)}.db" for n in range(4)]
    names = [f"repository-{n}" for n in range(400)]
    one, other, fewer = open_stores(urls), open_stores(urls[::-1]), open_stores(urls[:3])
    homes = {name: one.of(name).where for name in names}
    assert homes == {name: other.of(name).where for name in names}
    assert {sum(home == where for home in homes.values()) > 60 for where in homes.values()} == {True}
    moved = [name for name in names if fewer.of(name).where != homes[name]]
    assert moved and {homes[name] for name in moved} == {str(f":/{tmp_path / '3'}.db")}
    with pytest.raises(InputError, match="once"):
        open_stores([urls[0], urls[0]])
    for store in (one, other, fewer):
        store.close()


def test_a_run_that_is_held_in_one_database_is_held_in_none_of_the_others(tmp_path):
    stores = [SqlRunStore.open(f"sqlite:///{tmp_path / str(n)}.db") for n in range(3)]
    stores[2].begin("r", "{}", (), Owner.here())
    with pytest.raises(InputError, match="another emend batch"):
        Sharded(stores).begin("r", "{}", ORDERS, Owner.here())
    for store in stores[:2]:
        store.begin("r", "{}", (), Owner.here())
    Sharded(stores).close()
