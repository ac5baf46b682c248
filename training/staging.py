"""Outputs that are there whole or not at all: written beside their place, then renamed.

Owns the temporary names and what may be replaced. Must not know what is written. A full disk leaves neither half an
output nor a changed old one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from repair.errors import InputError, ModelError


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_taken(out: Path) -> bool:
    """Whether there is something at `out` that writing would replace; an empty directory is nothing."""
    if out.is_dir():
        return any(out.iterdir())
    return out.exists() or out.is_symlink()


def check_free(out: Path, *, force: bool = False, keep: Iterable[Path] = ()) -> None:
    """Raise InputError when something is at `out` and `force` is off, or when writing it would remove one of `keep`.

    The working directory and the home are always kept, whatever is forced.
    """
    for kept in (Path.cwd(), Path.home(), *keep):
        if kept.resolve().is_relative_to(out.resolve()):
            raise InputError(f"{out} holds {kept}, which would be lost: choose another place", field="out")
    if is_taken(out) and not force:
        raise InputError(f"{out} exists and is not empty: choose another place or give --force", field="out")


def _place(partial: Path, out: Path) -> None:
    """Rename `partial` to `out`. What was there is put aside first: a directory cannot be replaced in one step."""
    aside = out.with_name(f".{out.name}.old-{os.getpid()}")
    if not out.is_dir():
        partial.replace(out)
        return
    out.rename(aside)
    try:
        partial.rename(out)
    except OSError:
        aside.rename(out)
        raise
    _remove(aside)


@contextmanager
def staged(out: Path, *, force: bool = False) -> Generator[Path]:
    """A path beside `out` where a file or a directory can be made; it becomes `out` when the block ends well.

    Raises InputError when `out` is taken and `force` is off, ModelError when the disk refuses.
    """
    check_free(out, force=force)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        yield partial
        _place(partial, out)
    except OSError as error:
        raise ModelError(f"cannot write {out}: {error.strerror or error}; nothing was left there") from error
    finally:
        _remove(partial)
