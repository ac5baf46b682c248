"""Control on a cluster: stop flags in an actor, for workers that need not share a folder with the coordinator.

Owns the actor and what each process knows of its flags. A thread asks, not the task's own: Ray would take a task that
waits for idle, and give its core away.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from serve.batch.control import ALL

if TYPE_CHECKING:
    from typing import Any

    from repair.cluster import Cluster

_PERIOD = 0.5  # seconds between two questions
_IDLE = 10.0  # seconds without anybody who wants to know, until the thread ends
_FIRST = 10.0  # seconds that the first answer is waited for; without one nothing is to stop


class _Flags:
    """Lives in the actor."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def stop(self, name: str) -> None:
        self._names.add(name)

    def clear(self) -> None:
        self._names.clear()

    def names(self) -> frozenset[str]:
        return frozenset(self._names)


@dataclass(frozen=True, slots=True)
class ClusterControl:
    """As `control.Control`. What a worker hears is at most a second old; when the actor is lost, it hears nothing."""

    actor: Any

    def clear(self) -> None:
        """As Control."""
        importlib.import_module("ray").get(self.actor.clear.remote())

    def stop(self, name: str = "") -> None:
        """As Control; not waited for, as it may be called where a signal is dealt with."""
        self.actor.stop.remote(name or ALL)

    def stopped(self, name: str) -> bool:
        """As Control."""
        names = _listener(self.actor._actor_id.hex()).names(self.actor)
        return name in names or ALL in names

    def all_stopped(self) -> bool:
        """As Control."""
        return self.stopped(ALL)


class _Listener:
    """What this process knows of one actor's flags."""

    def __init__(self) -> None:
        self._names = frozenset[str]()
        self._known = threading.Event()
        self._thread: threading.Thread | None = None
        self._wanted = 0.0
        self._turn = threading.Lock()

    def names(self, actor: Any) -> frozenset[str]:  # noqa: ANN401 - Ray ships no types
        with self._turn:
            self._wanted = time.monotonic()
            if self._thread is None:
                self._known.clear()
                self._thread = threading.Thread(target=self._listen, args=(actor,), name="emend-stop", daemon=True)
                self._thread.start()
        self._known.wait(_FIRST)
        return self._names

    def _listen(self, actor: Any) -> None:  # noqa: ANN401
        ray = importlib.import_module("ray")
        while True:
            with suppress(ray.exceptions.RayError):
                self._names = ray.get(actor.names.remote(), timeout=_FIRST)
            self._known.set()
            time.sleep(_PERIOD)
            with self._turn:
                if time.monotonic() - self._wanted > _IDLE:
                    self._thread = None
                    return


@cache
def _listener(actor: str) -> _Listener:
    del actor
    return _Listener()


@contextmanager
def control_on(cluster: Cluster) -> Generator[ClusterControl]:
    """Flags for one run on a cluster."""
    ray = cluster.connected()
    actor = ray.remote(num_cpus=0, max_restarts=0)(_Flags).remote()
    try:
        yield ClusterControl(actor)
    finally:
        ray.kill(actor)
