"""A warm interpreter judges many candidates; none may see, slow, imitate or outlive another."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from repair.errors import SandboxError
from repair.sandbox import MIB, Command, Limits, Stop, Tier
from repair.sandboxes import processes, resident
from repair.sandboxes.bubblewrap import BubblewrapSandbox
from repair.sandboxes.readable import interpreter_paths

from .conftest import cleaned, trial_of

LIMITS = Limits(wall_seconds=90, cpu_seconds=60, memory_bytes=512 * MIB, processes=32, disk_bytes=32 * MIB)
PROJECT = {"pkg/__init__.py": b"", "pkg/a.py": b"X = 1\n"}


@pytest.fixture(params=list(Tier), ids=lambda tier: f"tier-{tier}", scope="module")
def warm(request):
    """One zygote for all tests of a tier: whatever one test does, the next finds it whole."""
    with cleaned(trial_of(request.param)) as trial:
        command = Command(
            (str(trial.python),),
            files=PROJECT,
            env={"TOKEN": trial.token},
            readable=interpreter_paths(trial.python),
            stdin=b"given",
            limits=LIMITS,
            report=True,
        )
        with trial.sandbox.zygote(command, preload=("json", "decimal")) as zygote:
            zygote.trial = trial  # for the search for survivors
            yield zygote


def say(zygote, code, limits=LIMITS, **files):
    done = zygote.run(
        {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}, ("-c", code), limits
    )
    assert done.stopped is None, done
    assert done.stderr == b""
    return done.stdout.decode()


def test_a_fork_runs_as_python_would(warm):
    code = b"""
import os, sys, pkg.a
print(__name__, sys.argv[1:], os.path.basename(sys.argv[0]), pkg.a.X, sys.stdin.read(), "json" in sys.modules)
print(sys.path[0] == os.getcwd(), __file__ == os.path.join(os.getcwd(), "go.py"))
print(sys.modules["__main__"].__dict__ is globals())
os.write(int(os.environ["EMEND_REPORT_FD"]), b"report")
sys.exit(4)
"""
    done = warm.run({"go.py": code}, ("go.py", "one", "two"), LIMITS)
    assert done.stdout == b"__main__ ['one', 'two'] go.py 1 given True\nTrue True\nTrue\n"
    assert (done.code, done.stderr, done.report, done.stopped) == (4, b"", b"report", None)
    assert done.wall_seconds > 0
    assert done.cpu_seconds > 0


def test_modules_run_as_python_would(warm):
    files = {
        "tool/__main__.py": b"import sys\nprint(__name__, __package__, sys.argv[1:], sys.path[0])",
        "tool/__init__.py": b"",
    }
    done = warm.run(files, ("-m", "tool", "x"), LIMITS)
    assert done.stdout.startswith(b"__main__ tool ['x'] /")
    assert warm.run({}, ("-m", "no_such_module"), LIMITS).code == 1
    assert b"no_such_module" in warm.run({}, ("-m", "no_such_module"), LIMITS).stderr
    missing = warm.run({}, ("nowhere.py",), LIMITS)
    assert (missing.code, b"can't open file" in missing.stderr) == (2, True)


def test_a_traceback_shows_only_the_candidate(warm):
    done = warm.run({"go.py": b"def f():\n    return 1 / 0\nf()\n"}, ("go.py",), LIMITS)
    assert done.code == 1
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('go.py", line 3, in <module>')
    assert "resident" not in done.stderr.decode()
    broken = warm.run({"go.py": b"def f(:\n"}, ("go.py",), LIMITS)
    assert broken.stderr.lstrip().startswith(b"File ") and b"SyntaxError" in broken.stderr


def test_the_end_is_the_interpreters(warm):
    code = """
import atexit, sys, threading, time
atexit.register(print, "at exit")
def late():
    time.sleep(0.05)
    print("thread")
threading.Thread(target=late).start()
sys.stdout.write("unflushed ")
sys.exit("complaint")
"""
    done = warm.run({}, ("-c", code), LIMITS)
    assert (done.code, done.stdout, done.stderr) == (1, b"unflushed thread\nat exit\n", b"complaint\n")
    assert warm.run({}, ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), LIMITS).code == -15
    assert warm.run({}, ("-c", "import os; os.abort()"), LIMITS).code == -6


def test_files_modules_and_environment_of_one_are_not_the_nexts(warm):
    spoil = """
import builtins, json, os, sys, tempfile
open("left", "w").close(); os.mkdir("closed")
open("closed/x", "w").close(); os.chmod("closed", 0)
open("pkg/a.py", "w").write("X = 99")
open(os.path.join(tempfile.gettempdir(), "left"), "w").close()
os.environ["LEFT"] = "1"; json.dumps = None; builtins.print = None; sys.path.append("left")
os.chmod(".", 0)
"""
    look = """
import json, os, sys, tempfile, pkg.a
print(sorted(os.listdir(".")), os.listdir(tempfile.gettempdir()), "LEFT" in os.environ)
print(json.dumps(1), "left" in sys.path)
print(pkg.a.X)
"""
    # empty, unless the interpreter itself lies in the host's /tmp and is mounted below
    first = say(warm, "import os, tempfile; print(os.listdir(tempfile.gettempdir()))").strip()
    assert "left" not in first
    warm.run({"extra.py": b""}, ("-c", spoil), LIMITS)
    assert say(warm, look) == f"['pkg'] {first} False\n1 False\n1\n"
    assert say(warm, "import pkg.a; print(pkg.a.X)", pkg__a="X = 3\n") == "3\n"
    assert say(warm, "import pkg.a; print(pkg.a.X)", pkg__a="X = 4\n") == "4\n"
    assert say(warm, "import pkg.a; print(pkg.a.X)") == "1\n"


@pytest.mark.parametrize("cpu, wall, stop", [(0.3, 90.0, Stop.CPU), (60.0, 0.3, Stop.WALL)])
def test_endless_loops_end_when_they_should(warm, cpu, wall, stop):
    done = warm.run({}, ("-c", "while True: pass"), Limits(wall, cpu, 512 * MIB))
    assert done.stopped is stop
    if stop is Stop.CPU:
        assert 0.28 <= done.cpu_seconds <= 6
    else:
        assert 0.29 <= done.wall_seconds <= 30
    assert say(warm, "print('next')") == "next\n"


def test_a_hang_that_catches_everything_ends(warm):
    code = """
import signal, time
for number in range(1, 32):
    if number not in (9, 19):
        signal.signal(number, lambda *_: None)
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
"""
    assert warm.run({}, ("-c", code), Limits(0.4, 5, 512 * MIB)).stopped is Stop.WALL
    assert warm.run({}, ("-c", "import os\nos.kill(os.getpid(), 19)"), Limits(0.4, 5, 512 * MIB)).stopped is Stop.WALL
    assert say(warm, "print('next')") == "next\n"


def test_a_flood_is_cut(warm):
    done = warm.run({}, ("-c", "while True: print('y' * 1000)"), Limits(90, 60, 512 * MIB, output_bytes=100_000))
    assert (done.stopped, len(done.stdout)) == (Stop.OUTPUT, 100_000)
    code = "import os\nwhile True: os.write(int(os.environ['EMEND_REPORT_FD']), bytes(65536))"
    assert warm.run({}, ("-c", code), LIMITS).stopped is Stop.OUTPUT
    assert say(warm, "print('next')") == "next\n"


def test_memory_is_bounded_for_one_and_for_many(warm):
    one = warm.run({}, ("-c", "hoard = []\nwhile True: hoard.append(bytearray(1 << 22))"), Limits(90, 60, 128 * MIB))
    assert one.stopped is Stop.MEMORY or b"MemoryError" in one.stderr
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        hoard = bytearray(50 << 20)
        for place in range(0, len(hoard), 4096):
            hoard[place] = 1
        time.sleep(100)
time.sleep(100)
"""
    many = warm.run({}, ("-c", code), Limits(90, 60, 160 * MIB))
    assert many.stopped is Stop.MEMORY
    assert many.wall_seconds < 80
    assert say(warm, "print('next')") == "next\n"


def test_grandchildren_do_not_outlive_their_candidate(warm):
    code = """
import os, signal, time
up, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up", flush=True)
        os.write(tell, b"!")
        while True:
            time.sleep(1)
    os._exit(0)
os.read(up, 1)
"""
    assert say(warm, code) == "up\n"
    assert count_forks(warm) <= 1
    bomb = (
        "import os\nfor _ in range(500):\n    try:\n        os.fork()\n    except OSError:\n        pass\nos._exit(0)"
    )
    warm.run({}, ("-c", bomb), Limits(1.0, 5, 512 * MIB, processes=16))
    assert say(warm, "print('next')") == "next\n"
    assert count_forks(warm) <= 1


def count_forks(zygote):
    """How many processes hang below the resident one, once the kernel has taken the dead away."""
    until = time.monotonic() + 60
    while (found := forks(zygote._warm.confined.pid)) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    return found


def forks(pid):
    names = []
    for one in processes.tree(pid):
        with contextlib.suppress(OSError):
            names.append(Path(f"/proc/{one}/cmdline").read_bytes())
    return sum(b"resident.py" in name and b"sh\0-c" not in name and b"bwrap" not in name for name in names)


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGSTOP", "SIGTERM", "SIGUSR1", "SIGSEGV"])
def test_whoever_attacks_the_warm_process_fails_alone(warm, signal_name):
    deadly = signal_name in ("SIGKILL", "SIGSEGV")
    code = f"import os, signal, time\nos.kill(os.getppid(), signal.{signal_name})\n"
    code += f"time.sleep({20 if deadly else 0.2})\nprint('alive')"
    done = warm.run({}, ("-c", code), Limits(90.0 if deadly else 1.0, 5, 512 * MIB))
    if deadly:
        assert done.code != 0
        assert b"alive" not in done.stdout
    assert say(warm, "print('next')") == "next\n"


def test_the_warm_process_can_neither_be_read_nor_written_nor_traced(warm):
    if warm.trial.sandbox.tier is Tier.E and os.geteuid() == 0:
        pytest.skip("tier E runs as root here, and root reads everything")
    code = """
import ctypes, os
above = os.getppid()
for path in ("mem", "environ", "maps", "fd/1"):
    try:
        open("/proc/%d/%s" % (above, path), "rb")
        print("opened", path)
    except OSError:
        pass
print(ctypes.CDLL(None).ptrace(16, above, 0, 0))
"""
    assert say(warm, code) == "-1\n"


def test_a_candidate_holds_no_descriptor_of_ours(warm):
    assert say(warm, "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))") == "[0, 1, 2, 3, 100]\n"


def test_a_link_in_the_copy_is_replaced_not_followed(trial, tmp_path):
    (tmp_path / "real.py").write_text("X = 1\n", "utf-8")
    (tmp_path / "alias.py").symlink_to("real.py")
    command = Command((str(trial.python),), project=tmp_path, readable=interpreter_paths(trial.python), limits=LIMITS)
    with trial.sandbox.zygote(command, preload=()) as zygote:
        done = zygote.run({"alias.py": b"X = 2\n"}, ("-c", "import real, alias; print(real.X, alias.X)"), LIMITS)
    assert done.stdout == b"1 2\n"


def test_a_candidate_that_does_not_fit_is_its_own_failure(warm):
    done = warm.run({"big.py": bytes(40 * MIB)}, ("-c", "print('ran')"), LIMITS)
    assert done.code != 0 or warm.trial.sandbox.tier in (Tier.C, Tier.E)  # their directory is measured while it runs
    assert say(warm, "print('next')") == "next\n"


def test_paths_and_arguments_are_checked(warm):
    for argv in ((), ("-m",), ("-v", "x.py")):
        with pytest.raises(ValueError, match="is no script"):
            warm.run({}, argv, LIMITS)
    for path in ("/etc/passwd", "../up.py", ""):
        with pytest.raises(ValueError, match="no path inside"):
            warm.run({path: b""}, ("-c", ""), LIMITS)


def test_threads_take_turns(warm):
    found = {}

    def judge(number):
        found[number] = say(warm, f"print({number})")

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{number}\n" for number in range(6)}


def test_a_zygote_outlives_the_thread_that_opened_it(trial):
    command = Command((str(trial.python),), readable=interpreter_paths(trial.python), limits=LIMITS)
    opened = trial.sandbox.zygote(command, preload=())
    made = []
    thread = threading.Thread(target=lambda: made.append(opened.__enter__()))
    thread.start()
    thread.join()
    try:
        before = processes.tree(made[0]._warm.confined.pid)
        time.sleep(0.1)
        assert say(made[0], "print('alive')") == "alive\n"
        assert processes.tree(made[0]._warm.confined.pid)[: len(before)] == before
    finally:
        opened.__exit__(None, None, None)


def test_a_hundred_runs_leak_nothing(warm):
    say(warm, "pass")
    resident = processes.tree(warm._warm.confined.pid)[-1]
    before = descriptors("self"), descriptors(resident), rss(resident)
    for number in range(100):
        assert say(warm, f"print({number})") == f"{number}\n"
    assert processes.tree(warm._warm.confined.pid)[-1] == resident
    # fewer, where the first run's pipe was still there; more, until the last one's is closed
    until = time.monotonic() + 60
    while descriptors("self") > before[0] or descriptors(resident) > before[1]:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert rss(resident) - before[2] < 4 * MIB


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def rss(pid):
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * 4096


def test_closing_ends_everything(trial):
    command = Command((str(trial.python),), readable=interpreter_paths(trial.python), limits=LIMITS)
    with trial.sandbox.zygote(command, preload=()) as zygote:
        pids = processes.tree(zygote._warm.confined.pid)
        zygote.run({}, ("-c", "import os, time\nif os.fork() == 0: time.sleep(60)"), LIMITS)
    assert pids
    until = time.monotonic() + 20  # the kernel takes the dead away in its own time
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_cannot_be_imported_is_told(trial):
    command = Command((str(trial.python),), readable=interpreter_paths(trial.python), limits=LIMITS)
    with (
        pytest.raises(SandboxError, match="no_such_module"),
        trial.sandbox.zygote(command, preload=("no_such_module",)),
    ):
        pass


def test_a_missing_interpreter_is_told(trial):
    command = Command(("/no/such/python",), limits=LIMITS)
    with pytest.raises(SandboxError, match="could not be started"), trial.sandbox.zygote(command, preload=()):
        pass


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_other_interpreters_serve_too(version):
    found = sorted(Path("/root/.pyenv/versions").glob(f"{version}.*/bin/python")) if os.geteuid() == 0 else []
    python = next(iter(found), None)
    if python is None or f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        pytest.skip(f"no Python {version} beside ours here")
    trial_of(Tier.B)
    command = Command((str(python),), readable=interpreter_paths(python), files=PROJECT, limits=LIMITS)
    with BubblewrapSandbox().zygote(command, preload=("unittest",)) as zygote:
        for number in range(3):
            done = zygote.run({"pkg/a.py": b"X = %d\n" % number}, ("-c", "import pkg.a; print(pkg.a.X)"), LIMITS)
            assert (done.stdout, done.stderr) == (b"%d\n" % number, b"")
        code = "import sys; print('%d.%d' % sys.version_info[:2]); 1 / 0"
        assert zygote.run({}, ("-c", code), LIMITS).stdout == f"{version}\n".encode()


def test_cleaning_leaves_alone_what_is_mounted_below(tmp_path):
    mounted = tmp_path / "home" / "venv"
    for name in ("home/venv/bin/python", "home/left", "other/deep/left", "left"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    resident.empty(str(tmp_path), frozenset({str(mounted), "/proc"}))
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "home", "home/venv", "home/venv/bin", "home/venv/bin/python",
    ]  # fmt: skip


def test_mount_points_are_those_of_this_process():
    assert {"/", "/proc"} <= resident.mount_points()
