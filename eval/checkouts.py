"""Check-outs of repository tasks: both trees in a temporary folder, and what differs between them.

Touches no checkout of the user's. Must not know of tests being run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from data.filters import is_test
from data.repositories import Repository, is_address, open_repository
from eval.suites.cases import RepositoryTask
from repair.errors import InputError, OracleError
from repair.oracles.commands import is_test_name
from repair.sources import Source, language_of, read_source

_LARGEST = 400_000  # bytes of a file that may be changed
_MOST = 2_000  # files that may be changed


@dataclass(frozen=True, slots=True)
class Trees:
    """A task's files. `tests` are laid over `buggy`; `changed` are sources that the fix changes, adds or removes."""

    buggy: Path
    fixed: Path | None = None
    tests: dict[str, bytes] = field(default_factory=dict[str, bytes])
    changed: tuple[str, ...] = ()


def default_cache() -> Path:
    """$XDG_CACHE_HOME/emend/repositories."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "emend" / "repositories"


@contextmanager
def checked_out(task: RepositoryTask, cache: Path) -> Generator[Trees]:
    """Both trees in a temporary folder.

    Raises InputError: no repository, no such commit, no such source; OracleError: an address that cannot be fetched.
    """
    repository = _opened(task, cache)
    with tempfile.TemporaryDirectory(prefix="emend-task-", ignore_cleanup_errors=True) as folder:
        buggy = Path(folder) / "buggy"
        repository.check_out(repository.resolve(task.buggy_commit), buggy)
        for path in task.sources:
            read_source(buggy, path)
        if task.fixed_commit is None:
            yield Trees(buggy)
            return
        fixed = Path(folder) / "fixed"
        repository.check_out(repository.resolve(task.fixed_commit), fixed)
        different = _different(buggy, fixed)
        tests = {path: (fixed / path).read_bytes() for path in different if _of_tests(path) and is_file(fixed / path)}
        changed = tuple(path for path in different if not _of_tests(path) and language_of(path) != "text")
        yield Trees(buggy, fixed, tests, changed)


def _opened(task: RepositoryTask, cache: Path) -> Repository:
    try:
        return open_repository(task.repo, cache=cache)
    except InputError as error:
        if is_address(task.repo) or error.field == "git":  # says nothing about the task
            raise OracleError(str(error)) from error
        raise


def is_file(path: Path) -> bool:
    """A regular file, no link to one."""
    return path.is_file() and not path.is_symlink()


def _files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            if is_file(Path(folder) / name):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _different(one: Path, other: Path) -> tuple[str, ...]:
    """Files that are not the same in both trees, or in one only."""
    mine, yours = set(_files(one)), set(_files(other))
    both = {path for path in mine & yours if (one / path).read_bytes() != (other / path).read_bytes()}
    return tuple(sorted((mine ^ yours) | both))


def _of_tests(path: str) -> bool:
    return is_test(path) or is_test_name(path)


def all_sources(root: Path) -> tuple[Source, ...]:
    """Everything that a repair might change."""
    found: list[Source] = []
    for path in _files(root):
        if language_of(path) != "text" and not _of_tests(path) and (root / path).stat().st_size <= _LARGEST:
            try:
                found.append(read_source(root, path))
            except InputError:  # not text: nothing that we could repair
                continue
    return tuple(found[:_MOST])
