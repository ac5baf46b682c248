"""Run suites: here, in processes that load the model once each, or on a Ray cluster; the results in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

from eval.correctness import unfit
from eval.measure import measure
from eval.measurement import Conditions, Measurement
from eval.repositories import check_repository, measure_repository
from eval.suites.rows import Case, RepositoryTask
from repair.errors import BoundaryError
from repair.executors import executor
from repair.model import Model
from repair.oracles.scripts import warm_programs
from repair.sandbox import Sandbox, Tier
from repair.sandboxes.select import find_sandbox

Task = Case | RepositoryTask
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process needs to measure cases; plain values, so that it can be sent to one."""

    conditions: Conditions
    model: str | None = None
    adapter: str | None = None
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False
    threads: int | None = None  # of the model in each process; None: as many as torch takes


@cache
def sandbox_of(setup: Setup) -> Sandbox:
    """The sandbox, looked for once a process. Raises SandboxError below the minimum."""
    return find_sandbox(Tier(setup.sandbox_minimum), unsafe=setup.unsafe_no_sandbox)


@cache
def model_of(setup: Setup) -> Model | None:
    """The model, loaded once a process. Raises ModelError."""
    from repair.models.select import load_model

    return load_model(setup.model, adapter=setup.adapter, threads=setup.threads)


def measure_one(setup: Setup, case: Task) -> Measurement:
    """Measure a case in whatever process this is."""
    if isinstance(case, RepositoryTask):
        return measure_repository(case, model_of(setup), sandbox_of(setup), setup.conditions)
    return measure(case, model_of(setup), sandbox_of(setup), setup.conditions)


def measure_all(setup: Setup, cases: Iterable[Task], *, jobs: int = 1, ray: str = "") -> Iterator[Measurement]:
    """Measurements in the order of the cases, each as it is ready. Raises BoundaryError for a worker lost twice.

    Several processes share the cores: each model takes its part of them.
    """
    if not ray and (threads := threads_each(jobs)):
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a worker imports it
    with executor(jobs, ray) as workers:
        yield from workers.map(partial(measure_one, setup), cases)


def alternating(runs: Sequence[R], rows: Sequence[T]) -> list[tuple[R, T]]:
    """Every row in all runs, one right after the other, each run the first as often as the others.

    The seconds of a row are a clock's: measured hours apart, a machine that was busy then looks like a worse model.
    """
    return [(runs[(number + shift) % len(runs)], row) for number, row in enumerate(rows) for shift in range(len(runs))]


def measure_each(work: Iterable[tuple[Setup, Task]], *, jobs: int = 1) -> Iterator[Measurement]:
    """Measurements of cases that have a setup each, in their order; `threads_each` says what a setup may take.

    Each process keeps the models of all setups. Raises BoundaryError for a worker lost twice.
    """
    with executor(jobs) as workers:
        yield from workers.map(_measure_pair, work)


def _measure_pair(pair: tuple[Setup, Task]) -> Measurement:
    return measure_one(*pair)


def threads_each(jobs: int) -> int | None:
    """Threads of a model in each of several processes, which share the cores; None: as many as suit it."""
    return max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None


def check_one(setup: Setup, case: Task) -> str:
    """Why the case measures nothing, "" when it is sound; what its language lacks here is a reason, too."""
    try:
        if isinstance(case, RepositoryTask):
            return check_repository(case, sandbox_of(setup))
        with warm_programs(sandbox_of(setup), case.language) as programs:
            return unfit(case, programs)
    except BoundaryError as error:
        return str(error)


def check_all(setup: Setup, cases: Iterable[Task], *, jobs: int = 1) -> Iterator[str]:
    """The self-check of each case in order, without any model."""
    with executor(jobs) as workers:
        yield from workers.map(partial(check_one, setup), cases)
