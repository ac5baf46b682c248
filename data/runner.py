"""The child process that runs functions on examples; reads jobs from stdin, answers on stdout, one JSON line each.

Runs as a script with the standard library alone and imports nothing of ours. A job is
`{"program", "calls"}`, the answer one outcome for each call: `["value", repr]`, `["raise", "Type: message", lines]`
with the lines of the program that the traceback names (innermost first), or `["hang", "", lines]`.
Programs get no files, no import but of harmless modules, little time and memory. That keeps honest library code
from doing harm by accident after a mutation; it is no defence against hostile code, which nobody gives it.
"""

from __future__ import annotations

import builtins
import json
import resource
import signal
import sys
from types import FrameType, TracebackType

SAFE_MODULES = frozenset({
    "__future__", "abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "copy",
    "dataclasses",
    "datetime", "decimal", "difflib", "enum", "fractions", "functools", "heapq", "itertools", "json", "keyword", "math",
    "numbers", "operator", "re",
    "statistics", "string", "textwrap", "typing",
    "unicodedata",
})  # fmt: skip
_FORBIDDEN = ("open", "exec", "eval", "input", "compile", "breakpoint", "help", "exit", "quit", "globals", "memoryview")
CALL_SECONDS = 0.06  # of CPU time
MOST_HANGS = 2  # after these no further call is made, they are all taken for hangs
MEMORY_BYTES = 1 << 30
_FILE = "<program>"


class Hang(BaseException):
    """A call that had not ended when its time was up."""


def _alarm(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise Hang


def _allowed() -> dict[str, object]:
    names: dict[str, object] = {name: value for name, value in vars(builtins).items() if name not in _FORBIDDEN}
    names["__import__"], names["print"] = _import, _silent
    return names


def _import(name: str, *rest: object) -> object:
    if name not in SAFE_MODULES:
        raise ImportError(f"{name} may not be imported here")
    return builtins.__import__(name, *rest)  # type: ignore[arg-type]


def _silent(*values: object, **options: object) -> None:
    """Stands for `print`: stdout belongs to the answers."""
    del values, options


def _lines(trace: TracebackType | None) -> list[int]:
    found: list[int] = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE and trace.tb_lineno:
            found.append(trace.tb_lineno)
        trace = trace.tb_next
    return found[::-1][:5]


def _timed(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # CPU time: a busy machine is no hang


def _plain(value: object, depth: int = 0) -> object:
    """The value with iterators unrolled; raises TypeError for what has no plain `repr`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > 6:
        raise TypeError("too deep")
    if isinstance(value, dict) and type(value) is dict:
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in value.items()}
    for kind in (list, tuple, set, frozenset):
        if type(value) is kind:
            return kind(_plain(v, depth + 1) for v in value)
    raise TypeError(f"a {type(value).__name__} has no plain form")


def _outcome(call: str, space: dict[str, object]) -> list[object]:
    try:
        _timed(CALL_SECONDS)
        value = eval(compile(call, "<call>", "eval"), space)
        text = repr(_plain(value))
        _timed(0)
    except Hang as error:
        return ["hang", "", _lines(error.__traceback__)]
    except RecursionError as error:
        _timed(0)
        return ["raise", f"RecursionError: {error}", _lines(error.__traceback__)[:1]]
    except BaseException as error:  # noqa: BLE001  whatever library code raises is the answer
        _timed(0)
        return ["raise", f"{type(error).__name__}: {error}".removesuffix(": "), _lines(error.__traceback__)]
    return ["value", text]


def answer(program: str, calls: list[str]) -> list[list[object]]:
    """The outcomes of the calls; one `raise` for all when the program itself cannot be run."""
    space: dict[str, object] = {"__builtins__": _allowed(), "__name__": "program"}
    try:
        _timed(CALL_SECONDS)
        exec(compile(program, _FILE, "exec"), space)
        _timed(0)
    except BaseException as error:  # noqa: BLE001  the same for what stands at module level
        _timed(0)
        return [["raise", f"{type(error).__name__}: {error}"[:300], _lines(error.__traceback__)]] * len(calls)
    outcomes: list[list[object]] = []
    for call in calls:
        hung = sum(o[0] == "hang" for o in outcomes) >= MOST_HANGS
        outcomes.append(["hang", "", []] if hung else _outcome(call, space))
    return outcomes


def main() -> None:
    """Serve jobs until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGVTALRM, _alarm)
    sys.setrecursionlimit(400)
    for line in sys.stdin:
        job = json.loads(line)
        sys.stdout.write(json.dumps(answer(job["program"], job["calls"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
