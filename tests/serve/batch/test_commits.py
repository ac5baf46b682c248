"""Commits are read without writing: dates, files, many at once, what is not there."""

import pytest

from serve.batch.commits import GitCommits, KnownCommits, commits_at, sources_at
from tests.serve.batch.outcomes import DATE, FILES, encoding, make_repository, shell


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    root = tmp_path_factory.mktemp("origin") / "repo"
    return root, make_repository(root)


def test_files_and_dates_are_those_of_the_commit(origin):
    root, commit = origin
    (root / "crlf.py").write_text("changed since\n")
    commits = commits_at(str(root))
    assert commits.date(commit) == DATE
    for path, text in FILES.items():
        assert commits.content(commit, path) == text.encode(encoding(path))
    for missing in ("no.py", "humanize", "a\nb", "../x"):
        assert commits.content(commit, missing) is None
    assert commits.content("f" * 40, "crlf.py") is None
    assert commits.date("f" * 40) is None
    assert commits.date("--all") is None


def test_many_are_read_at_once(origin, monkeypatch):
    root, commit = origin
    commits = GitCommits(root / ".git")
    commits.preload(commit, ["no.py", *FILES, "a\nb", "humanize"])
    monkeypatch.setattr("serve.batch.commits.git", None)  # nothing more is asked
    assert {path: commits.content(commit, path) for path in FILES} == {
        path: text.encode(encoding(path)) for path, text in FILES.items()
    }
    assert commits.content(commit, "no.py") is commits.content(commit, "a\nb") is None


def test_too_large_a_file_is_no_source(tmp_path, monkeypatch):
    commit = make_repository(tmp_path / "repo")
    monkeypatch.setattr("serve.batch.commits.MAX_SOURCE_BYTES", len(FILES["crlf.py"]))
    commits = GitCommits(tmp_path / "repo" / ".git")
    assert commits.content(commit, "crlf.py") is not None
    assert commits.content(commit, "dir with blank/ünï.py") is None


def test_a_damaged_object_is_as_if_it_were_not_there(tmp_path):
    root = tmp_path / "repo"
    commit = make_repository(root)
    name = shell(root, "rev-parse", f"{commit}:crlf.py").decode().strip()
    broken = root / ".git/objects" / name[:2] / name[2:]
    broken.chmod(0o644)
    broken.write_bytes(b"damaged")
    commits = GitCommits(root / ".git")
    commits.preload(commit, FILES)
    assert commits.content(commit, "crlf.py") is None


def test_places_that_are_no_repositories_know_nothing(tmp_path):
    for place in ("https://example.org/a.git", str(tmp_path / "none"), str(tmp_path)):
        commits = commits_at(place)
        assert commits.date("HEAD") is None
        assert commits.content("HEAD", "a.py") is None


def test_sources_leave_out_what_is_no_text():
    commits = KnownCommits(1, {"a.py": b"x = 1\n", "b.py": b"\0"})
    assert {path: s.text for path, s in sources_at(commits, "c", ("a.py", "b.py", "c.py")).items()} == {
        "a.py": "x = 1\n"
    }
