# ruff: noqa: ANN401, ARG001, ARG002  (records, frames and hooks of tools whose types are not ours)
"""Executed lines of chosen files, one test at a time; inside the sandbox, stdlib only.

By `sys.monitoring` from Python 3.12 on, which speaks once of each line and test (see `tracer`), else by `sys.settrace`.
Code of other files is left alone after its call event, so that a test suite slows down by its own share in the traced
files only; without a limit of time so is a function of which every line was seen in the test.
"""

from __future__ import annotations

import dis
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
        self._all: dict[
            int, tuple[Any, frozenset[int]]
        ] = {}  # by id: code, which is kept so that its id stays, and lines

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
        if not self._deadline and self._lines_of(frame.f_code) <= lines:
            return None
        self._tick()
        add, last, tick = lines.add, self._last_line, self._tick

        def local(frame: Any, event: str, arg: Any) -> Any:
            if event == "line" and frame.f_lineno <= last:
                add(frame.f_lineno)
                tick()
            return local

        return local

    def _lines_of(self, code: Any) -> frozenset[int]:
        """Lines that can be executed in a function; the first is its header, of which no line event tells."""
        known = self._all.get(id(code))
        if known is None:
            named = {line for _, line in dis.findlinestarts(code) if line}
            known = self._all[id(code)] = (code, frozenset(named - {code.co_firstlineno} or named))
        return known[1]

    def _tick(self) -> None:
        """Look at the clock at every 256th line or call."""
        self._ticks += 1
        if self._deadline and not self._ticks & 255 and time.process_time() > self._deadline:
            self._deadline = 0.0
            raise Timeout("it had not ended when its time was up")


class Monitor:
    """What Tracer is, by `sys.monitoring`: a line that was seen costs nothing until the next test begins."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files = set(files)
        self._lines: dict[str, set[int]] = {}
        self._ours: dict[str, bool] = {}
        self._monitoring: Any = getattr(sys, "monitoring")  # noqa: B009  (not there before 3.12)
        self._tool = next(n for n in (4, 3, 5, 1) if self._monitoring.get_tool(n) is None)
        self._monitoring.use_tool_id(self._tool, "emend")
        events = self._monitoring.events
        self._monitoring.register_callback(self._tool, events.PY_START, self._begin)
        self._monitoring.register_callback(self._tool, events.PY_RESUME, self._begin)
        self._monitoring.register_callback(self._tool, events.LINE, self._line)

    def start(self) -> None:
        """Begin a test: nothing executed yet."""
        events = self._monitoring.events
        self._lines = {}
        self._monitoring.restart_events()
        self._monitoring.set_events(self._tool, events.PY_START | events.PY_RESUME)

    def stop(self) -> dict[str, set[int]]:
        """End the test: lines by file. Functions of ours stay instrumented, and are heard again in the next."""
        self._monitoring.set_events(self._tool, 0)
        found, self._lines = self._lines, {}
        return found

    def _begin(self, code: Any, offset: int) -> Any:
        path = code.co_filename
        if path not in self._ours:
            self._ours[path] = path in self._files or os.path.abspath(path) in self._files  # noqa: PTH100
        if self._ours[path]:
            self._monitoring.set_local_events(self._tool, code, self._monitoring.events.LINE)
        return self._monitoring.DISABLE

    def _line(self, code: Any, line: int) -> Any:
        self._lines.setdefault(code.co_filename, set()).add(line)
        return self._monitoring.DISABLE


def tracer(files: Iterable[str]) -> Tracer | Monitor:
    """The quickest that this Python has; Tracer where all tools of `sys.monitoring` are taken."""
    if hasattr(sys, "monitoring"):
        try:
            return Monitor(files)
        except StopIteration:
            pass
    return Tracer(files)
