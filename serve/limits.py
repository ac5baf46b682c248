"""Sizes, addresses and folders that the commands and the service share. Imports nothing heavy."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

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


def state_directory() -> Path:
    """Where the database and logs lie: the XDG state folder of this user."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - no home is no error
    return Path(state) / "emend"
