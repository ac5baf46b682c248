"""Reads a project into memory as the entries of its private copy, following no link and leaving out what is no source.

Owns what is copied and what is not. It does not know how the copy is laid down inside a sandbox.
Nothing of the host's own tree is visible inside: the entries travel through a pipe or a memory file,
so a token in `.git/config` or a file that only the owner may read stays where it is.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repair.errors import SandboxError

# Version control, caches and build residue. Stale byte code is the dangerous one: it is matched by the
# source's size and whole-second time, so a one-character patch could run the old code.
SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}
)
MAX_ENTRIES = 50_000
_TIME = 1_600_000_000  # the same in every copy; zip files, for one, cannot hold a date before 1980


@dataclass(frozen=True, slots=True)
class Entry:
    """One file (`content`), symbolic link (`link`) or, with neither, directory; `path` is relative and posix."""

    path: str
    mode: int = 0o644
    content: bytes | None = None
    link: str | None = None


def collect(project: Path | None, files: Mapping[str, bytes], max_bytes: int) -> tuple[Entry, ...]:
    """The entries of `project` with `files` laid over, parents before children.

    Links that lead outside, special files, version control, caches and virtual environments are left out.
    Raises SandboxError when it holds more than `max_bytes` or cannot be read, ValueError for a path in
    `files` that is absolute, climbs out or leads through a link.
    """
    entries = _read_project(project, max_bytes) if project is not None else {}
    return tuple(overlay(entries, files).values())


def overlay(entries: Mapping[str, Entry], files: Mapping[str, bytes]) -> dict[str, Entry]:
    """`entries` with `files` in place of what stood at their paths; missing parents are added."""
    laid = dict(entries)
    for path, content in files.items():
        parts = checked_parts(path)
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            held = laid.setdefault(parent, Entry(parent, 0o755))
            if held.link is not None or held.content is not None:
                raise ValueError(f"{path!r} leads through {parent!r}, which is no directory")
        name = "/".join(parts)
        mode = laid[name].mode if name in laid and laid[name].link is None else 0o644
        laid[name] = Entry(name, mode, content)
    return laid


def checked_parts(path: str) -> tuple[str, ...]:
    """The components of a relative posix path. Raises ValueError if it is absolute, empty or climbs out."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"{path!r} is no path inside the project")
    return parts


def to_tar(entries: tuple[Entry, ...]) -> bytes:
    """The entries as an uncompressed tar archive, owned by nobody in particular."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode, info.mtime = entry.mode, _TIME
            if entry.content is not None:
                info.size = len(entry.content)
                archive.addfile(info, io.BytesIO(entry.content))
            else:
                info.type = tarfile.SYMTYPE if entry.link is not None else tarfile.DIRTYPE
                info.linkname = entry.link or ""
                archive.addfile(info)
    return buffer.getvalue()


def lay_down(entries: tuple[Entry, ...], root: Path) -> None:
    """Write the entries under `root`, an empty directory of ours (tiers C and E, which have no mounts)."""
    links = [entry for entry in entries if entry.link is not None]
    for entry in entries:
        target = root / entry.path
        if entry.content is not None:
            target.write_bytes(entry.content)
            target.chmod(entry.mode)
        elif entry.link is None:
            target.mkdir(mode=0o755, exist_ok=True)
    for entry in links:  # last, so that nothing is ever written through one
        (root / entry.path).symlink_to(entry.link or "")


def _read_project(project: Path, max_bytes: int) -> dict[str, Entry]:
    root = os.path.realpath(project)
    entries: dict[str, Entry] = {}
    total = 0
    try:
        for found in _walk(root, ""):
            entry = _read_entry(root, found)
            if entry is None:
                continue
            total += len(entry.content or b"")
            if total > max_bytes or len(entries) >= MAX_ENTRIES:
                raise SandboxError(_too_large(project, max_bytes))
            entries[entry.path] = entry
    except OSError as error:
        raise SandboxError(f"cannot copy the project {project}: {error}") from error
    return entries


def _too_large(project: Path, max_bytes: int) -> str:
    return (
        f"the project {project} holds more than {max_bytes // (1024 * 1024)} MiB or {MAX_ENTRIES} files; "
        "point at the directory that the tests need, or raise the disk limit"
    )


def _walk(directory: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(directory) as listing:
        found = sorted(listing, key=lambda entry: entry.name)
    for entry in found:
        if entry.name in SKIPPED:
            continue
        is_directory = entry.is_dir(follow_symlinks=False)
        if is_directory and (Path(entry.path) / "pyvenv.cfg").exists():
            continue  # a virtual environment: the interpreter is bound at its own path where it is needed
        yield prefix + entry.name, entry
        if is_directory:
            yield from _walk(entry.path, f"{prefix}{entry.name}/")


def _read_entry(root: str, found: tuple[str, os.DirEntry[str]]) -> Entry | None:
    path, entry = found
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, 0o755)
    if stat.S_ISLNK(status.st_mode):
        link = str(Path(entry.path).readlink())
        return None if _leads_outside(root, entry.path, link) else Entry(path, link=link)
    if not stat.S_ISREG(status.st_mode):
        return None  # sockets, pipes and devices are no part of a project
    # Not followed even if the file is exchanged for a link between the two calls.
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return Entry(path, 0o755 if status.st_mode & 0o100 else 0o644, file.read())


def _leads_outside(root: str, place: str, link: str) -> bool:
    if link.startswith("/"):
        return True  # even into the project: it would name the original, not the copy
    target = os.path.realpath(place)
    return target != root and not target.startswith(root + os.sep)
