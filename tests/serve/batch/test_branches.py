"""Branches are added to a real repository; index, HEAD, working tree and other branches stay as they were."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from repair.errors import InputError
from repair.projects.values import State
from serve.batch.branches import Branch, write_branches
from serve.batch.messages import fix_message
from serve.batch.wording import entries
from tests.serve.batch.outcomes import CHANGED, FILES, RUN, encoding, hostile, make_repository, repaired, shell

FIRST = "emend/01-ordinal-in-humanize-number-py"
NAMES = [
    FIRST, "emend/02-assertionerror-in-uni", "emend/03-wrong-value-in-crlf-py", "emend/04-wrong-last-line",
    "emend/05-wrong-name-in-latin-py", "emend/06-k6", "emend/all",
]  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    """Somebody's repository in the middle of work: staged, changed and untracked files, hooks that would tell."""
    root = tmp_path / "repo"
    commit = make_repository(root)
    (root / "mail.py").write_text("staged\n")
    shell(root, "add", "mail.py")
    (root / "noeol.py").write_text("changed\n")
    (root / "untracked").write_text("new\n")
    told = tmp_path / "hook-ran"
    for name in ("reference-transaction", "post-commit", "pre-commit", "prepare-commit-msg", "post-index-change"):
        hook = root / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> '{told}'\n")
        hook.chmod(0o755)
    for name, value in (("core.splitIndex", "true"), ("apply.whitespace", "error"), ("core.autocrlf", "true"),
                        ("core.fsmonitor", str(hook))):  # fmt: skip
        shell(root, "config", name, value)
    yield root, commit
    assert not told.exists()


def state(root, *, own="refs/heads/emend/"):
    """Everything of a repository but objects and our branches, by content and by time."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(Path(folder, name), root)
            if not path.startswith((".git/objects/", f".git/{own}", f".git/logs/{own}")):
                full = root / path
                found[path] = (hashlib.sha256(full.read_bytes()).hexdigest(), full.stat().st_mtime_ns)
    return found


def test_nothing_that_is_checked_out_changes(repository):
    root, commit = repository
    before = state(root)
    made = write_branches(root, repaired(root, commit), RUN)
    assert state(root) == before
    assert [(b.name, b.created, b.reason) for b in made] == [(name, True, "") for name in NAMES]
    assert shell(root, "branch", "--show-current") == b"main\n"
    shell(root, "fsck", "--strict")


def test_a_commit_is_the_diagnosed_one_with_the_patch(repository):
    root, commit = repository
    made = {b.name: b for b in write_branches(root, repaired(root, commit), RUN)}
    changed = {
        FIRST: ["humanize/number.py"],
        "emend/02-assertionerror-in-uni": ["dir with blank/ünï.py", "mail.py"],
        "emend/05-wrong-name-in-latin-py": ["latin.py"],
        "emend/all": ["crlf.py", "humanize/number.py", "noeol.py"],
    }
    for name, paths in changed.items():
        assert shell(root, "rev-parse", name).decode().strip() == made[name].commit
        assert shell(root, "rev-parse", f"{name}^").decode().strip() == commit
        listed = shell(root, "diff", "--name-only", "-z", f"{name}^", name).decode().split("\0")[:-1]
        assert listed == paths
        for path in paths:
            assert shell(root, "show", f"{name}:{path}") == CHANGED[path].encode(encoding(path))
    assert shell(root, "show", f"{FIRST}:crlf.py") == FILES["crlf.py"].encode()
    message = shell(root, "log", "-1", "--format=%B", FIRST).decode().removesuffix("\n")
    assert message == fix_message(entries(repaired(root, commit))[0], RUN)


def test_the_same_fix_is_the_same_branch_and_other_content_gets_a_suffix(repository):
    root, commit = repository
    outcome = repaired(root, commit)
    first = write_branches(root, outcome, RUN)
    again = write_branches(root, outcome, RUN)
    assert again == tuple(replace(b, created=False) for b in first)
    shell(root, "update-ref", f"refs/heads/{FIRST}", commit)
    shell(root, "update-ref", f"refs/heads/{FIRST}-2", commit)
    other = write_branches(root, outcome, RUN)[0]
    assert other == Branch("k1", f"{FIRST}-3", first[0].commit, True)
    assert shell(root, "rev-parse", FIRST, f"{FIRST}-2").decode().split() == [commit, commit]


def test_a_branch_without_commits_that_is_checked_out_is_left_alone(repository):
    root, commit = repository
    shell(root, "symbolic-ref", "HEAD", f"refs/heads/{FIRST}")
    made = write_branches(root, repaired(root, commit), RUN)
    assert made[0].name == f"{FIRST}-2"
    assert (root / ".git/HEAD").read_text() == f"ref: refs/heads/{FIRST}\n"


def test_reproduction_tests_come_along_when_asked(repository):
    root, commit = repository
    outcome = repaired(root, commit)
    without = {b.fault: b for b in write_branches(root, outcome, RUN)}
    made = {b.fault: b for b in write_branches(root, outcome, RUN, with_tests=True, proposed=True, prefix="t-")}
    path = "tests/test emend ü.py"
    assert shell(root, "show", f"{made['k3'].name}:{path}") == b"def test_it():\n    assert True\n"
    assert b"part of this commit" in shell(root, "log", "-1", "--format=%B", made["k3"].name)
    assert path.encode() not in shell(root, "ls-tree", "-rz", "--name-only", without["k3"].name)
    assert "k8" not in without
    assert made["k8"].name == "t-08-only-a-report-speaks-of-this-one"
    assert b"Emend-Verdict: undecided" in shell(root, "log", "-1", "--format=%B", made["k8"].name)


def test_a_patch_that_does_not_fit_gives_a_reason_and_the_others_go_on(repository):
    root, commit = repository
    outcome = repaired(root, commit)
    first = outcome.fixes[0]
    wrong = replace(first, diff=first.diff.replace("return 10 / n\n", "return 11 / n\n"))
    made = write_branches(root, replace(outcome, fixes=(wrong, *outcome.fixes[1:])), RUN)
    assert made[0].commit == "" and "git cannot make the commit's tree" in made[0].reason
    assert all(b.created for b in made[1:])
    assert FIRST.encode() not in shell(root, "branch", "--list")


def test_a_name_in_the_way_gives_a_reason(repository):
    root, commit = repository
    shell(root, "branch", "emend")
    made = write_branches(root, repaired(root, commit), RUN)
    assert all(not b.commit and "git cannot make the branch" in b.reason for b in made)
    assert all(b.created for b in write_branches(root, repaired(root, commit), RUN, prefix="fixes/"))


@pytest.mark.parametrize("kind", ["bare", "worktree", "detached", "sha256"])
def test_other_kinds_of_repositories(tmp_path, kind):
    root = tmp_path / "repo"
    commit = make_repository(root)
    place = tmp_path / "other"
    if kind == "bare":
        shell(tmp_path, "clone", "-q", "--bare", str(root), str(place))
    elif kind == "worktree":
        shell(root, "worktree", "add", "-q", "-b", "side", str(place))
    elif kind == "detached":
        shell(root, "checkout", "-q", "--detach")
        place = root
    else:
        shell(tmp_path, "init", "-q", "--object-format=sha256", str(place))
        (place / "humanize").mkdir()
        (place / "humanize/number.py").write_text(FILES["humanize/number.py"])
        shell(place, "add", ".")
        shell(place, "commit", "-q", "-m", "x")
        commit = shell(place, "rev-parse", "HEAD").decode().strip()
    branch = write_branches(place, repaired(place, commit), RUN)[0]
    assert branch.created
    assert shell(place, "show", f"{FIRST}:humanize/number.py") == CHANGED["humanize/number.py"].encode()


def test_bad_input_is_said(tmp_path, repository):
    root, commit = repository
    outcome = repaired(root, commit)
    (tmp_path / "empty").mkdir()
    for place, one, prefix, field in (
        (tmp_path / "empty", outcome, "emend/", "repository"),
        (root, repaired(root, "f" * 40), "emend/", "commit"),
        (root, outcome, "a..b", "prefix"),
        (root, outcome, "-x", "prefix"),
    ):
        with pytest.raises(InputError) as caught:
            write_branches(place, one, RUN, prefix=prefix)
        assert caught.value.field == field
    assert write_branches(root, replace(outcome, diagnosis=None), RUN) == ()


def test_hostile_titles_make_harmless_names(repository):
    root, commit = repository
    outcome = hostile(commit)
    fine = replace(outcome.fixes[0], diff=repaired(root, commit).fixes[0].diff)
    made = write_branches(root, replace(outcome, fixes=(fine,), combination=None), RUN)
    assert [b.name for b in made] == ["emend/01-script-alert-1-script-x-javascript-alert-1-everyon"]
    assert made[0].created
    assert fine.state is State.FIXED
