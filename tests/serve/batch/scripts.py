"""What the tests of a run share: plans, stores, reports of scripted runs."""

import json
from pathlib import Path

from repair.codec import to_json
from repair.executors import Processes, Serial
from repair.projects.values import Bounds, Order
from serve.batch.control import Control
from serve.batch.run import Plan, Unwatched, run_batch
from serve.batch.scripted import Script, ScriptedSteps
from serve.batch.store import SqlRunStore


def order(name, **more):
    return Order(name, f"/places/{name}", **more)


def plan_of(out, orders, **more):
    control = more.pop("control", None) or Control(out / "control")
    return Plan("run", tuple(orders), control, period=0.05, **more)


def opened(out):
    return SqlRunStore.open(f"sqlite:///{out / 'run.db'}")


def reporter(out):
    """Writes what of a run must be equal whatever disturbed it."""

    def report(outcomes):
        text = json.dumps([to_json(outcome.timeless()) for outcome in outcomes], indent=1)
        (out / "report.json").write_text(text)

    return report


def play(out, orders, scripts=None, *, jobs=0, workers=None, watch=None, report=None, log=True, **more):
    """A run by scripts, here (jobs=0), in processes or by other `workers`. Its Ending."""
    out.mkdir(exist_ok=True, parents=True)
    store = opened(out)
    executor = workers or (Processes(jobs, out / "shelf") if jobs else Serial(out / "shelf"))
    steps = ScriptedSteps(scripts or {}, out / "log" if log else None)
    try:
        return run_batch(plan_of(out, orders, **more), store, executor, steps, report or reporter(out), watch)
    finally:
        store.close()


class At(Unwatched):
    """Calls something when a repository's first item of a kind begins."""

    def __init__(self, kind, then, name="a"):
        self.what, self.then = (name, kind), then

    def begun(self, item):
        if (item.ref.name, item.ref.kind.value) == self.what:
            self.what = None
            self.then()


def log_of(out):
    return (out / "log").read_text().splitlines()


def standings(ending):
    return {outcome.name: outcome.standing.value for outcome in ending.outcomes}


__all__ = ["At", "Bounds", "Path", "Script", "log_of", "opened", "order", "plan_of", "play", "reporter", "standings"]
