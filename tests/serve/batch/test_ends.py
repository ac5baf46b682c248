"""How a run is ended from outside, and what it survives: kills, interrupts, cancellations, lost workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from repair.errors import ModelError
from repair.executors import Serial
from serve.batch.budget import RunBounds
from serve.batch.items import ItemState
from serve.batch.owners import Owner
from serve.batch.run import run_batch
from serve.batch.scripted import ScriptedSteps
from serve.batch.store import TakenOver
from serve.store.tables import batch_runs
from tests.serve.batch.scripts import At, Script, log_of, opened, order, plan_of, play, reporter, standings

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = {name: Script(faults=n % 3, unfixed=(1,), seconds=0.02) for n, name in enumerate("abcdef")}
ORDERS = [order(name, priority=n % 2) for n, name in enumerate(SCRIPTS)]
CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.serve.batch.test_ends import ORDERS, SCRIPTS
from tests.serve.batch.scripts import play
if __name__ == "__main__":
    endless = {**SCRIPTS, "e": replace(SCRIPTS["e"], waits="mend")}
    play(Path(sys.argv[1]), ORDERS, endless, jobs=int(sys.argv[2]))
"""


def run_until(out, lines, jobs):
    """A run in a process of its own, killed once its log has so many lines."""
    script = out / "child.py"
    script.write_text(CHILD)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (out / "errors").open("ab") as errors:
        process = subprocess.Popen([sys.executable, str(script), str(out), str(jobs)], env=env, stderr=errors)
    while process.poll() is None and (not (out / "log").exists() or len(log_of(out)) < lines):
        time.sleep(0.01)
    process.kill()
    process.wait()


def done(out):
    store = opened(out)
    found = {f"{r.ref.name} {r.ref.kind.value}" for r in store.rows("run") if r.state is ItemState.DONE}
    store.close()
    return found


@pytest.mark.parametrize("jobs", [0, 2])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path, jobs):
    out, calm = tmp_path / "out", tmp_path / "calm"
    out.mkdir()
    for moment in (1, 12) if jobs == 0 else (9,):
        run_until(out, moment, jobs)
        kept, lines = done(out), len(log_of(out))
        assert not (out / "report.json").exists()
        if moment > 1:
            assert kept
    ending = play(out, ORDERS, SCRIPTS)
    again = {" ".join(line.split()[1:3]) for line in log_of(out)[lines:]}
    whole = {item for item in kept if item.endswith(("diagnose", "combine"))}
    assert not again & whole
    assert ending.stop == "" and standings(play(calm, ORDERS, SCRIPTS)) == standings(ending)
    assert (out / "report.json").read_bytes() == (calm / "report.json").read_bytes()


def interrupt():
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()


def test_an_interrupted_run_reports_and_goes_on(tmp_path):
    orders = [order(name) for name in "abc"]
    scripts = {"b": Script(waits="mend")}
    before = signal.getsignal(signal.SIGINT)  # ignored where a shell started us in the background
    ending = play(tmp_path, orders, scripts, watch=At("mend", interrupt, "b"))
    assert ending.stop == "interrupted" and "--resume" in ending.why
    assert standings(ending) == {"a": "repaired", "b": "cancelled", "c": "cancelled"}
    assert (tmp_path / "report.json").exists()
    assert signal.getsignal(signal.SIGINT) is before
    whole = play(tmp_path, orders)
    assert set(standings(whole).values()) == {"repaired"}
    assert log_of(tmp_path).count("end a diagnose") == 1


def test_what_does_not_hear_of_an_interrupt_is_ended(tmp_path):
    begun = time.monotonic()

    def interrupt_it():
        while not (tmp_path / "log").exists() and time.monotonic() - begun < 200:  # before, it would hear of a stop
            time.sleep(0.02)
        interrupt()

    watch = At("diagnose", threading.Thread(target=interrupt_it, daemon=True).start)
    ending = play(tmp_path, [order("a")], {"a": Script(seconds=500)}, jobs=1, grace=0.1, watch=watch)
    assert standings(ending) == {"a": "cancelled"} and time.monotonic() - begun < 400
    store = opened(tmp_path)
    assert [row.ended for row in store.rows("run")] == [None]
    store.close()


def test_the_seconds_of_a_run_end_what_runs(tmp_path):
    ending = play(tmp_path, [order("a"), order("b")], {"a": Script(waits="mend")}, bounds=RunBounds(seconds=0.5))
    assert standings(ending) == {"a": "over budget", "b": "over budget"} and "0.5 seconds" in ending.why
    again = play(tmp_path, [order("a"), order("b")], bounds=RunBounds(seconds=0.5))  # over all its parts
    assert again.stop == "over budget" and "begin b diagnose" not in log_of(tmp_path)


def test_a_cancelled_repository_ends_and_the_others_go_on(tmp_path):
    def cancel():
        store = opened(tmp_path)
        assert store.cancel("run", "a")
        store.close()

    orders, scripts = [order("a"), order("b")], {"a": Script(faults=2, waits="mend")}
    ending = play(tmp_path, orders, scripts, watch=At("mend", cancel))
    assert standings(ending) == {"a": "cancelled", "b": "repaired"} and ending.stop == ""
    assert standings(play(tmp_path, orders)) == {"a": "cancelled", "b": "repaired"}  # it stays so


def test_a_cancelled_run_ends_and_can_be_resumed(tmp_path):
    def cancel():
        store = opened(tmp_path)
        assert store.cancel("run")
        store.close()

    orders, scripts = [order("a"), order("b")], {"a": Script(waits="mend")}
    ending = play(tmp_path, orders, scripts, watch=At("mend", cancel))
    assert standings(ending) == {"a": "cancelled", "b": "cancelled"} and ending.stop == "cancelled"
    assert standings(play(tmp_path, orders)) == {"a": "repaired", "b": "repaired"}


def test_a_repository_that_kills_its_worker_is_lost_alone(tmp_path):
    scripts = {"a": Script(dies="diagnose"), "b": Script(faults=2, dies="mend"), "c": Script()}
    ending = play(tmp_path, map(order, scripts), scripts, jobs=2)
    assert standings(ending) == {"a": "lost", "b": "lost", "c": "repaired"}
    assert log_of(tmp_path).count("begin a diagnose") >= 2 and "lost" in ending.outcomes[0].reason


def test_a_model_that_fails_ends_the_run_and_nothing_is_lost(tmp_path):
    steps = ScriptedSteps(no_model="the server does not answer")
    store = opened(tmp_path)
    with pytest.raises(ModelError, match="does not answer"):
        run_batch(plan_of(tmp_path, [order("a")]), store, Serial(), steps, reporter(tmp_path))
    store.close()
    assert standings(play(tmp_path, [order("a")])) == {"a": "repaired"}


def test_a_coordinator_that_was_taken_over_ends(tmp_path):
    def take():
        store = opened(tmp_path)
        store._database.write(lambda c, _: c.execute(batch_runs.update().values(owner=Owner.here().text)))
        store.close()

    with pytest.raises(TakenOver):
        play(tmp_path, [order("a")], watch=At("mend", take))
    assert not (tmp_path / "report.json").exists()
