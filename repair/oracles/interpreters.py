"""Which Python runs the tests, and which directories it needs to be readable inside the sandbox.

The user's interpreter, never ours put beside theirs: given by path, else the project's virtual environment,
else the `python3` of PATH. Nothing out of the project is executed here: prefixes are read from `pyvenv.cfg`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from repair.errors import OracleError
from repair.sandboxes.readable import interpreter_paths

_SITE = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib/python3/dist-packages")
_VENVS = (".venv", "venv", "env", ".env")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python executable, and the host directories that it needs beside the system's."""

    path: Path
    readable: tuple[Path, ...] = ()


def find_python(given: Path | None = None, project: Path | None = None, name: str = "") -> Interpreter:
    """The interpreter for the tests of `project`; `name` is what the test command calls ("python3.12").

    Raises OracleError when there is none, or when the given one cannot be run.
    """
    if given is not None:
        return _interpreter(_executable(given))
    if os.sep in name:
        return _interpreter(_executable((project or Path()) / name))
    for venv in _VENVS if project else ():
        candidate = (project or Path()) / venv / "bin" / "python"
        if (candidate.parent.parent / "pyvenv.cfg").is_file() and os.access(candidate, os.X_OK):
            return _interpreter(candidate.absolute())
    for called in dict.fromkeys((name, "python", "python3")):
        found = shutil.which(called) if called else None
        if found:
            return _interpreter(_unshimmed(Path(found)))
    if Path(sys.executable).exists():
        return _interpreter(Path(sys.executable))
    raise OracleError("no Python was found on PATH; say which one runs the tests")


def _executable(path: Path) -> Path:
    path = path.absolute()
    if path.is_dir() and os.access(path / "bin" / "python", os.X_OK):
        path = path / "bin" / "python"  # a virtual environment was named by its directory
    if not os.access(path, os.X_OK) or path.is_dir():
        raise OracleError(f"{path} is no Python that can be run; give the path of an interpreter")
    return path


def _unshimmed(found: Path) -> Path:
    """Pyenv and asdf put shell scripts on PATH; ask such a one, which is the user's own, what it stands for."""
    with found.open("rb") as file:
        if file.read(2) != b"#!":
            return found
    asked = (str(found), "-I", "-S", "-c", "import sys; print(sys.executable)")
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise OracleError(f"{found} does not start; say which Python runs the tests") from error
    return Path(answer.stdout.strip())


def _interpreter(path: Path) -> Interpreter:
    """`path` with the directories of its virtual environment and of the Python that this was made from."""
    return Interpreter(path, tuple(p for p in interpreter_paths(path) if _is_python_home(p)))


def _is_python_home(directory: Path) -> bool:
    """Whether a Python is installed there: a pyvenv.cfg may not make any other directory readable."""
    return (directory / "pyvenv.cfg").is_file() or any(directory.glob("lib/python3*/os.py"))


def has_module(python: Interpreter, name: str) -> bool:
    """Whether a package of that name lies in the interpreter's site-packages, without running it."""
    return any((folder / name).is_dir() for folder in site_folders(python))


def environment_folders(python: Interpreter, project: Path) -> tuple[str, ...]:
    """Folders of `project` that its environment puts on `sys.path` (editable installs), relative to it.

    In a copy of the project the absolute paths of the `.pth` files would lead back to the unpatched code.
    `src` is one of them wherever it exists: the layout is made for being installed.
    """
    found = {"src"} if (project / "src").is_dir() else set[str]()
    for folder in site_folders(python):
        for listing in folder.glob("*.pth"):
            try:
                lines = listing.read_text("utf-8").split("\n")
            except (OSError, UnicodeDecodeError):
                continue
            paths = (Path(line.strip()) for line in lines if line.startswith("/"))
            found |= {p.relative_to(project).as_posix() for p in paths if p.is_relative_to(project)}
    return tuple(sorted(found))


def site_folders(python: Interpreter) -> tuple[Path, ...]:
    """Folders of installed packages; those of the base Python only where the environment includes them."""
    venv = python.path.parent.parent
    homes = [venv]
    if _setting(venv / "pyvenv.cfg", "include-system-site-packages") != "false":
        homes.append(python.path.resolve().parent.parent)
    return tuple(dict.fromkeys(f for home in homes for kind in _SITE for f in sorted(home.glob(kind))))


def _setting(config: Path, name: str) -> str:
    """A value of a pyvenv.cfg, lower case; "" without the file or the key."""
    try:
        lines = config.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    pairs = (line.partition("=") for line in lines)
    return next((value.strip().lower() for key, _, value in pairs if key.strip() == name), "")
