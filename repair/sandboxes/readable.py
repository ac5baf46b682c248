"""Which host paths a program may read beside the system's: checks them, and finds an interpreter's own.

Owns the refusal of paths that would open more than a program needs (a home directory, /etc).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from repair.errors import SandboxError

# What every program may read: the system's programs and libraries, and the settings that are nobody's secret.
SYSTEM_ROOTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
)
SYSTEM_PATHS = ("/usr", *SYSTEM_ROOTS, *SETTINGS)
_COVERED = (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64"), Path("/sbin"))
_NEVER = tuple(Path(name) for name in ("/", "/etc", "/proc", "/sys", "/dev", "/run", "/var", "/boot", "/home", "/root"))


def interpreter_paths(python: Path) -> tuple[Path, ...]:
    """What must be readable for `python` to start: its virtual environment and the installation below that.

    Raises SandboxError when there is no such file.
    """
    if not python.exists():
        raise SandboxError(f"there is no interpreter {python}")
    found: list[Path] = []
    for step in _link_chain(python.absolute()):
        prefix = step.parent.parent
        if prefix not in found:
            found.append(prefix)
        home = _venv_home(prefix)
        if home is not None and home.parent not in found:
            found.append(home.parent)
    return tuple(path for path in checked_readable(found, refuse=False))


def checked_readable(paths: Iterable[Path], *, refuse: bool = True) -> Sequence[Path]:
    """The paths that need to be bound: absolute, none inside another or inside the system's, parents first.

    Raises SandboxError for one that does not exist or would show too much (with `refuse`, else it is left out).
    """
    kept: list[Path] = []
    forbidden = {*_NEVER, Path.home(), *Path.home().parents}
    for path in sorted({Path(os.path.normpath(path.absolute())) for path in paths}):
        if any(path.is_relative_to(root) for root in (*_COVERED, *kept)):
            continue
        if path in forbidden or not path.exists():
            if refuse:
                raise SandboxError(f"{path} may not be opened to a sandbox: name the directory the program needs")
            continue
        kept.append(path)
    return kept


def readable_by_others(program: Path) -> bool:
    """Whether somebody who owns nothing may run `program`."""
    real = program.resolve()
    passable = all(parent.stat().st_mode & 0o001 for parent in real.parents)
    return passable and real.stat().st_mode & 0o005 == 0o005


def _link_chain(path: Path) -> list[Path]:
    """`path` and each file its links lead through, directories resolved (python -> python3 -> /opt/…/python3.11)."""
    chain = [path]
    while path.is_symlink() and len(chain) < 40:
        path = Path(os.path.normpath(path.parent / path.readlink()))
        chain.append(path)
    return [*chain, path.resolve()]


def _venv_home(prefix: Path) -> Path | None:
    try:
        lines = (prefix / "pyvenv.cfg").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(value.strip())
    return None
