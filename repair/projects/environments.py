"""The interpreter of a project's tests: the user's, the project's own, ours where that suffices, or one that is built.

What is installed somewhere is read from its metadata, nothing is started for the question. A built environment lies
in the cache under a hash of what it was made from; it is made under a lock, and counts only once it is complete.
Only wheels are installed, so that no stranger's build code runs.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from repair.errors import OracleError
from repair.locks import locked
from repair.oracles.interpreters import Interpreter, find_python, site_folders
from repair.projects.requirements import Declared
from repair.projects.values import Order, Refusal, Standing

_SECONDS = 600.0  # for one installation
_DROPS = 4  # packages that may be left out one after another
_COMPLETE = "complete.json"
_OUR_OWN = "the interpreter that runs Emend"
_NOT_FOUND = re.compile(r"No matching distribution found for ([\w.-]+)|requirement ([\w.-]+)[^\n]*\(from versions")
_UV_NOT_FOUND = re.compile(
    r"(?:Because|because) (?:there (?:is|are) no versions? of )?([\w.-]+) (?:was not found|has no|<|>|=)"
)
_ADVICE = "install it where it can be had and name that interpreter with --python"


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter (None where the tests take none) and, in words, where it comes from."""

    python: Path | None
    told: str
    notes: tuple[str, ...] = ()
    upon: bool = False  # pytest needs the project itself


def python_environment(order: Order, needs: Declared, folder: Path | None, cache: Path) -> Environment:
    """The interpreter for tests that need `needs`; `folder` is the user's checkout, which is only read.

    Raises Refusal (NO_ENVIRONMENT) where none can be had.
    """
    extra = order.requirements
    for line in extra:
        _requirement(line)
    if order.python:
        return _given(order, needs)
    notes: tuple[str, ...] = ()
    own = _own(folder) if folder is not None else None
    if own is not None:
        lacking = unmet(own, _both(needs, extra))
        if not lacking:
            return Environment(own.path, f"the project's own {own.path.parent.parent.name}")
        if not unmet(own, (*needs.needed, *_runner(needs), *extra)):
            told = f"not installed in {own.path.parent.parent.name}: {', '.join(_names(lacking))}"
            return Environment(own.path, f"the project's own {own.path.parent.parent.name}", (told,))
        notes = (f"{own.path.parent.parent} was not used: it lacks {', '.join(_names(lacking))}",)
    for python, told in _at_hand():
        if fits(python, needs.python) and not unmet(python, _both(needs, extra)):
            return Environment(python.path, told, notes)
    return _built(needs, extra, cache, notes)


def _given(order: Order, needs: Declared) -> Environment:
    try:
        python = find_python(Path(order.python).expanduser())
    except OracleError as error:
        raise Refusal(Standing.NO_ENVIRONMENT, str(error)) from error
    missing = _names(unmet(python, (*_runner(needs), *order.requirements)))
    if missing:
        raise Refusal(
            Standing.NO_ENVIRONMENT,
            f"{', '.join(missing)} is not installed for {order.python}; "
            f"install it there ({python.path} -m pip install {' '.join(missing)}) or name another interpreter",
        )
    lacking = _names(unmet(python, needs.needed))
    notes = (f"not installed for {order.python}: {', '.join(lacking)}",) if lacking else ()
    return Environment(python.path, "the given interpreter", notes)


def _own(folder: Path) -> Interpreter | None:
    """The virtual environment beside the user's checkout."""
    for name in (".venv", "venv"):
        if (folder / name / "pyvenv.cfg").is_file():
            try:
                return find_python(folder / name / "bin" / "python")
            except OracleError:
                continue
    return None


@functools.cache
def _at_hand() -> tuple[tuple[Interpreter, str], ...]:
    found = [(find_python(Path(sys.executable)), _OUR_OWN)]
    for name in ("python", "python3"):
        try:
            python = find_python(name=name)
        except OracleError:
            continue
        if all(python.path.absolute() != other.path.absolute() for other, _ in found):
            found.append((python, f"{name} of PATH"))
    return tuple(found)


def _both(needs: Declared, extra: Sequence[str]) -> tuple[str, ...]:
    return (*needs.needed, *needs.wished, *extra)


def _runner(needs: Declared) -> tuple[str, ...]:
    return tuple(line for line in needs.wished if _names((line,)) == ("pytest",))


def _requirement(line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        reason = f"{line!r} is no requirement ({str(error).splitlines()[0]}); write it as in requirements.txt"
        raise Refusal(Standing.NO_ENVIRONMENT, reason) from error


def _names(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(canonicalize_name(Requirement(line).name)) for line in lines))


def version_of(python: Interpreter) -> str:
    """The version of an interpreter: by pyvenv.cfg, by the name of its libraries' folder, else it is asked."""
    home = python.path.parent.parent
    config = home / "pyvenv.cfg"
    text = config.read_text("utf-8", "replace") if config.is_file() else ""
    told = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+\.\d+)", text, re.M)
    return told[1] if told else _asked(python.path)


@functools.cache
def _asked(python: Path) -> str:
    """Asked once; an interpreter is the user's or the system's, not the project's code."""
    words = (str(python), "-I", "-S", "-c", "import platform; print(platform.python_version())")
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def fits(python: Interpreter, wanted: str) -> bool:
    """Whether the interpreter's version is one that `requires-python` allows."""
    try:
        return not wanted or SpecifierSet(wanted).contains(version_of(python) or "0", prereleases=True)
    except InvalidSpecifier:
        return True


def installed(python: Interpreter) -> Mapping[str, str]:
    """Versions of the distributions that an interpreter sees, by canonical name; read, not asked."""
    folders = [str(folder) for folder in site_folders(python)]
    found: dict[str, str] = {}
    for one in importlib.metadata.distributions(path=folders):
        name = one.metadata["Name"] if one.metadata else None
        if name:
            found.setdefault(str(canonicalize_name(name)), one.version)
    return found


def unmet(python: Interpreter, lines: Iterable[str]) -> tuple[str, ...]:
    """The requirements that an interpreter does not meet, those of other systems and versions apart."""
    version = version_of(python)
    markers = {"python_version": ".".join(version.split(".")[:2]), "python_full_version": version, "extra": ""}
    have = installed(python)
    missing: list[str] = []
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate(markers):
            continue
        own = have.get(str(canonicalize_name(wanted.name)))
        if own is None or not wanted.specifier.contains(own, prereleases=True):
            missing.append(line)
    return tuple(missing)


def _built(needs: Declared, extra: Sequence[str], cache: Path, notes: tuple[str, ...]) -> Environment:
    base = _base(needs.python)
    lines = sorted({*needs.needed, *needs.wished, *extra})
    key = json.dumps([version_of(base), sys.platform, lines])
    home = cache / "environments" / hashlib.sha256(key.encode()).hexdigest()[:20]
    home.mkdir(parents=True, exist_ok=True)
    with locked(home):
        dropped = _complete(home)
        if dropped is None:
            shutil.rmtree(home / "venv", ignore_errors=True)  # of a run that was ended in the middle
            dropped = _build(home, base, lines, {*needs.needed, *extra, *_runner(needs)})
            ready = home / f"{_COMPLETE}.part"
            ready.write_text(json.dumps({"dropped": dropped, "of": lines}), "utf-8")
            ready.replace(home / _COMPLETE)
    if dropped:
        notes += (f"not installed, for no wheel of it fits: {', '.join(dropped)}",)
    told = f"built from {', '.join(needs.sources) or 'nothing but the runner'} (Python {version_of(base)})"
    return Environment(home / "venv" / "bin" / "python", told, notes)


def _complete(home: Path) -> list[str] | None:
    """What a complete environment had to leave out; None where there is none."""
    try:
        return list(json.loads((home / _COMPLETE).read_text("utf-8"))["dropped"])
    except (OSError, ValueError, KeyError):
        return None


def _base(wanted: str) -> Interpreter:
    """A Python to build upon that `requires-python` allows: ours, then those on PATH and of pyenv, newest first."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    named = [found for n in range(15, 7, -1) if (found := shutil.which(f"python3.{n}"))]
    kept = sorted(pyenv.glob("*/bin/python"), key=lambda p: _numbers(p.parent.parent.name), reverse=True)
    paths = (getattr(sys, "_base_executable", sys.executable), *named, *map(str, kept))
    seen: list[str] = []
    for path in dict.fromkeys(paths):
        try:
            python = find_python(Path(path))
        except OracleError:
            continue
        version = _asked(python.path)
        if version and fits(python, wanted):
            return python
        seen += [version] if version else []
    reason = f"the project needs Python {wanted}, here are {', '.join(dict.fromkeys(seen))}"
    raise Refusal(Standing.NO_ENVIRONMENT, f"{reason}; name an interpreter with --python")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _build(home: Path, base: Interpreter, lines: Sequence[str], needed: set[str]) -> list[str]:
    """Make home/venv and install; returns the names of what was left out. Raises Refusal (NO_ENVIRONMENT)."""
    uv, venv = shutil.which("uv"), home / "venv"
    ours = importlib.util.find_spec("pip") is not None  # ours installs there too, and making a venv takes half as long
    python = str(venv / "bin" / "python")
    if uv:
        make = (uv, "venv", "-q", "--python", str(base.path), str(venv))
        install = (uv, "pip", "install", "-q", "--only-binary", ":all:", "--python", python)
    else:
        make = (str(base.path), "-m", "venv", *(("--without-pip",) if ours else ()), str(venv))
        pip = (sys.executable, "-I", "-m", "pip", "--python", python) if ours else (python, "-I", "-m", "pip")
        install = (*pip, "install", "-q", "--only-binary=:all:", "--no-input", "--no-compile",
                   "--disable-pip-version-check")  # fmt: skip
    status, said = _called(make, home)
    if status != 0:
        raise Refusal(Standing.NO_ENVIRONMENT, f"no virtual environment can be made: {_last(said)}; {_ADVICE}")
    left, dropped = list(lines), list[str]()
    must = set(_names(needed))
    while left:
        status, said = _called((*install, *left), home)
        if status == 0:
            return dropped
        found = (_UV_NOT_FOUND if uv else _NOT_FOUND).search(said)
        name = str(canonicalize_name(found[1] or found[2])) if found else ""  # the second group is pip's alone
        out = [line for line in left if _names((line,)) == (name,)]
        if not out or name in must or len(dropped) >= _DROPS:
            if len(left) > len(needed) and not _offline(said):  # a conflict of what is only wished
                dropped += [n for n in _names(left) if n not in must]
                left = sorted(needed)
                continue
            what = name or "what the project declares"
            raise Refusal(Standing.NO_ENVIRONMENT, f"{what} cannot be installed from wheels: {_last(said)}; {_ADVICE}")
        left = [line for line in left if line not in out]
        dropped.append(name)
    return dropped


def _called(words: Sequence[str], home: Path) -> tuple[int, str]:
    """Exit status and what was said. The user's configuration of the index holds, no variable of a Python's does."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV")
    }
    try:
        done = subprocess.run(
            words, cwd=home, env=kept, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, f"no end in {_SECONDS:.0f} s"
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def _offline(said: str) -> bool:
    return bool(re.search(r"NewConnectionError|Temporary failure in name|Name or service|ConnectTimeout", said))


def _last(said: str) -> str:
    """The last line that says something, without the tool's own mark of an error."""
    lines = [line.strip() for line in said.split("\n") if line.strip() and not line.startswith(("[notice]", "hint:"))]
    return re.sub(r"^(?:ERROR|error):\s*", "", lines[-1])[:300] if lines else "no reason was given"


def runs_upon(environment: Environment, name: str) -> bool:
    """Whether pytest itself needs the distribution `name`: then it has imported that before any test begins."""
    if environment.python is None or not name:
        return False
    folders = [str(folder) for folder in site_folders(find_python(environment.python))]
    known = {
        str(canonicalize_name(d.metadata["Name"] or "")): d for d in importlib.metadata.distributions(path=folders)
    }
    seen, waiting = set[str](), ["pytest"]
    while waiting:
        own = waiting.pop()
        if own not in seen:
            seen.add(own)
            lines = (known[own].requires or []) if own in known else []
            waiting += _names(line for line in lines if "extra ==" not in line)
    return name in seen
