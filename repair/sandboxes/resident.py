"""The program inside a zygote's sandbox: imports once, forks per candidate, kills and cleans after each.

Runs under whatever Python 3.8 or later the user has, so it is one file that imports nothing but the standard
library, and it is handed in read-only. It trusts its requests (they come from the host) and nothing else: a
candidate runs as the same user, so every signal that can be refused is, its memory and descriptors are closed to
others by clearing the dumpable flag, and the host starts a new one when this one is killed nevertheless.

Wire format, on two pipes: a request is a big-endian uint32 length and a marshalled tuple (version 2, which is
the same in every Python); a reply is REPLY and the bytes of stdout, stderr and report.
"""

# The hot path: pathlib costs more than the calls it wraps. And marshal gives Any.
# ruff: noqa: ANN401, PTH100, PTH101, PTH103, PTH108, PTH109, PTH112, PTH114
# ruff: noqa: PTH118, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import atexit
import builtins
import gc
import importlib
import marshal
import os
import resource
import runpy
import select
import shutil
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

REPLY = struct.Struct(">4siBddIII")  # magic, code, stop, wall, cpu, and three lengths
MAGIC = b"EMND"
GOING_ON, WALL, CPU, MEMORY, OUTPUT, PROCESSES = range(6)
REPORT_BYTES = 16 * 1024 * 1024
TICK = 0.05  # seconds between two looks at CPU time and memory
SPARE_PROCESSES = 3  # process 1, ourselves, and one that is just ending
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
PAGE, CLOCK_TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
# These end a process unless they are ignored; a candidate may send them to whoever has its uid.
DEADLY = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM),
    *(signal.SIGVTALRM, signal.SIGPROF, signal.SIGPOLL, signal.SIGXCPU, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)


class Setting:
    """What the first message says, and what is held from one candidate to the next."""

    def __init__(self, requests: int, replies: int, message: Any) -> None:
        self.requests, self.replies = requests, replies
        (work, scratch, self.entries, self.preload, self.stdin, self.report, self.alone) = message
        self.work: str = os.path.abspath(work)
        self.scratch = [os.path.abspath(path) for path in scratch]
        self.mounts = mount_points()  # before any candidate runs; none of them can mount
        self.wake = os.pipe()
        for end in self.wake:
            os.set_blocking(end, False)
        self.prctl: Callable[..., int] | None = None
        self.own_data = 0  # bytes of memory that every fork starts with


def main() -> None:
    """Greet, import, then serve until the host closes the pipe."""
    setting = Setting(int(sys.argv[1]), int(sys.argv[2]), read_message(int(sys.argv[1])))
    harden(setting)
    del sys.path[0]  # our own directory is none of the candidate's business
    trouble = import_all(setting.preload)
    if trouble:
        send(setting.replies, trouble.encode("utf-8", "replace"), code=1)
        return
    setting.own_data = data_size()
    gc.collect()
    gc.freeze()  # so that a collection in a fork does not copy our pages
    gc.disable()
    prepare(setting)
    send(setting.replies, b"")
    serve(setting)


def serve(setting: Setting) -> None:
    """One candidate after the other; what can be done between two is done after the reply."""
    while True:
        message = read_message(setting.requests)
        if message is None:
            return
        candidate = Candidate(setting, message)
        try:
            lay(setting.work, message[0])
        except OSError as error:
            candidate.refuse(error)
        else:
            if candidate.fork() == 0:
                become(setting, candidate)
            candidate.attend()
        candidate.reply()
        clean(setting)
        prepare(setting)


class Candidate:
    """One fork, from its birth to the death of its last descendant."""

    def __init__(self, setting: Setting, message: Any) -> None:
        self.setting = setting
        _, self.argv, (self.wall, self.cpu, self.memory, self.processes, self.disk, self.output) = message
        self.pid, self.status, self.stop, self.used = 0, -1, GOING_ON, 0.0
        self.started = self.ended = time.monotonic()
        self.pipes: list[tuple[int, int]] = []
        self.pieces: list[list[bytes]] = [[], [], []]  # stdout, stderr, report
        self.sizes = [0, 0, 0]

    def refuse(self, error: OSError) -> None:
        """It does not fit on the disk."""
        self.pieces[1].append(f"cannot lay down the candidate: {error}\n".encode("utf-8", "replace"))
        self.status = 1 << 8

    def fork(self) -> int:
        """Zero in the fork."""
        self.pipes = [os.pipe() for _ in range(3)]
        for reader, _ in self.pipes:
            os.set_blocking(reader, False)
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid:
            for _, writer in self.pipes:
                os.close(writer)
        return self.pid

    def attend(self) -> None:
        """Wait for its end or for a limit, then end everything that is left of it."""
        poll = select.poll()
        poll.register(self.setting.wake[0], select.POLLIN)
        which = {reader: index for index, (reader, _) in enumerate(self.pipes)}
        for reader in which:
            poll.register(reader, select.POLLIN)
        look = self.started + min(TICK, self.cpu / CORES)
        while self.status < 0 and self.stop == GOING_ON:
            until = min(look, self.started + self.wall)
            for ready, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000 + 0.5):
                if ready == self.setting.wake[0]:
                    drain(ready)
                    self.reap(os.WNOHANG)
                elif self.take(which[ready]):
                    poll.unregister(ready)
            now = time.monotonic()
            if self.status < 0 and now >= look:
                look = now + self.look()
            if self.status < 0 and self.stop == GOING_ON and now >= self.started + self.wall:
                self.stop = WALL
        self.ended = time.monotonic()
        self.end_all()
        for index, (reader, _) in enumerate(self.pipes):
            self.take(index)
            os.close(reader)

    def take(self, index: int) -> bool:
        """Read what is there; True when nothing more is wanted from that pipe."""
        cap = REPORT_BYTES if index == 2 else self.output
        while True:
            try:
                piece = os.read(self.pipes[index][0], 65536)
            except BlockingIOError:
                return False
            if not piece:
                return True
            self.pieces[index].append(piece[: max(0, cap - self.sizes[index])])
            self.sizes[index] += len(piece)
            if self.sizes[2] > REPORT_BYTES or self.sizes[0] + self.sizes[1] > self.output:
                self.stop = self.stop or OUTPUT
                return True

    def look(self) -> float:
        """Measure, stop what is over a limit; seconds until the next look."""
        cpu, memory = self.used, 0
        pids = self.descendants()
        for pid in pids:
            seconds, size = measure(pid)
            cpu += seconds
            memory += size
        if memory > self.memory and sum(map(proportional, pids)) > self.memory:
            self.stop = MEMORY
        elif cpu >= self.cpu:
            self.stop = CPU
        elif len(pids) > self.processes + SPARE_PROCESSES:
            self.stop = PROCESSES
        return min(TICK, max(0.005, (self.cpu - cpu) / CORES))

    def descendants(self) -> Sequence[int]:
        """Everybody but process 1 and us where the process namespace is ours alone, else our own offspring."""
        own = os.getpid()
        if self.setting.alone:
            return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, own)]
        return offspring(own)

    def end_all(self) -> None:
        """Kill whatever is left and reap it all: we are the subreaper, so an orphan comes to us."""
        if self.setting.alone:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL)  # everybody but process 1 and us, at once: no fork gets away
            self.reap(0)
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # its group in one stroke; then whoever has left it
        while self.reap(os.WNOHANG):
            for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none forks away
                for pid in offspring(os.getpid()):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            time.sleep(0.001)

    def reap(self, flags: int) -> bool:
        """Collect the dead; False when no child is left."""
        while True:
            try:
                pid, status, used = os.wait4(-1, flags)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.used += used.ru_utime + used.ru_stime
            if pid == self.pid:
                self.status = status

    def reply(self) -> None:
        """Tell the host how it ended."""
        status = self.status
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        content = [b"".join(pieces) for pieces in self.pieces]
        wall = self.ended - self.started
        send(self.setting.replies, *content, code=code, stop=self.stop, wall=wall, cpu=self.used)


# --- in the fork


def become(setting: Setting, candidate: Candidate) -> NoReturn:
    """Turn this fork into the process that `python *argv` would have been."""
    code = 1
    try:
        confine(setting, candidate)
        gc.enable()
        importlib.invalidate_caches()
        code = finish(guarded(start, candidate.argv))
    finally:
        os._exit(code)


def confine(setting: Setting, candidate: Candidate) -> None:
    """Signals, session, descriptors and limits of its own."""
    signal.set_wakeup_fd(-1)
    for number in (*DEADLY, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    source = os.open(setting.stdin or os.devnull, os.O_RDONLY)
    os.dup2(source, 0)
    ours = {setting.requests, setting.replies, source, *setting.wake}
    for target, (reader, writer) in zip((1, 2, setting.report), candidate.pipes):  # noqa: B905 - 3.8 has no `strict`
        if target >= 0:
            os.dup2(writer, target)
        ours |= {reader, writer}
    for descriptor in ours - {0, 1, 2, setting.report}:
        os.close(descriptor)
    lower(resource.RLIMIT_CPU, int(candidate.cpu) + 2)
    lower(resource.RLIMIT_DATA, candidate.memory + setting.own_data)
    lower(resource.RLIMIT_FSIZE, candidate.disk)
    if setting.alone:
        lower(resource.RLIMIT_NPROC, candidate.processes + SPARE_PROCESSES)
    if setting.prctl is not None:
        setting.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def lower(which: int, value: int) -> None:
    """Set the soft and the hard bound; never above the hard bound that stands."""
    hard = resource.getrlimit(which)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


def start(argv: Sequence[str]) -> None:
    """Run what follows `python` on a command line."""
    own = type(sys)("__main__")
    own.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = own
    if argv[0] == "-m":
        sys.argv[:] = ["-m", *argv[2:]]
        sys.path.insert(0, os.getcwd())
        # As `python -m` does it; runpy.run_module would run it under a module that is not __main__'s own.
        runpy._run_module_as_main(argv[1])  # type: ignore[attr-defined]
        return
    sys.argv[:] = argv if argv[0] != "-c" else ["-c", *argv[2:]]
    if argv[0] == "-c":
        sys.path.insert(0, "")
        source, name = argv[1].encode("utf-8", "surrogateescape"), "<string>"
    else:
        name = os.path.abspath(argv[0])
        sys.path.insert(0, os.path.dirname(os.path.realpath(name)))
        own.__file__ = name
        source = read_script(name)
    exec(compile(source, name, "exec", dont_inherit=True), own.__dict__)


def read_script(name: str) -> bytes:
    """The complaint about a missing one is the interpreter's."""
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {name!r}: [Errno {error.errno}] {error.strerror}\n")
        raise SystemExit(2) from None


def guarded(function: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """The exit status of `function(argv)` as the interpreter would make it of what it raises."""
    try:
        function(argv)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return (leaving.code or 0) & 0xFF
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    except BaseException as error:  # noqa: BLE001 - the interpreter catches all there is, and so does its double
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next  # the reader shall see what plain python shows
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def finish(code: int) -> int:
    """What the interpreter does at its end, except taking apart every module: the process is thrown away whole."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads that are no daemons
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] - there is no public way short of ending
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            code = code or 120
    return code


# --- around the forks


def harden(setting: Setting) -> None:
    """Refuse signals, adopt orphans, and close our memory and descriptors to others of our uid."""
    for number in DEADLY:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, notice)
    signal.set_wakeup_fd(setting.wake[1], warn_on_full_buffer=False)
    try:
        import ctypes  # some interpreters are built without it

        setting.prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return  # then the host still notices when we are killed
    setting.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    setting.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def notice(_number: int, _frame: object) -> None:
    """A handler of any kind is what makes the wake-up descriptor speak."""


def import_all(names: Sequence[str]) -> str:
    """Import the modules; the complaint about the first that fails, or nothing."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - whatever the user's modules raise, the host is told
            return f"cannot import {name}: {type(error).__name__}: {error}"
    return ""


def prepare(setting: Setting) -> None:
    """Lay a fresh copy of the project into the empty working directory."""
    os.chdir(setting.work)
    links = []
    for path, mode, content, link in setting.entries:
        if link is not None:
            links.append((link, path))
        elif content is None:
            os.makedirs(path, exist_ok=True)
        else:
            write(path, content, mode)
    for link, path in links:  # last, so that nothing is ever written through one
        os.symlink(link, path)


def lay(work: str, files: Sequence[tuple[str, bytes]]) -> None:
    """Write a candidate's files over the copy. A link in their place is replaced, not followed."""
    os.chdir(work)
    for path, content in files:
        parent = os.path.dirname(path)
        if parent and not os.path.isdir(parent):
            os.makedirs(parent)
        mode = 0o644
        with suppress(FileNotFoundError):
            mode = os.lstat(path).st_mode & 0o777
            os.unlink(path)
        write(path, content, mode)


def write(path: str, content: bytes, mode: int) -> None:
    """Make a file that is not there yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        write_all(descriptor, content)
    finally:
        os.close(descriptor)


def clean(setting: Setting) -> None:
    """Empty what a candidate can write to."""
    os.chdir("/")
    for directory in (setting.work, *setting.scratch):
        if not setting.alone:
            os.chmod(directory, 0o700)  # it is ours; in a namespace it is a mount point of another user
        empty(directory, setting.mounts)


def empty(directory: str, mounts: frozenset[str]) -> None:
    """Remove what lies in a directory, but not what is mounted somewhere below it.

    Mounts are read-only, so that removing them fails anyway, but only after a walk through all of an interpreter's
    files where that lies in /tmp: 0.2 s for each candidate.
    """
    with os.scandir(directory) as listing:
        found = list(listing)
    for entry in found:
        if entry.path in mounts:
            continue
        with suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif any(path.startswith(f"{entry.path}/") for path in mounts):
                empty(entry.path, mounts)
            else:
                remove_tree(entry.path)


def mount_points() -> frozenset[str]:
    """Where something is mounted; the kernel writes blanks and backslashes in octal."""
    with open("/proc/self/mountinfo", "rb") as stream:
        fields = [line.split(b" ")[4] for line in stream]
    return frozenset(os.fsdecode(field.decode("unicode_escape").encode("latin-1")) for field in fields)


def remove_tree(path: str) -> None:
    """Also where the candidate has closed a directory to everybody."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        os.chmod(path, 0o700)
        for directory, names, _ in os.walk(path):
            for name in names:
                inner = os.path.join(directory, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)
        shutil.rmtree(path, ignore_errors=True)


def offspring(root: int) -> list[int]:
    """The living descendants of a process, by everybody's parent."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        fields = stat_fields(int(name)) if name.isdigit() else []
        if fields and fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, []))
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, []))
    return found


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/pid/stat from the state on; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def measure(pid: int) -> tuple[float, int]:
    """CPU seconds, with those of children that were waited for, and resident bytes."""
    fields = stat_fields(pid)
    if len(fields) < 22:
        return 0.0, 0
    return sum(map(int, fields[11:15])) / CLOCK_TICK, int(fields[21]) * PAGE


def proportional(pid: int) -> int:
    """Resident bytes with shared pages divided among those who share them (we share ours with every fork)."""
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return measure(pid)[1]


def data_size() -> int:
    """Bytes that count against RLIMIT_DATA already."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * PAGE
    except OSError:
        return 0


def drain(descriptor: int) -> None:
    """Throw away what is there."""
    with suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def read_message(descriptor: int) -> Any:
    """None at the end of the pipe."""
    head = read_exactly(descriptor, 4)
    body = read_exactly(descriptor, struct.unpack(">I", head)[0]) if head else b""
    return marshal.loads(body) if body else None


def read_exactly(descriptor: int, size: int) -> bytes:
    """Empty where the pipe ends before."""
    pieces = []
    while size:
        piece = os.read(descriptor, min(size, 1 << 20))
        if not piece:
            return b""
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def send(  # noqa: PLR0913 - the fields of one message
    descriptor: int,
    out: bytes,
    err: bytes = b"",
    report: bytes = b"",
    *,
    code: int = 0,
    stop: int = GOING_ON,
    wall: float = 0.0,
    cpu: float = 0.0,
) -> None:
    """One reply."""
    head = REPLY.pack(MAGIC, code, stop, wall, cpu, len(out), len(err), len(report))
    write_all(descriptor, b"".join((head, out, err, report)))


def write_all(descriptor: int, content: bytes) -> None:
    """However many calls it takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    main()
