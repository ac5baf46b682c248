"""Try suites: here, or in several processes that load the model once each; the trials in the order of the cases."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial

from eval.robustness.trials import Plan, Trial, try_case
from eval.run import Setup, model_of, sandbox_of
from eval.suites.rows import Case
from repair.executors import executor


def try_one(setup: Setup, plan: Plan, case: Case) -> Trial:
    """Try a case in whatever process this is. Raises ModelError, SandboxError where there is none to work with."""
    return try_case(case, model_of(setup), sandbox_of(setup), plan)


def try_all(setup: Setup, plan: Plan, cases: Iterable[Case], *, jobs: int) -> Iterator[Trial]:
    """Trials in the order of the cases. Raises BoundaryError for a worker lost twice."""
    if jobs > 1:
        threads = max(1, (os.cpu_count() or 1) // jobs)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a worker imports it
    with executor(jobs) as workers:
        yield from workers.map(partial(try_one, setup, plan), cases)
