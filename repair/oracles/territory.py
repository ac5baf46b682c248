"""What a repair may change: the request's sources, and among them no test, no configuration of tests, no link.

Owns the rule alone; runs nothing. All oracles that run a project's tests share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repair.edits import Patch
from repair.oracles.commands import is_test_name
from repair.oracles.testtext import keeps_examples
from repair.sources import Source

_FORBIDDEN = frozenset(
    {
        "conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "sitecustomize.py",
        "usercustomize.py", "package.json", "Makefile", ".npmrc", ".mocharc.js", "jest.config.js",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Territory:
    """Files of `project` that may change; `doctests` are sources whose examples are tests and must stay."""

    project: Path
    sources: Mapping[str, Source]
    test_files: frozenset[str] = frozenset()
    doctests: frozenset[str] = frozenset()

    def covers(self, patch: Patch) -> bool:
        """No test, no configuration of tests, no link, nothing but the request's sources."""
        if not patch or not all(self.may_change(path) for path in patch.paths):
            return False
        tested = (file for file in patch.files if file.path in self.doctests)
        return all(keeps_examples(self.sources[file.path].text, file) for file in tested)

    def may_change(self, path: str) -> bool:
        """Whether a patch may touch that file at all."""
        parts = PurePosixPath(path).parts
        if path not in self.sources or path in self.test_files or is_guarded(path):
            return False
        return not any((self.project / part).is_symlink() for part in _paths_down(parts))


def is_guarded(path: str) -> bool:
    """Whether a file is a test, a configuration of tests or of the interpreter, or history, by its name."""
    parts = PurePosixPath(path).parts
    name = parts[-1] if parts else ""
    return name in _FORBIDDEN or name.endswith(".pth") or ".git" in parts or is_test_name(name)


def files_of_tests(ids: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Files with doctests, and files that hold other tests, by pytest's ids (also when they are named as sources)."""
    split = [t.split("::") for t in ids if "::" in t]
    doctests = frozenset(file for file, name, *_ in split if PurePosixPath(file).stem in name.split("."))
    tests = frozenset(file for file, name, *_ in split if PurePosixPath(file).stem not in name.split("."))
    return doctests, tests


def _paths_down(parts: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """a, a/b, a/b/c."""
    for length in range(1, len(parts) + 1):
        yield PurePosixPath(*parts[:length])
