"""The pieces that read or arrange the host: cgroups, interpreters, landlock, user ids, /proc, the scripted fake."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repair.errors import SandboxError
from repair.sandbox import MIB, Command, Execution, Limits, Stop
from repair.sandboxes import cgroups, processes
from repair.sandboxes.identity import throwaway_uid
from repair.sandboxes.landlock import LandlockJail, handled_rights, landlock_abi
from repair.sandboxes.readable import checked_readable, interpreter_paths, readable_by_others
from repair.sandboxes.recorded import RecordedSandbox
from repair.sandboxes.running import exit_code


def test_an_interpreters_paths_hold_its_environment_and_its_home():
    found = interpreter_paths(Path(sys.executable))
    covered = (Path("/usr"), *found)
    for needed in (sys.prefix, sys.base_prefix):
        assert any(Path(needed).resolve().is_relative_to(path.resolve()) for path in covered)


def test_an_environment_made_of_links_is_followed(tmp_path):
    base = tmp_path / "base" / "bin"
    base.mkdir(parents=True)
    (base / "python3.11").write_text("", "utf-8")
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python3").symlink_to(base / "python3.11")
    (venv / "bin" / "python").symlink_to("python3")
    (venv / "pyvenv.cfg").write_text(f"home = {base}\n", "utf-8")
    assert set(interpreter_paths(venv / "bin" / "python")) == {venv, tmp_path / "base"}


def test_a_missing_interpreter_is_named():
    with pytest.raises(SandboxError, match="/no/python"):
        interpreter_paths(Path("/no/python"))


@pytest.mark.parametrize("path", ["/", "/etc", "/proc", "/home", "/no/such/place", str(Path.home())])
def test_what_would_show_too_much_is_refused(path):
    with pytest.raises(SandboxError, match="may not be opened"):
        checked_readable([Path(path)])


def test_what_is_covered_already_is_not_bound_again(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    paths = [tmp_path / "a" / "b", tmp_path / "a", Path("/usr/share"), tmp_path / "a"]
    assert checked_readable(paths) == [tmp_path / "a"]


def test_others_can_read_only_what_is_open(tmp_path):
    tmp_path.chmod(0o700)
    program = tmp_path / "program"
    program.write_text("", "utf-8")
    program.chmod(0o755)
    assert not readable_by_others(program)
    assert readable_by_others(Path("/bin/sh"))


def test_throwaway_uids_differ_and_are_nobodys():
    if os.geteuid() != 0:
        pytest.skip("only root maps more than one uid")
    drawn = {throwaway_uid() for _ in range(50)}
    assert len(drawn) == 50
    assert min(drawn) > 61_183


def test_a_group_bounds_counts_and_vanishes():
    home = cgroups.find_home()
    if home is None:
        pytest.skip("no cgroup may be made here")
    with home.group(Limits(memory_bytes=64 * MIB, processes=5), spare_processes=1) as group:
        code = "import time\nstart = time.process_time()\nwhile time.process_time() - start < 0.1: pass"
        subprocess.run(group.entering([sys.executable, "-c", code]), check=True)
        assert 0.1 <= group.usage().cpu_seconds < 20
        assert group.oom_kills() == 0
        assert (group.pids / "pids.max").read_text("ascii") == "6\n"
        paths = [group.memory, group.pids]
        assert all(path.is_dir() for path in paths)
    assert not any(path.exists() for path in paths)


def test_version_2_is_understood(tmp_path, monkeypatch):
    """By a directory that looks like one: this machine may have version 1 only."""
    (tmp_path / "own").mkdir()
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n", "ascii")
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    home = cgroups._version_2({"": "/own"})
    assert home is not None
    group = cgroups.Cgroup(tmp_path, tmp_path, tmp_path, unified=True)
    group.limit(Limits(memory_bytes=64 * MIB, processes=5), spare_processes=1)
    assert (tmp_path / "memory.max").read_text("ascii") == str(64 * MIB)
    assert (tmp_path / "pids.max").read_text("ascii") == "6"
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n", "ascii")
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n", "ascii")
    assert (group.usage().cpu_seconds, group.oom_kills()) == (1.5, 2)
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n", "ascii")
    assert cgroups._version_2({"": "/own"}) is None


def test_groups_of_the_dead_are_swept():
    home = cgroups.find_home()
    if home is None:
        pytest.skip("no cgroup may be made here")
    left, alive = home._pids / "emend-4194304-0", home._pids / f"emend-{os.getpid()}-test"
    for path in (left, alive):
        path.mkdir()
    try:
        home.sweep()
        assert (left.exists(), alive.exists()) == (False, True)
    finally:
        for path in (left, alive):
            if path.exists():
                path.rmdir()


def test_landlock_rights_grow_with_the_version():
    sizes = [handled_rights(abi).bit_count() for abi in (1, 2, 3, 4, 5, 6)]
    assert sizes == [13, 14, 15, 15, 16, 16]


def test_landlock_is_detected_by_asking_the_kernel():
    if landlock_abi() == 0:
        with pytest.raises(SandboxError, match="no landlock"):
            LandlockJail()
    else:
        assert LandlockJail().tier == "C"


def test_a_tree_is_measured():
    code = "import subprocess, sys\nsubprocess.run(['sleep', '300'])"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 60
        while len(processes.tree(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = processes.tree(process.pid)
        used = processes.usage(process.pid, 1 << 40)
        exact = processes.usage(process.pid, 0)
        assert (len(found), found[0], used.processes) == (2, process.pid, 2)
        assert MIB < exact.memory_bytes <= used.memory_bytes < 100 * MIB
    finally:
        for pid in processes.tree(process.pid)[::-1]:
            os.kill(pid, 9)
        process.wait()
    assert processes.usage(process.pid, 0).memory_bytes == 0


def test_threads_of_a_user_are_counted():
    assert processes.threads_of_user(os.geteuid()) >= 1
    assert processes.threads_of_user(4_000_000_000) == 0


def test_exit_codes_of_a_shell_become_signals():
    assert [exit_code(code) for code in (0, 1, 127, 128, 137, 139, 255, -9)] == [0, 1, 127, 128, -9, -11, 255, -9]


def test_the_scripted_sandbox_plays_its_script_and_remembers():
    sandbox = RecordedSandbox((Execution(0, b"one"), Execution(1, stopped=Stop.CPU)))
    command = Command(("python", "x.py"), files={"x.py": b"1"})
    assert sandbox.run(command).stdout == b"one"
    with sandbox.zygote(command, preload=("json",)) as zygote:
        assert zygote.run({"x.py": b"2"}, ("x.py",), Limits()).stopped is Stop.CPU
    assert [seen.argv for seen in sandbox.commands] == [("python", "x.py"), ("python", "x.py")]
    assert sandbox.commands[1].files == {"x.py": b"2"}
    with pytest.raises(SandboxError, match="script has ended"):
        sandbox.run(command)
