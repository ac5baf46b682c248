"""Executors: where the work of a build runs - here, in processes, on a Ray cluster - with the same results in order.

Owns processes, lost workers and how much is in flight. Must not know what is computed: functions are pure, they
and their items and results can be pickled, and nothing is written by a worker.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from repair.errors import BoundaryError, InputError

if TYPE_CHECKING:
    from typing import Any

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 2  # items in flight for each worker: one computed, one waiting
LOCAL = "local"
_RETRIES = 2


class Executor(Protocol):
    """Applies a function to items, in order, lazily: few items are taken before their results are asked for."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results in the order of the items. Raises what the function raises, BoundaryError for lost workers."""
        ...


@dataclass(frozen=True, slots=True)
class Serial:
    """In this process."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """One after the other."""
        return map(function, items)


def _leave_with(parent: int) -> None:
    """End a worker whose parent was killed: nobody would ever take its result, nor tell it to stop.

    An interrupt from the keyboard goes to all processes; the parent alone answers it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True, slots=True)
class Processes:
    """In `jobs` new processes. What a lost one (killed, out of memory) was doing is done once more."""

    jobs: int

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}; it must be at least 1", field="jobs")

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """At most AHEAD items a process are in flight."""
        waiting = iter(items)
        flight: deque[tuple[T, Future[R]]] = deque()
        others = set(multiprocessing.active_children())
        pool = self._pool()
        try:
            while True:
                while len(flight) < AHEAD * self.jobs and (taken := list(_first(waiting))):
                    flight.append((taken[0], _submitted(pool, function, taken[0])))
                if not flight:
                    return
                try:
                    result = flight[0][1].result()
                except BrokenProcessPool:
                    pool.shutdown(wait=False, cancel_futures=True)
                    left = [item for item, _ in flight]
                    flight.clear()
                    yield from self._again(function, left)
                    pool = self._pool()
                    continue
                flight.popleft()
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - others if flight else ():
                worker.terminate()  # its result is not wanted any more: interrupted, or an item has failed

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # forking a process with threads can hang it
        return ProcessPoolExecutor(self.jobs, context, _leave_with, (os.getpid(),))

    def _again(self, function: Callable[[T], R], items: list[T]) -> Iterator[R]:
        """Each item alone, so that a second loss tells which one it was."""
        for item in items:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _leave_with, (os.getpid(),)) as alone:
                try:
                    yield alone.submit(function, item).result()
                except BrokenProcessPool as error:
                    raise BoundaryError(
                        f"a worker was lost twice at {_shown(item)}: is there enough memory? Run it again with --jobs 1"
                    ) from error


def _submitted(pool: ProcessPoolExecutor, function: Callable[[T], R], item: T) -> Future[R]:
    """The future of an item, broken already where the pool is."""
    try:
        return pool.submit(function, item)
    except BrokenProcessPool as error:
        broken: Future[R] = Future()
        broken.set_exception(error)
        return broken


def _first(items: Iterator[T]) -> Iterator[T]:
    for item in items:
        yield item
        return


def _shown(item: object) -> str:
    text = str(getattr(item, "name", item))
    return text if len(text) <= 80 else f"{text[:80]}…"


@dataclass(frozen=True, slots=True)
class Cluster:
    """On Ray: `address` of a cluster, or "local" for one of its own. All nodes must see the same folders.

    A cluster without token authentication is refused: whoever reaches its port could run code.
    """

    address: str = LOCAL
    cpus: int = 0  # of a local one; 0: all

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """At most AHEAD items a core are in flight; lost tasks are retried by Ray. The connection stays open."""
        return _in_order(self._connected(), function, items)

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        importlib.import_module("ray").shutdown()

    def _connected(self) -> Any:  # noqa: ANN401 - Ray ships no types
        _authenticate(self.address)
        try:
            ray = importlib.import_module("ray")
        except ImportError as error:
            raise InputError("--ray needs Ray: pip install 'emend[cluster]'", field="ray") from error
        if ray.is_initialized():
            return ray
        chosen: dict[str, object] = {"address": self.address}
        if self.address == LOCAL:
            # one machine: workers import what this process imports, also when Emend is not installed
            root = str(Path(__file__).resolve().parent.parent)
            chosen |= {"num_cpus": self.cpus or os.cpu_count(), "object_store_memory": 128 * 1024 * 1024}
            chosen |= {"runtime_env": {"env_vars": {"PYTHONPATH": root}}, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(**chosen, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise BoundaryError(f"no Ray cluster answers at {self.address} ({error})") from error
        return ray


def _authenticate(address: str) -> None:
    """Settle Ray's token before it is imported: a new one for a cluster of our own, the user's for another."""
    if address != LOCAL:
        known = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
        if os.environ.get("RAY_AUTH_MODE") != "token" or not known:
            raise InputError(
                "a Ray cluster without token authentication runs anybody's code: start it with RAY_AUTH_MODE=token "
                "and set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here, too",
                field="ray",
            )
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would ask the network
    # an address of 127.0.0.1 is replaced by one that others reach, and ports open on all interfaces, unless this says
    # that the machine is alone (Ray's own default elsewhere than on Linux)
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def _apply(function: Callable[[T], R], item: T) -> R:
    return function(item)


def _in_order(ray: Any, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:  # noqa: ANN401
    task = ray.remote(max_retries=_RETRIES)(_apply)
    shared = ray.put(function)  # sent once, whatever it holds
    room = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    flight: deque[Any] = deque()
    waiting = iter(items)
    while True:
        while len(flight) < room and (taken := list(_first(waiting))):
            flight.append(task.remote(shared, taken[0]))
        if not flight:
            return
        try:
            result = ray.get(flight.popleft())
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except ray.exceptions.RayError as error:
            raise BoundaryError(f"the Ray cluster lost a task {_RETRIES + 1} times ({error})") from error
        yield result


@contextmanager
def executor(jobs: int = 1, ray: str = "") -> Generator[Executor]:
    """The executor that `--jobs` and `--ray` ask for, closed at the end."""
    if not ray:
        yield Serial() if jobs == 1 else Processes(jobs)
        return
    cluster = Cluster(ray, jobs if ray == LOCAL else 0)
    try:
        yield cluster
    finally:
        cluster.close()
