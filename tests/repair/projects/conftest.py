from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b",
}  # fmt: skip


@dataclass
class Repo:
    """A real repository of a test."""

    folder: Path
    now: int = 1_600_000_000

    def git(self, *words: str) -> str:
        dates = {"GIT_AUTHOR_DATE": f"{self.now} +0000", "GIT_COMMITTER_DATE": f"{self.now} +0000"}
        command = ["git", "-c", "protocol.file.allow=always", "-C", str(self.folder), *words]
        done = subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT | dates)
        return done.stdout.decode().strip()

    def commit(self, files: dict[str, str | bytes], message: str = "a change") -> str:
        self.now += 1000
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "--allow-empty", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def blob(self, path: str) -> Path:
        """The file of the object that holds `path` at HEAD."""
        own = self.git("rev-parse", f"HEAD:{path}")
        return self.folder / ".git" / "objects" / own[:2] / own[2:]


def fingerprint(folder: Path) -> str:
    """Every path below, with content, mode, time of change and target of links."""
    seen = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        seen.update(f"{path.relative_to(folder)} {status.st_mode} {status.st_mtime_ns}".encode())
        if path.is_symlink():
            seen.update(os.fsencode(path.readlink()))
        elif path.is_file():
            seen.update(path.read_bytes())
    return seen.hexdigest()


@pytest.fixture
def print_of() -> Callable[[Path], str]:
    return fingerprint


@pytest.fixture
def new_repo(tmp_path: Path) -> Callable[[str], Repo]:
    def make(name: str = "made") -> Repo:
        folder = tmp_path / name
        folder.mkdir()
        repo = Repo(folder)
        repo.git("init", "-q", "-b", "main")
        return repo

    return make


@pytest.fixture
def repo(new_repo: Callable[[str], Repo]) -> Repo:
    return new_repo("made")


@pytest.fixture(scope="session")
def sandbox():
    """The strongest one that works on this machine, real processes in every case."""
    return find_sandbox(Tier.E, unsafe=True)
