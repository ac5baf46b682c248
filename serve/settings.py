"""Settings of the service, as one value. Refused here what would be unsafe to serve."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from repair.errors import InputError

MIB = 1024 * 1024
MAX_SOURCE_BYTES = MIB // 2  # of one file to repair; beyond it a single syntax tree takes seconds


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service may do and spend.

    `max_body_bytes` bounds a request, `body_seconds` the time it may take to arrive. `waiting` requests are
    queued before more are refused with 503; `workers` repairs run at a time (they share one model).
    """

    host: str = "127.0.0.1"
    port: int = 8451
    model: str | None = None
    adapter: Path | None = None
    python: Path | None = None
    max_candidates: int = 1000
    max_seconds: float = 120.0
    max_body_bytes: int = 8 * MIB
    body_seconds: float = 30.0
    waiting: int = 64
    workers: int = 1
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False

    def __post_init__(self) -> None:
        if self.unsafe_no_sandbox and not is_loopback(self.host):
            raise InputError(
                f"--unsafe-no-sandbox is refused on {self.host}: tests would run unisolated for others; use 127.0.0.1",
                field="host",
            )
