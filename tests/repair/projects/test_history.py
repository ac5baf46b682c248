"""What git says of the past of files and lines, over a small real repository."""

from __future__ import annotations

import subprocess

import pytest

from repair.projects.history import GitHistory, RecordedHistory, Touch

DAY = 86_400


def git(root, *words: str, at: int = 0) -> str:
    when = f"{1_700_000_000 + at * DAY} +0000"
    env = {
        "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(root), "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when,
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip
    done = subprocess.run(["git", *words], cwd=root, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("past")
    git(root, "init", "-q", "-b", "main")
    ids = []
    for day, message, files in (
        (0, "Begin", {"a.py": "x = 1\ny = 2\nz = 3\n", "b.py": "b = 1\n"}),
        (5, "Speed up x", {"a.py": "x = 1\ny = 22\nz = 3\n"}),
        (7, "Drop z", {"a.py": "x = 1\ny = 22\n", "ü b.py": "c = 1\n"}),
    ):
        for name, text in files.items():
            (root / name).write_text(text)
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", message, at=day)
        ids.append(git(root, "rev-parse", "HEAD"))
    return root, ids


@pytest.fixture
def history(repository):
    root, ids = repository
    return GitHistory(root / ".git", ids[-1])


def test_the_newest_commit_of_each_file(history, repository):
    _, ids = repository
    files = history.files()
    assert files["a.py"] == Touch(ids[2], 0.0, "Drop z", 3)
    assert files["b.py"] == Touch(ids[0], 7.0, "Begin", 1)
    assert files["ü b.py"].commit == ids[2]


def test_the_commit_of_each_line(history, repository):
    _, ids = repository
    found = history.lines("a.py", [2, 1])
    assert {line: (t.commit, t.days) for line, t in found.items()} == {1: (ids[0], 7.0), 2: (ids[1], 2.0)}
    assert str(found[2]) == f"2 days before, in {ids[1][:7]} 'Speed up x'"
    assert history.lines("a.py", []) == {}


def test_lines_that_differ_from_a_good_commit(history, repository):
    _, ids = repository
    assert history.since(ids[1]) == {("a.py", 2), ("a.py", 3), ("ü b.py", 1)}  # z is gone: what stood around it
    assert ("a.py", 2) in history.since("HEAD~2")
    assert history.since(ids[2]) == frozenset()


@pytest.mark.parametrize("green", ["nothing", "--output=x", ""])
def test_a_good_commit_that_is_none(history, repository, green):
    assert history.since(green) is None
    assert not (repository[0] / "x").exists()


def test_what_git_cannot_say_is_not_known(history, tmp_path):
    assert history.lines("missing.py", [1]) == {}
    assert history.lines("a.py", [99]) == {}
    nothing = GitHistory(tmp_path, "0" * 40)
    assert nothing.files() == {}
    assert nothing.since("HEAD") is None


def test_git_that_takes_too_long_is_ended(repository):
    root, ids = repository
    assert GitHistory(root / ".git", ids[-1], seconds=0.0).files() == {}


def test_the_fake_answers_alike():
    touch = Touch("a" * 40, 1.0)
    fake = RecordedHistory({"a.py": touch}, {("a.py", 3): touch}, {"good": frozenset({("a.py", 3)})})
    assert fake.files() == {"a.py": touch}
    assert fake.lines("a.py", [3, 4]) == {3: touch}
    assert fake.since("good") == {("a.py", 3)}
    assert fake.since("bad") is None
    assert str(Touch("abcdefgh", 1.0, "x" * 80)) == f"1 day before, in abcdefg '{'x' * 57}...'"
