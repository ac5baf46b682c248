"""Reads /proc of the host: the descendants of a process, what they use, whether one lives.

Owns the parsing of /proc; decides nothing. A process that ends while it is read counts as gone.
"""

from __future__ import annotations

import os
from pathlib import Path

from repair.sandboxes.jail import Usage

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> tuple[int, ...]:
    """`root` and its descendants, by the children lists of every thread (proc_pid_task_children(5))."""
    found: list[int] = []
    open_ends = [root]
    while open_ends:
        pid = open_ends.pop()
        found.append(pid)
        open_ends.extend(_children(pid))
    return tuple(found)


def usage(root: int, memory_limit: int) -> Usage:
    """CPU and memory of the tree below `root`. Memory counts shared pages once only when it nears the limit."""
    pids = tree(root)
    cpu, resident = 0.0, 0
    for pid in pids:
        seconds, size = _stat(pid)
        cpu += seconds
        resident += size
    if resident > memory_limit:
        resident = sum(_proportional(pid) for pid in pids)
    return Usage(cpu, resident, len(pids))


def threads_of_user(uid: int) -> int:
    """How many threads run under a user id, which is what RLIMIT_NPROC counts (setrlimit(2))."""
    count = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            fields = dict(line.split(":", 1) for line in _read(process / "status").splitlines() if ":" in line)
            if fields.get("Uid", "").split()[:1] == [str(uid)]:
                count += int(fields["Threads"])
    return count


def _children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    return [int(child) for thread in threads for child in _read(thread / "children").split()]


def _stat(pid: int) -> tuple[float, int]:
    """CPU seconds (with reaped children) and resident bytes of one process."""
    text = _read(f"/proc/{pid}/stat")
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    if len(fields) < 22:
        return 0.0, 0
    return sum(int(value) for value in fields[11:15]) / _TICK, int(fields[21]) * _PAGE


def _proportional(pid: int) -> int:
    """Resident bytes, pages shared by n processes counting 1/n; the plain size where that may not be read."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _stat(pid)[1]


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
