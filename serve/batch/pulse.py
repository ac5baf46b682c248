"""Pulse: what a coordinator does by the clock while it waits for results - hold its lease, hear of cancellations.

Owns the thread, the signals, and how the main thread is torn from a wait that takes too long.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Self

PERIOD = 1.0  # seconds between two looks
_listens = threading.Event()  # somebody hears `wake`


class Enough(BaseException):
    """Nothing more is waited for. Not an Exception: nobody may take it for a failure of an item."""


class Pulse:
    """Calls `tick(seconds since the last time)` in a thread; an error of it is kept and ends the run."""

    def __init__(self, tick: Callable[[float], None], *, period: float = PERIOD) -> None:
        self._tick, self._period = tick, period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="emend-pulse", daemon=True)
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._last = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._period):
            if self.error is not None:
                wake()  # until it is heard
                continue
            now = time.monotonic()
            try:
                self._tick(now - self._last)
            except Exception as error:  # noqa: BLE001 - told where the run is: `check`
                self.error = error
                wake()
            self._last = now

    def check(self) -> None:
        """Raises what a tick has raised."""
        if self.error is not None:
            raise self.error


def wake() -> None:
    """Interrupt what the main thread waits for, as if the user had. Only within `interrupts`."""
    main = threading.main_thread()
    if _listens.is_set() and main.ident is not None:
        signal.pthread_kill(main.ident, signal.SIGINT)


@contextmanager
def interrupts(asked: Callable[[], None]) -> Generator[None]:
    """Call `asked` in the main thread for SIGINT and SIGTERM, instead of KeyboardInterrupt; it may raise Enough."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(_number: int, _frame: FrameType | None) -> None:
        asked()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    _listens.set()
    try:
        yield
    finally:
        _listens.clear()
        for number, old in before.items():
            signal.signal(number, old)
