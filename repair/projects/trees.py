"""A commit's files in a folder of our own: laid out from git, or packed to travel and unpacked elsewhere.

Never writes where the user works, never follows a link of the tree. What the tree lacks (submodules that nobody has
initialised, files that LFS has not fetched) comes back as notes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repair.errors import InputError
from repair.git import Origin, apart, check_out, run

_SUBMODULE = "160000"  # git's mode of one
_LFS = b"version https://git-lfs.github.com/spec/v1\n"
_LFS_SIZES = range(100, 1024)  # bytes of a pointer
_LEVEL = 3  # of gzip: trees travel once, a core is dearer than the network


@dataclass(frozen=True, slots=True)
class Listing:
    """A commit's tree: `submodules` as (path, commit). Sizes in bytes."""

    files: int
    size: int
    submodules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Lacking:
    """Paths that a tree has not: submodules that are left empty, files that are only LFS pointers."""

    submodules: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """For the report, with what to do."""
        found: list[str] = []
        if self.submodules:
            told = ", ".join(self.submodules)
            found.append(f"submodules that are not here are left empty: {told} (run `git submodule update --init`)")
        if self.pointers:
            told = ", ".join(self.pointers[:3]) + (", ..." if len(self.pointers) > 3 else "")
            count = len(self.pointers)
            what = "1 file is only an LFS pointer" if count == 1 else f"{count} files are only LFS pointers"
            found.append(f"{what}: {told} (run `git lfs pull`)")
        return tuple(found)


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


def lay_out(origin: Origin, git_dir: Path, commit: str, held: Listing, root: Path) -> Lacking:
    """Write `commit` into the empty folder `root`: submodules and LFS files too where the origin has them.

    Returns what is missing. Raises InputError when the commit itself cannot be written.
    """
    check_out(git_dir, commit, root)
    submodules = _submodules(origin, held, root)
    return Lacking(submodules, _pointers(origin, root))


def _submodules(origin: Origin, held: Listing, root: Path) -> tuple[str, ...]:
    names = _module_names(root)
    missing: list[str] = []
    for path, commit in held.submodules:
        home = origin.git_dir / "modules" / names.get(path, path)
        target = root / path
        if not _inside(origin.git_dir, home) or not (home / "HEAD").is_file() or not _plain_folder(root, path):
            missing.append(path)
            continue
        aside = root.parent / f"module-{hashlib.sha256(path.encode()).hexdigest()[:12]}"
        try:
            check_out(apart(Origin(home, None, path), aside), commit, target)
        except InputError:
            missing.append(path)
    return tuple(missing)


def _module_names(root: Path) -> dict[str, str]:
    """Submodules' names by path, as .gitmodules says; a name that leads elsewhere is left out."""
    listed = root / ".gitmodules"
    if not listed.is_file() or listed.is_symlink():
        return {}
    _, out, _ = run("", "config", "-z", "-f", str(listed), "--get-regexp", r"^submodule\..*\.path$")
    pairs = (entry.partition("\n") for entry in out.decode("utf-8", "replace").split("\0") if entry)
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs if ".." not in key}


def _inside(folder: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _plain_folder(root: Path, path: str) -> bool:
    """Whether `path` is an empty folder (as git leaves one for a submodule), reached through no link."""
    target = root / path
    return target.resolve() == root.resolve() / path and target.is_dir() and not any(target.iterdir())


def _pointers(origin: Origin, root: Path) -> tuple[str, ...]:
    """Put LFS files that the origin has fetched in place of their pointers; the paths of the others."""
    missing: list[str] = []
    store = origin.git_dir / "lfs" / "objects"
    for path in files_of(root):
        full = root / path
        if full.is_symlink() or full.stat().st_size not in _LFS_SIZES:
            continue
        with full.open("rb") as file:
            if file.read(len(_LFS)) != _LFS:
                continue
            named = {key: rest for key, _, rest in (line.partition(b" ") for line in file.read().split(b"\n"))}
        own = named.get(b"oid", b"").decode("ascii", "replace").removeprefix("sha256:")
        content = store / own[:2] / own[2:4] / own
        if own.isalnum() and content.is_file() and hashlib.sha256(content.read_bytes()).hexdigest() == own:
            shutil.copyfile(content, full)
        else:
            missing.append(path)
    return tuple(missing)


def files_of(root: Path) -> Iterator[str]:
    """Paths of files and links under `root`, sorted by folder; .git is left out, no link is followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != ".git")
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *linked]):
            yield (Path(folder) / name).relative_to(root).as_posix()


def pack_tree(root: Path) -> bytes:
    """The files and links under `root` without .git, as a compressed archive: equal trees, equal bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=_LEVEL, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(files_of(root)):
            full = root / path
            entry = tarfile.TarInfo(path)
            if full.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(full.readlink())
                archive.addfile(entry)
            elif full.is_file():
                entry.size = full.stat().st_size
                entry.mode = 0o755 if full.stat().st_mode & 0o100 else 0o644
                with full.open("rb") as file:
                    archive.addfile(entry, file)
    return packed.getvalue()


def unpack_tree(content: bytes, root: Path) -> None:
    """Write what `pack_tree` made into the empty or missing folder `root`.

    Raises InputError when the archive is damaged, or an entry would be written outside of `root` or through a link.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for entry in archive:
                _unpack(archive, entry, root)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InputError(f"a packed tree cannot be unpacked: {error}", field="tree") from error


def _unpack(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in entry.name:
        raise InputError(f"{entry.name!r} in a packed tree leads out of it", field="tree")
    at = root
    for part in path.parts[:-1]:
        at /= part
        if at.is_symlink():
            raise InputError(f"{entry.name!r} in a packed tree lies behind a link", field="tree")
        at.mkdir(exist_ok=True)
    target = at / path.name
    if os.path.lexists(target):
        raise InputError(f"{entry.name!r} is twice in a packed tree", field="tree")
    if entry.issym():
        target.symlink_to(entry.linkname)
        return
    stream = archive.extractfile(entry) if entry.isreg() else None
    if stream is None:
        raise InputError(f"{entry.name!r} in a packed tree is neither a file nor a link", field="tree")
    with target.open("xb") as file:
        shutil.copyfileobj(stream, file)
    target.chmod(0o755 if entry.mode & 0o100 else 0o644)
