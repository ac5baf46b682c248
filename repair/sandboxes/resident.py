"""The program inside a zygote's sandbox: imports once, forks per candidate, kills and cleans after each.

Runs under whatever Python 3.8 or later the user has, so it is one file that imports nothing but the standard
library, and it is handed in read-only. It trusts its requests (they come from the host) and nothing else: a
candidate runs as the same user, so every signal that can be refused is, memory and descriptors are closed to
others by clearing the dumpable flag, and the host starts a new one when this one is killed nevertheless.

Wire format, on two pipes: a request is a big-endian uint32 length and a marshalled tuple (version 2, which is
the same in every Python); a reply is REPLY and the bytes of stdout, stderr and report.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import marshal
import os
import resource
import select
import shutil
import signal
import struct
import sys
import threading
import time

REPLY = struct.Struct(">4siBddIII")  # magic, code, stop, wall, cpu, and three lengths
MAGIC = b"EMND"
GOING_ON, WALL, CPU, MEMORY, OUTPUT = range(5)
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
TICK = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")
CLOCK_TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
REPORT_BYTES = 16 * 1024 * 1024
# These end a process unless they are ignored; a candidate may send them to whoever has its uid.
DEADLY = [
    getattr(signal, name)
    for name in "SIGHUP SIGINT SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGTERM SIGVTALRM SIGPROF SIGPOLL SIGXCPU SIGTSTP".split()
]


class Setting:
    """What the first message says, and what is held from one candidate to the next."""

    def __init__(self, requests, replies, message):
        self.requests, self.replies = requests, replies
        (work, scratch, self.entries, self.preload, self.stdin, self.report, self.alone) = message
        self.work = os.path.abspath(work)
        self.scratch = [os.path.abspath(path) for path in scratch]
        self.wake = os.pipe()
        for end in self.wake:
            os.set_blocking(end, False)
        self.prctl = None
        self.own_data = 0


def main():
    requests, replies = int(sys.argv[1]), int(sys.argv[2])
    setting = Setting(requests, replies, read_message(requests))
    harden(setting)
    sys.argv[:] = [""]
    del sys.path[0]  # our own directory is none of the candidate's business
    trouble = import_all(setting.preload)
    if trouble:
        send(setting.replies, trouble.encode("utf-8", "replace"), code=-1)
        return
    setting.own_data = data_size()
    gc.collect()
    gc.freeze()  # so that a collection in a fork does not copy our pages
    gc.disable()
    prepare(setting)
    send(setting.replies, b"")
    serve(setting)


def serve(setting):
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
                become(setting, candidate)  # never returns
            candidate.attend()
        candidate.reply()
        clean(setting)
        prepare(setting)


class Candidate:
    """One fork, from its birth to the death of its last descendant."""

    def __init__(self, setting, message):
        self.setting = setting
        _, self.argv, (self.wall, self.cpu, self.memory, self.processes, self.disk, self.output) = message
        self.pid, self.status, self.stop, self.used = 0, None, GOING_ON, 0.0
        self.started = self.ended = time.monotonic()
        self.pipes = []
        self.pieces = [[], [], []]
        self.sizes = [0, 0, 0]

    def refuse(self, error):
        self.pieces[1].append(("cannot lay down the candidate: %s\n" % error).encode())
        self.status = 1 << 8

    def fork(self):
        self.pipes = [os.pipe() for _ in range(3)]
        for reader, _ in self.pipes:
            os.set_blocking(reader, False)
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid:
            for _, writer in self.pipes:
                os.close(writer)
        return self.pid

    def attend(self):
        poll = select.poll()
        poll.register(self.setting.wake[0], select.POLLIN)
        which = {}
        for index, (reader, _) in enumerate(self.pipes):
            which[reader] = index
            poll.register(reader, select.POLLIN)
        look = self.started + min(TICK, self.cpu / CORES)
        while self.status is None and self.stop == GOING_ON:
            until = min(look, self.started + self.wall)
            for ready, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000 + 0.5):
                if ready == self.setting.wake[0]:
                    drain(ready)
                    self.reap(os.WNOHANG)
                elif self.take(which[ready]):
                    poll.unregister(ready)
            now = time.monotonic()
            if self.status is None and now >= look:
                look = now + self.look()
            if self.status is None and self.stop == GOING_ON and now >= self.started + self.wall:
                self.stop = WALL
        self.ended = time.monotonic()
        self.end_all()
        for index in range(3):
            self.take(index)
        for reader, _ in self.pipes:
            os.close(reader)

    def take(self, index):
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

    def look(self):
        """Measure, stop what is over a limit; seconds until the next look."""
        cpu, memory = self.used, 0
        for pid in self.descendants():
            seconds, size = measure(pid)
            cpu += seconds
            memory += size
        if memory > self.memory:
            memory = sum(map(proportional, self.descendants()))
        if memory > self.memory:
            self.stop = MEMORY
        elif cpu >= self.cpu:
            self.stop = CPU
        return min(TICK, max(0.005, (self.cpu - cpu) / CORES))

    def descendants(self):
        """Everybody but process 1 and us where the process namespace is ours alone, else our own offspring."""
        own = os.getpid()
        if self.setting.alone:
            return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, own)]
        return offspring(own)

    def end_all(self):
        """Kill whatever is left and reap it all: we are the subreaper, so an orphan comes to us."""
        if self.setting.alone:
            try:
                os.kill(-1, signal.SIGKILL)  # everybody but process 1 and us, at once: no fork gets away
            except (ProcessLookupError, PermissionError):
                pass
            self.reap(0)
            return
        while self.reap(os.WNOHANG):
            for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none forks away
                for pid in offspring(os.getpid()):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
            time.sleep(0.001)

    def reap(self, flags):
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

    def reply(self):
        status = self.status
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        content = [b"".join(pieces) for pieces in self.pieces]
        wall = self.ended - self.started
        send(self.setting.replies, *content, code=code, stop=self.stop, wall=wall, cpu=self.used)


# --- in the fork


def become(setting, candidate):
    """Turn this fork into the process that `python *argv` would have been."""
    code = 1
    try:
        confine(setting, candidate)
        gc.enable()
        code = run(candidate.argv)
    finally:
        os._exit(code)


def confine(setting, candidate):
    signal.set_wakeup_fd(-1)
    for number in DEADLY:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    source = os.open(setting.stdin or os.devnull, os.O_RDONLY)
    os.dup2(source, 0)
    for target, (_, writer) in zip((1, 2, setting.report), candidate.pipes):
        if target >= 0:
            os.dup2(writer, target)
    spare = [
        setting.requests,
        setting.replies,
        source,
        *setting.wake,
        *(end for pair in candidate.pipes for end in pair),
    ]
    for descriptor in spare:
        if descriptor not in (0, 1, 2, setting.report):
            os.close(descriptor)
    lower(resource.RLIMIT_CPU, int(candidate.cpu) + 2)
    lower(resource.RLIMIT_DATA, candidate.memory + setting.own_data)
    lower(resource.RLIMIT_FSIZE, candidate.disk)
    lower(resource.RLIMIT_NPROC, candidate.processes + 3 if setting.alone else -1)
    if setting.prctl is not None:
        setting.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def lower(which, value):
    """Set soft and hard bound; never above the hard bound that stands."""
    if value < 0:
        return
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def run(argv):
    """Run what follows `python` on a command line; the exit status."""
    import importlib

    importlib.invalidate_caches()
    code = guarded(start, argv)
    try:
        threading._shutdown()  # waits for threads that are no daemons, as the interpreter does
        atexit._run_exitfuncs()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                code = code or 120
    return code


def start(argv):
    main_module = type(sys)("__main__")
    main_module.__builtins__ = builtins
    sys.modules["__main__"] = main_module
    if argv[0] == "-m":
        import runpy

        sys.argv[:] = ["-m", *argv[2:]]
        sys.path.insert(0, os.getcwd())
        runpy._run_module_as_main(argv[1])
        return
    if argv[0] == "-c":
        sys.argv[:] = ["-c", *argv[2:]]
        sys.path.insert(0, "")
        source, name = argv[1], "<string>"
    else:
        sys.argv[:] = list(argv)
        name = os.path.abspath(argv[0])
        sys.path.insert(0, os.path.dirname(os.path.realpath(argv[0])))
        main_module.__file__ = name
        try:
            with open(name, "rb") as file:
                source = file.read()
        except OSError as error:
            sys.stderr.write("%s: can't open file %r: %s\n" % (sys.executable, name, error))
            raise SystemExit(2)
    exec(compile(source, name, "exec", dont_inherit=True), main_module.__dict__)


def guarded(function, argv):
    """The exit status of `function(argv)` as the interpreter would make it of what it raises."""
    try:
        function(argv)
    except SystemExit as leaving:
        if leaving.code is None:
            return 0
        if isinstance(leaving.code, int):
            return leaving.code & 0xFF
        sys.stderr.write("%s\n" % (leaving.code,))
        return 1
    except BaseException:
        kind, error, trace = sys.exc_info()
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next  # the reader shall see what plain python shows
        sys.excepthook(kind, error.with_traceback(trace), trace)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


# --- around the forks


def harden(setting):
    for number in DEADLY:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(setting.wake[1], warn_on_full_buffer=False)
    try:
        import ctypes

        setting.prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes: the host still notices when we are killed
    setting.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    setting.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def import_all(names):
    """Import the modules; the complaint about the first that fails, or nothing."""
    for name in names:
        try:
            __import__(name)
        except BaseException as error:  # whatever the user's modules raise, the host is told
            return "cannot import %s: %s: %s" % (name, type(error).__name__, error)
    return ""


def prepare(setting):
    """Lay a fresh copy of the project into the empty working directory."""
    os.chdir(setting.work)
    links = []
    for path, mode, content, link in setting.entries:
        if link is not None:
            links.append((path, link))
        elif content is None:
            os.makedirs(path, exist_ok=True)
        else:
            write(path, content, mode)
    for path, link in links:
        os.symlink(link, path)


def lay(work, files):
    """Write a candidate's files over the copy. A link in their place is replaced, not followed."""
    os.chdir(work)
    for path, content in files:
        parent = os.path.dirname(path)
        if parent and not os.path.isdir(parent):
            os.makedirs(parent)
        mode = 0o644
        try:
            mode = os.lstat(path).st_mode & 0o777
            os.unlink(path)
        except FileNotFoundError:
            pass
        write(path, content, mode)


def write(path, content, mode):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def clean(setting):
    """Empty what a candidate can write to."""
    os.chdir("/")
    for directory in (setting.work, *setting.scratch):
        with os.scandir(directory) as listing:
            found = list(listing)
        for entry in found:
            try:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, onerror=force)
                else:
                    os.unlink(entry.path)
            except OSError:
                pass  # a mount point: it is read-only


def force(function, path, _):
    """A candidate may have closed its own directories."""
    try:
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        pass


def offspring(root):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, ends = [], [root]
    while ends:
        ends.extend(children.get(ends.pop(), []))
        found = found + [pid for pid in ends if pid not in found]
    return found


def stat_fields(pid):
    """The fields of /proc/pid/stat from the state on; empty when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def measure(pid):
    fields = stat_fields(pid)
    if len(fields) < 22:
        return 0.0, 0
    return sum(map(int, fields[11:15])) / CLOCK_TICK, int(fields[21]) * PAGE


def proportional(pid):
    """Resident bytes with shared pages divided among those who share them (we share ours with every fork)."""
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return measure(pid)[1]


def data_size():
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * PAGE
    except OSError:
        return 0


def drain(descriptor):
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def read_message(descriptor):
    head = read_exactly(descriptor, 4)
    if head is None:
        return None
    body = read_exactly(descriptor, struct.unpack(">I", head)[0])
    return None if body is None else marshal.loads(body)


def read_exactly(descriptor, size):
    pieces = []
    while size:
        piece = os.read(descriptor, min(size, 1 << 20))
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def send(descriptor, out, err=b"", report=b"", code=0, stop=GOING_ON, wall=0.0, cpu=0.0):
    head = REPLY.pack(MAGIC, code, stop, wall, cpu, len(out), len(err), len(report))
    view = memoryview(b"".join((head, out, err, report)))
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    main()
