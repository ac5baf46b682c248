"""Tiers A and B: bubblewrap namespaces and a system call filter; tier A adds cgroups.

Owns the bubblewrap command line. As root it does without a user namespace and drops to a throwaway uid
inside, because RLIMIT_NPROC binds neither uid 0 nor, in a user namespace, whoever is uid 0 outside.
Otherwise it makes a user namespace and forbids further ones.

Inside, a shell is process 1: it unpacks the private copy, starts the program and waits for it. The kernel
lets no signal from inside reach it, and when it ends everything in the namespace ends with it, before
bubblewrap itself does: nothing can be left behind, and wait4(2) on bubblewrap tells the CPU time of all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from repair.errors import SandboxError
from repair.sandbox import MIB, Command, Execution, Limits, Tier, Zygote
from repair.sandboxes import processes
from repair.sandboxes.cgroups import Cgroup, CgroupHome
from repair.sandboxes.identity import throwaway_uid
from repair.sandboxes.jail import Plan, Usage, memory_file, resource_limits, spawn, system_tool
from repair.sandboxes.packing import to_tar
from repair.sandboxes.readable import SETTINGS, SYSTEM_ROOTS, checked_readable
from repair.sandboxes.running import Pipe, execute
from repair.sandboxes.seccomp import filter_program

WORK = "/sandbox"
RESERVED = "/run/emend"  # our own read-only files, as the program sees them
_MOUNTED = frozenset(Path(name) for name in ("/", "/tmp", "/usr"))  # made by an option of their own
AttachFile = Callable[[str, bytes], int]
_SHM_BYTES = 16 * MIB
_BLOCK = 4096
_FREE_INODES = 20_000
_SETUP_SECONDS = 10.0
_OWN_PROCESSES = 2  # the shell that is process 1, and one to spare for tar
# Descriptor 9 keeps the program's stderr while the shell's own remarks ("Killed") go nowhere.
_SCRIPT = "printf '\\0emend-ready\\n' >&2; exec 9>&2 2>/dev/null; \"$@\" <{stdin} 2>&9 9>&-; exit $?"
_UNPACK = f"{{tar}} -xf - -C {WORK} || exit 97; "


class BubblewrapSandbox:
    """A Sandbox of tier A (given a place for cgroups) or B. Find one with `select.find_sandbox`."""

    def __init__(self, cgroups: CgroupHome | None = None) -> None:
        self._jail = BubblewrapJail(cgroups)

    @property
    def tier(self) -> Tier:
        """A with cgroups, B without."""
        return self._jail.tier

    def run(self, command: Command) -> Execution:
        """See `repair.sandbox.Sandbox.run`."""
        return execute(self._jail, command)

    def zygote(self, command: Command, *, preload: tuple[str, ...] = ()) -> AbstractContextManager[Zygote]:
        """See `repair.sandboxes.zygote`."""
        from repair.sandboxes.zygote import open_zygote

        return open_zygote(self._jail, command, preload)


class BubblewrapJail:
    """A Jail made of namespaces."""

    def __init__(self, cgroups: CgroupHome | None = None) -> None:
        self._cgroups = cgroups

    @property
    def tier(self) -> Tier:
        """A with cgroups, B without."""
        return Tier.B if self._cgroups is None else Tier.A

    @property
    def work(self) -> str:
        """Always the same path, so that two runs give equal tracebacks."""
        return WORK

    @property
    def scratch(self) -> tuple[str, ...]:
        """Both are of limited size."""
        return ("/tmp", "/dev/shm")

    @property
    def alone(self) -> bool:
        """It has its own process namespace."""
        return True

    def mounted(self, name: str) -> str:
        """On the read-only root."""
        return f"{RESERVED}/{name}"

    @contextlib.contextmanager
    def start(self, plan: Plan) -> Generator[Namespaced, None, None]:
        """Raises SandboxError where bubblewrap is missing or cannot be executed."""
        with contextlib.ExitStack() as stack:
            group = None
            if self._cgroups is not None:
                group = stack.enter_context(self._cgroups.group(plan.limits, spare_processes=_OWN_PROCESSES + 2))
            yield _launch(plan, group, stack)


class Namespaced:
    """A program in its namespaces; see `jail.Confined`."""

    def __init__(
        self, process: subprocess.Popen[bytes], out: Pipe, err: Pipe, status: Pipe, group: Cgroup | None
    ) -> None:
        self.pid = process.pid
        self.stdout, self.stderr = out.reader, err.reader
        self._process, self._status, self._group = process, status, group
        self._first = 0  # host pid of process 1 inside, once known

    def first_process(self, wait_seconds: float = 0.0) -> int:
        """Host pid of the process that is number 1 inside; 0 while bubblewrap has not said it."""
        if not self._first and select.select([self._status.reader], [], [], wait_seconds)[0]:
            line = os.read(self._status.reader, 4096).split(b"\n", 1)[0]
            with contextlib.suppress(ValueError):
                self._first = int(json.loads(line or b"{}").get("child-pid", 0))
        return self._first

    def usage(self, limits: Limits) -> Usage:
        """By the cgroup where there is one, else by /proc."""
        first = self.first_process()
        if not first:
            return Usage()
        used = self._group.usage() if self._group is not None else processes.usage(first, limits.memory_bytes)
        return dataclasses.replace(used, disk_full=_inodes_spent(first, limits))

    def oom_kills(self) -> int:
        """Known in tier A only; in tier B the watchdog kills, not the kernel."""
        return 0 if self._group is None else self._group.oom_kills()

    def kill(self) -> None:
        """Process 1 first: its death takes all others along, and bubblewrap lives to reap it."""
        first = self.first_process(1.0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(first or self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill, and reap unless the watchdog has done so."""
        if self._process.returncode is not None:
            return
        try:
            done = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # reaped by wait4
            self._process.returncode = 0
            return
        if not done:
            self.kill()
        self._reap()

    def _reap(self) -> None:
        try:
            self._process.wait(_SETUP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # --die-with-parent ends the inside
            self._process.wait()


def _inodes_spent(first: int, limits: Limits) -> bool:
    """Whether there are so many files that their mere names cost as much as the disk limit allows.

    An empty file takes no block of a tmpfs, but about a kilobyte of the kernel's memory.
    """
    allowed = max(_FREE_INODES, limits.disk_bytes // 1024)
    for path in (WORK, "/tmp"):
        with contextlib.suppress(OSError):
            inside = f"/proc/{first}/root{path}"
            if _same_device(inside, path):  # bubblewrap has not mounted it yet: these are the host's files
                continue
            found = os.statvfs(inside)
            if found.f_files - found.f_ffree > allowed:
                return True
    return False


def _same_device(inside: str, path: str) -> bool:
    """Whether both lie on one file system; False where the host has no such path."""
    try:
        there = Path(path).stat().st_dev
    except OSError:
        return False
    return Path(inside).stat().st_dev == there


def _launch(plan: Plan, group: Cgroup | None, stack: contextlib.ExitStack) -> Namespaced:
    pipes = [Pipe() for _ in range(3)]
    for pipe in pipes:
        stack.callback(pipe.close)
    out, err, status = pipes
    attached: list[int] = []

    def attach(name: str, content: bytes) -> int:
        attached.append(memory_file(name, content))
        stack.callback(os.close, attached[-1])
        return attached[-1]

    argv = _command_line(plan, status.writer, attach)
    passed = (*attached, status.writer, *plan.inherited)
    source = attach("copy", to_tar(plan.entries)) if plan.entries else subprocess.DEVNULL
    if group is not None:
        argv = group.entering(argv)
    try:
        process = spawn(
            argv,
            stdin=source,
            stdout=out.writer,
            stderr=err.writer,
            pass_fds=passed,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
    except OSError as error:
        raise SandboxError(f"cannot start {argv[0]}: {error}; install bubblewrap 0.8 or later") from error
    for pipe in pipes:
        pipe.close_writer()
        os.set_blocking(pipe.reader, False)
    confined = Namespaced(process, out, err, status, group)
    stack.callback(confined.close)
    return confined


def _command_line(plan: Plan, status: int, attach: AttachFile) -> list[str]:
    inside, drop, user = _identity()
    readable = checked_readable(plan.readable)
    program = [*resource_limits(plan, processes=plan.limits.processes + _OWN_PROCESSES), *drop]
    program += [system_tool("sh"), "-c", _script(plan), "sh", *plan.argv]
    return [
        shutil.which("bwrap") or "/usr/bin/bwrap",
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox", "--clearenv"),
        *inside,
        *_environment(plan),
        *_parents([Path(name) for name in (*SETTINGS, f"{RESERVED}/any")]),
        *_system(),
        *("--proc", "/proc", "--dev", "/dev"),
        *_synthetic(user, attach),
        *_tmpfs("/tmp", plan.limits.disk_bytes),
        *_tmpfs(WORK, plan.limits.disk_bytes + _BLOCK * len(plan.entries)),
        *_tmpfs("/dev/shm", _SHM_BYTES),
        *_parents(readable),
        *_bound(readable),
        *_mounted(plan, attach),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK),
        *("--seccomp", str(attach("seccomp", filter_program()))),
        *("--json-status-fd", str(status), "--"),
        *program,
    ]


def _identity() -> tuple[list[str], list[str], int]:
    """Bubblewrap's options, the command that drops privileges inside, and the uid of the program."""
    if os.geteuid() != 0:
        uid = os.geteuid()
        return ["--unshare-user", "--disable-userns", "--cap-drop", "ALL"], [], uid
    uid = throwaway_uid()
    kept = [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    drop = [system_tool("setpriv"), "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--bounding-set=-all"]
    drop += ["--inh-caps=-all", "--no-new-privs", "--pdeathsig", "KILL"]  # the drop cleared bubblewrap's own
    return ["--cap-drop", "ALL", *kept], drop, uid


def _script(plan: Plan) -> str:
    stdin = f"{RESERVED}/stdin" if plan.stdin else "/dev/null"
    return (_UNPACK.format(tar=system_tool("tar")) if plan.entries else "") + _SCRIPT.format(stdin=stdin)


def _environment(plan: Plan) -> list[str]:
    env = {"HOME": "/tmp", "TMPDIR": "/tmp", **plan.env}
    return [word for name, value in env.items() for word in ("--setenv", name, value)]


def _system() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM_ROOTS:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    for name in SETTINGS:
        options += ["--ro-bind-try", name, name]
    return options


def _synthetic(uid: int, attach: AttachFile) -> list[str]:
    """Names for our uid (getpass.getuser fails without) and for the loopback address."""
    contents = {
        "/etc/passwd": f"root:x:0:0:root:/:/bin/sh\nsandbox:x:{uid}:{uid}::/tmp:/bin/sh\n",
        "/etc/group": f"root:x:0:\nsandbox:x:{uid}:\n",
        "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    }
    return _files({path: text.encode() for path, text in contents.items()}, attach)


def _mounted(plan: Plan, attach: AttachFile) -> list[str]:
    own = {f"{RESERVED}/stdin": plan.stdin} if plan.stdin else {}
    return _files({**own, **{f"{RESERVED}/{name}": content for name, content in plan.mounted.items()}}, attach)


def _files(contents: dict[str, bytes], attach: AttachFile) -> list[str]:
    options: list[str] = []
    for path, content in contents.items():
        options += ["--perms", "0444", "--file", str(attach(Path(path).name, content)), path]
    return options


def _tmpfs(path: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", path]


def _bound(paths: Sequence[Path]) -> list[str]:
    """Each path at its own place, so that virtual environments and shebangs, which name full paths, hold."""
    return [word for path in paths for word in ("--ro-bind", str(path), str(path))]


def _parents(paths: Sequence[Path]) -> list[str]:
    """Directories that others may pass; bubblewrap would make those above a bind mount for its owner alone."""
    made = dict.fromkeys(parent for path in paths for parent in reversed(path.parents))
    kept = (path for path in made if path not in _MOUNTED)
    return [word for path in kept for word in ("--perms", "0755", "--dir", str(path))]
