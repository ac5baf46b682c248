"""What ordinary tests do goes on working inside."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repair.sandbox import Command, Limits
from repair.sandboxes.jail import READY

ORDINARY = {
    "multiprocessing": """
import multiprocessing
def double(number): return number * 2
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    lock = context.Lock()
    with context.Pool(2) as pool, lock:
        print(pool.map(double, [1, 2]))
""",
    "threads": """
import threading
found = []
threads = [threading.Thread(target=found.append, args=(n,)) for n in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted(found))
""",
    "sqlite": """
import sqlite3
database = sqlite3.connect("here.sqlite")
database.execute("pragma journal_mode = wal")
database.execute("create table t (n)")
database.execute("insert into t values (1)")
database.commit()
print(database.execute("select n from t").fetchall())
""",
    "ssl": "import ssl\nprint(bool(ssl.create_default_context()))",
    "asyncio": """
import asyncio
async def main():
    process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0]
print(asyncio.run(main()))
""",
    "user": "import getpass, os, pathlib\nprint(bool(getpass.getuser()), pathlib.Path.home().is_dir())",
    "subprocess": """
import subprocess
print(subprocess.run(["sh", "-c", "echo $((6 * 7))"], capture_output=True).stdout)
""",
    "temporary files": """
import tempfile
with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as place:
    file.write(b"x")
    print(bool(place))
""",
    "signals": """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.02)
signal.pause()
os.kill(os.getpid(), signal.SIGALRM)
""",
    "socket pair": "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))",
    "modes": """
import os
open("f", "w").close()
os.chmod("f", 0o600)
os.utime("f")
os.rename("f", "g")
print(os.path.exists("g"))
""",
}

LOOPBACK = """
import http.server, threading, urllib.request
server = http.server.HTTPServer(("localhost", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(urllib.request.urlopen("http://localhost:%d/" % server.server_port).status)
"""


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_programs_run(trial, name):
    done = trial.run(ORDINARY[name])
    assert done.code == 0, done
    assert done.stdout
    assert done.stderr == b""


def test_a_test_may_talk_to_its_own_server(spaced):
    done = spaced.run(LOOPBACK)
    assert done.stdout == b"200\n", done


@pytest.mark.parametrize("action, code", [("sys.exit(3)", 3), ("os.kill(os.getpid(), 11)", -11), ("os.abort()", -6)])
def test_the_exit_code_tells_how_it_ended(trial, action, code):
    assert trial.run(f"import os, sys\n{action}").code == code


def test_input_output_report_and_clock_come_back(trial):
    code = """
import os, sys
data = sys.stdin.buffer.read()
sys.stdout.buffer.write(data)
sys.stderr.buffer.write(b"error\\xff")
os.write(int(os.environ["EMEND_REPORT_FD"]), b"report")
sum(range(3_000_000))
"""
    done = trial.run(code, stdin=b"\0\xfein" * 30_000, report=True)
    assert done.stdout == b"\0\xfein" * 30_000
    assert (done.stderr, done.report, done.code, done.stopped) == (b"error\xff", b"report", 0, None)
    assert done.cpu_seconds > 0.01
    assert done.wall_seconds > 0.01


def test_a_program_that_imitates_our_marker_changes_nothing(trial):
    done = trial.run(f"import os\nos.write(2, {READY!r} + b'tail')")
    assert done.stderr == READY + b"tail"


def test_files_lie_over_the_project(trial, tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text("X = 1\n", "utf-8")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n", "utf-8")
    (tmp_path / "run.sh").chmod(0o755)
    files = {"pkg/a.py": b"X = 2\n", "new/deep/b.py": b"Y = 3\n"}
    code = """
import os, sys
sys.path.insert(0, "new/deep")
import b, pkg.a
print(pkg.a.X, b.Y, os.access("run.sh", os.X_OK))
"""
    assert trial.run(code, project=tmp_path, files=files).stdout == b"2 3 True\n"
    assert (tmp_path / "pkg" / "a.py").read_text("utf-8") == "X = 1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pkg", "run.sh"]


def test_the_environment_is_only_what_is_given(trial):
    done = trial.run("import os\nprint(sorted(os.environ))", env={"GIVEN": "1"})
    assert b"GIVEN" in done.stdout
    assert set(eval(done.stdout)) <= {
        "GIVEN",
        "HOME",
        "TMPDIR",
        "PATH",
        "LANG",
        "PYTHONDONTWRITEBYTECODE",
        "USER",
        "PWD",
    }


def test_a_missing_program_is_no_broken_sandbox(trial):
    done = trial.sandbox.run(Command(("/no/such/program",), limits=Limits(wall_seconds=60)))
    assert done.code in (126, 127)


def test_runs_side_by_side_do_not_meet(trial):
    code = "import os, sys, time\nopen(sys.argv[2], 'w').close()\ntime.sleep(0.2)\nprint(sorted(os.listdir('.')))"
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda name: trial.run(code, name), ["a", "b", "c"]))
    assert [one.stdout for one in done] == [b"['a']\n", b"['b']\n", b"['c']\n"]


def test_nothing_is_left_on_the_disk(trial, tmp_path, monkeypatch):
    place = Path("/var/tmp") / trial.token  # passable for the throwaway user of tier C, which pytest's own is not
    place.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    try:
        code = "import os\nos.mkdir('closed')\nopen('closed/x', 'w').close()\nos.chmod('closed', 0)"
        assert trial.run(code).code == 0
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()


def test_javascript_runs(spaced):
    node = shutil.which("node")
    if node is None or not node.startswith("/usr/"):
        pytest.skip("no system node here")
    done = spaced.sandbox.run(Command((node, "-e", "console.log([1, 2].map(x => x * 2))"), limits=Limits(30, 30)))
    assert done.stdout == b"[ 2, 4 ]\n", done
