"""Attacks on what is not the program's own: files, processes, sockets, secrets of the host. Tiers A, B and C."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from repair.sandbox import Command, Limits

TRY = """
import os, sys
def attempt(action):
    try:
        return action()
    except BaseException as error:
        return type(error).__name__
"""


@pytest.fixture
def host(tmp_path):
    """A directory of the host that permissions alone would open to everybody."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        with contextlib.suppress(PermissionError):
            directory.chmod(0o777 if directory == tmp_path else 0o755)
    (tmp_path / "secret").write_text("the secret of the host", "utf-8")
    return tmp_path


def refuses(trial, code, *words):
    """Run `code` and return its output, which must be complete."""
    done = trial.run(TRY + code, *map(str, words))
    assert done.code == 0, done
    return done.stdout.decode()


def test_no_port_of_the_host_is_reached(walled):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = "import socket\nprint(attempt(lambda: socket.create_connection(('127.0.0.1', int(sys.argv[2])), 1)))"
        assert "Error" in refuses(walled, code, server.getsockname()[1])


@pytest.mark.parametrize("abstract", [True, False], ids=["abstract", "path"])
def test_no_unix_socket_of_the_host_is_reached(walled, host, abstract):
    address = f"\0{walled.token}" if abstract else str(host / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        if not abstract:
            (host / "socket").chmod(0o777)
        code = """
import socket
def connect():
    socket.socket(socket.AF_UNIX).connect(sys.argv[2].replace("@", chr(0)))
    return "connected"
print(attempt(connect))
"""
        assert "Error" in refuses(walled, code, address.replace("\0", "@"))


def test_no_datagram_leaves(walled):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        code = """
import socket
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", int(sys.argv[2]))))
"""
        refuses(walled, code, server.getsockname()[1])
        with pytest.raises(TimeoutError):
            server.recv(10)


def test_passwords_and_keys_are_not_read(walled, host):
    key = host / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    key.write_text("PRIVATE KEY", "utf-8")
    paths = ["/etc/shadow", "/etc/sudoers", key, host / "secret", Path.home() / ".ssh", "/root"]
    code = """
def read(path):
    return os.listdir(path) if os.path.isdir(path) else open(path).read()
for path in sys.argv[2:]:
    print(path, attempt(lambda: read(path)))
"""
    out = refuses(walled, code, *paths)
    for line in out.splitlines():
        # In root's home lies nothing but the way to the interpreter, where there is one.
        assert line.endswith("Error") or line.startswith("/root ['.pyenv']") or line == "/root []", line


def test_the_services_database_is_not_opened(walled, host):
    path = host / "emend.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table tokens (token text)")
        database.commit()
    path.chmod(0o666)
    code = """
import sqlite3
print(attempt(lambda: sqlite3.connect(sys.argv[2]).execute("select * from tokens").fetchall()))
"""
    assert "OperationalError" in refuses(walled, code, path)


def test_the_services_environment_is_not_seen(walled, monkeypatch):
    monkeypatch.setenv("EMEND_TOKEN", "tell-nobody")
    victim = subprocess.Popen(["sleep", "30"], env={**os.environ})
    try:
        code = """
import glob
found = [attempt(lambda: open(path, "rb").read()) for path in glob.glob("/proc/*/environ")]
found.append(repr(dict(os.environ)).encode())
print(any(b"tell-nobody" in item for item in found if isinstance(item, bytes)))
"""
        assert refuses(walled, code) == "False\n"
    finally:
        victim.kill()
        victim.wait()


def test_nothing_is_written_outside(walled, host):
    code = """
for place in (sys.argv[2], "/usr/", "/etc/", "/", "/dev/", "/var/tmp/", "/proc/"):
    path = place + "planted"
    print(attempt(lambda: open(path, "w").write("x")))
print(attempt(lambda: os.chmod("/usr", 0o777)) if os.getuid() else "PermissionError")
print(attempt(lambda: os.mkdir(sys.argv[2] + "directory")))
"""
    out = refuses(walled, code, f"{host}/")
    assert all(line.endswith("Error") for line in out.splitlines()), out
    assert sorted(path.name for path in host.iterdir()) == ["secret"]


def test_nobody_else_is_killed(walled):
    victim = subprocess.Popen(["sleep", "30"])
    try:
        code = "print(attempt(lambda: os.kill(int(sys.argv[2]), 9)))\nprint(attempt(lambda: os.kill(1, 9)))"
        refuses(walled, code, victim.pid)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_killing_everybody_hits_only_the_program(spaced):
    victim = subprocess.Popen(["sleep", "30"])
    try:
        spaced.run("import os, signal\nos.kill(-1, signal.SIGKILL)")
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_links_lead_nowhere(walled, host):
    code = """
secret = sys.argv[2]
os.symlink(secret, "soft")
print(attempt(lambda: open("soft").read()))
print(attempt(lambda: os.link(secret, "hard")), os.path.exists("hard") and open("hard").read())
print(attempt(lambda: open("/proc/1/root" + secret).read()))
"""
    out = refuses(walled, code, host / "secret")
    assert "the secret" not in out


def test_a_projects_links_and_special_files_are_not_followed(walled, host, tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    (project / "inner").mkdir()
    (project / "inner" / "a.txt").write_text("inside", "utf-8")
    (project / "good").symlink_to("inner/a.txt")
    (project / "bad").symlink_to(host / "secret")
    (project / "up").symlink_to("../../../../../../etc/passwd")
    (project / ".git").mkdir()
    (project / ".git" / "config").write_text("token", "utf-8")
    os.mkfifo(project / "pipe")
    code = "print(sorted(os.listdir('.')), open('good').read())"
    done = walled.run(TRY + code, project=project)
    assert done.stdout == b"['good', 'inner'] inside\n"


def test_no_limit_is_raised(walled):
    code = """
import resource
for name in ("NPROC", "DATA", "FSIZE", "NOFILE", "CORE", "CPU"):
    number = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(number)[1]
    for bound in (hard + 1, -1):
        print(attempt(lambda: resource.setrlimit(number, (bound, bound))))
"""
    out = refuses(walled, code)
    assert all(word in ("ValueError", "PermissionError") for word in out.split()), out


def test_no_namespace_is_nested(walled):
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x10020000):
    print(libc.unshare(flag), libc.syscall(56 if os.uname().machine == "x86_64" else 220, flag | 17, 0, 0, 0, 0))
"""
    assert set(refuses(walled, code).split()) == {"-1"}
    unshare = shutil.which("unshare")
    if unshare is not None:
        done = walled.sandbox.run(Command((unshare, "-r", "true"), limits=Limits(wall_seconds=60)))
        assert done.code != 0


def test_calls_into_the_kernels_depths_are_refused(walled):
    numbers = {"x86_64": [101, 250, 248, 321, 298, 425, 165, 161, 323, 272, 308, 310, 319], "aarch64": [117, 219, 280]}
    code = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for number in map(int, sys.argv[2:]):
    print(libc.syscall(number, 0, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])
"""
    out = refuses(walled, code, *numbers[os.uname().machine])
    assert set(out.splitlines()) <= {"-1 EPERM", "-1 ENOSYS"}, out


def test_nothing_is_typed_into_a_terminal(walled):
    code = """
import ctypes, fcntl, errno
for request in (0x5412, 0x541C):
    try:
        fcntl.ioctl(0, request, b"x")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    assert refuses(walled, code).split() == ["EPERM", "EPERM"]


def test_the_program_has_no_capability_and_gains_none(walled):
    code = """
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"].strip(), status["Seccomp"].strip())
print(os.getuid() != 0)
"""
    assert refuses(walled, code).split() == ["0", "0", "1", "2", "True"]


def test_no_descriptor_of_ours_is_inherited(walled):
    out = refuses(walled, "print(sorted(map(int, os.listdir('/proc/self/fd'))))")
    assert out == "[0, 1, 2, 3]\n"  # 3 lists the directory


def test_the_network_has_no_device_but_loopback(spaced):
    assert refuses(spaced, "print(open('/proc/net/dev').read().count(':'))") == "1\n"
