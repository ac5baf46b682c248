"""Which files of a tree may be at fault: sources of a known language that are no tests. Names and sizes only."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from repair.oracles.commands import is_test_name
from repair.sources import language_of
from repair.workspace import LEFT_OUT, LINKED

LARGEST = 400_000  # bytes of a file that may be changed
MOST = 20_000  # files that are looked at
_TEST_FOLDERS = frozenset({"test", "tests", "_tests", "__tests__", "spec"})


def is_test(path: str) -> bool:
    """Whether a path names test code, which no repair may change."""
    parts = PurePosixPath(path).parts
    in_folder = any(part.lower() in _TEST_FOLDERS for part in parts[:-1])
    return in_folder or is_test_name(path) or parts[-1] == "conftest.py"


def source_paths(root: Path) -> tuple[str, ...]:
    """Paths relative to `root`, sorted; regular files of at most LARGEST bytes, no links, at most MOST.

    Where all sources lie in folders named as those of tests, those that are no tests by their own names.
    """
    found = [path for path in _walk(root) if language_of(path) != "text"]
    ours = [path for path in found if not is_test(path)]
    return tuple(sorted(ours or [path for path in found if not is_test_name(path) and "conftest" not in path])[:MOST])


def _walk(root: Path) -> list[str]:
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(n for n in folders if n not in LEFT_OUT and n not in LINKED)
        for name in sorted(names):
            full = Path(folder) / name
            try:
                fits = not full.is_symlink() and full.is_file() and full.stat().st_size <= LARGEST
            except OSError:
                continue
            if fits:
                found.append(full.relative_to(root).as_posix())
        if len(found) > 10 * MOST:
            break
    return found
