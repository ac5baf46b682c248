"""What outputs read of a repository's history: a commit's date and its files. Git is called here and in `branches.py`.

Reading never writes, asks, fetches or runs anything of the repository's.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from repair.errors import InputError
from repair.sources import MAX_SOURCE_BYTES, Source

_OPTIONS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "safe.directory=*", "protocol.ext.allow=never",
    "credential.helper=", "gc.auto=0", "maintenance.auto=false", "core.splitIndex=false", "index.sparse=false",
    "core.untrackedCache=false", "i18n.commitEncoding=UTF-8", "apply.whitespace=nowarn", "apply.ignoreWhitespace=no",
    "advice.detachedHead=false",
)  # fmt: skip


class Commits(Protocol):
    """One repository's history, for reading."""

    def date(self, commit: str) -> int | None:
        """When a commit was made, in seconds since 1970 (UTC); None where it is not at hand."""
        ...

    def content(self, commit: str, path: str) -> bytes | None:
        """A file of a commit; None where there is none, or one too large to be a source."""
        ...


class KnownCommits:
    """The double, and what stands for a history that is not at hand: one date, some files, whatever the commit."""

    def __init__(self, date: int | None = None, files: Mapping[str, bytes] | None = None) -> None:
        self._date = date
        self._files = dict(files or {})

    def date(self, commit: str) -> int | None:  # noqa: ARG002
        """The one date."""
        return self._date

    def content(self, commit: str, path: str) -> bytes | None:  # noqa: ARG002
        """One of the files."""
        return self._files.get(path)


class GitCommits:
    """The history in a git directory."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._dates: dict[str, int | None] = {}
        self._contents: dict[tuple[str, str], bytes | None] = {}

    def date(self, commit: str) -> int | None:
        """The committer's date."""
        if commit not in self._dates:
            self._dates[commit] = self._read_date(commit)
        return self._dates[commit]

    def _read_date(self, commit: str) -> int | None:
        status, out, _ = git(self._git_dir, "rev-list", "--max-count=1", "--timestamp", "--end-of-options", commit)
        first = out.split(b" ")[0]
        return int(first) if status == 0 and first.isdigit() else None

    def content(self, commit: str, path: str) -> bytes | None:
        """A file of at most MAX_SOURCE_BYTES."""
        if (commit, path) not in self._contents:
            self.preload(commit, (path,))
        return self._contents[commit, path]

    def preload(self, commit: str, paths: Iterable[str]) -> None:
        """Read many files at once: two processes, however many there are."""
        wanted = [path for path in dict.fromkeys(paths) if (commit, path) not in self._contents]
        self._contents |= {(commit, path): None for path in wanted}
        named = [path for path in wanted if "\n" not in path and commit]
        asked = b"".join(os.fsencode(f"{commit}:{path}\n") for path in named)
        _, out, _ = git(self._git_dir, "cat-file", "--batch-check", stdin=asked) if named else (0, b"", "")
        found = [
            (path, words[0])
            for path, words in zip(named, map(bytes.split, out.split(b"\n")), strict=False)
            if len(words) == 3 and words[1] == b"blob" and int(words[2]) <= MAX_SOURCE_BYTES
        ]
        asked = b"".join(object_id + b"\n" for _, object_id in found)
        _, out, _ = git(self._git_dir, "cat-file", "--batch", stdin=asked) if found else (0, b"", "")
        for path, object_id in found:
            head, _, rest = out.partition(b"\n")
            words = head.split()
            if len(words) != 3 or words[0] != object_id:  # a damaged object ends git
                return
            size = int(words[2])
            self._contents[commit, path], out = rest[:size], rest[size + 1 :]


def commits_at(place: str) -> Commits:
    """The history of a local repository, nothing known where there is none."""
    path = Path(place)
    if "://" in place or not path.is_dir():
        return KnownCommits()
    return GitCommits(git_dir_of(path))


def sources_at(commits: Commits, commit: str, paths: Iterable[str]) -> dict[str, Source]:
    """The text files of these that are at hand, as they are in the commit."""
    found: dict[str, Source] = {}
    for path in dict.fromkeys(paths):
        content = commits.content(commit, path)
        if content is not None:
            try:
                found[path] = Source.from_bytes(path, content)
            except InputError:  # binary, or in no encoding: nothing that could be shown
                continue
    return found


def git_dir_of(path: Path) -> Path:
    """Where a working tree (also a linked one) or a bare repository keeps what is git's."""
    dot = path / ".git"
    if dot.is_file():
        target = dot.read_text(encoding="utf-8", errors="replace").removeprefix("gitdir:").strip()
        return (path / target).resolve()
    return (dot if dot.is_dir() else path).resolve()


def git(
    git_dir: Path, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None
) -> tuple[int, bytes, str]:
    """Exit status, stdout and the last line of stderr of one git command. Raises InputError where git is missing.

    No hook, prompt, pager, network or configuration of the user's; `variables` are added to the environment.
    """
    options = [word for option in _OPTIONS for word in ("-c", option)]
    command = ["git", *options, f"--git-dir={git_dir}", "--no-pager", *arguments]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    hardened = {
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "cat", "GIT_ALLOW_PROTOCOL": "none",
        "LC_ALL": "C",
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, cwd=tempfile.gettempdir(),
            env={**own, **hardened, **(variables or {})},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise InputError("git is not installed; install it to write branches", field="git") from error
    said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
    return done.returncode, done.stdout, said
