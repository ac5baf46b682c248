"""Trials as tasks on a Ray cluster: what `training.trials.Processes` does, on other machines.

Owns the desk, a small actor at which trials wait for the answer to a report. The study stays with the search, so that
no worker needs its file; all nodes must see the folders of the recipe.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repair.executors import LOCAL, Cluster
from training.config import Recipe
from training.trials import Event, Failed, Outcome, Reported, RunTrial, attempt

if TYPE_CHECKING:
    from typing import Any


class Desk:
    """Holds reports until the search takes them, and each trial until it is answered. Its methods run interleaved."""

    def __init__(self) -> None:
        self._reports: list[Reported] = []
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._some = asyncio.Event()

    async def report(self, reported: Reported) -> bool:
        """Whether the trial is to end."""
        self._waiting[reported.number] = answer = asyncio.get_running_loop().create_future()
        self._reports.append(reported)
        self._some.set()
        return await answer

    async def take(self) -> list[Reported]:
        """Reports since the last time, as soon as there are any."""
        await self._some.wait()
        self._some.clear()
        taken, self._reports = self._reports, []
        return taken

    async def answer(self, number: int, prune: bool) -> None:
        """Let a trial go on, or end."""
        waiting = self._waiting.pop(number, None)
        if waiting:
            waiting.set_result(prune)


def _trial(run_trial: RunTrial, number: int, recipe: Recipe, desk: Any) -> Outcome:  # noqa: ANN401 - Ray ships no types
    ray = importlib.import_module("ray")
    return attempt(run_trial, number, recipe, lambda reported: ray.get(desk.report.remote(reported)))


class RayWorkers:
    """On the cluster at `address`, or on one of its own ("local") with a core for each of `jobs` trials."""

    def __init__(self, run_trial: RunTrial, address: str, jobs: int, threads: int) -> None:
        self._cluster = Cluster(address, jobs if address == LOCAL else 0)
        self._ray = self._cluster.connected()
        gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        cores = 1 if address == LOCAL else max(1, threads)
        self._task = self._ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(_trial)
        self._desk = self._ray.remote(num_cpus=0)(Desk).remote()
        self._function = self._ray.put(run_trial)
        self._flight: dict[Any, int] = {}
        self._news = self._desk.take.remote()

    def start(self, number: int, recipe: Recipe) -> None:
        """As `Crew.start`."""
        self._flight[self._task.remote(self._function, number, recipe, self._desk)] = number

    def events(self, seconds: float) -> Iterator[Event]:
        """As `Crew.events`."""
        done, _ = self._ray.wait([self._news, *self._flight], num_returns=1, timeout=seconds)
        for reference in done:
            if reference == self._news:
                yield from self._ray.get(reference)
                self._news = self._desk.take.remote()
            else:
                yield self._outcome(reference)

    def _outcome(self, reference: Any) -> Outcome:  # noqa: ANN401 - Ray ships no types
        number = self._flight.pop(reference)
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Failed(number, f"its worker was lost: {str(error).split(chr(10), 1)[0]}")

    def answer(self, number: int, *, prune: bool) -> None:
        """As `Crew.answer`."""
        self._ray.get(self._desk.answer.remote(number, prune))

    def close(self) -> None:
        """As `Crew.close`; the connection ends, too."""
        for reference in self._flight:
            self._ray.cancel(reference, force=True)
        self._flight.clear()
        self._cluster.close()
