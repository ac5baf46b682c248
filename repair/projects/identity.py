"""What installing a project would add to its own files, written without running its build: metadata, a version file.

A project that is worked on is not installed, so that its tests see the files under repair. What asks for its own
version or entry points finds a `.dist-info` beside its packages; a version file that a build would write from the
history's tags is written here. Writes into a tree of our own only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from repair.git import run
from repair.projects.listing import Table, Tree, at, strings, table
from repair.projects.requirements import Declared

_ASKS = re.compile(r"importlib.metadata|importlib_metadata|pkg_resources|get_distribution")
_LITERAL = re.compile(r"^__version__\s*(?::\s*str\s*)?=\s*['\"]([^'\"]+)['\"]", re.M)
_NUMBER = re.compile(r"\d+(?:\.\d+)*(?:(?:a|b|rc|\.post|\.dev)\d+)?$")
_FILES = (
    ("tool", "setuptools_scm", "version_file"), ("tool", "setuptools_scm", "write_to"),
    ("tool", "hatch", "build", "hooks", "vcs", "version-file"),
)  # fmt: skip


def newest_tag(git_dir: Path, commit: str) -> str:
    """The version of the last tag before a commit, "" where there is none."""
    _, out, _ = run(str(git_dir), "describe", "--tags", "--abbrev=0", commit, seconds=20)
    found = _NUMBER.search(out.decode("utf-8", "replace").strip())
    return found[0] if found else ""


def write_identity(tree: Tree, needs: Declared, tag: str) -> tuple[str, ...]:
    """Write what tests could ask for and is not there; `tag` is the version where only the history has it.

    Returns notes of what was written.
    """
    version = _version(tree) or tag or "0.0.0"
    pyproject = tree.toml("pyproject.toml")
    written = [path for path in _version_files(pyproject) if _write(tree, path, _version_text(version))]
    entries = _entry_points(tree, pyproject)
    if needs.name and (entries or any(_ASKS.search(tree.text(p)) for p in tree.paths if p.endswith(".py"))):
        base = "src/" if (tree.root / "src").is_dir() else ""
        folder = f"{base}{needs.name.replace('-', '_')}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {needs.name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in needs.needed]
        if _write(tree, f"{folder}/METADATA", "\n".join([*lines, ""])):
            _write(tree, f"{folder}/entry_points.txt", entries)
            written.append(folder)
    return (f"written in place of a build: {', '.join(written)}",) if written else ()


def _write(tree: Tree, path: str, text: str) -> bool:
    full = tree.root / path
    top = tree.root.resolve()
    if full.is_symlink() or full.exists() or not full.resolve().is_relative_to(top):
        return False
    if not full.parent.is_dir():
        full.parent.mkdir(parents=True)
    full.write_text(text, "utf-8")
    return True


def _version_files(pyproject: Table) -> Iterator[str]:
    for keys in _FILES:
        path = at(pyproject, *keys)
        if isinstance(path, str) and path.endswith(".py"):
            yield path


def _version_text(version: str) -> str:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    return f"__version__ = version = {version!r}\n__version_tuple__ = version_tuple = {numbers!r}\n"


def _version(tree: Tree) -> str:
    """The version that is declared or stands in a package's own file."""
    pyproject = tree.toml("pyproject.toml")
    for value in (
        at(pyproject, "project", "version"),
        at(pyproject, "tool", "poetry", "version"),
        tree.ini("setup.cfg").get("metadata", {}).get("version", ""),
    ):
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return value
    names = ("__init__.py", "__about__.py", "_version.py", "version.py", "__version__.py")
    files = sorted((p for p in tree.paths if p.rpartition("/")[2] in names), key=lambda p: (p.count("/"), p))
    for path in (p for p in files if p.count("/") <= 2):
        found = _LITERAL.search(tree.text(path))
        if found and _NUMBER.fullmatch(found[1]):
            return found[1]
    return ""


def _entry_points(tree: Tree, pyproject: Table) -> str:
    """An entry_points.txt; "" where none is declared."""
    project, poetry = table(pyproject.get("project")), table(at(pyproject, "tool", "poetry"))
    groups: dict[str, list[str]] = {}
    pairs = [("console_scripts", project.get("scripts")), ("gui_scripts", project.get("gui-scripts"))]
    pairs += [("console_scripts", poetry.get("scripts")), *table(project.get("entry-points")).items()]
    pairs += table(poetry.get("plugins")).items()
    for group, listed in pairs:
        groups.setdefault(group, []).extend(f"{k} = {v}" for k, v in table(listed).items() if isinstance(v, str))
    for group, lines in tree.ini("setup.cfg").get("options.entry_points", {}).items():
        groups.setdefault(group, []).extend(strings(lines))
    for group, lines in table(_setup_entries(tree)).items():
        groups.setdefault(group, []).extend(strings(lines))
    told = [f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in sorted(groups.items()) if lines]
    return "\n".join(told)


def _setup_entries(tree: Tree) -> object:
    """`entry_points={...}` of setup.py where it is a plain value."""
    try:
        module = ast.parse(tree.text("setup.py"))
        for node in ast.walk(module):
            if isinstance(node, ast.keyword) and node.arg == "entry_points":
                return ast.literal_eval(node.value)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return None
