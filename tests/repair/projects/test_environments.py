"""Interpreters for tests: chosen by what is installed, or built. pip is real, the index is a folder of the test."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from repair.oracles.interpreters import find_python
from repair.projects import environments
from repair.projects.environments import fits, installed, python_environment, runs_upon, unmet
from repair.projects.requirements import Declared
from repair.projects.values import Order, Refusal, Standing

ORDER = Order("x", ".")


def wheel(index: Path, name: str, version: str = "1.0", requires: str = "") -> None:
    index.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needed = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as made:
        made.writestr(f"{name}/__init__.py", f"version = {version!r}\n")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only index that pip knows, as a user would set it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def venv_with(folder: Path, *names: str) -> Path:
    """A virtual environment in which `names` (name==version) seem installed, made without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    for name, _, version in (line.partition("==") for line in names):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder / "bin" / "python"


def test_the_projects_own_environment_is_used_when_it_suffices(tmp_path: Path) -> None:
    python = venv_with(tmp_path / ".venv", "pytest==8.0", "Own_Need==2.1")
    needs = Declared(needed=("own-need>=2", "colorama; sys_platform == 'win32'"), wished=("pytest>=7",))
    found = python_environment(ORDER, needs, tmp_path, tmp_path / "cache")
    assert (found.python, found.told, found.notes) == (python, "the project's own .venv", ())
    wished = Declared(needed=("own-need",), wished=("pytest", "rarity"))
    found = python_environment(ORDER, wished, tmp_path, tmp_path / "cache")
    assert found.python == python and found.notes == ("not installed in .venv: rarity",)
    assert not (tmp_path / "cache").exists()


def test_the_running_interpreter_is_used_when_it_suffices(tmp_path: Path) -> None:
    venv_with(tmp_path / ".venv")
    found = python_environment(ORDER, Declared(wished=("pytest",)), tmp_path, tmp_path / "cache")
    assert found.python == Path(sys.executable) and found.told == "the interpreter that runs Emend"
    assert ".venv was not used: it lacks pytest" in found.notes[0]
    assert runs_upon(found, "pluggy") and not runs_upon(found, "rich")


def test_the_given_interpreter_goes_before_all_and_must_have_the_runner(tmp_path: Path) -> None:
    python = venv_with(tmp_path / "mine", "pytest==8.0")
    needs = Declared(needed=("absent",), wished=("pytest",))
    found = python_environment(Order("x", ".", python=str(tmp_path / "mine")), needs, None, tmp_path)
    assert (found.python, found.notes) == (python, (f"not installed for {tmp_path / 'mine'}: absent",))
    bare = venv_with(tmp_path / "bare")
    for given, word in ((str(bare), "pip install pytest"), (str(tmp_path / "no"), "no Python")):
        with pytest.raises(Refusal, match=word) as refused:
            python_environment(Order("x", ".", python=given), needs, None, tmp_path)
        assert refused.value.standing is Standing.NO_ENVIRONMENT


def test_versions_and_markers_count(tmp_path: Path) -> None:
    python = find_python(venv_with(tmp_path / "v", "one==1.5"))
    assert installed(python)["one"] == "1.5"
    version = ".".join(map(str, sys.version_info[:2]))
    lines = ("one>=2", "one<2", f"two; python_version >= '{version}'", "three; python_version < '3.0'")
    assert unmet(python, lines) == ("one>=2", f"two; python_version >= '{version}'")
    assert fits(python, f">={version}") and not fits(python, "<3.0") and fits(python, "not a range")


def test_an_environment_is_built_once_by_one_and_never_used_half(tmp_path: Path, index: Path) -> None:
    wheel(index, "emend_inner")
    wheel(index, "emend_outer", requires="emend-inner")
    needs = Declared(needed=("emend-outer",), wished=("emend-absent",), sources=("pyproject.toml",))
    cache = tmp_path / "cache"
    found: list[environments.Environment] = []

    def build() -> None:
        found.append(python_environment(ORDER, needs, None, cache))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] and found[0].python is not None and "built from pyproject.toml" in found[0].told
    assert found[0].notes == ("not installed, for no wheel of it fits: emend-absent",)
    said = subprocess.run([found[0].python, "-c", "import emend_outer, emend_inner"], check=False)
    assert said.returncode == 0
    (home,) = (cache / "environments").iterdir()
    (home / "venv" / "mark").write_text("")
    build()
    assert found[2] == found[0] and (home / "venv" / "mark").exists()  # not built again
    (home / "complete.json").unlink()  # as if it had been killed before the end
    build()
    assert found[3] == found[0] and not (home / "venv" / "mark").exists()


def test_what_cannot_be_had_is_refused_with_what_pip_said(tmp_path: Path, index: Path) -> None:
    (index / "emend_source-1.0.tar.gz").write_bytes(b"a source distribution, whose build would be a stranger's code")
    with pytest.raises(Refusal, match=r"emend-source cannot be installed from wheels: .*--python") as refused:
        python_environment(ORDER, Declared(needed=("emend-source",)), None, tmp_path / "cache")
    assert refused.value.standing is Standing.NO_ENVIRONMENT
    with pytest.raises(Refusal, match=r"needs Python >=9\.9, here are"):
        python_environment(ORDER, Declared(python=">=9.9", needed=("emend-nowhere",)), None, tmp_path / "cache")
    with pytest.raises(Refusal, match="is no requirement"):
        python_environment(Order("x", ".", requirements=("-r evil",)), Declared(), None, tmp_path / "cache")


def test_a_small_package_is_had_from_the_users_own_index(tmp_path: Path) -> None:
    try:
        found = python_environment(ORDER, Declared(needed=("iniconfig==2.0.0",)), None, tmp_path)
    except Refusal as refusal:
        pytest.skip(f"no index: {refusal}")
    assert found.python is not None and installed(find_python(found.python))["iniconfig"] == "2.0.0"
