# ruff: noqa: E501  (rows of a table)
"""From an order to a project or a refusal, over real repositories and a real sandbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from repair.oracles.tests import TestOracle
from repair.projects.intake import open_project, refused_by
from repair.projects.trees import pack_tree
from repair.projects.values import Bounds, Order, Refusal, Standing

CODE = {
    "shop.py": "def total(a):\n    return sum(a)\n",
    "test_shop.py": "import shop\n\ndef test_total():\n    assert shop.total([1, 2]) == 3\n",
}


@pytest.fixture
def refusal(tmp_path: Path, sandbox):
    """The standing and the reason of an order that is refused."""

    def ask(place: str | Path, **fields: object) -> tuple[Standing, str]:
        order = Order("x", str(place), **fields)  # pyright: ignore[reportArgumentType]
        with pytest.raises(Refusal) as refused, open_project(order, cache=tmp_path / "cache", sandbox=sandbox):
            pass
        return refused.value.standing, refused.value.reason

    return ask


def test_a_project_is_opened_and_its_tests_run_while_the_checkout_stays_as_it_is(
    new_repo, tmp_path: Path, sandbox, print_of
) -> None:
    repo = new_repo("ä repository")
    own = repo.commit(CODE)
    (repo.folder / "shop.py").write_text("broken(")
    before = print_of(repo.folder)
    with open_project(Order("x", str(repo.folder)), cache=tmp_path / "cache", sandbox=sandbox) as project:
        assert (project.commit, project.branch, project.runner) == (own, "main", "pytest")
        assert project.python == Path(sys.executable) and project.command == "python -m pytest"
        assert project.notes == ("uncommitted changes are not looked at: 1 file",)
        assert project.git_dir is not None and project.why == "the names of 1 test files"
        oracle = TestOracle(project.root, (), sandbox, project.command, python=project.python)
        with oracle.open() as bench:
            assert bench.observe().passed
        (project.root / "shop.py").write_text("ours")
        packed, root = pack_tree(project.root), project.root
    assert not root.exists() and print_of(repo.folder) == before
    order = Order("x", str(tmp_path / "not here"))
    with open_project(order, cache=tmp_path / "cache", sandbox=sandbox, commit=own, tree=packed) as project:
        assert (project.root / "shop.py").read_text() == "ours" and project.commit == own and project.git_dir is None


def test_a_branch_a_detached_head_and_a_given_command_are_taken(repo, tmp_path: Path, sandbox) -> None:
    first = repo.commit(CODE)
    repo.commit({"shop.py": "x = 1\n"})
    repo.git("branch", "old branch".replace(" ", "-"), first)
    repo.git("checkout", "-q", "--detach")
    cache = tmp_path / "cache"
    with open_project(
        Order("x", str(repo.folder), test="python -m pytest -x"), cache=cache, sandbox=sandbox
    ) as project:
        assert (project.branch, project.runner, project.command) == ("", "given", "python -m pytest -x")
        assert "HEAD is detached" in project.notes[0]
    with open_project(Order("x", str(repo.folder), commit="old-branch"), cache=cache, sandbox=sandbox) as project:
        assert (project.branch, project.commit) == ("old-branch", first)


def test_bad_repositories_have_a_verdict_of_their_own(repo, refusal, tmp_path: Path) -> None:
    assert refusal(repo.folder)[0] is Standing.UNREADABLE  # no commit yet
    own = repo.commit({"a.py": "x = 1\n", "big.txt": "x" * 2_000_000})
    assert refusal(repo.folder) == (Standing.NO_TESTS, "no tests were found in 2 files; give the command with --test")
    assert refusal(tmp_path / "nowhere")[0] is Standing.UNREADABLE
    assert refusal(repo.folder, commit="v1") == (
        Standing.UNREADABLE, f"{repo.folder}: has no commit v1; name one that `git log` shows",
    )  # fmt: skip
    standing, reason = refusal(repo.folder, bounds=Bounds(tree_mib=1))
    assert standing is Standing.TOO_LARGE and "2 MiB in 2 files, more than 1 MiB; raise tree_mib" in reason
    standing, reason = refusal(repo.folder, bounds=Bounds(tree_files=1))
    assert standing is Standing.TOO_LARGE and "2 files (2 MiB), more than 1; raise tree_files" in reason
    standing, reason = refusal(repo.folder, test="no-such-program --all")
    assert standing is Standing.NO_ENVIRONMENT and "no-such-program is not installed here" in reason
    assert refusal(repo.folder, test="pytest 'open")[0] is Standing.NO_ENVIRONMENT
    repo.blob("a.py").unlink()
    standing, reason = refusal(repo.folder, commit=own)
    assert standing is Standing.UNREADABLE and "a.py" in reason and "git fsck" in reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_missing_permission_is_told(repo, refusal) -> None:
    repo.commit(CODE)
    (repo.folder / ".git" / "objects").chmod(0)
    try:
        assert refusal(repo.folder)[0] is Standing.UNREADABLE
    finally:
        (repo.folder / ".git" / "objects").chmod(0o755)


def test_without_tests_a_report_is_enough(repo, tmp_path: Path, sandbox) -> None:
    repo.commit({"a.py": "x = 1\n"})
    with open_project(Order("x", str(repo.folder), report="boom"), cache=tmp_path, sandbox=sandbox) as project:
        assert project.command == "" and "there are no tests" in project.notes[-1]


def test_modules_beside_the_checkout_are_linked_or_asked_for(repo, refusal, tmp_path: Path, sandbox) -> None:
    package = '{"scripts": {"test": "node --test"}, "devDependencies": {"thing": "1"}}'
    repo.commit({"package.json": package, "a.test.js": "require('node:test')", ".gitignore": "node_modules"})
    standing, reason = refusal(repo.folder)
    assert standing is Standing.NO_ENVIRONMENT and "1 declared dependencies" in reason and "npm ci" in reason
    (repo.folder / "node_modules" / "thing").mkdir(parents=True)
    with open_project(Order("x", str(repo.folder)), cache=tmp_path, sandbox=sandbox) as project:
        assert (project.root / "node_modules").readlink() == (repo.folder / "node_modules").resolve()
        assert (project.language, project.runner, project.python) == ("javascript", "node --test", None)


def test_a_runner_that_does_not_start_is_refused(repo, refusal, tmp_path: Path) -> None:
    repo.commit(CODE)
    fake = tmp_path / "env" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.symlink_to(sys.executable)
    home = Path(sys._base_executable).parent  # pyright: ignore[reportAttributeAccessIssue]
    config = f"home = {home}\nversion = 3.11.7\ninclude-system-site-packages = false\n"
    (tmp_path / "env" / "pyvenv.cfg").write_text(config)
    info = tmp_path / "env" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "pytest-8.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest\nVersion: 8.0\n")
    standing, reason = refusal(repo.folder, python=str(fake))
    assert standing is Standing.NO_ENVIRONMENT and "pytest does not start" in reason and "--python" in reason


@pytest.mark.parametrize(
    ("output", "standing", "word"),
    [
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", Standing.NEEDS_NETWORK, "name resolution"),
        ("Error: getaddrinfo EAI_AGAIN registry.example", Standing.NEEDS_NETWORK, "EAI_AGAIN"),
        ("OSError: [Errno 101] Network is unreachable", Standing.NEEDS_NETWORK, "unreachable"),
        ("ConnectionRefusedError: [Errno 111] connect to 93.184.216.34:80", Standing.NEEDS_NETWORK, "--test"),
        ("psycopg2.OperationalError: could not connect to server: Connection refused\n\tIs the server running on host "
         '"localhost" and accepting\n\tTCP/IP connections on port 5432?', Standing.NEEDS_SERVICE, "server"),
        ('connection to server at "127.0.0.1", port 5432 failed: Connection refused', Standing.NEEDS_SERVICE, "PostgreSQL"),
        ("redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
         Standing.NEEDS_SERVICE, "Redis"),
        ("pymongo.errors.ServerSelectionTimeoutError: localhost:27017: [Errno 111] Connection refused",
         Standing.NEEDS_SERVICE, "MongoDB"),
        ("Error: connect ECONNREFUSED 127.0.0.1:3306", Standing.NEEDS_SERVICE, "MySQL"),
        ("_tkinter.TclError: no display name and no $DISPLAY environment variable", Standing.NEEDS_SERVICE, "a display"),
        ("ModuleNotFoundError: No module named 'own._speedups'", Standing.BROKEN_BUILD, "own._speedups"),
        ("ImportError: cannot import name '_core' from 'own' (own/__init__.py)", Standing.BROKEN_BUILD, "own._core"),
        ("[ERROR] COMPILATION ERROR :", Standing.BROKEN_BUILD, "does not build"),
        ("ImportError: /x/own/a.cpython-311.so: undefined symbol: y", Standing.BROKEN_BUILD, "undefined symbol"),
        ("[ERROR] Cannot access central (https://x) in offline mode and the artifact", Standing.NO_ENVIRONMENT, "offline"),
        ("PermissionError: [Errno 13] Permission denied: '/var/lib/x'", Standing.UNREADABLE, "/var/lib/x"),
    ],
)  # fmt: skip
def test_the_output_of_a_run_tells_why_nothing_passes(output: str, standing: Standing, word: str) -> None:
    found = refused_by(f"=== errors ===\n{output}\n1 error\n", own=lambda name: name.startswith("own"))
    assert found is not None and found.standing is standing and word in found.reason


def test_what_the_tree_lacks_is_told_when_a_test_asks_for_it() -> None:
    output = "FileNotFoundError: [Errno 2] No such file or directory: '/sandbox/tests/data set/a.toml'"
    found = refused_by(output, absent=("tests/data set",))
    assert found is not None and found.standing is Standing.UNREADABLE and "git submodule update" in found.reason
    assert refused_by(output) is None and refused_by(output, absent=("other",)) is None
    found = refused_by("locale.Error: unsupported locale setting")
    assert found is not None and found.standing is Standing.NO_ENVIRONMENT


@pytest.mark.parametrize(
    "output",
    [
        "E   assert 3 == 4",
        "SyntaxError: invalid syntax (conftest.py, line 3)",
        "ModuleNotFoundError: No module named 'own.helper'",  # a source that somebody forgot or misspelt
        "ModuleNotFoundError: No module named 'other._speedups'",
        "ConnectionRefusedError: [Errno 111] Connection refused: 127.0.0.1:8080",  # perhaps the code's own server
        "test_port_5432_is_the_default PASSED",
    ],
)
def test_what_the_code_may_be_to_blame_for_is_no_refusal(output: str) -> None:
    assert refused_by(output, own=lambda name: name.startswith("own")) is None
