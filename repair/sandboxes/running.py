"""Runs one command in a jail to its end or to a limit: the watchdog of every tier.

Owns reading of output, the clock and the stop at a limit. It does not know how the program is confined.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from dataclasses import dataclass, field

from repair.errors import SandboxError
from repair.sandbox import MIB, Command, Execution, Limits, Stop
from repair.sandboxes.jail import READY, REPORT_VARIABLE, Confined, Jail, Plan, environment
from repair.sandboxes.packing import collect

TICK_SECONDS = 0.05  # between two looks at CPU time and memory
SPARE_PROCESSES = 8  # our own, and room for a count that the kernel holds exactly
REPORT_BYTES = 16 * MIB
_CORES = os.cpu_count() or 1


@dataclass(slots=True)
class Stream:
    """What came out of a descriptor, up to `cap` bytes; `total` counts the rest too."""

    descriptor: int
    cap: int
    pieces: list[bytes] = field(default_factory=list[bytes])
    total: int = 0
    ended: bool = False

    def drain(self) -> None:
        """Take what is there now, without waiting, up to little beyond the cap."""
        while not self.ended and self.total <= self.cap:
            try:
                piece = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return
            self.ended = not piece
            self.pieces.append(piece[: max(0, self.cap - self.total)])
            self.total += len(piece)

    @property
    def content(self) -> bytes:
        """At most `cap` bytes."""
        return b"".join(self.pieces)


@dataclass(slots=True)
class _Watch:
    confined: Confined
    limits: Limits
    streams: tuple[Stream, ...]  # stdout and stderr first; they share one cap
    started: float
    next_look: float
    stopped: Stop | None = None
    cpu_seconds: float = 0.0  # at the last look


def execute(jail: Jail, command: Command) -> Execution:
    """Run `command` in a fresh sandbox. Raises SandboxError when the sandbox, not the program, failed."""
    entries = collect(command.project, command.files, command.limits.disk_bytes)
    env = environment(command)
    with contextlib.ExitStack() as stack:
        pipe = _report_pipe(stack) if command.report else None
        inherited: tuple[int, ...] = ()
        if pipe is not None:
            inherited = (pipe.writer,)
            env[REPORT_VARIABLE] = str(pipe.writer)
        plan = Plan(command.argv, entries, env, command.readable, command.stdin, command.limits, inherited)
        confined = stack.enter_context(jail.start(plan))
        if pipe is not None:
            pipe.close_writer()
        return _attend(confined, command.limits, pipe.reader if pipe is not None else None)


def _report_pipe(stack: contextlib.ExitStack) -> Pipe:
    pipe = Pipe()
    stack.callback(pipe.close)
    os.set_blocking(pipe.reader, False)
    return pipe


class Pipe:
    """A pipe whose program's end lies above 9 (a POSIX shell redirects only one digit)."""

    def __init__(self) -> None:
        low = os.pipe()
        self.reader, self.writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
        for end in low:
            os.close(end)

    def close_reader(self) -> None:
        """Harmless when done before."""
        descriptor, self.reader = self.reader, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close_writer(self) -> None:
        """Harmless when done before."""
        descriptor, self.writer = self.writer, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Both ends."""
        self.close_reader()
        self.close_writer()


def _attend(confined: Confined, limits: Limits, report: int | None) -> Execution:
    out = Stream(confined.stdout, limits.output_bytes)
    err = Stream(confined.stderr, limits.output_bytes + len(READY))
    extra = () if report is None else (Stream(report, REPORT_BYTES),)
    started = time.monotonic()
    watch = _Watch(confined, limits, (out, err, *extra), started, started + _first_look(limits))
    _until_end(watch)
    wall = time.monotonic() - started
    _, status, used = os.wait4(confined.pid, 0)
    for stream in watch.streams:
        stream.drain()
    complaint, ready, errors = err.content.partition(READY)
    if not ready and watch.stopped is None:
        raise SandboxError(f"the sandbox could not be set up: {complaint.decode('utf-8', 'replace').strip()[-2000:]}")
    if watch.stopped is None and confined.oom_kills():
        watch.stopped = Stop.MEMORY
    return Execution(
        exit_code(os.waitstatus_to_exitcode(status)),
        out.content,
        errors if ready else b"",
        extra[0].content if extra else b"",
        wall,
        max(used.ru_utime + used.ru_stime, watch.cpu_seconds),  # what was killed unreaped is in the second only
        watch.stopped,
    )


def exit_code(status: int) -> int:
    """As a shell tells it: 128 + n for signal n becomes -n; a signal that hit the launcher stays one."""
    return 128 - status if 128 < status <= 192 else status


def _until_end(watch: _Watch) -> None:
    handle = os.pidfd_open(watch.confined.pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    by_descriptor = {stream.descriptor: stream for stream in watch.streams}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    try:
        while True:
            ready = [descriptor for descriptor, _ in poll.poll(_pause(watch) * 1000)]
            for descriptor in ready:
                _take(by_descriptor.get(descriptor), poll)
            if handle in ready:
                return
            if watch.stopped is None:
                watch.stopped = _reason(watch, time.monotonic())
                if watch.stopped is not None:
                    watch.confined.kill()
    finally:
        os.close(handle)


def _take(stream: Stream | None, poll: select.poll) -> None:
    if stream is None:
        return
    stream.drain()
    if stream.ended or stream.total > stream.cap:
        poll.unregister(stream.descriptor)


def _pause(watch: _Watch) -> float:
    if watch.stopped is not None:
        return 5.0
    until = min(watch.next_look, watch.started + watch.limits.wall_seconds)
    return max(0.0, until - time.monotonic()) + 0.0005  # poll cuts to whole milliseconds


def _reason(watch: _Watch, now: float) -> Stop | None:
    out, err = watch.streams[:2]
    flooded = out.total + max(0, err.total - len(READY)) > watch.limits.output_bytes
    if flooded or any(stream.total > stream.cap for stream in watch.streams):
        return Stop.OUTPUT
    if now >= watch.started + watch.limits.wall_seconds:
        return Stop.WALL
    return _measured_reason(watch, now) if now >= watch.next_look else None


def _measured_reason(watch: _Watch, now: float) -> Stop | None:
    limits, used = watch.limits, watch.confined.usage(watch.limits)
    watch.cpu_seconds = used.cpu_seconds
    watch.next_look = now + min(TICK_SECONDS, max(0.005, (limits.cpu_seconds - used.cpu_seconds) / _CORES))
    broken = {
        Stop.MEMORY: used.memory_bytes > limits.memory_bytes or watch.confined.oom_kills() > 0,
        Stop.PROCESSES: used.processes > limits.processes + SPARE_PROCESSES,
        Stop.DISK: used.disk_full,
        Stop.CPU: used.cpu_seconds >= limits.cpu_seconds,
    }
    return next((stop for stop, over in broken.items() if over), None)


def _first_look(limits: Limits) -> float:
    return min(TICK_SECONDS, limits.cpu_seconds / _CORES)
