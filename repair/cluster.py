"""Ray: items as tasks on the nodes of a cluster, bytes in its object store.

Owns the connection and its safety (token, loopback), lost workers and nodes. Ray itself is imported when it is used.
"""

from __future__ import annotations

import importlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from repair.errors import BoundaryError, InputError
from repair.flow import AHEAD, Done, Ended, More, Numbered, flow_through, map_through, shown, unnumbered
from repair.shelves import Shelf, Ticket, ticket_of

if TYPE_CHECKING:
    from typing import Any

T = TypeVar("T")
R = TypeVar("R")
LOCAL = "local"
_RETRIES = 2  # of a task whose worker or node is lost
_LOOK = 2.0  # seconds between two looks at the nodes
_NO_NODE = 120.0  # seconds without any node that has a CPU, until it is an error
_PATIENCE = 5.0  # seconds that tasks have to clean up after they were cancelled


@dataclass(frozen=True, slots=True)
class Cluster:
    """On Ray: `address` of a cluster, or "local" for one of its own. All nodes must see the same folders.

    A cluster without token authentication is refused: whoever reaches its port could run code.
    """

    address: str = LOCAL
    cpus: int = 0  # of a local one; 0: all

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """AHEAD items a core are in flight; lost tasks are retried by Ray. The connection stays open."""
        return map_through(Tasks(self.connected(), Numbered(function), AHEAD, named=unnumbered), items)

    def flow(self, function: Callable[[T], R], items: Iterable[T], more: More[T, R]) -> Iterator[Done[T, R]]:
        """An item a core is in flight, and one: Ray starts them in the order in which they were taken."""
        return flow_through(Tasks(self.connected(), function), items, more)

    def shelf(self) -> Shelf:
        """Ray's object store."""
        self.connected()
        return RayShelf()

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        importlib.import_module("ray").shutdown()

    def connected(self) -> Any:  # noqa: ANN401 - Ray ships no types
        """Ray's module, connected. Raises InputError without Ray or token, BoundaryError where nothing answers."""
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
    # read by the process that gives tasks away: what always uses up the memory would be tried for ever
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))
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
    with _waking():
        return function(item)


def _nothing(number: int, frame: object) -> None:
    """What a signal does that only ends a wait."""


@contextmanager
def _waking() -> Generator[None]:
    """Let an interrupt by Ray end a wait for a process or a pipe, too, so that tasks clean up when they are cancelled.

    Ray only marks SIGINT as received, which Python looks at when the wait is over. Another signal, which does nothing,
    ends the wait then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main, (receiving, sending) = threading.get_ident(), os.pipe()

    def listen() -> None:
        while numbers := os.read(receiving, 64):
            if signal.SIGINT in numbers:
                signal.pthread_kill(main, signal.SIGURG)

    os.set_blocking(sending, False)
    before = signal.signal(signal.SIGURG, _nothing)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so it is in what a shell has put into the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    other = signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="emend-wake", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(other)
        signal.signal(signal.SIGURG, before)
        os.close(sending)
        listener.join()
        os.close(receiving)


def told(ray: Any, error: Exception) -> Exception:  # noqa: ANN401
    """What a task raised, as it raised it; the error itself where it is Ray's."""
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = getattr(error, "cause", None)
        return cause if isinstance(cause, Exception) else BoundaryError(str(error).strip().rsplit("\n", 1)[-1])
    return error


class Tasks(Generic[T, R]):
    """Tasks of one function (`repair.flow.Flight`): `each` items in flight a core; 0: one, and one for all."""

    def __init__(
        self,
        ray: Any,  # noqa: ANN401
        function: Callable[[T], R],
        each: int = 0,
        *,
        named: Callable[[T], object] = lambda item: item,
    ) -> None:
        self._ray, self._each, self._named = ray, each, named
        self._task = ray.remote(max_retries=_RETRIES)(_apply)
        self._function = ray.put(function)  # sent once, whatever it holds
        self._flight: dict[Any, T] = {}
        self._cores, self._seen, self._looked = 1, time.monotonic(), 0.0
        # not in the caller's thread: what a signal raises there would go lost in Ray's compiled code
        self._waiter = ThreadPoolExecutor(1, "emend-ray")

    @property
    def size(self) -> int:
        """By the cores of the nodes that are there now."""
        now = time.monotonic()
        if now >= self._looked + _LOOK:
            cores = int(self._ray.cluster_resources().get("CPU", 0))
            self._looked, self._cores = now, max(1, cores)
            if cores:
                self._seen = now
        return self._each * self._cores or self._cores + 1

    def room(self) -> int:
        """As `Flight.room`."""
        return self.size - len(self._flight)

    def __len__(self) -> int:
        return len(self._flight)

    def start(self, item: T) -> None:
        """As `Flight.start`."""
        self._flight[self._task.remote(self._function, item)] = item

    def wait(self) -> Ended[T, R]:
        """As `Flight.wait`."""
        while (found := self._waiter.submit(self._looked_for, tuple(self._flight.items())).result()) is None:
            if self.size and time.monotonic() > self._seen + _NO_NODE:
                raise BoundaryError(f"the Ray cluster has had no node with a CPU for {_NO_NODE:.0f} s: add one")
        reference, ended = found
        del self._flight[reference]
        return ended

    def _looked_for(self, flight: tuple[tuple[Any, T], ...]) -> tuple[Any, Ended[T, R]] | None:
        """What ends within `_LOOK` seconds, with its reference."""
        ready = self._ray.wait([reference for reference, _ in flight], num_returns=1, timeout=_LOOK)[0]
        return (ready[0], self._ended(ready[0], dict(flight)[ready[0]])) if ready else None

    def _ended(self, reference: Any, item: T) -> Ended[T, R]:  # noqa: ANN401
        try:
            return Ended(Done(item, self._ray.get(reference)))
        except self._ray.exceptions.RayTaskError as error:
            return Ended(Done(item, None), told(self._ray, error))
        except self._ray.exceptions.RayError as error:
            why = str(error).strip().split("\n", 1)[0][:200]
            return Ended(
                Done(item, None, f"a worker was lost {_RETRIES + 1} times at {shown(self._named(item))} ({why})")
            )

    def close(self) -> None:
        """As `Flight.close`: tasks are interrupted at their next line of Python, killed after `_PATIENCE` s."""
        left, self._flight = list(self._flight), {}
        self._waiter.shutdown()
        if not left or not self._ray.is_initialized():
            return
        for reference in left:
            self._ray.cancel(reference)
        for reference in self._ray.wait(left, num_returns=len(left), timeout=_PATIENCE, fetch_local=False)[1]:
            self._ray.cancel(reference, force=True)


@dataclass(frozen=True, slots=True)
class RayShelf:
    """Ray's object store. What is put is there as long as its tickets, and the process that put it, are."""

    def put(self, content: bytes) -> Ticket:
        """In this node's store; others copy it when they take it."""
        return ticket_of(content, importlib.import_module("ray").put(content))

    def get(self, ticket: Ticket) -> bytes | None:
        """As `Shelf.get`; what another shelf has given a ticket for is not here."""
        if ticket.place is None:
            return None
        ray = importlib.import_module("ray")
        try:
            return ray.get(ticket.place)
        except (ray.exceptions.ObjectLostError, ray.exceptions.OwnerDiedError):
            return None
