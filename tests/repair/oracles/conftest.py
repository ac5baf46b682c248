from __future__ import annotations

from pathlib import Path

import pytest

from repair.candidates import Candidate
from repair.edits import Edit, FilePatch, Patch, Span
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox


@pytest.fixture(scope="session")
def sandbox():
    """The strongest one that works on this machine, real processes in every case."""
    return find_sandbox(Tier.E, unsafe=True)


@pytest.fixture(scope="session")
def rewrite():
    """Candidates that replace a whole file."""

    def candidate(path: str, before: str, after: str) -> Candidate:
        return Candidate(Patch((FilePatch(path, (Edit(Span(0, len(before)), after),)),)), "test")

    return candidate


@pytest.fixture
def project(tmp_path: Path):
    """Writes a project; text of each file by its path."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_py", ".py").replace("_js", ".js").replace(
                "_ini", ".ini"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write
