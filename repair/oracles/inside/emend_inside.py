# ruff: noqa: ANN401  (records, frames and hooks of tools whose types are not ours)
"""Runs inside the sandbox under the USER's Python: one script, pytest or unittest, reporting over a pipe.

Standard library only, Python >= 3.8, never imports Emend. The host lays `.emend-task.json` into the
working directory; it is read and removed before any code under test runs, so that the nonce in it cannot
be read back. Every record is one line `NONCE {json}` on the file descriptor EMEND_REPORT_FD; whatever
else is written there does not count. Told apart by `kind`:

    broken {message}                the script does not compile
    exit {path}                     it raised SystemExit; `path` is the innermost file of the program
    failed {message, trace}         it raised something else
    end {code, threads}             it ran to its end (script), or the session ended (pytest, unittest)
    missing {name}                  a module that the runner needs is not installed
    collected {ids}                 all tests found, before any selection
    test {id, outcome, message, trace, seconds}
    lines {id, path, lines}         executed lines of one test
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable
from typing import Any, NoReturn

TASK_FILE = ".emend-task.json"
MESSAGE_CHARACTERS = 6000
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  (pathlib costs start-up time)


class Reporter:
    """Writes records to the host. The descriptor is duplicated, so that closing the known one cuts nothing."""

    def __init__(self, nonce: str) -> None:
        known = int(os.environ.pop("EMEND_REPORT_FD", "-1"))
        self._fd = os.dup(known) if known >= 0 else -1
        self._nonce = nonce
        self._process = os.getpid()

    def write(self, kind: str, **fields: Any) -> None:
        """Send one record; forked children of the code under test send nothing."""
        if self._fd < 0 or os.getpid() != self._process:
            return
        record = dict(fields, kind=kind)
        # A leading newline parts it from garbage that other code may have written to the pipe.
        payload = memoryview((f"\n{self._nonce} {json.dumps(record)}\n").encode("utf-8", "replace"))
        while payload:
            payload = payload[os.write(self._fd, payload) :]


def cut(text: str, limit: int = MESSAGE_CHARACTERS) -> str:
    """`text` of at most about `limit` characters, the middle left out."""
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "\n[...]\n" + text[-limit // 2 :]


def _shown(path: str) -> str:
    """A path relative to the working directory where it lies inside."""
    full = os.path.abspath(path)  # noqa: PTH100
    here = os.getcwd() + os.sep  # noqa: PTH109
    return full[len(here) :] if full.startswith(here) else path


def _foreign(path: str) -> bool:
    """Whether a frame belongs to a test runner rather than to the program."""
    if path.startswith(_HERE) or path.startswith("<frozen"):
        return True
    parts = path.replace("\\", "/").split("/")
    return any(p in ("_pytest", "pluggy", "unittest") for p in parts[:-1])


def describe(error: BaseException) -> dict[str, Any]:
    """`{message, trace: {type, message, frames}}` of an exception, without the frames of runners."""
    summary = traceback.TracebackException(type(error), error, error.__traceback__, limit=-64)
    frames = [f for f in summary.stack if not _foreign(f.filename)]
    kept = [traceback.FrameSummary(_shown(f.filename), f.lineno, f.name, line=f.line) for f in frames]
    last = list(summary.format_exception_only())
    text = "".join(["Traceback (most recent call last):\n"] * bool(kept) + traceback.format_list(kept) + last)
    listed: list[dict[str, Any]] = [
        {"path": f.filename, "line": f.lineno or 0, "function": f.name, "code": f.line or ""} for f in kept
    ]
    if isinstance(error, SyntaxError) and error.filename:
        listed.append(
            {
                "path": _shown(error.filename),
                "line": error.lineno or 0,
                "function": "",
                "code": (error.text or "").strip(),
            }
        )
    message = error.msg if isinstance(error, SyntaxError) else _text_of(error)
    return {
        "message": cut(text),
        "trace": {"type": type(error).__name__, "message": cut(str(message), 2000), "frames": listed},
    }


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (the program's own __str__ may raise anything)
        return ""


def _innermost(error: BaseException) -> str:
    """The file of the program (in the working directory) whose code led to `error`."""
    path, at = "", error.__traceback__
    while at is not None:
        shown = _shown(at.tb_frame.f_code.co_filename)
        path = path if os.path.isabs(shown) or shown.startswith("<") else shown  # noqa: PTH117
        at = at.tb_next
    return path


def _status(error: SystemExit) -> int:
    """The exit status that the interpreter makes of it."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(str(error.code) + "\n")
    return 1


def read_script(path: str, reporter: Reporter) -> types.CodeType | None:
    """Compile a script; None after reporting that it does not."""
    with open(path, "rb") as file:  # noqa: PTH123
        content = file.read()
    try:
        return compile(content, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        found = describe(error)
        reporter.write("broken", **found)
        sys.stderr.write(found["message"])
        return None


def fresh_main(path: str, arguments: list[str]) -> dict[str, Any]:
    """Globals of a new `__main__`, `sys.argv` and `sys.path[0]` as Python itself sets them for a script."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    sys.argv = [path] + arguments  # noqa: RUF005
    sys.path[0] = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    return module.__dict__


def join_threads() -> int:
    """Wait for the program's threads as the interpreter does at its end; how many daemons are left."""
    here = threading.current_thread()
    others = [t for t in threading.enumerate() if t is not here]
    for thread in others:
        if not thread.daemon:
            thread.join()
    return sum(t.is_alive() for t in others)


def run_script(task: dict[str, Any], reporter: Reporter) -> int:
    """Run one file as `__main__`; the record `end` is written only after its last line."""
    code = read_script(task["script"], reporter)
    if code is None:
        return 1
    names = fresh_main(task["script"], task.get("args", []))
    try:
        exec(code, names)
    except SystemExit as error:
        reporter.write("exit", path=_innermost(error))
        status = _status(error)
        reporter.write("end", code=status, threads=join_threads())
        return status
    except BaseException as error:  # noqa: BLE001  (whatever the program raises is its failure)
        found = describe(error)
        reporter.write("failed", **found)
        sys.stderr.write(found["message"])
        return 1
    reporter.write("end", code=0, threads=join_threads())
    return 0


def _tidy_paths(task: dict[str, Any]) -> None:
    """Take our own directory off the path of the program and of its children; add the project's own folders."""
    sys.path[:] = [p for p in sys.path if p != _HERE]
    here = os.getcwd()  # noqa: PTH109
    first = 1
    if not task.get("cwd_on_path", True) and sys.path and sys.path[0] in ("", here):
        del sys.path[0]
        first = 0
    own = [os.path.join(here, p) for p in task.get("paths", [])]  # noqa: PTH118
    sys.path[first:first] = own
    os.environ.pop("PYTHONPATH", None)
    if own:
        os.environ["PYTHONPATH"] = os.pathsep.join(own)


def _runner(mode: str, reporter: Reporter) -> Callable[[dict[str, Any], Reporter], int] | None:
    """What runs in this mode; None after reporting that its tool is not installed."""
    if mode == "script":
        return run_script
    try:
        return importlib.import_module("emend_" + mode).run  # type: ignore[no-any-return]
    except ImportError as error:
        reporter.write("missing", name=error.name or mode)
        return None


def main() -> NoReturn:
    """Read the task, run it, leave with its exit status."""
    with open(TASK_FILE, "rb") as file:  # noqa: PTH123
        task = json.loads(file.read())
    os.unlink(TASK_FILE)  # noqa: PTH108
    reporter = Reporter(task.pop("nonce"))
    runner = _runner(task["mode"], reporter)
    _tidy_paths(task)
    sys.exit(4 if runner is None else runner(task, reporter))
