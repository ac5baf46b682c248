"""Shipped faults, repaired by the command line without a model; `make faults` tells of all of them."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

E2E = Path(__file__).parent
ROOT = E2E.parents[1]
QUIET = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"  # what is installed here beside pytest is slow to import
NAMES = sorted(path.name for path in (E2E / "faults").iterdir() if path.is_dir())


@pytest.fixture
def project(tmp_path):
    def copied(name, *, fixed=False):
        shutil.copytree(E2E / "faults" / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        if fixed:
            shutil.copy(E2E / "fixed" / f"{name}.py", tmp_path / name)
        return tmp_path / name

    return copied


def passes(project):
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=project, capture_output=True, check=False, env=environment).returncode == 0


def fix(project, *options):
    name = project.name
    command = [
        sys.executable,
        "-m",
        "serve",
        "fix",
        f"{name}.py",
        "--test",
        f"{QUIET} python -m pytest -q test_{name}.py",
    ]
    command += ["--python", sys.executable, "--model", "none", "--sandbox-minimum", "C", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment, check=False)


def tree(path):
    return ast.dump(ast.parse(path.read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_each_fault_is_one_line_and_real(project, name):
    faulty = (E2E / "faults" / name / f"{name}.py").read_text().split("\n")
    fixed = (E2E / "fixed" / f"{name}.py").read_text().split("\n")
    assert len(faulty) == len(fixed)
    assert sum(one != other for one, other in zip(faulty, fixed, strict=True)) == 1


@pytest.mark.parametrize("name", ["auction", "recipe"])
def test_fixed_passes_and_faulty_fails(project, tmp_path, name):
    assert passes(project(name, fixed=True))
    shutil.rmtree(tmp_path / name)
    assert not passes(project(name))


@pytest.mark.parametrize("name", ["playlist", "clockwork"])
def test_fault_is_repaired_and_applied(project, name):
    where = project(name)
    before = {path: path.read_bytes() for path in where.iterdir()}
    done = fix(where, "--candidates", "30", "--seconds", "240", "--apply")
    assert done.returncode == 0, done.stderr
    assert "A plausible patch was found" in done.stderr
    assert f"applied to {name}.py" in done.stderr
    assert {path for path in where.iterdir() if before.get(path) != path.read_bytes()} == {where / f"{name}.py"}
    assert tree(where / f"{name}.py") == tree(E2E / "fixed" / f"{name}.py")


def test_nothing_is_written_when_nothing_is_found(project):
    where = project("ferry")
    before = {path: path.read_bytes() for path in where.iterdir()}
    done = fix(where, "--candidates", "1", "--apply")
    assert (done.returncode, "No plausible patch was found" in done.stderr) == (1, True)
    assert {path: path.read_bytes() for path in where.iterdir()} == before
