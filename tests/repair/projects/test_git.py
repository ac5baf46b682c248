"""Real repositories, opened, read and checked out by `repair.git` and what builds on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from repair.errors import InputError
from repair.git import apart, branch_of, check_out, open_origin, resolve, uncommitted
from repair.projects.history import GitHistory
from repair.projects.trees import listing


def opened(repo, tmp_path: Path):
    origin = open_origin(str(repo.folder), tmp_path / "cache")
    return origin, apart(origin, tmp_path / "apart.git")


def test_a_commit_is_checked_out_and_nothing_of_the_repository_changes(repo, tmp_path: Path, print_of) -> None:
    repo.commit({"a b/ü.py": "x = 1\n", "run.sh": "#!/bin/sh\n"})
    (repo.folder / "run.sh").chmod(0o755)
    repo.git("add", "-A")
    (repo.folder / "a b" / "link").symlink_to("/etc/passwd")
    own = repo.commit({})
    before = print_of(repo.folder)
    origin, git_dir = opened(repo, tmp_path)
    assert resolve(origin, "HEAD") == resolve(origin, "main") == own
    assert listing(git_dir, own).files == 3 and listing(git_dir, own).size == 6 + 10 + len("/etc/passwd")
    target = tmp_path / "tree"
    target.mkdir()
    check_out(git_dir, own, target)
    assert (target / "a b" / "ü.py").read_text() == "x = 1\n" and os.access(target / "run.sh", os.X_OK)
    assert (target / "a b" / "link").is_symlink() and not (target / ".git").exists()
    assert uncommitted(origin) == 0
    history = GitHistory(git_dir, own)
    assert history.lines("a b/ü.py", [1]) and history.files()
    assert print_of(repo.folder) == before


def test_linked_tree_bare_and_shallow_repositories_and_addresses_open(repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "x = 1\n"})
    own = repo.commit({"a.py": "x = 2\n"})
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    repo.git("clone", "-q", "--bare", str(repo.folder), str(tmp_path / "bare.git"))
    repo.git("clone", "-q", "--depth=1", repo.folder.as_uri(), str(tmp_path / "shallow"))
    branches = {"linked": "side", "bare.git": "main", "shallow": "main"}
    for n, place in enumerate((*(str(tmp_path / name) for name in branches), repo.folder.as_uri())):
        origin = open_origin(place, tmp_path / "cache")
        target = tmp_path / f"tree{n}"
        target.mkdir()
        git_dir = apart(origin, tmp_path / f"apart{n}.git")
        check_out(git_dir, resolve(origin, "HEAD"), target)
        assert (target / "a.py").read_text() == "x = 2\n"
        assert branch_of(origin, "HEAD") == branches.get(Path(place).name, "main")
        assert (origin.folder is None) == (Path(place).name == "bare.git" or "://" in place)
        assert GitHistory(git_dir, own).files()["a.py"].changes == (1 if Path(place).name == "shallow" else 2)
    newer = repo.commit({"a.py": "x = 3\n"})
    assert resolve(open_origin(repo.folder.as_uri(), tmp_path / "cache"), "main") == newer


def test_branch_detached_and_uncommitted_changes_are_told(repo, tmp_path: Path) -> None:
    first = repo.commit({"a.py": "x = 1\n", "b.py": "y = 1\n", ".gitignore": "*.log\n"})
    origin, _ = opened(repo, tmp_path)
    assert branch_of(origin, "HEAD") == "main" and branch_of(origin, "main") == "main"
    assert branch_of(origin, first) == ""
    (repo.folder / "a.py").write_text("x = 2\n")
    (repo.folder / "b.py").unlink()
    (repo.folder / "new.py").write_text("z = 1\n")
    (repo.folder / "noise.log").write_text("...")
    assert uncommitted(origin) == 3
    repo.git("checkout", "-q", "--detach")
    assert branch_of(origin, "HEAD") == ""


def test_no_setting_of_a_stranger_is_run(repo, tmp_path: Path) -> None:
    own = repo.commit({"a.py": "x = 1\n", ".gitattributes": "*.py filter=evil diff=evil\n"})
    hook = tmp_path / "evil.sh"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    hook.chmod(0o755)
    for key in (
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "core.fsmonitor",
        "diff.evil.textconv",
    ):
        repo.git("config", key, str(hook))
    repo.git("config", "filter.evil.required", "true")
    (repo.folder / "a.py").write_text("x = 1\ny = 2\n")
    (tmp_path / "ran").unlink(missing_ok=True)
    origin, git_dir = opened(repo, tmp_path)
    assert uncommitted(origin) == 1
    (tmp_path / "tree").mkdir()
    check_out(git_dir, own, tmp_path / "tree")
    assert GitHistory(git_dir, own).lines("a.py", [1])
    assert not (tmp_path / "ran").exists()


def test_places_that_are_no_repository_say_what_to_do(repo, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for place, word in (("empty", "not a git repository"), ("nowhere", "no such folder"), ("file", "no such folder")):
        with pytest.raises(InputError, match=word):
            open_origin(str(tmp_path / place), tmp_path / "cache")
    with pytest.raises(InputError, match="cannot be fetched"):
        open_origin((tmp_path / "nowhere").as_uri(), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())  # no half of a clone is left
    origin, _ = opened(repo, tmp_path)
    with pytest.raises(InputError, match="no commit that is checked out"):
        resolve(origin, "HEAD")
    repo.commit({"a.py": ""})
    with pytest.raises(InputError, match="has no commit v9"):
        resolve(origin, "v9")


def test_damaged_refs_and_missing_objects_are_named(repo, tmp_path: Path) -> None:
    own = repo.commit({"a.py": "x = 1\n", "b.py": "y = 1\n"})
    origin, git_dir = opened(repo, tmp_path)
    repo.blob("b.py").unlink()
    with pytest.raises(InputError, match=r"b\.py.*missing or damaged"):
        listing(git_dir, own)
    (tmp_path / "tree").mkdir()
    with pytest.raises(InputError, match="cannot be checked out"):
        check_out(git_dir, own, tmp_path / "tree")
    (repo.folder / ".git" / "refs" / "heads" / "main").write_text("1" * 40 + "\n")
    with pytest.raises(InputError, match="missing or damaged"):
        resolve(origin, "HEAD")
