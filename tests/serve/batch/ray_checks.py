"""Runs of `emend batch` on the cluster that `tests/repair/cluster_checks.py` starts; `test_on_ray.py` judges."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from repair.executors import Processes
from repair.projects.values import Bounds, Order
from serve.batch.cluster_control import control_on
from serve.batch.models import LoadedModel
from serve.batch.real import RealSteps
from serve.batch.run import run_batch
from serve.oracles import Judging
from tests.serve.batch.scripts import At, Script, opened, order, plan_of, play, reporter, standings

SCRIPTS = {name: Script(faults=n % 3, unfixed=(1,)) for n, name in enumerate("abcd")}
SHOP = "def mean(numbers):\n    return sum(numbers) - len(numbers)\n"
TESTS = "from shop import mean\n\n\ndef test_mean():\n    assert mean([1, 3, 5]) == 3\n    assert mean([4]) == 4\n"


def in_folder(check):
    def with_folder(cluster, nodes):
        del nodes
        with tempfile.TemporaryDirectory() as folder, control_on(cluster) as control:
            return check(Path(folder), {"workers": cluster, "control": control})

    with_folder.__name__ = check.__name__
    return with_folder


def written(out):
    return (out / "report.json").read_bytes()


@in_folder
def check_scripted_runs(folder, ray):
    orders = [order(name) for name in SCRIPTS]
    play(folder / "ray", orders, SCRIPTS, **ray)
    play(folder / "here", orders, SCRIPTS)
    return written(folder / "ray") == written(folder / "here"), not (folder / "ray" / "control").exists()


@in_folder
def check_cancelled_run(folder, ray):
    """One repository waits for its cancellation, which reaches it without any folder; it stays cancelled."""

    def cancel():
        store = opened(folder)
        store.cancel("run", "a")
        store.close()

    orders = [order("a"), order("b")]
    ending = play(folder, orders, {"a": Script(waits="mend")}, watch=At("mend", cancel), **ray)
    return standings(ending), ending.stop, standings(play(folder, orders, **ray))


def interrupt():
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()


@in_folder
def check_interrupted_runs(folder, ray):
    """Of a task that hears of it, and of one that does not; what a resumed run makes of it."""
    found = []
    for number, script in enumerate((Script(waits="mend"), Script(seconds=100))):
        out, orders = folder / str(number), [order("a")]
        grace = {} if number == 0 else {"grace": 0.2}
        kind = "mend" if number == 0 else "diagnose"
        ending = play(out, orders, {"a": script}, watch=At(kind, interrupt), **grace, **ray)
        found += [ending.stop, standings(ending)["a"], standings(play(out, orders, **ray))["a"]]
    return found


@in_folder
def check_real_run(folder, ray):
    """Diagnosed, mended and combined by tasks, which share the shelf alone; resumed where the shelf is another."""
    repo = folder / "shop"
    repo.mkdir()
    for name, text in (("shop.py", SHOP), ("test_shop.py", TESTS)):
        (repo / name).write_text(text)
    git = ("git", "-C", str(repo), "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "begin")):
        subprocess.run([*git, *words], check=True)
    test = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
    asked = Order("shop", str(repo), test=test, python=sys.executable, bounds=Bounds(candidates=40, fault_seconds=0))
    ended = []
    for name, workers in (("ray", ray["workers"]), ("here", Processes(1, folder / "shelf"))):
        out = folder / name
        out.mkdir()
        steps = RealSteps(out / "cache", workers.shelf(), LoadedModel("none"), Judging("C", unsafe=True))
        store = opened(out)
        plan = plan_of(out, [asked], control=ray["control"] if name == "ray" else None)
        ended.append(standings(run_batch(plan, store, workers, steps, reporter(out))))
        store.close()
    return ended, written(folder / "ray") == written(folder / "here")


CHECKS = (check_scripted_runs, check_cancelled_run, check_interrupted_runs, check_real_run)
