"""What the routes work with, as one value, and how it is opened and closed. Knows nothing of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from serve.pool import Runner
from serve.settings import Settings
from serve.store import Store
from serve.wire_jobs import ModelOut


class Catalogue(Protocol):
    """Which models there are (`serve.hosted`)."""

    def models(self) -> tuple[ModelOut, ...]:
        """Those that requests may name. May block: call it in a thread."""
        ...


class Queue(Protocol):
    """Whom to tell that a job waits or is cancelled (`serve.jobs`)."""

    def notify(self) -> None:
        """Look at the store now."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with. `checks` say, by name, what is not ready ("" where it is); none may take long."""

    settings: Settings
    runner: Runner
    store: Store
    catalogue: Catalogue
    queue: Queue
    checks: dict[str, Callable[[], Awaitable[str]]] = field(default_factory=dict[str, Callable[[], Awaitable[str]]])
