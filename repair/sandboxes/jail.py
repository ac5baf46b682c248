"""What every tier shares: a Jail starts one confined program, and the values that describe it.

Owns the Protocol between "how a program is confined" (bubblewrap.py, supervised.py) and "what is done
with it" (running.py runs it to its end, zygote.py keeps it warm). Knows nothing of either.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from repair.errors import SandboxError
from repair.sandbox import Command, Limits, Tier
from repair.sandboxes.packing import Entry

REPORT_VARIABLE = "EMEND_REPORT_FD"
# Written to stderr when the sandbox stands and the program is about to start: what comes before it is the
# sandbox's own complaint. A program cannot unwrite it, so it cannot make its failure look like ours.
READY = b"\0emend-ready\n"
OPEN_FILES = 1024
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",  # byte code of a candidate is of no use to the next
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One program to confine. `mounted` are further read-only files (name -> content); see `Jail.mounted`."""

    argv: tuple[str, ...]
    entries: tuple[Entry, ...]
    env: Mapping[str, str]
    readable: tuple[Path, ...]
    stdin: bytes
    limits: Limits
    inherited: tuple[int, ...] = ()  # descriptors that the program keeps
    resident: bool = False  # a zygote: it lives long, so its CPU time has no limit
    mounted: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, slots=True)
class Usage:
    """Of the whole tree, so far."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    disk_full: bool = False


class Confined(Protocol):
    """A started program. Closing ends every process of it and removes every file of it."""

    pid: int  # of the outermost process, a child of ours
    stdout: int  # read ends, non-blocking
    stderr: int

    def usage(self, limits: Limits) -> Usage:
        """Measure the tree; exact only near `limits.memory_bytes`, where it matters."""
        ...

    def oom_kills(self) -> int:
        """How many processes of it the kernel has killed for want of memory."""
        ...

    def kill(self) -> None:
        """End every process, at once; harmless when it has ended."""
        ...


class Jail(Protocol):
    """Starts confined programs in one way."""

    @property
    def tier(self) -> Tier:
        """What it is meant to hold; canaries decide whether it does."""
        ...

    @property
    def work(self) -> str:
        """The working directory of a zygote's candidates as they see it, or empty for the one it is started in."""
        ...

    @property
    def scratch(self) -> tuple[str, ...]:
        """Further directories that a program may write to."""
        ...

    @property
    def alone(self) -> bool:
        """Whether the program has a process namespace of its own: then kill(-1) hits nobody else."""
        ...

    def mounted(self, name: str) -> str:
        """Where the program finds one of `Plan.mounted` (or "stdin")."""
        ...

    def start(self, plan: Plan) -> AbstractContextManager[Confined]:
        """Raises SandboxError when the program cannot even be launched."""
        ...


def environment(command: Command) -> dict[str, str]:
    """The whole environment of the program; nothing of ours is inherited."""
    return {**_ENVIRONMENT, **command.env}


def system_tool(name: str) -> str:
    """The full path of a program of the system, whatever PATH says: some run before privileges are dropped.

    Raises SandboxError where it is missing.
    """
    found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise SandboxError(f"{name} is not installed (it comes with util-linux, tar or the shell)")
    return found


def bounds(plan: Plan, *, processes: int) -> dict[str, int]:
    """Per-process bounds by the name of their RLIMIT, beneath those that hold for the whole tree.

    RLIMIT_DATA and not RLIMIT_AS: JavaScript engines and allocators reserve address space that they never touch.
    """
    limits = plan.limits
    held = {
        "data": limits.memory_bytes,
        "fsize": limits.disk_bytes,
        "nproc": processes,
        "nofile": OPEN_FILES,
        "core": 0,
    }
    if not plan.resident:
        held["cpu"] = math.ceil(limits.cpu_seconds) + 1  # the watchdog is finer and comes first
    return held


def resource_limits(plan: Plan, *, processes: int) -> tuple[str, ...]:
    """The same as a prlimit(1) command line."""
    return (
        system_tool("prlimit"),
        *(f"--{name}={value}" for name, value in bounds(plan, processes=processes).items()),
        "--",
    )


def spawn(
    argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, pass_fds: Sequence[int], env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process from a thread that lives as long as we do.

    A parent-death signal (prctl(2)) comes when the *thread* that started the child ends, and a zygote is often opened
    by a worker thread that ends sooner. Raises OSError where there is no such program.
    """
    start = functools.partial(
        subprocess.Popen,
        list(argv),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        env=dict(env),
        process_group=0,  # Ctrl-C is for us: we end the sandbox then, and blame no candidate
    )
    return _spawner(os.getpid()).submit(start).result()


@functools.cache
def _spawner(_pid: int) -> ThreadPoolExecutor:
    """One for each process: a fork inherits the object, but not its thread."""
    return ThreadPoolExecutor(1, thread_name_prefix="emend-spawner")


def memory_file(name: str, content: bytes) -> int:
    """A descriptor, at its start, of an anonymous file holding `content`."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
