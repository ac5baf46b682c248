"""Sizes and addresses that the commands and the service share. Imports nothing heavy."""

from __future__ import annotations

import ipaddress

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
