"""Repositories made by real git, read by `data.repositories`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from data.changes import Change, Commit, Hunk, Lost, Patched
from data.repositories import Repository, is_address, open_repository
from repair.errors import InputError

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": "2020-01-02T03:04:05+02:00", "GIT_COMMITTER_DATE": "2020-01-02T03:04:05+02:00",
}  # fmt: skip


def git(folder: Path, *arguments: str, content: bytes = b"") -> str:
    command = ["git", "-c", "protocol.file.allow=always", "-C", str(folder), *arguments]
    done = subprocess.run(command, input=content, capture_output=True, check=True, env=ENVIRONMENT)
    return done.stdout.decode().strip()


def commit(folder: Path, message: str, **files: str | bytes) -> str:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "-A")
    git(folder, "commit", "--allow-empty", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    return made


def logged(repository: Repository) -> list[Commit]:
    found = list(repository.log(repository.commits(repository.tips())))
    assert all(isinstance(one, Commit) for one in found)
    return [one for one in found if isinstance(one, Commit)]


def loose(folder: Path, object_id: str) -> Path:
    return folder / ".git" / "objects" / object_id[:2] / object_id[2:]


def test_a_commit_comes_with_message_date_and_changes(folder: Path) -> None:
    first = commit(folder, "one\n\nbody \x1e with\x1f odd characters ü", a_DOT_py="x = 1\n")
    second = commit(folder, "two", a_DOT_py="x = 2\n")
    found = logged(open_repository(str(folder)))
    assert [one.id for one in found] == [second, first]
    assert found[1].message == "one\n\nbody \x1e with\x1f odd characters ü"
    assert found[0].parents == (first,) and found[1].parents == ()
    assert found[0].authored == 1577927045
    assert [(c.status, c.path, c.reason) for c in found[0].changes] == [("M", "a.py", "")]
    assert found[1].changes[0].reason == "added or deleted"


def test_git_dir_alone_and_bare_clone_are_read_too(folder: Path, tmp_path: Path) -> None:
    only = commit(folder, "one", a_DOT_py="x = 1\n")
    git(tmp_path, "clone", "-q", "--bare", str(folder), "bare.git")
    for place, name in ((folder / ".git", "made"), (tmp_path / "bare.git", str(folder))):
        repository = open_repository(str(place))
        assert [one.id for one in logged(repository)] == [only]
        assert repository.name == name
    (folder / ".git" / "config").unlink()  # a snapshot of the objects and refs
    assert [one.id for one in logged(open_repository(str(folder / ".git"), name="x"))] == [only]


def test_odd_paths_and_many_languages_keep_their_names(folder: Path) -> None:
    (folder / "ä b\n\"c'.py").write_text("x = 1\n")
    commit(folder, "one")
    (folder / "ä b\n\"c'.py").write_text("x = 2\n")
    commit(folder, "two")
    repository = open_repository(str(folder))
    (newest, _) = repository.patches(repository.commits(repository.tips()), {".py"})
    assert isinstance(newest, Patched)
    assert [c.path for c in newest.commit.changes] == ["ä b\n\"c'.py"]
    assert list(newest.hunks.values()) == [(Hunk(1, 1, 1, 1),)]


def test_patches_follow_renames_and_give_hunks_of_chosen_endings(folder: Path) -> None:
    text = "".join(f"line{n} = {n}\n" for n in range(30))
    commit(folder, "one", a_DOT_py=text, b_DOT_txt="t\n")
    git(folder, "mv", "a.py", "new.py")
    second = commit(folder, "two", new_DOT_py=text.replace("line3 = 3\n", "line3 = 4\n"), b_DOT_txt="u\n")
    repository = open_repository(str(folder))
    found = next(iter(repository.patches((second,), {".py"})))
    assert isinstance(found, Patched)
    (change,) = found.commit.changes
    assert (change.status, change.old_path, change.path) == ("R", "a.py", "new.py")
    assert found.hunks == {(change.old, change.new): (Hunk(4, 1, 4, 1),)}


def test_copies_of_a_patch_have_one_identity(folder: Path) -> None:
    commit(folder, "one", a_DOT_py="a\nb\nc\n")
    git(folder, "checkout", "-qb", "old")
    commit(folder, "apart", a_DOT_py="0\n0\n0\na\nb\nc\n")
    picked = commit(folder, "fix", a_DOT_py="0\n0\n0\na\nB\nc\n")
    git(folder, "checkout", "-q", "main")
    fixed = commit(folder, "fix", a_DOT_py="a\nB\nc\n")
    other = commit(folder, "more", a_DOT_py="a\nB\nC\n")
    repository = open_repository(str(folder))
    identities = [
        one.identity for one in repository.patches((picked, fixed, other), {".py"}) if isinstance(one, Patched)
    ]
    assert identities[0] == identities[1] != identities[2]


def test_merges_are_left_out_and_all_branches_walked_once(folder: Path) -> None:
    root = commit(folder, "root", a_DOT_py="x = 1\n")
    git(folder, "checkout", "-qb", "side")
    side = commit(folder, "side", b_DOT_py="y = 1\n")
    git(folder, "checkout", "-q", "main")
    main = commit(folder, "main", c_DOT_py="z = 1\n")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge", "side")
    git(folder, "checkout", "-qb", "unmerged", root)
    lone = commit(folder, "lone", d_DOT_py="z = 1\n")
    git(folder, "update-ref", "refs/pull/1/head", commit(folder, "never merged", e_DOT_py="z = 1\n"))
    git(folder, "reset", "-q", "--hard", lone)
    repository = open_repository(str(folder))
    assert sorted(repository.commits(repository.tips())) == sorted([root, side, main, lone])


def test_seen_tips_hide_what_is_behind_them(folder: Path) -> None:
    commit(folder, "one", a_DOT_py="x = 1\n")
    repository = open_repository(str(folder))
    seen = repository.tips()
    second = commit(folder, "two", a_DOT_py="x = 2\n")
    assert repository.commits(repository.tips(), seen) == (second,)
    assert repository.commits(repository.tips(), [*seen, "0" * 40]) == (second,)  # a tip that was pruned since


def test_tags_of_commits_count_and_those_of_other_things_do_not(folder: Path) -> None:
    first = commit(folder, "one", a_DOT_py="x = 1\n")
    git(folder, "tag", "-a", "-m", "v1", "v1")
    git(folder, "tag", "blob", git(folder, "hash-object", "-w", "--stdin", content=b"key"))
    git(folder, "checkout", "-q", "--detach")
    loose_head = commit(folder, "detached", a_DOT_py="x = 2\n")
    git(folder, "branch", "-D", "main")
    assert sorted(open_repository(str(folder)).tips()) == sorted([first, loose_head])


def test_submodules_and_symlinks_say_so(folder: Path) -> None:
    root = commit(folder, "root", a_DOT_py="x = 1\n")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{root},vendor.py")
    blob = git(folder, "hash-object", "-w", "--stdin", content=b"a.py")
    git(folder, "update-index", "--add", "--cacheinfo", f"120000,{blob},link.py")
    git(folder, "commit", "-qm", "two")
    newest = logged(open_repository(str(folder)))[0]
    assert {c.path: c.reason for c in newest.changes} == {"vendor.py": "submodule", "link.py": "symlink"}


def test_large_blobs_are_refused_without_being_loaded(folder: Path) -> None:
    commit(folder, "one", a_DOT_py="x = 1\n", big_DOT_py=b"# " + b"x" * 100_000_000)
    repository = open_repository(str(folder))
    changes = {c.path: c.new for c in logged(repository)[0].changes}
    with repository.contents() as contents:
        assert contents.read(changes["big.py"]) == (b"", "too large")
        assert contents.read(changes["a.py"]) == (b"x = 1\n", "")


def test_a_damaged_or_missing_blob_is_a_reason_and_the_next_one_is_read(folder: Path) -> None:
    commit(folder, "one", a_DOT_py="x = 1\n", b_DOT_py="y = 1\n", c_DOT_py="z = 1\n")
    repository = open_repository(str(folder))
    ids = {c.path: c.new for c in logged(repository)[0].changes}
    path = loose(folder, ids["a.py"])
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-6] + b"broken")
    loose(folder, ids["b.py"]).unlink()
    with repository.contents() as contents:
        assert contents.read(ids["a.py"])[1] in ("corrupt object", "missing object")
        assert contents.read(ids["b.py"]) == (b"", "missing object")
        assert contents.read(ids["c.py"]) == (b"z = 1\n", "")


def test_a_commit_whose_contents_are_lost_does_not_stop_the_others(folder: Path) -> None:
    ids = [commit(folder, f"c{n}", a_DOT_py=f"x = {n}\n") for n in range(6)]
    repository = open_repository(str(folder))
    blob = next(c.new for one in logged(repository) if one.id == ids[2] for c in one.changes)
    loose(folder, blob).unlink()
    found = list(repository.patches(tuple(ids), {".py"}))
    assert [one.id if isinstance(one, Lost) else one.commit.id for one in found] == ids
    assert [one.id for one in found if isinstance(one, Lost)] == [ids[2], ids[3]]  # both sides need it
    tree = git(folder, "rev-parse", f"{ids[4]}^{{tree}}")
    loose(folder, tree).unlink()
    assert [one.id for one in repository.log(tuple(ids)) if isinstance(one, Lost)] == [ids[4], ids[5]]


def test_a_history_with_a_lost_commit_cannot_be_walked(folder: Path) -> None:
    first = commit(folder, "one", a_DOT_py="x = 1\n")
    commit(folder, "two", a_DOT_py="x = 2\n")
    repository = open_repository(str(folder))
    tips = repository.tips()
    loose(folder, first).unlink()
    with pytest.raises(InputError, match="fsck"):
        repository.commits(tips)


def test_no_repository_an_empty_and_a_shallow_one_are_said_clearly(folder: Path, tmp_path: Path) -> None:
    (folder / "inner").mkdir()
    for place in (tmp_path / "absent", tmp_path, folder / "inner"):
        with pytest.raises(InputError, match="not a git repository"):
            open_repository(str(place))
    with pytest.raises(InputError, match="history is empty"):
        open_repository(str(folder)).tips()
    commit(folder, "one", a_DOT_py="x = 1\n")
    commit(folder, "two", a_DOT_py="x = 2\n")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{folder}", "shallow")
    with pytest.raises(InputError, match="git fetch --unshallow"):
        open_repository(str(tmp_path / "shallow"))


def test_an_address_is_cloned_once_and_brought_up_to_date(folder: Path, tmp_path: Path) -> None:
    first = commit(folder, "one", a_DOT_py="x = 1\n")
    address, cache = f"file://{folder}", tmp_path / "cache"
    assert [one.id for one in logged(open_repository(address, cache=cache))] == [first]
    second = commit(folder, "two", a_DOT_py="x = 2\n")
    repository = open_repository(address, cache=cache)
    assert [one.id for one in logged(repository)] == [second, first]
    assert len(list(cache.iterdir())) == 1
    with pytest.raises(InputError, match="cache folder"):
        open_repository(address)
    with pytest.raises(InputError, match="cannot be fetched"):
        open_repository(f"file://{tmp_path}/absent", cache=cache)
    assert len(list(cache.iterdir())) == 1  # nothing half done is left


def test_commands_in_addresses_and_secrets_in_names_are_kept_out(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(InputError):
        open_repository(f"ext::sh -c 'touch {mark}'", cache=tmp_path / "cache")
    assert not mark.exists()
    git(folder, "remote", "add", "origin", "https://user:secret@example.org/team/project.git")
    commit(folder, "one", a_DOT_py="x = 1\n")
    assert open_repository(str(folder)).name == "https://example.org/team/project"
    assert is_address("git@example.org:team/project.git") and not is_address("/some/folder")


def test_the_licence_file_is_found(folder: Path) -> None:
    commit(folder, "one", a_DOT_py="x = 1\n")
    assert open_repository(str(folder)).notice() == ""
    commit(folder, "two", LICENSE_DOT_txt="Permission is granted\n")
    assert open_repository(str(folder)).notice() == "Permission is granted\n"


def test_a_change_of_kind_is_no_change_of_a_file() -> None:
    assert Change("T", "a", "a", "100644", "120000", "1", "2").reason == "symlink"
    assert Change("D", "a", "a", "100644", "000000", "1", "2").reason == "added or deleted"
    assert Change("M", "a", "a", "100644", "100755", "1", "2").reason == ""
