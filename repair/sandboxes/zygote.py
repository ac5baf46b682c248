"""The host's side of a zygote: a warm Python in a sandbox that forks per candidate (`resident.py` is the other side).

Owns the requests, the backstop clock and the restart. One zygote serves one job and one tenant: what a candidate
could do to the warm process it could do only to the candidates of the same job, and even then it is noticed.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import marshal
import os
import select
import struct
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from repair.errors import SandboxError
from repair.sandbox import Command, Execution, Limits, Stop
from repair.sandboxes.jail import READY, REPORT_VARIABLE, Confined, Jail, Plan, environment
from repair.sandboxes.packing import Entry, checked_parts, collect
from repair.sandboxes.resident import CPU, MAGIC, MEMORY, OUTPUT, PROCESSES, REPLY, REPORT_BYTES, WALL
from repair.sandboxes.running import Pipe, Stream

_START_SECONDS = 60.0  # importing what is preloaded, on a busy machine
_GRACE_SECONDS = 2.0  # beyond a candidate's own wall limit, which the inside holds by itself
_LOOK_SECONDS = 0.25  # between two looks at the disk, which the inside does not watch
_REPORT_DESCRIPTOR = 100
_SCRIPT = "resident.py"
_STOPS = {WALL: Stop.WALL, CPU: Stop.CPU, MEMORY: Stop.MEMORY, OUTPUT: Stop.OUTPUT, PROCESSES: Stop.PROCESSES}
_KILLED = b"the program ended the process that watched it\n"


@dataclass(slots=True)
class _Warm:
    """A running zygote and its pipes."""

    confined: Confined
    requests: int
    replies: int
    stderr: Stream
    stack: contextlib.ExitStack
    oom_kills: int = 0  # seen so far


class _LostError(Exception):
    """The warm process is gone or of no more use; `stopped` is the limit that the candidate broke, if one."""

    def __init__(self, stopped: Stop | None = None) -> None:
        super().__init__()
        self.stopped = stopped


class ForkingZygote:
    """See `repair.sandbox.Zygote`. Calls from several threads take turns."""

    def __init__(self, jail: Jail, command: Command, preload: tuple[str, ...]) -> None:
        self._jail, self._command, self._preload = jail, command, preload
        self._entries = collect(command.project, command.files, command.limits.disk_bytes)
        self._lock = threading.Lock()
        self._warm: _Warm | None = None

    def warm_up(self) -> None:
        """Start it. Raises SandboxError when the sandbox fails or a preloaded module cannot be imported."""
        with self._lock:
            self._ready()

    def run(self, files: Mapping[str, bytes], argv: tuple[str, ...], limits: Limits) -> Execution:
        """Run `python *argv` in a fork over a fresh copy: ("script.py", …), ("-m", "module", …) or ("-c", code, …).

        Limits above those the zygote was opened with are cut to them, except wall and CPU seconds.
        Raises ValueError for other arguments, SandboxError when no zygote can be kept running.
        """
        _check(argv)
        laid = tuple(("/".join(checked_parts(path)), content) for path, content in files.items())
        bounds = _bounds(limits, self._command.limits)
        with self._lock:
            warm = self._ready()
            started = time.monotonic()
            try:
                _send(warm.requests, (laid, argv, bounds))
                return _answer(warm, limits)
            except _LostError as lost:
                return self._bury(warm, time.monotonic() - started, lost.stopped)

    def close(self) -> None:
        """End it; harmless when done before."""
        with self._lock:
            self._drop()

    def _ready(self) -> _Warm:
        if self._warm is None:
            self._warm = _open(self._jail, self._command, self._entries, self._preload)
        return self._warm

    def _bury(self, warm: _Warm, wall: float, stopped: Stop | None) -> Execution:
        memory = warm.confined.oom_kills() > warm.oom_kills
        self._drop()
        return Execution(-9, stderr=_KILLED, wall_seconds=wall, stopped=Stop.MEMORY if memory else stopped)

    def _drop(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.stack.close()


@contextlib.contextmanager
def open_zygote(jail: Jail, command: Command, preload: tuple[str, ...]) -> Generator[ForkingZygote, None, None]:
    """A zygote that runs already and ends with the context.

    `command.argv` is the interpreter (and its options); project, files, environment, stdin and report hold for all
    candidates.
    """
    zygote = ForkingZygote(jail, command, preload)
    try:
        zygote.warm_up()
        yield zygote
    finally:
        zygote.close()


def _open(jail: Jail, command: Command, entries: tuple[Entry, ...], preload: tuple[str, ...]) -> _Warm:
    with contextlib.ExitStack() as stack:
        requests, replies = Pipe(), Pipe()
        stack.callback(requests.close)
        stack.callback(replies.close)
        confined = stack.enter_context(jail.start(_plan(jail, command, requests.reader, replies.writer)))
        requests.close_reader()
        replies.close_writer()
        warm = _Warm(confined, requests.writer, replies.reader, Stream(confined.stderr, 65536), stack)
        _greet(warm, jail, command, entries, preload)
        warm.stack = stack.pop_all()
        return warm


def _plan(jail: Jail, command: Command, requests: int, replies: int) -> Plan:
    script = importlib.resources.files("repair.sandboxes").joinpath(_SCRIPT).read_bytes()
    env = environment(command)
    if command.report:
        env[REPORT_VARIABLE] = str(_REPORT_DESCRIPTOR)
    return Plan(
        argv=(*command.argv, jail.mounted(_SCRIPT), str(requests), str(replies)),
        entries=(),
        env=env,
        readable=command.readable,
        stdin=command.stdin,
        limits=command.limits,
        inherited=(requests, replies),
        resident=True,
        mounted={_SCRIPT: script},
    )


def _greet(warm: _Warm, jail: Jail, command: Command, entries: tuple[Entry, ...], preload: tuple[str, ...]) -> None:
    """The first message, and the answer to it once everything is imported."""
    copied = tuple((entry.path, entry.mode, entry.content, entry.link) for entry in entries)
    stdin = jail.mounted("stdin") if command.stdin else ""
    report = _REPORT_DESCRIPTOR if command.report else -1
    try:
        _send(warm.requests, (jail.work, jail.scratch, copied, preload, stdin, report, jail.alone))
        code, _, _, _, complaint, _, _ = _receive(warm, command.limits, _START_SECONDS, 65536)
    except _LostError as lost:
        warm.stderr.drain()
        detail = warm.stderr.content.decode("utf-8", "replace").replace(READY.decode(), "").strip()[-2000:]
        raise SandboxError(f"the warm interpreter {command.argv[0]} could not be started: {detail}") from lost
    if code:
        raise SandboxError(f"{command.argv[0]}: {complaint.decode('utf-8', 'replace')}")


def _answer(warm: _Warm, limits: Limits) -> Execution:
    patience = limits.wall_seconds + _GRACE_SECONDS
    code, stop, wall, cpu, out, err, report = _receive(warm, limits, patience, limits.output_bytes)
    stopped = _STOPS.get(stop)
    kills = warm.confined.oom_kills()
    if stopped is None and kills > warm.oom_kills:
        stopped = Stop.MEMORY
    warm.oom_kills = kills
    return Execution(code, out, err, report, wall, cpu, stopped)


def _receive(
    warm: _Warm, limits: Limits, patience: float, cap: int
) -> tuple[int, int, float, float, bytes, bytes, bytes]:
    """A reply, waiting at most `patience` seconds. Raises _LostError."""
    deadline = time.monotonic() + patience
    head = _read(warm, REPLY.size, limits, deadline)
    magic, code, stop, wall, cpu, *sizes = REPLY.unpack(head)
    if magic != MAGIC or sizes[0] > cap or sizes[1] > cap + 4096 or sizes[2] > REPORT_BYTES:
        raise _LostError  # not what our own code sends: the process is no longer ours
    out, err, report = (_read(warm, size, limits, deadline) for size in sizes)
    return code, stop, wall, cpu, out, err, report


def _read(warm: _Warm, size: int, limits: Limits, deadline: float) -> bytes:
    pieces: list[bytes] = []
    poll = select.poll()
    poll.register(warm.replies, select.POLLIN)
    while size:
        left = deadline - time.monotonic()
        if not poll.poll(max(0.0, min(left, _LOOK_SECONDS)) * 1000):
            if left <= _LOOK_SECONDS:
                raise _LostError(Stop.WALL)
            if warm.confined.usage(limits).disk_full:
                raise _LostError(Stop.DISK)
            continue
        piece = os.read(warm.replies, min(size, 1 << 20))
        if not piece:
            raise _LostError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _send(descriptor: int, message: tuple[Any, ...]) -> None:
    body = marshal.dumps(message, 2)
    view = memoryview(struct.pack(">I", len(body)) + body)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        raise _LostError from None


def _bounds(limits: Limits, ceiling: Limits) -> tuple[float, float, int, int, int, int]:
    return (
        limits.wall_seconds,
        limits.cpu_seconds,
        min(limits.memory_bytes, ceiling.memory_bytes),
        min(limits.processes, ceiling.processes),
        min(limits.disk_bytes, ceiling.disk_bytes),
        limits.output_bytes,
    )


def _check(argv: tuple[str, ...]) -> None:
    wanted = 2 if argv[:1] in (("-m",), ("-c",)) else 1
    if len(argv) < wanted or (wanted == 1 and argv[0].startswith("-")):
        raise ValueError(f"{argv!r} is no script, -m module or -c code")
