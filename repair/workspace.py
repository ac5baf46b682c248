"""Temporary trees with a patch applied, always removed; and writing a patch into a real tree, atomically.

Owns every write that Emend makes into a user's project. Knows nothing of tests or sandboxes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from repair.edits import Patch
from repair.errors import InputError
from repair.sources import Source, read_source

# What tests never need a copy of: history, environments, caches. Environments stay readable where they lie.
LEFT_OUT = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".tox",
        ".nox",
    }
)
LINKED = frozenset({"node_modules"})  # too large to copy: a link to where it lies
MAX_TREE_BYTES = 256 * 1024 * 1024


@contextlib.contextmanager
def workspace(
    project: Path | None = None,
    patch: Patch | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    max_bytes: int = MAX_TREE_BYTES,
) -> Generator[Path]:
    """A temporary copy of `project` with `files` laid over and `patch` applied; removed at the end.

    Raises InputError when the tree is larger than `max_bytes` or a path leaves it, PatchError when the
    patch does not fit.
    """
    with tempfile.TemporaryDirectory(prefix="emend-", ignore_cleanup_errors=True) as directory:
        root = Path(directory) / "tree"
        root.mkdir()
        if project is not None:
            _Copy(max_bytes).tree(project, root)
        for path, content in (files or {}).items():
            write_inside(root, path, content)
        if patch:
            sources = {path: read_source(root, path) for path in patch.paths}
            texts = patch.apply({path: source.text for path, source in sources.items()})
            for path, source in sources.items():
                write_inside(root, path, source.with_text(texts[path]).to_bytes())
        yield root


def write_inside(root: Path, path: str, content: bytes) -> None:
    """Write `root/path`, making its folders. Raises InputError when it would leave `root`."""
    full = root / path
    if not full.resolve().is_relative_to(root.resolve()) or full == root:
        raise InputError(f"{path!r} does not lie inside the project", field=path)
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_bytes(content)


class _Copy:
    """Copies a tree; regular files, folders and symbolic links only."""

    def __init__(self, max_bytes: int) -> None:
        self._left = self._max = max_bytes

    def tree(self, source: Path, target: Path) -> None:
        try:
            entries = sorted(os.scandir(source), key=lambda e: e.name)
        except OSError as error:
            raise InputError(f"{source}: {error.strerror or error}", field="project") from error
        for entry in entries:
            self._entry(entry, target / entry.name)

    def _entry(self, entry: os.DirEntry[str], target: Path) -> None:
        if entry.name in LEFT_OUT:
            return
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            if entry.name in LINKED:
                target.symlink_to(Path(entry.path).resolve())
                return
            target.mkdir()
            self.tree(Path(entry.path), target)
        elif entry.is_file():
            self._file(Path(entry.path), target)

    def _file(self, source: Path, target: Path) -> None:
        self._left -= source.stat().st_size
        if self._left < 0:
            raise InputError(
                f"the project is larger than {self._max // 2**20} MiB without its environments; "
                "name the directory that the tests need",
                field="project",
            )
        shutil.copy2(source, target)


@dataclass(frozen=True, slots=True)
class _Write:
    """One file to be replaced: its real path, what it holds now and what it shall hold."""

    path: Path
    before: bytes
    after: bytes


def apply_in_place(root: Path, patch: Patch, sources: Iterable[Source]) -> tuple[Path, ...]:
    """Write a patch into the tree at `root`; returns the files written.

    Each file is replaced atomically (a killed process leaves the old or the new file, never half of one),
    with its mode, and through a symbolic link. Several files are first all prepared, then all replaced; when
    one of them cannot be, those before it are put back.
    Raises InputError when a file is not what `sources` say (the patch was made for other text) or lies
    outside of `root`, PatchError when the patch does not fit.
    """
    by_path = {source.path: source for source in sources}
    texts = patch.apply({path: source.text for path, source in by_path.items()})
    writes = [_planned(root, by_path[path], texts[path]) for path in patch.paths]
    with contextlib.ExitStack() as cleanup:
        prepared = [(write, _prepared(write, cleanup)) for write in writes]
        _replace_all(prepared)
    return tuple(write.path for write in writes)


def _planned(root: Path, source: Source, text: str) -> _Write:
    path = Path(os.path.realpath(root / source.path))
    if not path.is_relative_to(os.path.realpath(root)):
        raise InputError(f"{source.path} leads out of {root}; nothing was written", field=source.path)
    before = _content(path, source.path)
    if before != source.to_bytes():
        raise InputError(
            f"{source.path} has changed since it was read; nothing was written, run again", field=source.path
        )
    return _Write(path, before, source.with_text(text).to_bytes())


def _content(path: Path, shown: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror or error}; nothing was written", field=shown) from error


def _prepared(write: _Write, cleanup: contextlib.ExitStack) -> Path:
    """The new content, on disk beside the file it will replace."""
    try:
        status = write.path.stat()
        descriptor, name = tempfile.mkstemp(prefix=f".{write.path.name}.", suffix=".emend", dir=write.path.parent)
        temporary = Path(name)
        cleanup.callback(temporary.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as file:
            file.write(write.after)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            with contextlib.suppress(PermissionError):  # another owner's file that we may write
                os.fchown(descriptor, status.st_uid, status.st_gid)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise InputError(
            f"{write.path}: {error.strerror or error}; nothing was written", field=str(write.path)
        ) from error
    return temporary


def _replace_all(prepared: list[tuple[_Write, Path]]) -> None:
    done: list[_Write] = []
    try:
        for write, temporary in prepared:
            if _content(write.path, str(write.path)) != write.before:
                raise InputError(
                    f"{write.path} has just changed; nothing was written, run again", field=str(write.path)
                )
            temporary.replace(write.path)
            done.append(write)
    except (OSError, InputError) as error:
        for write in done:
            _put_back(write)
        if isinstance(error, InputError):
            raise
        raise InputError(f"{error.filename}: {error.strerror}; nothing was written", field="files") from error
    for folder in {write.path.parent for write in done}:
        _sync_folder(folder)


def _put_back(write: _Write) -> None:
    back = _Write(write.path, write.after, write.before)
    with contextlib.ExitStack() as cleanup:
        _prepared(back, cleanup).replace(write.path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
