"""Try suites: one case after another, or in several processes that load the model once each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from eval.robustness.trials import Plan, Trial, try_case
from eval.run import Setup, instruments
from eval.suites.rows import Case


def try_one(setup: Setup, plan: Plan, case: Case) -> Trial:
    """Try a case in whatever process this is. Raises ModelError, SandboxError where there is none to work with."""
    model, sandbox = instruments(setup)
    return try_case(case, model, sandbox, plan)


def try_all(setup: Setup, plan: Plan, cases: Iterable[Case], *, jobs: int) -> Iterator[Trial]:
    """Trials as they come; in the order of the cases when `jobs` is 1."""
    if jobs == 1:
        yield from (try_one(setup, plan, case) for case in cases)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a worker imports it
    context = multiprocessing.get_context("spawn")  # a forked torch hangs
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = [pool.submit(try_one, setup, plan, case) for case in cases]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
