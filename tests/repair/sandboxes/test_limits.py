"""Attacks on what the machine has: processes, memory, disk, time, output. Every tier must hold them."""

import os
import time

import pytest

from repair.sandbox import MIB, Limits, Stop, Tier
from repair.sandboxes.cgroups import find_home

KIND = {"wall_seconds": 120.0, "cpu_seconds": 60.0, "memory_bytes": 512 * MIB, "processes": 64}

FORK_BOMB = """
import os, time
born = 0
while born < 400:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    born += 1
os.write(1, b"%d" % born)
time.sleep(0.3)
"""

# Bounded by itself (2 ** 9 processes that end after 20 s): where a tier failed to hold it, an endless one
# would take the whole machine with it.
DOUBLING_BOMB = """
import os, signal
signal.alarm(20)
for _ in range(9):
    try:
        os.fork()
        signal.alarm(20)
    except OSError:
        pass
while True:
    pass
"""


def test_a_fork_bomb_stays_small_and_leaves_nobody(trial):
    done = trial.run(FORK_BOMB, limits=Limits(**{**KIND, "processes": 30}))
    assert done.stopped is Stop.PROCESSES or 10 <= int(done.stdout) <= 34
    assert trial.survivors() == []


def test_a_doubling_fork_bomb_is_stopped(trial):
    if trial.sandbox.tier is Tier.E and os.geteuid() == 0 and find_home() is None:
        pytest.skip("root is bound by no process count, and this machine offers no cgroup: the bomb would be real")
    limits = Limits(**{**KIND, "processes": 20, "wall_seconds": 0.7})
    done = trial.run(DOUBLING_BOMB, limits=limits)
    assert done.stopped in (Stop.WALL, Stop.PROCESSES, Stop.CPU)
    assert trial.survivors() == []


def test_memory_of_one_process_is_bounded(trial):
    code = "hoard = []\nwhile True: hoard.append(bytearray(4 << 20))"
    done = trial.run(code, limits=Limits(**{**KIND, "memory_bytes": 96 * MIB}))
    assert done.stopped is Stop.MEMORY or b"MemoryError" in done.stderr
    assert trial.survivors() == []


def test_memory_shared_out_among_eight_processes_is_bounded(trial):
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        hoard = bytearray(30 << 20)
        for place in range(0, len(hoard), 4096):
            hoard[place] = 1
        time.sleep(100)
        os._exit(0)
time.sleep(100)
"""
    done = trial.run(code, limits=Limits(**{**KIND, "memory_bytes": 128 * MIB}))
    assert done.stopped is Stop.MEMORY
    assert done.wall_seconds < 90
    assert trial.survivors() == []


def test_pages_shared_by_forks_count_once(trial):
    code = """
import os, time
hoard = bytearray(60 << 20)
for place in range(0, len(hoard), 4096):
    hoard[place] = 1
for _ in range(4):
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
for _ in range(4):
    os.wait()
print("fine")
"""
    done = trial.run(code, limits=Limits(**{**KIND, "memory_bytes": 160 * MIB}))
    assert (done.stdout, done.stopped) == (b"fine\n", None)


@pytest.mark.parametrize("content", [b"x", b""], ids=["of one byte", "empty"])
def test_many_small_files_are_bounded(trial, content):
    code = f"""
import time
for number in range(30_000):
    with open("small%d" % number, "wb") as file:
        file.write({content!r})
print("all written", flush=True)
time.sleep(100)
"""
    done = trial.run(code, limits=Limits(**{**KIND, "disk_bytes": 4 * MIB}))
    assert done.stopped is Stop.DISK or b"No space left" in done.stderr


def test_one_big_file_is_bounded(trial):
    code = "file = open('big', 'wb')\nfor _ in range(64): file.write(bytes(1 << 20))\nprint('written')"
    done = trial.run(code, limits=Limits(**{**KIND, "disk_bytes": 16 * MIB}))
    assert b"written" not in done.stdout
    assert done.stopped is Stop.DISK or b"File too large" in done.stderr or b"No space left" in done.stderr


def test_temporary_files_are_bounded_too(trial):
    code = """
import tempfile
place = tempfile.mkdtemp()
for number in range(16):
    with open(f"{place}/{number}", "wb") as file:
        file.write(bytes(4 << 20))
import time
time.sleep(100)
print("written")
"""
    done = trial.run(code, limits=Limits(**{**KIND, "disk_bytes": 16 * MIB}))
    assert b"written" not in done.stdout


def test_a_program_deaf_to_sigterm_ends_at_the_wall(trial):
    code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(99)"
    started = time.monotonic()
    done = trial.run(code, limits=Limits(**{**KIND, "wall_seconds": 2.0}))
    assert (done.stopped, done.stdout) == (Stop.WALL, b"up\n")
    assert 1.9 <= done.wall_seconds < 60
    assert time.monotonic() - started < 90
    assert trial.survivors() == []


def test_a_spin_ends_at_its_cpu_seconds(trial):
    done = trial.run("while True: pass", limits=Limits(**{**KIND, "cpu_seconds": 0.3}))
    assert done.stopped is Stop.CPU
    assert 0.25 <= done.cpu_seconds < 6
    assert trial.survivors() == []


def test_cpu_seconds_are_those_of_the_whole_tree(trial):
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    done = trial.run(code, limits=Limits(**{**KIND, "cpu_seconds": 0.4}))
    assert done.stopped is Stop.CPU
    assert done.wall_seconds < 60


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_flood_of_output_is_cut(trial, descriptor):
    code = f"import os\nwhile True: os.write({descriptor}, b'y' * 65536)"
    done = trial.run(code, limits=Limits(**{**KIND, "output_bytes": 200_000}))
    assert done.stopped is Stop.OUTPUT
    assert 100_000 < len(done.stdout) + len(done.stderr) <= 400_000
    assert len(done.stdout) <= 200_000
    assert trial.survivors() == []


def test_a_flood_of_reports_is_cut(trial):
    code = "import os\nwhile True: os.write(int(os.environ['EMEND_REPORT_FD']), b'y' * 65536)"
    done = trial.run(code, report=True)
    assert done.stopped is Stop.OUTPUT
    assert len(done.report) <= 16 * MIB


def test_a_daemon_is_neither_waited_for_nor_left_behind(trial):
    code = """
import os, signal, sys, time
up, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (1, 2, 15):
            signal.signal(number, signal.SIG_IGN)
        print("daemon up", flush=True)
        os.write(tell, b"!")
        while True:
            time.sleep(1)
    os._exit(0)
os.read(up, 1)
sys.exit(7)
"""
    started = time.monotonic()
    done = trial.run(code)
    assert (done.code, done.stopped, done.stdout) == (7, None, b"daemon up\n")
    assert time.monotonic() - started < 60
    assert trial.survivors() == []


def test_a_stopped_program_ends_too(trial):
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    done = trial.run(code, limits=Limits(**{**KIND, "wall_seconds": 0.5}))
    assert done.stopped is Stop.WALL
    assert trial.survivors() == []
