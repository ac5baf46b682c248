"""Tier C: landlock, a system call filter and limits, for machines that allow no namespaces (a plain container).

Owns the rules. Weaker than A and B: the program sees that host files and processes exist (their names, sizes and
command lines, not their contents or environments), and it may open no socket at all, only socket pairs, because a
socket would lead to the services of the host. As root it runs as a throwaway uid, so an interpreter in root's home
cannot be used; as an ordinary user it is that user, and changes of mode or owner are ignored.

Source: landlock(7) and linux/landlock.h (rights by ABI: 2 REFER, 3 TRUNCATE, 4 network, 5 IOCTL_DEV, 6 scopes).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from repair.errors import SandboxError
from repair.sandbox import Command, Execution, Tier, Zygote
from repair.sandboxes.identity import throwaway_uid
from repair.sandboxes.jail import Plan
from repair.sandboxes.readable import SYSTEM_PATHS, checked_readable
from repair.sandboxes.running import execute
from repair.sandboxes.seccomp import filter_program
from repair.sandboxes.supervised import Confinement, Place, SupervisedJail
from repair.sandboxes.zygote import open_zygote

_CREATE_RULESET, _VERSION = 444, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG, _TRUNCATE, _REFER, _IOCTL_DEV = 1 << 5, 1 << 8, 1 << 14, 1 << 13, 1 << 15
_BASE = (1 << 13) - 1  # the thirteen rights of ABI 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the others make sense for directories only
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_NAMES = ("/etc/passwd", "/etc/group", "/etc/hosts")


class LandlockSandbox:
    """A Sandbox of tier C. Find one with `select.find_sandbox(Tier.C)`."""

    tier = Tier.C

    def __init__(self) -> None:
        self._jail = LandlockJail()

    def run(self, command: Command) -> Execution:
        """See `repair.sandbox.Sandbox.run`."""
        return execute(self._jail, command)

    def zygote(self, command: Command, *, preload: tuple[str, ...] = ()) -> AbstractContextManager[Zygote]:
        """See `repair.sandboxes.zygote`."""
        return open_zygote(self._jail, command, preload)


class LandlockJail(SupervisedJail):
    """A Jail made of landlock rules. Raises SandboxError where the kernel has none."""

    tier = Tier.C

    def __init__(self) -> None:
        super().__init__()
        self._abi = landlock_abi()
        if self._abi < 1:
            raise SandboxError("this kernel has no landlock (Linux 5.13 or later, with `landlock` among its lsm=)")

    def confine(self, place: Place, plan: Plan) -> Confinement:
        """As root with a uid of its own, else as ourselves."""
        uid = throwaway_uid() if os.geteuid() == 0 else -1
        rules = _ruleset(self._abi, _paths(place, plan, self._abi, own_uid=uid >= 0))
        return Confinement(uid, rules, filter_program(sockets=False, same_user=uid < 0))


def landlock_abi() -> int:
    """The version of landlock that the kernel offers; 0 where it offers none."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    return max(0, found)


def handled_rights(abi: int) -> int:
    """Every right on files that this version can withhold."""
    later = (_REFER, 2), (_TRUNCATE, 3), (_IOCTL_DEV, 5)
    return _BASE | sum(right for right, since in later if abi >= since)


def _ruleset(abi: int, paths: list[tuple[str, int]]) -> dict[str, Any]:
    """What `supervisor.py` turns into struct landlock_ruleset_attr, cut to the size this version knows."""
    return {
        "filesystem": handled_rights(abi),
        "network": 0b11 if abi >= 4 else 0,  # bind and connect TCP: no port is allowed
        "scoped": 0b11 if abi >= 6 else 0,  # abstract sockets and signals: only within
        "size": 24 if abi >= 6 else 16 if abi >= 4 else 8,
        "paths": paths,
    }


def _paths(place: Place, plan: Plan, abi: int, *, own_uid: bool) -> list[tuple[str, int]]:
    everything = handled_rights(abi) & ~_IOCTL_DEV
    read = _READ_FILE | _READ_DIR
    rules = _rules((*SYSTEM_PATHS, *checked_readable(plan.readable)), read | _EXECUTE)
    rules += _rules((*_NAMES, "/proc", place.own), read)
    rules += _rules(_DEVICES, _READ_FILE | _WRITE_FILE)
    rules += _rules((place.work, place.scratch), everything)
    if own_uid:  # semaphores live here; with our own uid they could be those of other programs
        rules += _rules(("/dev/shm",), (_READ_FILE | _WRITE_FILE | _MAKE_REG | _REMOVE_FILE | _TRUNCATE) & everything)
    return rules


def _rules(paths: Iterable[str | Path], access: int) -> list[tuple[str, int]]:
    found = [Path(path) for path in paths]
    return [(str(path), access if path.is_dir() else access & _ON_FILES) for path in found if path.exists()]
