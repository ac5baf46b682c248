"""The user's Python is found without running anything out of the project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repair.errors import OracleError
from repair.oracles.interpreters import environment_folders, find_python, has_module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a virtual environment in it, made without pip."""
    command = (sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(tmp_path / ".venv"))
    subprocess.run(command, check=True, timeout=300)
    return tmp_path


def site_packages(project: Path) -> Path:
    (found,) = (project / ".venv").glob("lib/python3*/site-packages")
    return found


def test_the_projects_environment_comes_first(project):
    found = find_python(None, project, "python")
    assert found.path == project / ".venv" / "bin" / "python"
    assert project / ".venv" in found.readable
    for folder in found.readable:
        assert (folder / "pyvenv.cfg").exists() or list(folder.glob("lib/python3*/os.py"))


def test_a_given_interpreter_comes_before_all(project, tmp_path):
    given = Path(sys.executable)
    assert find_python(given, project, "python").path == given
    assert find_python(project / ".venv").path == project / ".venv" / "bin" / "python"
    assert find_python(None, project, ".venv/bin/python").path == project / ".venv" / "bin" / "python"
    with pytest.raises(OracleError, match="no Python that can be run"):
        find_python(tmp_path / "missing")
    with pytest.raises(OracleError, match="no Python that can be run"):
        find_python(None, project, "bin/python")


def test_without_an_environment_the_python_of_the_path_is_taken(tmp_path, monkeypatch):
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (shims / "python").chmod(0o755)
    (shims / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{shims}:/usr/bin:/bin")
    asked = find_python(None, tmp_path, "python")
    assert asked.path.samefile(sys.executable), "a shim is asked what it stands for"
    assert find_python(None, tmp_path, "python3.99").path == shims / "python3.99"


def test_a_forged_environment_opens_no_other_folder(project):
    secret = project / "secret"
    (secret / "bin").mkdir(parents=True)
    (project / ".venv" / "pyvenv.cfg").write_text(f"home = {secret}/bin\n")
    assert secret not in find_python(None, project).readable


def test_installed_modules_and_editable_folders_are_read_off_the_disk(project):
    python = find_python(None, project)
    assert not has_module(python, "pytest")
    (site_packages(project) / "pytest").mkdir()
    assert has_module(python, "pytest")
    assert environment_folders(python, project) == ()
    (project / "lib" / "inner").mkdir(parents=True)
    (site_packages(project) / "mine.pth").write_text(f"{project}/lib/inner\n/elsewhere\nimport sys\n")
    (project / "src").mkdir()
    assert environment_folders(python, project) == ("lib/inner", "src")
