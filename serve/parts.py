"""What the routes work with, as one value. Knows nothing of requests, processes or tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from serve.explaining.host import Explainer
from serve.modelnames import Models
from serve.observe.metrics import Metrics
from serve.pool import Runner
from serve.settings import Settings
from serve.store import Store

Check = Callable[[], Awaitable[str]]


class Queue(Protocol):
    """Whom to tell that a job waits or is cancelled (`serve.jobs.Dispatcher`)."""

    def notify(self) -> None:
        """Look at the store now."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with. `checks` say, by name, what is not ready ("" where it is)."""

    settings: Settings
    runner: Runner
    store: Store
    models: Models
    queue: Queue
    metrics: Metrics
    draining: asyncio.Event  # set once the service is to end
    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    explainer: Explainer | None = None  # None: switched off
