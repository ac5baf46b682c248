"""What tiers C and E share: a private directory on the host and a supervisor process per program.

Owns that directory and the order for `supervisor.py`. It does not know which rules confine a program.
Without mounts there is no file system of limited size: the watchdog measures the directory instead.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import marshal
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repair.errors import SandboxError
from repair.sandbox import Limits, Tier
from repair.sandboxes import processes
from repair.sandboxes.cgroups import Cgroup, CgroupHome
from repair.sandboxes.jail import Plan, Usage, bounds, memory_file, spawn
from repair.sandboxes.packing import lay_down
from repair.sandboxes.running import Pipe

_SLOW_LOOK_SECONDS = 0.2  # between two walks through the directory
_END_SECONDS = 10.0
_BLOCK = 4096
_OWN_PROCESSES = 2  # the supervisor, and one that is just ending
_SUPERVISOR = "supervisor.py"


@dataclass(frozen=True, slots=True)
class Place:
    """The private directory: `work` is copied to, `scratch` is TMPDIR and HOME, `own` holds read-only files of ours."""

    root: Path

    @property
    def work(self) -> Path:
        """The working directory."""
        return self.root / "work"

    @property
    def scratch(self) -> Path:
        """Temporary files."""
        return self.root / "tmp"

    @property
    def own(self) -> Path:
        """Not writable for the program in tier C."""
        return self.root / "own"


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a program is held. `uid` -1: ours; `landlock` and `filter` empty: not at all."""

    uid: int = -1
    landlock: dict[str, Any] | None = None
    filter: bytes = b""


class SupervisedJail:
    """A Jail without namespaces. A subclass says how the program is confined.

    With `cgroups` the kernel bounds memory and processes of the whole tree; without, and as root, only the watchdog
    does, which a program that forks as fast as it can may outrun.
    """

    tier: Tier = Tier.E
    work: str = ""
    scratch: tuple[str, ...] = ("../tmp",)
    alone: bool = False

    def __init__(self, cgroups: CgroupHome | None = None) -> None:
        self._cgroups = cgroups

    def mounted(self, name: str) -> str:
        """Relative to the working directory, which differs from run to run."""
        return f"../own/{name}"

    def confine(self, place: Place, plan: Plan) -> Confinement:  # noqa: ARG002 - for a subclass to use
        """Nothing but limits."""
        return Confinement()

    @contextlib.contextmanager
    def start(self, plan: Plan) -> Generator[Supervised, None, None]:
        """Raises SandboxError where the directory or the process cannot be made."""
        with contextlib.ExitStack() as stack:
            try:
                place = Place(Path(tempfile.mkdtemp(prefix="emend-")))
                stack.callback(_remove, place.root)
                _furnish(place, plan)
                confinement = self.confine(place, plan)
                _hand_over(place, confinement.uid)
                group = None
                if self._cgroups is not None:
                    group = stack.enter_context(self._cgroups.group(plan.limits, spare_processes=_OWN_PROCESSES))
                confined = _launch(place, plan, confinement, group, stack)
            except OSError as error:
                raise SandboxError(f"cannot set up a sandbox of tier {self.tier}: {error}") from error
            yield confined


class Supervised:
    """A program under its supervisor; see `jail.Confined`."""

    def __init__(
        self, process: subprocess.Popen[bytes], out: Pipe, err: Pipe, place: Place, group: Cgroup | None
    ) -> None:
        self.pid = process.pid
        self.stdout, self.stderr = out.reader, err.reader
        self._process, self._place, self._group = process, place, group
        self._next_walk = time.monotonic() + _SLOW_LOOK_SECONDS
        self._disk_full = False

    def usage(self, limits: Limits) -> Usage:
        """By /proc, and now and then by a walk through the directory."""
        if time.monotonic() >= self._next_walk:
            self._disk_full = any(_exceeds(path, limits.disk_bytes) for path in (self._place.work, self._place.scratch))
            self._next_walk = time.monotonic() + _SLOW_LOOK_SECONDS
        used = processes.usage(self.pid, limits.memory_bytes)
        return Usage(used.cpu_seconds, used.memory_bytes, used.processes, self._disk_full)

    def oom_kills(self) -> int:
        """Known where there is a cgroup; elsewhere the watchdog kills, not the kernel."""
        return 0 if self._group is None else self._group.oom_kills()

    def kill(self) -> None:
        """The supervisor does it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Kill, and reap unless the watchdog has done so."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # reaped by wait4
            self._process.returncode = 0
            return
        self.kill()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # the program has stopped its supervisor
            for pid in processes.tree(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()


def _launch(
    place: Place, plan: Plan, confinement: Confinement, group: Cgroup | None, stack: contextlib.ExitStack
) -> Supervised:
    out, err = Pipe(), Pipe()
    stack.callback(out.close)
    stack.callback(err.close)
    order = memory_file("order", marshal.dumps(_order(place, plan, confinement)))
    stack.callback(os.close, order)
    script = stack.enter_context(
        importlib.resources.as_file(importlib.resources.files("repair.sandboxes") / _SUPERVISOR)
    )
    argv = [sys.executable, "-I", "-S", str(script), str(order)]
    process = spawn(
        argv if group is None else group.entering(argv),
        stdin=subprocess.DEVNULL,
        stdout=out.writer,
        stderr=err.writer,
        pass_fds=(order, *plan.inherited),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    for pipe in (out, err):
        pipe.close_writer()
        os.set_blocking(pipe.reader, False)
    confined = Supervised(process, out, err, place, group)
    stack.callback(confined.close)
    return confined


def _order(place: Place, plan: Plan, confinement: Confinement) -> dict[str, Any]:
    return {
        "parent": os.getpid(),
        "argv": plan.argv,
        "env": {"HOME": str(place.scratch), "TMPDIR": str(place.scratch), "USER": "sandbox", **plan.env},
        "work": str(place.work),
        "stdin": str(place.own / "stdin") if plan.stdin else os.devnull,
        "limits": _bounds(plan, dropped=confinement.uid >= 0),
        "inherited": plan.inherited,
        "uid": confinement.uid,
        "landlock": confinement.landlock,
        "filter": confinement.filter,
    }


def _bounds(plan: Plan, *, dropped: bool) -> dict[str, int]:
    """RLIMIT_NPROC counts all threads of a user and never binds root: what the user runs already comes on top."""
    held = bounds(plan, processes=plan.limits.processes + 1)
    if not dropped and os.geteuid() == 0:
        del held["nproc"]
    elif not dropped:
        held["nproc"] += processes.threads_of_user(os.geteuid()) + 1
    return held


def _furnish(place: Place, plan: Plan) -> None:
    for path in (place.work, place.scratch, place.own):
        path.mkdir(mode=0o700)
    lay_down(plan.entries, place.work)
    for name, content in (*plan.mounted.items(), ("stdin", plan.stdin)):
        target = place.own / name
        target.write_bytes(content)
        target.chmod(0o444)
    place.own.chmod(0o555)


def _hand_over(place: Place, uid: int) -> None:
    if uid < 0:
        return
    place.root.chmod(0o711)
    for top in (place.work, place.scratch):
        for path in (top, *top.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)


def _exceeds(top: Path, limit: int) -> bool:
    """Whether the files below `top` take more than `limit` bytes, each at least a block; looks no further than that."""
    total = 0
    for entry in _entries(str(top)):
        with contextlib.suppress(OSError):
            total += max(_BLOCK, entry.stat(follow_symlinks=False).st_blocks * 512)
        if total > limit:
            return True
    return False


def _entries(directory: str) -> Generator[os.DirEntry[str], None, None]:
    """Lazily, since a directory may grow faster than it can be listed."""
    with contextlib.suppress(OSError), os.scandir(directory) as listing:
        for entry in listing:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)


def _remove(root: Path) -> None:
    """Also where the program has closed a directory to others."""
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        for directory, names, _ in os.walk(root):
            for path in (Path(directory, name) for name in names):
                if not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(root, ignore_errors=True)
