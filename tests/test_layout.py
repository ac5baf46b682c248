"""The tree is what the packages are made of: no other `data` or `eval` shadows ours, no module grows too large."""

import importlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("repair", "training", "data", "serve", "eval")
MAX_LINES = 600


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_lies_in_the_tree(name):
    module = importlib.import_module(name)
    assert module.__file__ == str(ROOT / name / "__init__.py")


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_says_that_it_is_typed(name):
    assert (ROOT / name / "py.typed").is_file()


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    # what runs inside of the sandbox is laid beside the tests there, it is no package of ours
    bare = {folder for folder in folders if not (folder / "__init__.py").exists() and folder.name != "inside"}
    assert not bare


def test_no_module_is_longer_than_it_can_be_read():
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").split("\n"))
        for name in (*PACKAGES, "tests", "benchmarks")
        for path in (ROOT / name).rglob("*.py")
    }
    assert not {path: length for path, length in lengths.items() if length > MAX_LINES}


def test_no_tracked_file_is_ignored():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:  # not so in an unpacked archive
        assert listed.stdout == ""
