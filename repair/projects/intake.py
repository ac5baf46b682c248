"""Intake: from an order to a project that can be worked on, or to a refusal that says what to do.

Owns the order of steps: find the repository, resolve the commit, size it up, lay it out in a folder of our own, find
out how its tests run and with what, see that the runner starts. All of it is removed at the end; the user's
repository and checkout are only read.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from repair.errors import InputError, OracleError
from repair.git import apart, branch_of, is_address, open_origin, resolve, uncommitted
from repair.oracles.commands import TestCommand, Tool, parse_command
from repair.oracles.interpreters import find_python
from repair.projects.builds import add_compiled
from repair.projects.detect import Detected, detect, given
from repair.projects.environments import Environment, python_environment, runs_upon
from repair.projects.identity import newest_tag, write_identity
from repair.projects.listing import Tree, table, tree_of
from repair.projects.refusals import refused_by
from repair.projects.requirements import declared
from repair.projects.trees import Lacking, Listing, lay_out, listing, unpack_tree
from repair.projects.values import Bounds, Order, Project, Refusal, Standing
from repair.sandbox import Command, Limits, Sandbox
from repair.workspace import LINKED

__all__ = ["clones_of", "open_project", "refused_by"]
_UPON = "pytest itself needs {}: the tests run in an interpreter of their own, told by its exit status alone"
_START = Limits(wall_seconds=60.0, cpu_seconds=60.0)


def clones_of(cache: Path) -> Path:
    """The folder of a cache that holds the clones of addresses (`repair.git.clone_of`)."""
    return cache / "repositories"


@contextmanager
def open_project(
    order: Order, *, cache: Path, sandbox: Sandbox, commit: str = "", tree: bytes | None = None
) -> Generator[Project]:
    """The project of an order, in a temporary folder.

    `cache` keeps clones and environments between calls. `commit` (a full id) overrides the order's, as on a worker
    that goes on with what another began; `tree` are its files as `pack_tree` made them, and then the place need not
    be at hand. Raises Refusal, or SandboxError when the sandbox itself breaks.
    """
    with tempfile.TemporaryDirectory(prefix="emend-project-", ignore_cleanup_errors=True) as folder:
        try:
            project = _opened(order, Path(folder), cache, sandbox, commit, tree)
        except InputError as error:
            raise Refusal(Standing.UNREADABLE, str(error)) from error
        except OSError as error:
            reason = f"{order.place}: {error.strerror or error}; let this user read it"
            raise Refusal(Standing.UNREADABLE, reason) from error
        yield project


@dataclass(frozen=True, slots=True)
class _Code:
    """A commit laid out at `root`."""

    root: Path
    commit: str
    branch: str = ""
    git_dir: Path | None = None
    beside: Path | None = None  # the user's checkout
    notes: tuple[str, ...] = ()
    lacking: Lacking = field(default_factory=Lacking)


def _opened(order: Order, folder: Path, cache: Path, sandbox: Sandbox, commit: str, packed: bytes | None) -> Project:
    code = _laid_out(order, folder, cache, commit) if packed is None else _unpacked(order, folder, commit, packed)
    tree = tree_of(code.root)
    found = _detected(order, tree)
    if found is None:
        project = Project(order, code.root, code.commit, code.branch, given(tree, "").language, "", "", "")
        return _with(project, code, Environment(None, "none"), ("there are no tests: patches can only be proposed",))
    python = _environment(order, found, tree, code, cache, sandbox)
    project = Project(
        order, code.root, code.commit, code.branch, found.language, found.command, found.runner, found.why
    )
    project = _with(project, code, python, found.notes)
    if python.upon:
        source = "PYTHONPATH=src " if (code.root / "src").is_dir() else "PYTHONPATH=. "
        project = replace(project, command=f"env {source}{found.command}")
    _starts(project, sandbox)
    return project


def _with(project: Project, code: _Code, environment: Environment, notes: tuple[str, ...]) -> Project:
    return replace(
        project,
        python=environment.python,
        environment=environment.told,
        git_dir=code.git_dir,
        absent=code.lacking.submodules,
        pointers=code.lacking.pointers,
        notes=(*code.notes, *notes, *environment.notes),
    )


def _laid_out(order: Order, folder: Path, cache: Path, commit: str) -> _Code:
    origin = open_origin(order.place, clones_of(cache))
    own = resolve(origin, commit or order.commit)
    branch = branch_of(origin, order.commit)
    git_dir = apart(origin, folder / "history.git")
    size = listing(git_dir, own)
    _fits(size, order.bounds)
    root = folder / "tree"
    root.mkdir()
    lacking = lay_out(origin, git_dir, own, size, root)
    notes = lacking.notes
    changed = uncommitted(origin) if order.commit == "HEAD" else 0
    if changed:
        notes = (f"uncommitted changes are not looked at: {changed} file{'s' if changed > 1 else ''}", *notes)
    if not branch and order.commit == "HEAD":
        notes = (f"HEAD is detached, at {own[:12]}", *notes)
    return _Code(root, own, branch, git_dir, origin.folder, notes, lacking)


def _unpacked(order: Order, folder: Path, commit: str, packed: bytes) -> _Code:
    """Files that travelled; the history and the environment beside the checkout only where the place is here too."""
    root = folder / "tree"
    unpack_tree(packed, root)
    if is_address(order.place):
        return _Code(root, commit)
    try:
        origin = open_origin(order.place, folder)
        resolve(origin, commit)
        git_dir = apart(origin, folder / "history.git")
    except InputError:
        return _Code(root, commit)
    return _Code(root, commit, branch_of(origin, order.commit), git_dir, origin.folder)


def _fits(size: Listing, bounds: Bounds) -> None:
    mib = size.size / 2**20
    if bounds.tree_mib and mib > bounds.tree_mib:
        what = f"{mib:,.0f} MiB in {size.files:,} files, more than {bounds.tree_mib:,} MiB"
        raise Refusal(Standing.TOO_LARGE, f"its tree has {what}; raise tree_mib of its bounds")
    if bounds.tree_files and size.files > bounds.tree_files:
        what = f"{size.files:,} files ({mib:,.0f} MiB), more than {bounds.tree_files:,}"
        raise Refusal(Standing.TOO_LARGE, f"its tree has {what}; raise tree_files of its bounds")


def _detected(order: Order, tree: Tree) -> Detected | None:
    """None where there are no tests, but a report or alerts to go by."""
    if order.test:
        return given(tree, order.test)
    try:
        return detect(tree.root)
    except Refusal:
        if order.report or order.alerts:
            return None
        raise


def _environment(
    order: Order, found: Detected, tree: Tree, code: _Code, cache: Path, sandbox: Sandbox
) -> Environment:  # fmt: skip
    try:
        command = parse_command(found.command)
    except OracleError as error:
        raise Refusal(Standing.NO_ENVIRONMENT, f"{error}; mend it with --test") from error
    if command.tool in (Tool.PYTEST, Tool.UNITTEST, Tool.PYTHON) or found.language == "python":
        if "/" in command.python and not order.python:  # the command names an interpreter itself
            order = replace(order, python=str((code.beside or tree.root) / command.python))
        inner = tree.below(found.folder) if found.folder else tree
        runs_pytest = command.tool in (Tool.PYTEST, Tool.PROGRAM)  # a program such as make may do so
        needs = declared(inner, pytest=runs_pytest, command=found.command)
        environment = python_environment(order, needs, code.beside, cache)
        if command.tool is Tool.PROGRAM:
            _demand_program(command, tree, environment.python)
        tag = newest_tag(code.git_dir, code.commit) if code.git_dir else ""
        written = write_identity(inner, needs, tag)
        upon = command.tool is Tool.PYTEST and runs_upon(environment, needs.name)
        if environment.python is not None:
            built = add_compiled(inner, needs, environment.python, code.commit, cache, sandbox)
            written = (*written, built) if built else written
        notes = (*environment.notes, *written, *((_UPON.format(needs.name),) if upon else ()))
        return replace(environment, notes=notes, upon=upon)
    _demand_program(command, tree)
    if tree.has("package.json") and found.language in ("javascript", "typescript"):
        return _modules(tree, code)
    return Environment(None, f"{Path(command.args[0]).name} of PATH")


def _demand_program(command: TestCommand, tree: Tree, python: Path | None = None) -> None:
    """The program lies on PATH, in the project, or beside the interpreter."""
    program = command.args[0]
    beside = python is not None and (python.parent / program).exists()
    if not (beside or shutil.which(program) or ("/" in program and (tree.root / program).exists())):
        reason = f"{program} is not installed here and the tests need it; install it or give another command (--test)"
        raise Refusal(Standing.NO_ENVIRONMENT, reason)


def _modules(tree: Tree, code: _Code) -> Environment:
    """Link the node_modules that lie beside the user's checkout into our tree."""
    package = tree.json("package.json")
    wanted = {name for kind in ("dependencies", "devDependencies") for name in table(package.get(kind))}
    for name in LINKED:
        lying = code.beside / name if code.beside is not None else None
        if lying is not None and lying.is_dir():
            linked = tree.root / name
            if not linked.exists() and not linked.is_symlink():
                linked.symlink_to(lying.resolve())
            return Environment(None, f"{name} beside the checkout")
    if wanted and not (tree.root / "node_modules").exists():
        where = (
            "clone it, run `npm ci` there and give that folder" if code.beside is None else "run `npm ci` in it first"
        )
        reason = f"its {len(wanted)} declared dependencies are not installed; {where}"
        raise Refusal(Standing.NO_ENVIRONMENT, reason)
    return Environment(None, "node of PATH")


def _starts(project: Project, sandbox: Sandbox) -> None:
    """See that the runner starts at all, before the tests are blamed."""
    if project.python is None:
        return
    module = "pytest" if "pytest" in project.command else "unittest"
    python = find_python(project.python)
    words = (str(python.path), "-I", "-c", f"import {module}")
    done = sandbox.run(Command(words, readable=python.readable, limits=_START))
    if done.code != 0:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:200]
        reason = f"{module} does not start with {project.python} ({said}); name another interpreter with --python"
        raise Refusal(Standing.NO_ENVIRONMENT, reason)
