# ruff: noqa: ANN401, PTH107, PTH109, PTH118, PTH123  (standard library only, quick to start; values of any type)
"""Runs inside the sandbox under the USER's Python: many small test files, each in a fork, and tells what each raises.

Standard library only, Python >= 3.8, never imports Emend. Reads and removes `.emend-attempts.json` in the working
directory: {nonce, paths, preload, seconds, together, programs: [{text, entry}]}. Writes lines `NONCE {json}` on the
descriptor EMEND_REPORT_FD: {number, error, message, line, levels: [[path, line, function, code], ...]}; `error` is ""
where nothing was raised. What hangs, dies or leaves writes nothing.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import json
import linecache
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import Any

TASK = ".emend-attempts.json"
NAME = "<emend attempt>"
MEMORY = 1 << 30
MOST_FRAMES = 60


def _shown(path: str, here: str) -> str:
    """Relative to the project where it lies inside, else ""."""
    full = os.path.realpath(path)
    inside = full.startswith(here + os.sep) and "site-packages" not in full[len(here) :]
    return full[len(here) + 1 :] if inside else ""


def _described(error: BaseException, here: str) -> dict[str, Any]:
    levels: list[list[Any]] = []
    line = 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename == NAME:
            line = number if not levels else line
        elif code.co_filename != __file__:
            text = linecache.getline(code.co_filename, number, frame.f_globals).strip()
            levels.append([_shown(code.co_filename, here), number, code.co_name, text])
    if isinstance(error, SyntaxError) and error.filename and error.filename != NAME:
        levels.append([_shown(error.filename, here), error.lineno or 0, "", (error.text or "").strip()])
    try:
        message = str(error.msg) if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001  (the program's own __str__)
        message = ""
    del levels[:-MOST_FRAMES]
    return {"error": type(error).__name__, "message": message[:2000], "line": line, "levels": levels}


def _attempt(program: dict[str, str], here: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "emend_attempt", "__file__": os.path.join(here, program["path"])}
    try:
        exec(compile(program["text"], NAME, "exec", dont_inherit=True), space)
        for name in [program["entry"]] if program["entry"] else []:
            space[name]()
    except BaseException as error:  # noqa: BLE001  (whatever the program raises is what we came for)
        return _described(error, here)
    return {"error": "", "message": "", "line": 0, "levels": []}


def _child(number: int, program: dict[str, str], here: str, out: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    answer = json.dumps(dict(_attempt(program, here), number=number))
    payload = memoryview(answer.encode("utf-8", "replace"))
    while payload:
        payload = payload[os.write(out, payload) :]


def _collect(source: int, process: int, seconds: float) -> bytes:
    """What the child writes within its time; it is ended then."""
    end, parts = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0 and select.select([source], [], [], left)[0]:
        part = os.read(source, 65536)
        if not part:
            break
        parts.append(part)
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return b"".join(parts)


def main() -> None:
    """All programs, one after the other, until the time for all is over."""
    report = int(os.environ.pop("EMEND_REPORT_FD"))
    with open(TASK, encoding="utf-8") as file:
        task = json.load(file)
    os.remove(TASK)
    here = os.path.realpath(os.getcwd())
    sys.path[0:1] = [os.path.join(here, path) if path else here for path in task["paths"]]
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(quiet, descriptor)
    for name in task["preload"]:
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001  (an attempt that imports it will tell)
            continue
    sys.stdin = io.StringIO()
    builtins.input = lambda *_: ""  # type: ignore[assignment]
    end = time.monotonic() + task["together"]
    for number, program in enumerate(task["programs"]):
        if time.monotonic() > end:
            break
        source, out = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(report)
            os.close(source)
            try:
                _child(number, program, here, out)
            finally:
                os._exit(0)
        os.close(out)
        answer = _collect(source, process, task["seconds"])
        os.close(source)
        if answer:
            os.write(report, b"\n" + task["nonce"].encode() + b" " + answer.replace(b"\n", b" ") + b"\n")


if __name__ == "__main__":
    main()
