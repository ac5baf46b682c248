"""Owner: the process that coordinates a run, named so that others can see whether it still lives."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Owner:
    """A process. `started` (seconds since 1970, as text) tells it from a later one of the same number."""

    host: str
    pid: int
    started: str
    token: str

    @classmethod
    def here(cls) -> Self:
        """The process that asks; another owner for each call."""
        import psutil

        return cls(_host(), os.getpid(), f"{psutil.Process().create_time():.2f}", secrets.token_hex(8))

    @property
    def text(self) -> str:
        """As it is stored."""
        return "\n".join((self.host, str(self.pid), self.started, self.token))

    @classmethod
    def read(cls, text: str) -> Self:
        """What `text` gave."""
        host, pid, started, token = text.split("\n")
        return cls(host, int(pid), started, token)


def dead(owner: Owner) -> bool:
    """Whether the process is surely gone; False for one of another machine, which only its lease can tell of."""
    import psutil

    if owner.host != _host():
        return False
    try:
        process = psutil.Process(owner.pid)
        return f"{process.create_time():.2f}" != owner.started or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _host() -> str:
    """The machine, and which of its containers: process numbers of two containers mean different processes."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path, a name
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()
