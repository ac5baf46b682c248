"""Run suites: one case after another, or in several processes that load the model once each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache

from eval.measure import measure
from eval.measurement import Conditions, Measurement
from eval.suites.rows import Case
from repair.model import Model
from repair.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process needs to measure cases; plain values, so that it can be sent to one."""

    conditions: Conditions
    model: str | None = None
    adapter: str | None = None
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False


@cache
def instruments(setup: Setup) -> tuple[Model | None, Sandbox]:
    """The model and the sandbox, made once a process. Raises ModelError, SandboxError."""
    from repair.models.select import load_model
    from repair.sandbox import Tier
    from repair.sandboxes.select import find_sandbox

    sandbox = find_sandbox(Tier(setup.sandbox_minimum), unsafe=setup.unsafe_no_sandbox)
    return load_model(setup.model, adapter=setup.adapter), sandbox


def measure_one(setup: Setup, case: Case) -> Measurement:
    """Measure a case in whatever process this is."""
    model, sandbox = instruments(setup)
    return measure(case, model, sandbox, setup.conditions)


def measure_all(setup: Setup, cases: Iterable[Case], *, jobs: int) -> Iterator[Measurement]:
    """Measurements as they come; in the order of the cases when `jobs` is 1."""
    if jobs == 1:
        yield from (measure_one(setup, case) for case in cases)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a worker imports it
    context = multiprocessing.get_context("spawn")  # a forked torch hangs
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = [pool.submit(measure_one, setup, case) for case in cases]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
