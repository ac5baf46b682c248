# ruff: noqa: ANN401, ARG001, ARG002  (records, frames and hooks of tools whose types are not ours)
"""Runs a test as `emend_inside` does and records variables at chosen lines; inside the sandbox, stdlib only.

The task's key `values` is {path, lines}. One record `values {lines: {LINE: {hits, cut, values: [[name, text]]}}}` goes
to the host when the test ends, and one before a type's own `__repr__` is called for the first time: should that never
come back, what was seen until then is known. For each line the last of at most `VISITS` visits is kept: names used on
it as it begins, then what it assigns (`name after`), returns or raises.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import reprlib
import signal
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import emend_inside
import emend_trace
from emend_inside import TASK_FILE, Reporter

VISITS = 2000  # with values, of all lines together: the rest is only counted
REPR_SECONDS = 0.2
NAMES = 12  # of a line
CHARACTERS = 120
_BORING = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
_PLAIN = (bool, int, float, complex, type(None), str, bytes)
_HOLDING = (list, tuple, dict, set, frozenset)
_GENERATOR = 0x20  # of co_flags


class _Slow(BaseException):
    """A `__repr__` takes too long."""


def _ring(number: int, frame: Any) -> None:
    raise _Slow


class _Repr(reprlib.Repr):
    """Short, by exact types: a class of the program's may be called `list`."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, 80, 80, 40

    def repr1(self, x: Any, level: int) -> str:
        if type(x) is int and x.bit_length() > 256:
            return f"<int of {x.bit_length()} bits>"
        if type(x) in _PLAIN or type(x) in _HOLDING:
            return super().repr1(x, level)
        return self.repr_instance(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        """As the program has it; what it raises is told by the caller."""
        text = repr(x)
        return text if type(text) is str and len(text) <= self.maxother else str(text)[: self.maxother - 3] + "..."


class Watcher:
    """Takes the place of `emend_trace.tracer`: `start` and `stop` around each test."""

    def __init__(self, path: str, lines: list[int], reporter: Reporter) -> None:
        self._path, self._reporter = os.path.abspath(path), reporter  # noqa: PTH100
        self._names = _names(self._path, set(lines))
        self._ours: dict[str, bool] = {}
        self._seen: dict[int, dict[str, Any]] = {}
        self._visits = 0
        self._repr = _Repr()
        self._hung: set[type] = set()
        self._tried: set[type] = set()

    def start(self) -> None:
        """Begin to watch."""
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> dict[str, set[int]]:
        """End, and tell the host."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self._tell()
        return {}

    def _tell(self) -> None:
        self._reporter.write("values", lines=self._seen)

    def _call(self, frame: Any, event: str, arg: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if name not in self._ours:
            self._ours[name] = os.path.abspath(name) == self._path  # noqa: PTH100
        if not self._ours[name]:
            return None
        pending = 0
        end = "yields" if frame.f_code.co_flags & _GENERATOR else "returns"

        def local(frame: Any, event: str, arg: Any) -> Any:
            nonlocal pending
            if pending:
                self._after(pending, frame)
                if event == "return":
                    self._put(pending, end, arg)
                elif event == "exception":
                    self._put(pending, "raises", arg[1])
            pending = 0
            if event == "line" and frame.f_lineno in self._names and self._visit(frame.f_lineno, frame):
                pending = frame.f_lineno
            return local

        return local

    def _visit(self, line: int, frame: Any) -> bool:
        """Whether its values were taken."""
        known = self._seen.setdefault(line, {"hits": 0, "cut": False, "values": []})
        known["hits"] += 1
        self._visits += 1
        if self._visits > VISITS:
            known["cut"] = True
            return False
        known["values"] = []
        for name in self._names[line][0]:
            self._look(line, name, frame, name)
        return True

    def _after(self, line: int, frame: Any) -> None:
        for name in self._names[line][1]:
            self._look(line, name, frame, name + " after")

    def _look(self, line: int, name: str, frame: Any, shown: str) -> None:
        first, _, attribute = name.partition(".")
        for scope in (frame.f_locals, frame.f_globals):
            if first in scope:
                value = scope[first]
                if attribute:
                    try:  # what lies in the object itself: a property could do anything
                        value = object.__getattribute__(value, "__dict__")[attribute]
                    except Exception:  # noqa: BLE001
                        return
                if not isinstance(value, _BORING):
                    self._put(line, shown, value)
                return

    def _put(self, line: int, name: str, value: Any) -> None:
        values = self._seen[line]["values"]
        if len(values) < NAMES + 4:
            values.append([name, self._text(value)[:CHARACTERS]])

    def _text(self, value: Any) -> str:
        kind = type(value)
        if kind in _PLAIN:
            return self._repr.repr(value)
        called = f"<{kind.__name__}>"
        if kind in self._hung or threading.current_thread() is not threading.main_thread():
            return called
        if kind not in self._tried:
            self._tried.add(kind)
            self._tell()
        before = signal.signal(signal.SIGALRM, _ring)
        left = signal.setitimer(signal.ITIMER_REAL, REPR_SECONDS, REPR_SECONDS)
        try:
            return self._repr.repr(value)
        except _Slow:
            self._hung.add(kind)
            return f"<{kind.__name__}: its repr takes too long>"
        except BaseException as error:  # noqa: BLE001  (whatever the program's repr raises)
            return f"<{kind.__name__}: its repr raises {type(error).__name__}>"
        finally:
            signal.setitimer(signal.ITIMER_REAL, *left)
            signal.signal(signal.SIGALRM, before)


def _names(path: str, lines: set[int]) -> dict[int, tuple[list[str], list[str]]]:
    """Names that are read and names that are bound on each line; of `a.b` the whole."""
    found: dict[int, tuple[list[str], list[str]]] = {line: ([], []) for line in lines}
    with open(path, "rb") as file:  # noqa: PTH123
        tree = ast.parse(file.read())
    inner: set[int] = set()
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if line not in found or id(node) in inner:
            continue
        name = ""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            inner.add(id(node.value))
        elif isinstance(node, ast.Name):
            name = node.id
        kind = found[line][1 if isinstance(getattr(node, "ctx", None), ast.Store) else 0]
        if name and name not in kind and len(kind) < NAMES:
            kind.append(name)
        if (
            isinstance(node, ast.AugAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id not in found[line][0]
        ):
            found[line][0].append(node.target.id)
    return found


def main() -> None:
    """Set the watcher up, then run as `emend_inside` does."""
    with open(TASK_FILE, "rb") as file:  # noqa: PTH123
        task = json.loads(file.read())
    pipe = os.environ.get("EMEND_REPORT_FD", "-1")
    reporter = Reporter(task["nonce"])
    os.environ["EMEND_REPORT_FD"] = pipe  # for the runner's own
    watcher = Watcher(task["values"]["path"], task["values"]["lines"], reporter)
    emend_trace.tracer = lambda _files: watcher  # type: ignore[assignment,misc,return-value]
    script = task["mode"] == "script"
    if script:
        watcher.start()
    try:
        emend_inside.main()
    finally:
        if script:
            with contextlib.suppress(Exception):
                watcher.stop()


if __name__ == "__main__":
    main()
