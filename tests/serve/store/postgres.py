"""A real PostgreSQL of one's own: from Debian's package, in a temporary folder, on a free port."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

PASSWORD = "s3cret-of-the-tests"
START_SECONDS = 110


def binaries():
    """The folder of `initdb` and `postgres`, the newest; None where the package is absent."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def unprivileged():
    """Whom a server may run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return pytest.skip("root, and no user that PostgreSQL may run as")


def free_port():
    """A port below those that the system gives to whoever asks: none takes it while the server is not running."""
    for _ in range(100):
        port = secrets.randbelow(12_000) + 20_000
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Postgres:
    """A server, with as many databases as tests ask for."""

    def __init__(self, folder, bin_folder):
        self.folder, self.bin = folder, bin_folder
        self.user = unprivileged()
        self.port = free_port()
        self.process = None
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        if self.user is not None:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
            os.chown(secret, self.user.pw_uid, self.user.pw_gid)
        self._run(
            "initdb", "-D", "data", "-U", "emend", "--no-sync", "-A", "scram-sha-256", "--pwfile=secret", "-E", "UTF8"
        )

    def start(self):
        argv = self._argv(
            "postgres",
            "-D",
            "data",
            "-p",
            str(self.port),
            "-k",
            str(self.folder),
            "-h",
            "127.0.0.1",
            "-c",
            "autovacuum=off",
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=self.folder, stdout=log, stderr=log, env=self._env, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > ends or self.process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def kill(self):
        """`kill -9` of all its processes, each of which has a group of its own."""
        server = psutil.Process(self.process.pid)
        family = [*server.children(recursive=True), server]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        psutil.wait_procs(family, timeout=START_SECONDS)

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)  # at once: nobody wants these databases any more
        self.process.wait(START_SECONDS)

    def url(self):
        """The URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://emend:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def _dsn(self, name):
        return f"postgresql://emend:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    @property
    def _env(self):
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}

    def _argv(self, program, *args):
        plain = [str(self.bin / program), *args]
        if self.user is None:
            return plain
        who = [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        return ["setpriv", *who, *plain]

    def _run(self, program, *args):
        done = subprocess.run(
            self._argv(program, *args), cwd=self.folder, capture_output=True, text=True, check=False, env=self._env
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres():
    """One server for all tests of a session."""
    bin_folder = binaries()
    if bin_folder is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="emend-postgres-"))
    try:
        server = Postgres(folder, bin_folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'emend.db'}"
    return request.getfixturevalue("postgres").url()
