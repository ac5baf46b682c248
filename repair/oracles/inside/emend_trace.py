# ruff: noqa: ANN401, ARG001, ARG002  (records, frames and hooks of tools whose types are not ours)
"""Executed lines of chosen files, one test at a time, by `sys.settrace`; inside the sandbox, stdlib only.

Code of other files is left alone after its call event, so that a test suite slows down by its own share
in the traced files only.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any


class Timeout(BaseException):
    """One test ran past its share of time; not an Exception, so that the program does not swallow it."""


class Tracer:
    """Collects lines of `files` (absolute paths, or names given to `compile`) up to `last_line`.

    A test that takes more than `seconds` of CPU time (0: any) is ended by Timeout.
    """

    def __init__(self, files: Iterable[str], *, last_line: int = 1 << 30, seconds: float = 0.0) -> None:
        self._files = set(files)
        self._last_line = last_line
        self._seconds = seconds
        self._deadline = 0.0
        self._ticks = 0
        self._lines: dict[str, set[int]] = {}
        self._wanted: dict[str, set[int] | None] = {}

    def start(self) -> None:
        """Begin a test: nothing executed yet."""
        self._lines = {}
        self._wanted = {}
        self._deadline = time.process_time() + self._seconds if self._seconds else 0.0
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> dict[str, set[int]]:
        """End the test: lines by file."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        return {path: lines for path, lines in self._lines.items() if lines}

    def _set_of(self, filename: str) -> set[int] | None:
        if filename not in self._wanted:
            wanted = filename in self._files or os.path.abspath(filename) in self._files  # noqa: PTH100
            self._wanted[filename] = self._lines.setdefault(filename, set()) if wanted else None
        return self._wanted[filename]

    def _call(self, frame: Any, event: str, arg: Any) -> Callable[..., Any] | None:
        lines = self._set_of(frame.f_code.co_filename)
        if lines is None or frame.f_code.co_firstlineno > self._last_line:
            return None
        self._tick()
        add, last, tick = lines.add, self._last_line, self._tick

        def local(frame: Any, event: str, arg: Any) -> Any:
            if event == "line" and frame.f_lineno <= last:
                add(frame.f_lineno)
                tick()
            return local

        return local

    def _tick(self) -> None:
        """Look at the clock at every 256th line or call."""
        self._ticks += 1
        if self._deadline and not self._ticks & 255 and time.process_time() > self._deadline:
            self._deadline = 0.0
            raise Timeout("it had not ended when its time was up")
