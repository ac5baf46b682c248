"""The Protocol of a sandbox: run a command on a private copy of files, bounded, leaving nothing behind.

Implementations in `sandboxes/`. What a program does inside is never an error here: it is an Execution.
SandboxError is raised only when the sandbox itself cannot be set up or breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

MIB = 1024 * 1024


class Tier(StrEnum):
    """How strongly a sandbox isolates, strongest first (see docs/sandbox.md)."""

    A = "A"  # bubblewrap + seccomp + cgroup
    B = "B"  # bubblewrap + seccomp + memory watchdog
    C = "C"  # landlock + seccomp + rlimits + subreaper
    E = "E"  # limits only, no isolation; only on demand


class Stop(StrEnum):
    """Why the sandbox ended a program."""

    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    DISK = "disk"
    PROCESSES = "processes"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one execution, over its whole process tree unless said otherwise."""

    wall_seconds: float = 30.0
    cpu_seconds: float = 30.0  # per process where no cgroup accounts for the tree
    memory_bytes: int = 2048 * MIB
    processes: int = 128
    disk_bytes: int = 512 * MIB  # of the private copy and of /tmp each
    output_bytes: int = MIB


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run with `project` (a directory on the host) copied to the working directory.

    `files` are laid over that copy (relative posix path -> content). `readable` are host paths that
    the program needs beside the system's: interpreters, virtual environments, read-only runner code.
    With `report` the program inherits a pipe as file descriptor EMEND_REPORT_FD (environment); what
    it writes there comes back as `Execution.report`.
    """

    argv: tuple[str, ...]
    project: Path | None = None
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    readable: tuple[Path, ...] = ()
    stdin: bytes = b""
    limits: Limits = field(default_factory=Limits)
    report: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """How a program ended. `code` is the exit status, negative for a signal; `stopped` names a limit."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""
    report: bytes = b""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    stopped: Stop | None = None


class Zygote(Protocol):
    """A warm Python process inside a sandbox that forks once per candidate, each with its own copy."""

    def run(self, files: Mapping[str, bytes], argv: tuple[str, ...], limits: Limits) -> Execution:
        """Lay `files` over a fresh copy of the project and run `argv` in a fork (see `sandboxes/zygote.py`)."""
        ...


class Sandbox(Protocol):
    """Runs programs that nobody vouches for. Safe to call from several threads."""

    @property
    def tier(self) -> Tier:
        """What it was shown to hold by running canary attacks."""
        ...

    def run(self, command: Command) -> Execution:
        """Run to the end or to a limit; afterwards no process and no file of it is left."""
        ...

    def zygote(self, command: Command, *, preload: tuple[str, ...]) -> AbstractContextManager[Zygote]:
        """A warm Python (`command.argv[0]` is the interpreter) with modules `preload` imported."""
        ...
