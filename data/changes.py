"""What git says of commits as values: changed files, hunks, and the parsing of its output into them.

Owns the shape of `diff-tree -z --raw` output. Must not know processes, functions or fixes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

REGULAR = frozenset({"100644", "100755", "100664"})
_KINDS = {"160000": "submodule", "120000": "symlink"}
_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_INDEX = re.compile(rb"^index ([0-9a-f]{40,64})\.\.([0-9a-f]{40,64})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """One file of a commit against its first parent. `status` is git's letter: A, C, D, M, R, T."""

    status: str
    old_path: str
    path: str
    old_mode: str
    mode: str
    old: str  # object ids
    new: str

    @property
    def reason(self) -> str:
        """Why it is no change of a regular file, "" when it is one."""
        for mode in (self.old_mode, self.mode):
            if mode in _KINDS:
                return _KINDS[mode]
        return "" if {self.old_mode, self.mode} <= REGULAR else "added or deleted"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit without its contents. `authored` counts seconds since 1970."""

    id: str
    parents: tuple[str, ...]
    authored: int
    message: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that differ: `first` and `count` of the old side, then of the new one."""

    first: int
    count: int
    new_first: int
    new_count: int


@dataclass(frozen=True, slots=True)
class Patched:
    """A commit with the hunks of its text changes, by (old, new) object ids."""

    commit: Commit
    hunks: Mapping[tuple[str, str], tuple[Hunk, ...]]
    identity: str  # equal for cherry-picked copies: blanks and line numbers do not count


@dataclass(frozen=True, slots=True)
class Lost:
    """A commit that git could not read."""

    id: str
    reason: str


def parse_changes(raw: bytes) -> tuple[Change, ...]:
    """The entries of `--raw -z`."""
    words = iter(raw.split(b"\0"))
    found: list[Change] = []
    for word in words:
        if not word.lstrip(b"\n").startswith(b":"):
            continue
        old_mode, mode, old, new, status = word.lstrip(b"\n:").decode("ascii").split(" ")
        path = next(words).decode("utf-8", "replace")
        renamed = next(words).decode("utf-8", "replace") if status[0] in "RC" else path
        found.append(Change(status[0], path, renamed, old_mode, mode, old, new))
    return tuple(found)


def parse_patch(commit: Commit, patch: bytes) -> Patched:
    """The hunks of a `-p -U0 --full-index` patch, and its identity."""
    hunks: dict[tuple[str, str], tuple[Hunk, ...]] = {}
    digest = hashlib.sha256()
    for section in re.split(rb"^diff --git ", patch, flags=re.MULTILINE)[1:]:
        head, at, body = section.partition(b"\n@@ ")
        index = _INDEX.search(head)
        if not at or index is None:
            continue
        body = b"@@ " + body
        numbers = [tuple(int(n or b"1") for n in found.groups()) for found in _HUNK.finditer(body)]
        hunks[index[1].decode(), index[2].decode()] = tuple(Hunk(*n) for n in numbers)
        lines = (line for line in body.split(b"\n") if line[:1] in (b"+", b"-"))
        digest.update(b"\n".join(b"".join(line.split()) for line in lines) + b"\0")
    return Patched(commit, hunks, digest.hexdigest()[:24])


def split(stream: IO[bytes], mark: bytes) -> Iterator[bytes]:
    """The parts behind each mark."""
    rest: bytes = b""
    parts: list[bytes] = []
    first = True
    while chunk := stream.read(1 << 16):
        rest += chunk
        *parts, rest = rest.split(mark)
        for part in parts:
            if not first:
                yield part
            first = False
    if not first:
        yield rest


def parse_commit(parts: Sequence[bytes]) -> tuple[Commit, bytes]:
    """A commit and its patch from three parts: id, seconds and parents; message; changes and patch."""
    own, seconds, *parents = parts[0].decode("ascii").split(" ")
    raw, _, patch = parts[2].partition(b"\0\0diff --git ")
    message = parts[1].decode("utf-8", "replace").strip()
    commit = Commit(own, tuple(p for p in parents if p), int(seconds or 0), message, parse_changes(raw))
    return commit, b"diff --git " + patch if patch else b""
