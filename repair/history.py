"""A commit's tree before it is checked out, who last changed its lines, and which commits touched its paths.

Reads the git folder that `repair.git.apart` makes. Owns the parsing of what git prints; effects are `repair.git`'s.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repair.errors import InputError
from repair.git import run

_SUBMODULE = "160000"
_SECONDS = 30.0  # for one question about history: it helps, and must not hold up a run


@dataclass(frozen=True, slots=True)
class Listing:
    """A commit's tree: `submodules` as (path, commit). Sizes in bytes."""

    files: int
    size: int
    submodules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Blamed:
    """A line (1-based), the commit that last changed it and when (Unix seconds).

    `known` is False where the history ends before that commit: of a shallow clone, or at `since`.
    """

    line: int
    commit: str
    seconds: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Touch:
    """A commit that changed some of the paths asked for."""

    commit: str
    seconds: int  # of its author, Unix time
    subject: str
    paths: tuple[str, ...]


def listing(git_dir: Path, commit: str) -> Listing:
    """What `commit` holds, without writing it. Raises InputError when an object is missing or damaged."""
    status, out, said = run(str(git_dir), "ls-tree", "-r", "-l", "-z", commit)
    if status != 0:
        raise InputError(f"the tree of commit {commit[:12]} cannot be read: {said}; see `git fsck`", field="commit")
    files = size = 0
    submodules: list[tuple[str, str]] = []
    for entry in out.decode("utf-8", "surrogateescape").split("\0"):
        head, _, path = entry.partition("\t")
        words = head.split()
        if len(words) != 4:
            continue
        if words[0] == _SUBMODULE:
            submodules.append((path, words[2]))
        elif not words[3].isdigit():
            why = "it is missing or damaged; fetch it (a partial clone: `git fetch --refetch`) or see `git fsck`"
            raise InputError(f"{path}: the content in commit {commit[:12]} cannot be read: {why}", field="commit")
        else:
            files += 1
            size += int(words[3])
    return Listing(files, size, tuple(submodules))


def blame(git_dir: Path, commit: str, path: str, lines: Collection[int], *, since: str = "") -> tuple[Blamed, ...]:
    """Who last changed these lines of `path` as of `commit`; changes of blanks alone do not count.

    `since` bounds the search to the commits after it. Empty where git cannot tell: no such file, too long a history.
    """
    spans = [word for first, last in _spans(lines) for word in ("-L", f"{first},{last}")]
    if not spans:
        return ()
    revisions = f"{since}..{commit}" if since else commit
    words = ("blame", "--porcelain", "-w", *spans, revisions, "--", path)
    status, out, _ = run(str(git_dir), *words, seconds=_SECONDS)
    return _blamed(out.decode("utf-8", "replace").split("\n")) if status == 0 else ()


def _spans(lines: Collection[int]) -> tuple[tuple[int, int], ...]:
    """Runs of lines that follow each other."""
    spans: list[tuple[int, int]] = []
    for line in sorted({line for line in lines if line > 0}):
        if spans and line == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], line)
        else:
            spans.append((line, line))
    return tuple(spans)


def _blamed(lines: Sequence[str]) -> tuple[Blamed, ...]:
    """The porcelain form: a head per line, what is known of a commit after its first head, the text behind a tab."""
    times: dict[str, int] = {}
    borders: set[str] = set()
    heads: list[tuple[int, str]] = []
    fresh = True  # whether the next line is a head
    for line in lines:
        word, _, rest = line.partition(" ")
        if line.startswith("\t"):
            fresh = True
        elif fresh and rest:
            heads.append((int(rest.split(" ")[1]), word))
            fresh = False
        elif word == "author-time":
            times[heads[-1][1]] = int(rest)
        elif word == "boundary":
            borders.add(heads[-1][1])
    return tuple(Blamed(n, own, times.get(own, 0), own not in borders) for n, own in sorted(heads))


def touched(
    git_dir: Path, commit: str, *, since: str = "", paths: Iterable[str] = (), most: int = 200
) -> tuple[Touch, ...]:
    """Commits up to `commit` that touched `paths` (any path when none is given), newest first, `most` at the most.

    `since` leaves out what that commit could already reach. Merges are left out, renames not followed. Empty where
    git cannot tell.
    """
    mark = secrets.token_hex(8)  # cannot be foreseen, so nobody's subject holds it
    form = f"--format={mark}%H %at %s{mark}"
    revisions = (commit, f"^{since}") if since else (commit,)
    literal = [f":(literal,top){path}" for path in paths]
    words = ("log", "-z", "--no-merges", "--name-only", "--no-renames", f"--max-count={most}", form, *revisions)
    status, out, _ = run(str(git_dir), *words, "--", *literal, seconds=_SECONDS)
    parts = out.decode("utf-8", "replace").split(mark)[1:] if status == 0 else []
    found: list[Touch] = []
    for head, names in zip(parts[::2], parts[1::2], strict=False):
        own, seconds, subject = head.split(" ", 2)
        told = tuple(name.removeprefix("\n") for name in names.split("\0") if name.strip("\n"))
        found.append(Touch(own, int(seconds), subject, told))
    return tuple(found)
