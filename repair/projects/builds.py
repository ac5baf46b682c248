"""Compiled parts of a project: its wheel is built in the sandbox, and what it adds is laid into our tree.

The project is not installed: what tests import stays the files under repair, and the compiled modules lie beside
them. The build is a stranger's code; it runs without the network, with what its build system requires installed
before, from wheels.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from repair.oracles.interpreters import find_python
from repair.projects.environments import python_environment, version_of
from repair.projects.listing import Tree, at
from repair.projects.requirements import Declared
from repair.projects.values import Order, Refusal
from repair.sandbox import MIB, Command, Limits, Sandbox

_LIMITS = Limits(wall_seconds=300.0, cpu_seconds=600.0, memory_bytes=4096 * MIB, processes=256, disk_bytes=1024 * MIB)
_BACKENDS = ("maturin", "mesonpy", "scikit_build_core", "setuptools_rust")
_EXTENSIONS = re.compile(r"\bext_modules\s*=|\bcffi_modules\s*=|\brust_extensions\s*=|\bcythonize\(")
_COMPILED = (".so", ".pyd")
_LARGEST = 64 * MIB  # of one file in a wheel
_SCRIPT = """
export HOME="$PWD"
"$1" -m pip wheel -q --no-deps --no-build-isolation --no-index -w .emend-wheel . >&2 || exit 1
cat .emend-wheel/*.whl >&"$EMEND_REPORT_FD"
"""


def compiles(tree: Tree) -> str:
    """Where it says that the project has parts to compile, "" where it has none."""
    if _EXTENSIONS.search(tree.text("setup.py")):
        return "setup.py"
    pyproject = tree.toml("pyproject.toml")
    backend = str(at(pyproject, "build-system", "build-backend") or "")
    named = backend.startswith(_BACKENDS) or at(pyproject, "tool", "setuptools", "ext-modules")
    return "pyproject.toml" if named else ""


def add_compiled(tree: Tree, needs: Declared, python: Path, commit: str, cache: Path, sandbox: Sandbox) -> str:
    """Build `tree` for `python` and lay compiled and generated modules into it; returns a note, "" for nothing to do.

    A build that fails is told in the note: many projects do without their compiled parts. A wheel is kept in `cache`
    by commit and version of Python.
    """
    why = compiles(tree)
    if not why or any(path.endswith(_COMPILED) for path in tree.paths):
        return ""
    version = version_of(find_python(python))
    kept = cache / "builds" / f"{hashlib.sha256(f'{commit} {tree.root.name} {version}'.encode()).hexdigest()[:20]}.whl"
    if not (commit and kept.is_file()):
        wanted = Declared(python=f"=={version}", needed=(*needs.builds, "pip"))
        try:
            tools = python_environment(Order("build", "."), wanted, None, cache).python
        except Refusal as refusal:
            return f"its compiled parts ({why}) are not built: {refusal}"
        assert tools is not None
        content, said = _wheel(tree.root, tools, sandbox)
        if not content:
            return f"its compiled parts ({why}) do not build: {said}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{hashlib.sha256(str(tree.root).encode()).hexdigest()[:8]}")
        part.write_bytes(content)
        part.replace(kept)
    added = list(_lay(kept.read_bytes(), tree.root))
    return f"compiled from {why}: {', '.join(added[:3])}{', ...' if len(added) > 3 else ''}" if added else ""


def _wheel(root: Path, python: Path, sandbox: Sandbox) -> tuple[bytes, str]:
    """The wheel's content, or nothing and the last line of what was said."""
    version = {"SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0", "PBR_VERSION": "0.0.0"}  # there is no history inside
    found = find_python(python)
    words = ("/bin/bash", "-c", _SCRIPT, "bash", str(found.path))
    command = Command(words, project=root, env=version, readable=found.readable, limits=_LIMITS, report=True)
    done = sandbox.run(command)
    if done.code == 0 and zipfile.is_zipfile(io.BytesIO(done.report)):
        return done.report, ""
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").split("\n") if line.strip()]
    reason = f"it reached the limit of {done.stopped}" if done.stopped else lines[-1] if lines else "no reason given"
    return b"", reason[:200]


def _lay(content: bytes, root: Path) -> Iterator[str]:
    """Write the compiled modules of a wheel, and Python files that the tree lacks, where their packages lie."""
    top = root.resolve()
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        for entry in wheel.infolist():
            path = PurePosixPath(entry.filename)
            unfit = path.is_absolute() or ".." in path.parts or entry.file_size > _LARGEST
            if unfit or path.parts[0].endswith((".dist-info", ".data")) or path.suffix not in (*_COMPILED, ".py"):
                continue
            base = root / "src" if (root / "src").is_dir() else root
            target = base / path
            known = base / path.parts[0] if len(path.parts) > 1 else base
            if known.is_dir() and not target.exists() and target.resolve().is_relative_to(top):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(wheel.read(entry))
                yield target.relative_to(root).as_posix()
