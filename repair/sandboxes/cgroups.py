"""Cgroups, version 1 and 2: the memory, process count and CPU time of a whole tree (tier A).

Owns where groups are made, how a process enters one and how one is removed. Does not start anything.
Formats: Documentation/admin-guide/cgroup-v1/{memory,pids,cpuacct}.rst and cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from repair.errors import SandboxError
from repair.sandbox import Limits
from repair.sandboxes.jail import Usage

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "emend-"
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One group; in version 1 the same name in several hierarchies."""

    memory: Path
    cpu: Path | None
    pids: Path
    unified: bool

    def entering(self, argv: list[str]) -> list[str]:
        """A command line that enters the group and then becomes `argv`."""
        places = sorted({path for path in (self.memory, self.cpu, self.pids) if path is not None})
        enter = " && ".join(f"echo 0 > '{path}/cgroup.procs'" for path in places)
        return ["sh", "-c", f'{enter} && exec "$@"', "sh", *argv]

    def usage(self) -> Usage:
        """CPU seconds since the group was made; memory is left to the kernel, which enforces it."""
        return Usage(cpu_seconds=self._cpu_seconds())

    def oom_kills(self) -> int:
        """How many processes the kernel has killed in it for want of memory."""
        name = "memory.events" if self.unified else "memory.oom_control"
        return _field(_read(self.memory / name), "oom_kill")

    def limit(self, limits: Limits, *, spare_processes: int) -> None:
        """Set the bounds. Raises OSError where the controller refuses."""
        (self.pids / "pids.max").write_text(str(limits.processes + spare_processes), "ascii")
        name, swap = ("memory.max", "memory.swap.max") if self.unified else ("memory.limit_in_bytes", "")
        (self.memory / name).write_text(str(limits.memory_bytes), "ascii")
        if swap:
            with contextlib.suppress(OSError):  # a kernel without swap accounting has no such file
                (self.memory / swap).write_text("0", "ascii")

    def _cpu_seconds(self) -> float:
        if self.cpu is None:
            return 0.0
        if self.unified:
            return _field(_read(self.cpu / "cpu.stat"), "usage_usec") / 1e6
        return int(_read(self.cpu / "cpuacct.usage") or 0) / 1e9


class CgroupHome:
    """A place where groups with memory and pids controllers may be made."""

    def __init__(self, memory: Path, cpu: Path | None, pids: Path, *, unified: bool) -> None:
        self._memory, self._cpu, self._pids, self._unified = memory, cpu, pids, unified

    @contextlib.contextmanager
    def group(self, limits: Limits, *, spare_processes: int) -> Generator[Cgroup, None, None]:
        """A fresh group with these bounds, removed afterwards. Raises SandboxError where it cannot be made."""
        name = f"{_PREFIX}{os.getpid()}-{next(_serial)}-{secrets.token_hex(3)}"
        group = Cgroup(
            self._memory / name, None if self._cpu is None else self._cpu / name, self._pids / name, self._unified
        )
        places = {path for path in (group.memory, group.cpu, group.pids) if path is not None}
        try:
            try:
                for path in places:
                    path.mkdir()
                group.limit(limits, spare_processes=spare_processes)
            except OSError as error:
                raise SandboxError(f"cannot make the cgroup {name}: {error}") from error
            yield group
        finally:
            for path in places:
                _remove(path)

    def sweep(self) -> None:
        """Remove empty groups that an Emend which was killed has left."""
        for parent in {self._memory, self._cpu, self._pids} - {None}:
            assert parent is not None
            for path in parent.glob(f"{_PREFIX}*"):
                owner = path.name.removeprefix(_PREFIX).partition("-")[0]
                if not Path("/proc", owner).exists():
                    with contextlib.suppress(OSError):
                        path.rmdir()


def find_home() -> CgroupHome | None:
    """Where this process may make groups: version 1 mounts, or a delegated part of version 2; None where nowhere."""
    own = _own_groups()
    for home in (_version_1(own), _version_2(own)):
        if home is not None:
            home.sweep()
            return home
    return None


def _own_groups() -> dict[str, str]:
    """Controller (empty for version 2) -> path of our group, from /proc/self/cgroup."""
    groups: dict[str, str] = {}
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _version_1(own: dict[str, str]) -> CgroupHome | None:
    places = {name: _ROOT / name / own.get(name, "/").lstrip("/") for name in ("memory", "pids", "cpuacct")}
    usable = {name: path for name, path in places.items() if os.access(path / "cgroup.procs", os.W_OK)}
    if "memory" not in usable or "pids" not in usable:
        return None
    return CgroupHome(usable["memory"], usable.get("cpuacct"), usable["pids"], unified=False)


def _version_2(own: dict[str, str]) -> CgroupHome | None:
    """Our own group cannot have both processes and controllers for children, so groups are made beside it."""
    if "" not in own:
        return None
    place = _ROOT / own[""].lstrip("/")
    for parent in (place, place.parent):
        if not parent.is_relative_to(_ROOT) or not os.access(parent, os.W_OK):
            continue
        if {"memory", "pids"} <= set(_read(parent / "cgroup.subtree_control").split()):
            return CgroupHome(parent, parent, parent, unified=True)
    return None


def _remove(path: Path) -> None:
    """Right after a kill the kernel still counts the dead for a moment."""
    for attempt in range(8):
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.001 * 2**attempt)
        else:
            return


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
