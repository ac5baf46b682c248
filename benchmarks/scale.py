"""The arithmetic of a batch run over many repositories, and a simulation that checks it.

    python benchmarks/scale.py [--repositories 10000] [--deadline-hours 24] [--workers N ...] [--actors N] ...
    python benchmarks/scale.py --fill WORK/results.jsonl PROJECTS.toml    # measured costs from batch_faults.py

Costs are read from `measured/batch_costs.json`. Seconds of steps are lognormal, fitted to the measured ones, and cut at
a repository's bound; --scale stretches the tests' part of them for larger projects than the measured. Formula:

    occupancy  = N (diagnose + faults x (mend + model) + combine)            seconds of workers
    ideal      = max(occupancy / workers, model / actors, results / store)   seconds: nothing waits, nothing is lost
    bound      = ideal + (1 - 1/workers) x longest chain                     Graham 1969: no order is worse
    lossy      = ideal with each step at (e^(loss x step) - 1) / loss, times 1 + loss x restart    retried until it ends

The simulation (`scale_simulation.py`) has queues, stragglers and losses; the table shows how far it is from `ideal`.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, erf, exp, inf, log, sqrt
from pathlib import Path
from statistics import NormalDist, fmean, pstdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from scale_simulation import RESTART, Cluster, Mend, Repository, Simulated, simulate

COSTS = Path(__file__).parent / "measured" / "batch_costs.json"
GIB = 1 << 30
_MOST_FAULTS = 20  # the default of Bounds.faults
_GRID = 400  # quantiles of a mean that has no closed form


@dataclass(frozen=True, slots=True)
class Spread:
    """Lognormal seconds: `middle` is the median, `sigma` of the logarithm; longer ones are cut at `most`."""

    middle: float
    sigma: float
    most: float = inf

    @property
    def mean(self) -> float:
        """Of the cut distribution."""
        if not self.sigma:
            return min(self.middle, self.most)
        mu, sigma = log(self.middle), self.sigma
        whole = exp(mu + sigma * sigma / 2)
        if self.most == inf:
            return whole
        edge = (log(self.most) - mu) / sigma
        return whole * _normal(edge - sigma) + self.most * (1 - _normal(edge))

    def quantile(self, share: float) -> float:
        """What that share of the steps does not exceed."""
        factor = exp(self.sigma * NormalDist().inv_cdf(share)) if self.sigma else 1.0
        return min(self.most, self.middle * factor)

    def with_losses(self, rate: float, more: float = 0.0) -> float:
        """Expected seconds until a step (and `more` seconds beside it) ends, begun anew after each loss (Duda 1983)."""
        times = [self.quantile((n + 0.5) / _GRID) + more for n in range(_GRID)]
        return fmean((exp(rate * t) - 1) / rate for t in times) if rate else self.mean + more

    def draw(self, dice: random.Random) -> float:
        return min(self.most, self.middle * exp(dice.gauss(0, self.sigma)))

    def times(self, factor: float) -> Spread:
        return Spread(self.middle * factor, self.sigma, self.most)


def _normal(x: float) -> float:
    return 0.5 * (1 + erf(x / sqrt(2)))


def fitted(values: Sequence[float], most: float = inf, *, least: float = 1e-3) -> Spread:
    """The lognormal with the mean and deviation of the values' logarithms. Raises ValueError for none."""
    if not values:
        raise ValueError("nothing to fit: no measured value")
    logs = [log(max(value, least)) for value in values]
    return Spread(exp(fmean(logs)), pstdev(logs), most)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one repository and one fault, seconds of one core unless said otherwise; bytes; MiB."""

    diagnose: Spread  # intake too
    mend: Spread  # without the model
    model: Spread  # of one fault
    combine: Spread
    faults: float = 1.0  # mean of a repository that has any
    candidates: float = 0.0  # mean of a fault
    tokens: float = 0.0  # mean of a fault
    test_runs: float = 0.0
    judged: float = 0.0  # seconds of one candidate
    network: float = 0.0  # bytes fetched for a repository: its history
    packed: float = 0.0  # bytes of its tree in the object store
    kept: float = 0.0  # bytes on disk of a repository: clone and environment
    environment: float = 0.0  # seconds to build one
    memory: float = 512.0  # MiB of a worker with a test run
    store: float = inf  # results a second of one PostgreSQL
    sqlite: float = inf
    placeholders: tuple[str, ...] = ()


def read_costs(file: Path = COSTS, *, bound: float = 1800.0) -> Costs:
    """Measured costs; each step of a repository is cut at `bound` seconds. Raises SystemExit naming what is missing."""
    try:
        row = json.loads(file.read_text("utf-8"))
        mean = {name: fmean(row[name]) for name in ("candidates", "tokens", "test_runs", "git_bytes", "packed_bytes",
                                                    "environment_bytes", "tree_bytes", "faults")}  # fmt: skip
        spread = {name: fitted(row[f"{name}_seconds"], bound) for name in ("diagnose", "mend", "model", "combine")}
        judged = sum(row["mend_seconds"]) / max(1, sum(row["candidates"]))
        return Costs(
            **spread, faults=max(1.0, mean["faults"]), candidates=mean["candidates"], tokens=mean["tokens"],
            test_runs=mean["test_runs"], judged=judged, network=mean["git_bytes"], packed=mean["packed_bytes"],
            kept=mean["git_bytes"] + mean["tree_bytes"] + mean["environment_bytes"],
            environment=float(row["environment_seconds"]), memory=float(row["worker_mib"]),
            store=float(row["store"]["postgresql"]), sqlite=float(row["store"]["sqlite"]),
            placeholders=tuple(row.get("placeholders", ())),
        )  # fmt: skip
    except (OSError, KeyError, ValueError) as error:
        raise SystemExit(f"{file} has no usable costs ({error!r}); fill it with --fill") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall run where. `scale` stretches diagnosing, mending and combining; `cached` environments are not built.

    `loss` is of a worker, an hour; prices are of a core hour and of a GiB fetched.
    """

    repositories: int = 10_000
    workers: int = 64
    cores: int = 16  # of a machine, a worker each
    actors: int = 0
    shards: int = 1
    faults: float = 0.0  # of a repository; 0: as measured
    scale: float = 1.0
    cached: float = 0.0
    loss: float = 0.0
    deadline: float = 24 * 3600.0
    bandwidth: float = 100e6  # bytes a second into all machines together
    core_price: float = 0.04
    traffic_price: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the formula says: seconds, bytes, MiB, money."""

    worker_seconds: float
    model_seconds: float
    results: float
    ideal: float
    bound: float
    lossy: float
    workers_needed: int
    machines: int
    busiest: str
    store_load: float  # results a second
    network: float
    fetch_seconds: float
    disk: float
    shelf: float
    memory: float
    tokens: float
    money: float


def steps_of(costs: Costs, plan: Plan) -> Costs:
    """Costs as the plan stretches them."""
    diagnose = costs.diagnose.times(plan.scale)
    return Costs(diagnose, costs.mend.times(plan.scale), costs.model, costs.combine.times(plan.scale),
                 plan.faults or costs.faults)  # fmt: skip


def mean_faults(mean: float) -> float:
    """Of the geometric distribution with that mean, cut at the default bound on faults."""
    return mean * (1 - (1 - 1 / mean) ** _MOST_FAULTS)


def estimated(costs: Costs, plan: Plan) -> Estimate:
    """The formula. Raises ValueError for a plan without workers."""
    if plan.workers < 1 or plan.repositories < 1:
        raise ValueError("a plan needs at least one worker and one repository")
    n, step = plan.repositories, steps_of(costs, plan)
    build = (1 - plan.cached) * costs.environment
    faults = mean_faults(step.faults)
    times = (step.diagnose.mean + build, step.mend.mean + step.model.mean, step.combine.mean)
    occupancy = n * (times[0] + faults * times[1] + times[2])
    model = n * faults * step.model.mean
    results = n * (2 + faults)
    loads = {
        "workers": occupancy / plan.workers,
        "model actors": model / plan.actors if plan.actors else 0.0,
        "store": results / (costs.store * plan.shards),
        "network": n * costs.network / plan.bandwidth,
    }
    ideal, busiest = max((seconds, name) for name, seconds in loads.items())
    chain = longest_chain(step, n, faults) + build
    rate = plan.loss / 3600
    again = (step.diagnose.with_losses(rate, build), step.mend.with_losses(rate, step.model.mean),
             step.combine.with_losses(rate))  # fmt: skip
    lossy = n * (again[0] + faults * again[1] + again[2]) / plan.workers * (1 + rate * RESTART)
    needed = ceil(occupancy / max(1.0, plan.deadline - chain))
    hours = (occupancy + (model if plan.actors else 0)) / 3600
    money = plan.core_price * hours + plan.traffic_price * n * costs.network / GIB
    return Estimate(
        occupancy, model, results, ideal, ideal + (1 - 1 / plan.workers) * chain, max(ideal, lossy), needed,
        ceil(needed / plan.cores), busiest, results / ideal, n * costs.network, loads["network"],
        n * costs.kept, 2 * plan.workers * costs.packed, plan.cores * costs.memory, n * faults * costs.tokens,
        money,
    )  # fmt: skip


def longest_chain(step: Costs, repositories: int, faults: float) -> float:
    """About the longest that one repository takes: each step's quantile that one of all exceeds, the largest one whole.

    The largest step is taken at its extreme, the others at their means: extremes of several steps seldom meet.
    """
    every = [(step.diagnose, repositories), (step.mend, repositories * faults), (step.model, repositories * faults),
             (step.combine, repositories)]  # fmt: skip
    extreme = [spread.quantile(1 - 1 / (count + 1)) - spread.mean for spread, count in every]
    return sum(spread.mean for spread, _ in every) + max(extreme)


def drawn(costs: Costs, plan: Plan, seed: int = 0) -> tuple[Repository, ...]:
    """Repositories with steps drawn as the formula takes them."""
    dice, step = random.Random(seed), steps_of(costs, plan)
    return tuple(_repository(step, plan, costs.environment, dice) for _ in range(plan.repositories))


def _repository(step: Costs, plan: Plan, environment: float, dice: random.Random) -> Repository:
    build = 0.0 if dice.random() < plan.cached else environment
    count = 1
    while count < _MOST_FAULTS and dice.random() > 1 / step.faults:
        count += 1
    mends = tuple(Mend(step.mend.draw(dice), step.model.draw(dice), rounds=4) for _ in range(count))
    return Repository(step.diagnose.draw(dice) + build, mends, step.combine.draw(dice))


def simulated(costs: Costs, plan: Plan, seed: int = 0) -> Simulated:
    """The plan, run through the simulation."""
    cluster = Cluster(plan.workers, plan.actors, costs.store * plan.shards, plan.loss)
    return simulate(drawn(costs, plan, seed), cluster, seed)


def told(costs: Costs, plan: Plan) -> str:
    """What a plan needs, in lines."""
    found = estimated(costs, plan)
    postgres, fetch = costs.store * plan.shards, found.fetch_seconds / 3600
    rows = (
        ("worker hours", f"{found.worker_seconds / 3600:,.0f}"),
        ("model hours", f"{found.model_seconds / 3600:,.1f} (within the workers' where there are no actors)"),
        ("tokens", f"{found.tokens / 1e6:,.0f} million"),
        ("wall time", f"{found.ideal / 3600:.2f} h with {plan.workers} workers, at most {found.bound / 3600:.2f} h"),
        ("bounded by", found.busiest),
        (f"for {plan.deadline / 3600:g} h", f"{found.workers_needed} workers: {found.machines} of {plan.cores} cores"),
        ("store", f"{found.store_load:.2f} results/s; PostgreSQL takes {postgres:g}, SQLite {costs.sqlite:g}"),
        ("network", f"{found.network / GIB:,.0f} GiB, {fetch:.2f} h at {plan.bandwidth / 1e6:g} MB/s"),
        ("disk", f"{found.disk / GIB:,.0f} GiB of clones and environments when all are kept"),
        ("object store", f"{found.shelf / GIB:.2f} GiB of trees in flight"),
        ("memory", f"{found.memory / 1024:.0f} GiB a machine"),
        ("money", f"{found.money:,.0f} at {plan.core_price:g} a core hour"),
    )  # fmt: skip
    return "\n".join(f"{name:14} {value}" for name, value in rows)


def compared(costs: Costs, plans: Sequence[Plan], seed: int = 0) -> str:
    """Formula and simulation side by side, for several plans."""
    head = ("workers", "actors", "loss/h", "ideal h", "bound h", "lossy h", "simulated h", "over ideal", "given up",
            "waiting", "tail h")  # fmt: skip
    lines = ["".join(f"{name:>12}" for name in head)]
    for plan in plans:
        said, seen = estimated(costs, plan), simulated(costs, plan, seed)
        cells = (
            str(plan.workers), str(plan.actors), f"{plan.loss:g}",
            *(f"{s / 3600:.2f}" for s in (said.ideal, said.bound, said.lossy, seen.seconds)),
            f"{100 * (seen.seconds / said.ideal - 1):+.1f} %",
            str(seen.given_up), f"{100 * seen.waiting / max(seen.busy, 1e-9):.1f} %", f"{seen.half_idle / 3600:.2f}",
        )  # fmt: skip
        lines.append("".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def filled(results: Path, projects: Path, old: dict[str, Any]) -> dict[str, Any]:
    """Costs out of what batch_faults.py wrote and out of the projects' checkouts (cloned and packed here, once)."""
    from batch_faults import read_rows
    from batch_material import read_targets

    rows = [row for row in read_rows(results) if not row["refused"] and not row.get("error")]
    names = {row["project"] for row in rows}
    sizes = [
        _sizes(target.path, target.python.parent.parent) for target in read_targets(projects) if target.name in names
    ]
    stages = [row["stages"] for row in rows]
    model = [row.get("model_seconds", 0.0) for row in rows]
    combined = [stage["combine"] for stage in stages if stage["combine"] > 0.01]
    return {
        **old,
        "faults_measured": len(rows),
        "diagnose_seconds": [round(stage["intake"] + stage["diagnosis"], 3) for stage in stages],
        "mend_seconds": [round(max(0.0, stage["mend"] - took), 3) for stage, took in zip(stages, model, strict=True)],
        "model_seconds": [round(took, 3) for took in model],
        "combine_seconds": combined or [sum(stage["diagnosis"] for stage in stages) / len(stages) / 3],
        **{name: [row[name] for row in rows] for name in ("candidates", "tokens", "test_runs", "faults")},
        **{name: [size[name] for size in sizes] for name in sizes[0]},
        "worker_mib": max(row["peak_mib"] for row in rows),
        "placeholders": [] if combined else ["combine_seconds (taken as a third of a diagnosis)"],
    }


def _sizes(project: Path, environment: Path) -> dict[str, float]:
    def folder(path: Path) -> int:
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink())

    archive = subprocess.run(("git", "-C", str(project), "archive", "HEAD"), capture_output=True, check=True).stdout
    packed = subprocess.run(("gzip", "-1"), input=archive, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        subprocess.run(("git", "clone", "-q", "--no-local", str(project), f"{place}/x"), check=True)
        seconds = time.monotonic() - began
    return {"tree_bytes": len(archive), "packed_bytes": len(packed), "git_bytes": folder(project / ".git"),
            "environment_bytes": folder(environment), "clone_seconds": round(seconds, 3)}  # fmt: skip


def main() -> int:
    """Tell, compare, or fill."""
    plain = Plan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fill", nargs=2, type=Path, metavar=("RESULTS", "PROJECTS"))
    parser.add_argument("--costs", type=Path, default=COSTS)
    parser.add_argument("--repositories", type=int, default=plain.repositories)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64, 256, 1024])
    parser.add_argument("--actors", type=int, nargs="+", default=[0, 4])
    parser.add_argument("--loss", type=float, nargs="+", default=[0.0, 1.0], help="of a worker, an hour")
    parser.add_argument("--cores", type=int, default=plain.cores, help="of a machine, a worker each")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--faults", type=float, default=3.0, help="of a repository; 0: as measured")
    parser.add_argument("--scale", type=float, default=10.0, help="how much slower tests are than the measured ones")
    parser.add_argument("--cached", type=float, default=0.5, help="share of environments that are not built")
    parser.add_argument("--bound", type=float, default=1800.0, help="seconds of a step at most")
    parser.add_argument("--deadline-hours", type=float, default=24.0)
    parser.add_argument("--core-price", type=float, default=plain.core_price)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.fill:
        values = filled(given.fill[0], given.fill[1], json.loads(given.costs.read_text("utf-8")))
        given.costs.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
        return 0
    costs = read_costs(given.costs, bound=given.bound)
    if costs.placeholders:
        print(f"PLACEHOLDERS, not measured: {', '.join(costs.placeholders)}\n")
    plans = [
        Plan(given.repositories, workers, given.cores, actors, given.shards, given.faults, given.scale, given.cached,
             loss, 3600 * given.deadline_hours, core_price=given.core_price)
        for actors in given.actors for loss in given.loss for workers in given.workers
    ]  # fmt: skip
    print(told(costs, plans[0]))
    print()
    print(compared(costs, plans, given.seed))
    print(f"\npeak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
