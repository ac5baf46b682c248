"""`emend batch`: a run over repositories - begun, resumed or cancelled - and what is told at its end."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from repair.errors import InputError
from repair.executors import LOCAL, Executor, Processes, executor
from repair.model import Model
from repair.projects.values import Order, Standing
from serve.batch.budget import Prices, RunBounds, check_prices
from serve.batch.control import Control, Stops
from serve.batch.live import watching
from serve.batch.models import GivenModel, LoadedModel, ModelSource, label, model_for
from serve.batch.orders import Asked, read_orders
from serve.batch.outcomes import is_good
from serve.batch.real import RealSteps
from serve.batch.resuming import check_same, new_run, run_of, settings_text, stored_orders
from serve.batch.run import Ending, Plan, run_batch
from serve.batch.shards import open_stores
from serve.batch.store import RunStore
from serve.batch.wording import counted
from serve.batch.work import Steps
from serve.boundary import INTERRUPTED
from serve.commands.batch_outputs import Outputs, cache_of
from serve.oracles import Judging
from serve.printing import shown, stderr

ALL = "all"


@dataclass(frozen=True, slots=True)
class Given:
    """The command's arguments, as they were typed. `overrides`: bounds of each repository that were given."""

    asked: Asked
    out: Path
    resume: bool = False
    cancel: str = ""
    jobs: int = 1
    ray: str = ""
    stores: tuple[str, ...] = ()
    model: str | None = None
    adapter: Path | None = None
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False
    bounds: RunBounds = field(default_factory=RunBounds)
    prices: Prices = field(default_factory=Prices)
    overrides: Mapping[str, int | float] = field(default_factory=dict[str, int | float])
    branches: bool = False
    with_tests: bool = False
    open_pr: bool = False
    as_json: bool = False
    quiet: bool = False

    @property
    def settings(self) -> Mapping[str, object]:
        """What a resumed run must have, too."""
        adapter = str(self.adapter.resolve()) if self.adapter else None
        return {
            "model": self.model,
            "adapter": adapter,
            "sandbox-minimum": self.sandbox_minimum,
            "unsafe-no-sandbox": self.unsafe_no_sandbox,
            "budget": asdict(self.bounds),
            "prices": asdict(self.prices),
        }

    def adopting(self, settings: Mapping[str, Any]) -> Given:
        """With the settings of the run itself, where none was given now."""
        adapter = settings["adapter"]
        return replace(
            self,
            model=self.model or settings["model"],
            adapter=self.adapter or (Path(adapter) if adapter else None),
            sandbox_minimum=self.sandbox_minimum if self.sandbox_minimum != "B" else settings["sandbox-minimum"],
            unsafe_no_sandbox=self.unsafe_no_sandbox or settings["unsafe-no-sandbox"],
            bounds=self.bounds if self.bounds != RunBounds() else RunBounds(**settings["budget"]),
            prices=self.prices if self.prices != Prices() else Prices(**settings["prices"]),
        )


def run(given: Given, steps: Steps | None = None) -> int:
    """Exit code 0: each repository has all its faults fixed or none; 1: some have not; 130: interrupted, cancelled.

    `steps` takes the place of what touches repositories, for tests. Raises InputError, StoreError, ModelError,
    SandboxError.
    """
    if given.cancel:
        return cancel(given)
    if not given.resume:
        check_prices(given.bounds.money, given.prices)
    name = run_of(given.out)
    if name and not given.resume:
        raise InputError(f"{given.out} holds a run already: go on with --resume, or choose another folder", field="out")
    if given.resume and not name:
        raise InputError(f"--resume: {given.out} holds no run; leave --resume out to begin one", field="resume")
    bare = given.resume and not (given.asked.places or given.asked.lists)
    orders = () if bare else read_orders(given.asked)
    name = name or new_run(given.out)
    store = open_stores(given.stores or (f"sqlite:///{(given.out / 'run.db').resolve()}",))
    try:
        known = store.known(name)
        if bare:
            orders, stored = stored_orders(known, given.overrides)
            given = given.adopting(stored)
            check_prices(given.bounds.money, given.prices)
        for order in orders:
            check_prices(order.bounds.money, given.prices)
        settings = settings_text(given.settings, orders)
        if known is not None:
            check_same(known, settings, orders)
        control = Control(given.out.resolve() / "control")
        plan = Plan(name, orders, control, settings, given.bounds, given.prices)
        return _run(given, plan, store, steps)
    finally:
        store.close()


def _run(given: Given, plan: Plan, store: RunStore, steps: Steps | None) -> int:
    outputs = Outputs.of(given.out, label(given.model, given.adapter), _told_settings(given, plan.orders))
    outputs = replace(outputs, branches=given.branches, with_tests=given.with_tests, open_pr=given.open_pr)
    remarks = stderr()
    try:
        with (
            _executing(given, load=steps is None) as (workers, model, control),
            watching(remarks, len(plan.orders), quiet=given.quiet) as watch,
        ):
            judging = Judging(given.sandbox_minimum, given.unsafe_no_sandbox)
            chosen = steps or RealSteps(cache_of(given.out), workers.shelf(), model, judging)
            plan = replace(plan, control=control or plan.control)
            ending = run_batch(plan, store, workers, chosen, outputs.write, watch)
    except BaseException:
        remarks.print(f"what is done is kept; go on with: emend batch --resume -o {given.out}", soft_wrap=True)
        raise
    if given.as_json:
        sys.stdout.write((given.out / "report.json").read_text(encoding="utf-8"))
    if not given.quiet:
        _tell(given, ending)
    if ending.stop in ("interrupted", "cancelled"):
        return INTERRUPTED
    return 0 if all(map(is_good, ending.outcomes)) else 1


@contextmanager
def _executing(given: Given, *, load: bool) -> Generator[tuple[Executor, ModelSource, Stops | None]]:
    """The workers, where they get their model, how they hear of a stop where it is not by files."""
    shelf = given.out.resolve() / "shelf"
    if not given.ray:
        # never in this process: a step that kills its worker must not end the run
        with model_for(given.model if load else "none", given.adapter if load else None, given.jobs) as model:
            yield Processes(given.jobs, shelf), model, None
        return
    served = given.model is not None and given.model.startswith(("http://", "https://"))
    held = load and not served and given.model != "none"  # an actor holds the model, on a core of its own
    with executor(given.jobs + held if given.ray == LOCAL else 1, given.ray, folder=shelf) as cluster:
        from repair.cluster import Cluster
        from repair.cluster_models import models_on
        from serve.batch.cluster_control import control_on

        assert isinstance(cluster, Cluster)
        source = LoadedModel(given.model, given.adapter)
        with control_on(cluster) as control:
            if not held:
                yield cluster, source, control
                return
            with models_on(cluster, Factory(source)) as model:
                yield cluster, GivenModel(model), control


@dataclass(frozen=True, slots=True)
class Factory:
    """Loads the model of a run in an actor."""

    source: LoadedModel

    def __call__(self) -> Model:
        """The model. Raises ModelError."""
        model = self.source.get()
        assert model is not None  # "none" needs no actor
        return model


def _told_settings(given: Given, orders: Sequence[Order]) -> tuple[tuple[str, str], ...]:
    """What the report tells of the settings; only what equal runs have alike."""
    bounds = sorted({(f"{o.bounds.candidates}", f"{o.bounds.fault_seconds:g}") for o in orders})
    return (
        ("repositories", str(len(orders))),
        ("candidates of a fault", ", ".join(dict.fromkeys(candidates for candidates, _ in bounds))),
        ("seconds of a fault", ", ".join(dict.fromkeys(seconds for _, seconds in bounds))),
        ("sandbox", f"{given.sandbox_minimum} or better"),
    )


def _tell(given: Given, ending: Ending) -> None:
    """The last lines: how many repositories came out how, and what to do next."""
    remarks = stderr()
    counts: dict[Standing, int] = {}
    for outcome in ending.outcomes:
        counts[outcome.standing] = counts.get(outcome.standing, 0) + 1
    told = ", ".join(f"{number} {standing.value}" for standing, number in sorted(counts.items()))
    remarks.print(f"{counted(len(ending.outcomes), 'repository')}: {told}.", soft_wrap=True, markup=False)
    for outcome in ending.outcomes:
        if not is_good(outcome):
            remarks.print(
                shown(f"  {outcome.name}: {outcome.standing.value}: {outcome.reason}"), soft_wrap=True, markup=False
            )
    if ending.why:
        remarks.print(f"{ending.why}: emend batch --resume -o {given.out}", soft_wrap=True, markup=False)
    remarks.print(f"Report: {given.out / 'report.md'}", soft_wrap=True, markup=False)
    if not given.branches and any(fix.diff for outcome in ending.outcomes for fix in outcome.fixes):
        remarks.print(
            "This was a dry run: nothing was written to any repository. Write a branch for each fix with: "
            f"emend batch --resume -o {given.out} --branches",
            soft_wrap=True,
            markup=False,
        )


def cancel(given: Given) -> int:
    """Mark a repository, or all; the coordinator sees it within a second or two. Raises InputError."""
    name = run_of(given.out)
    if not name:
        raise InputError(f"--cancel: {given.out} holds no run", field="cancel")
    store = open_stores(given.stores or (f"sqlite:///{(given.out / 'run.db').resolve()}",))
    try:
        known = store.known(name)
        wanted = "" if given.cancel == ALL else given.cancel
        if known is None or not store.cancel(name, wanted):
            names = ", ".join(sorted(order.name for order in known.orders)[:20]) if known else ""
            raise InputError(
                f"--cancel: the run has no repository {given.cancel}; it has {names or 'none here: give its --store'}",
                field="cancel",
            )
    finally:
        store.close()
    stderr().print(f"{given.cancel} will end within seconds", markup=False)
    return 0
