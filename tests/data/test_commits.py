"""Records mined from repositories that real git made here."""

from __future__ import annotations

import os
import pickle
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from data.records import ErrorOrigin, Origin, Record, from_row, to_row
from data.repositories import open_repository
from data.sources.commits import Cursor, Options, Tally, Unit, mine, reported_error, units, work

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": "2020-01-02T03:04:05+02:00",
}  # fmt: skip
MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person ...\n"
    "The above copyright notice and this\npermission notice shall be included ...\n"
)
CODE = """import os


def first(rows):
    if not rows:
        return None
    return rows[{0}]


def last(rows):
    return rows[{1}]


def total(rows):
    found = 0
    for row in rows:
        found += row
    return found
"""


class History:
    """A repository that grows by commits; each has its own second, so that git's order is that of the commits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 1577927045
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, content: bytes = b"") -> str:
        self.seconds += 1
        environment = {**ENVIRONMENT, "GIT_COMMITTER_DATE": f"{self.seconds} +0000"}
        command = ["git", "-C", str(self.folder), *arguments]
        return (
            subprocess.run(command, input=content, capture_output=True, check=True, env=environment)
            .stdout.decode()
            .strip()
        )

    def commit(self, message: str, files: dict[str, str | bytes]) -> str:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def mine(self, cursor: Cursor | None = None) -> tuple[list[Record], Tally]:
        tally = Tally()
        return list(mine(open_repository(str(self.folder)), None, cursor, tally)), tally


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "made")
    made.commit("Start", {"a.py": CODE.format(1, 1), "LICENSE": MIT})
    return made


def test_a_fix_becomes_a_whole_record(history: History) -> None:
    message = "Fix the first row\n\nIt failed with\n\n    IndexError: list index out of range\n\nCloses #3"
    fixed = history.commit(message, {"a.py": CODE.format(0, 1), "tests/test_a.py": "x = 1\n"})
    (record,), tally = history.mine()
    assert record.buggy == "def first(rows):\n    if not rows:\n        return None\n    return rows[1]\n"
    assert record.fixed == record.buggy.replace("[1]", "[0]")
    assert (record.language, record.path, record.function, record.first_line) == ("python", "a.py", "first", 4)
    assert record.context == ("import os", "def last(rows):", "def total(rows):")
    assert (record.origin, record.repository, record.revision) == (Origin.COMMIT, "made", fixed)
    assert (record.authored, record.licence, record.message) == ("2020-01-02T01:04:05Z", "MIT", "Fix the first row")
    assert (record.error, record.error_type) == ("IndexError: list index out of range", "IndexError")
    assert record.error_origin is ErrorOrigin.REPORTED and record.bug_classes == () and record.difficulty == 0
    assert record.reasons == (
        "subject says 'Fix'", "link 'Closes #3'", "tests changed with it", "small: 1 hunk, 1 line"
    )  # fmt: skip
    assert (tally.commits, tally.candidates, tally.fixes, tally.pairs) == (2, 1, 1, 1)
    assert from_row(to_row(record)) == record


def test_other_commits_give_nothing_and_are_counted(history: History) -> None:
    history.commit("Fix typo", {"a.py": CODE.format(0, 1)})
    history.commit("Work on rows", {"a.py": CODE.format(0, 0)})
    history.commit("Fix crash", {"README.md": "hello\n"})
    history.commit("Fix the comment-free program", {"a.py": CODE.format(0, 0).replace("return None", "return (None)")})
    records, tally = history.mine()
    assert records == []
    assert tally.skipped == {
        "subject says that something is new": 1,
        "subject says otherwise": 2,
        "too little speaks for a fix": 1,
        "no program changed": 1,
    }
    history.commit("Fix layout", {"a.py": CODE.format(0, 0).replace("rows[0]", "rows[ 0 ]")})
    assert history.mine()[1].skipped["same program"] == 2


def test_renames_are_followed(history: History) -> None:
    history.git("mv", "a.py", "new.py")
    history.commit("Fix the last row", {"new.py": CODE.format(1, -1)})
    (record,), _ = history.mine()
    assert (record.path, record.function) == ("new.py", "last")
    assert record.fixed == "def last(rows):\n    return rows[-1]\n"


def test_reverted_fixes_and_their_reverts_are_left_out(history: History) -> None:
    fixed = history.commit("Fix the first row", {"a.py": CODE.format(0, 1)})
    history.git("revert", "--no-edit", fixed)
    records, tally = history.mine()
    assert records == [] and tally.skipped["reverted later"] == 1 and fixed in tally.reverted
    again = history.git("rev-parse", "HEAD")
    history.git("revert", "--no-edit", again)  # the fix is in force again
    assert [one.revision for one in history.mine()[0]] == [fixed]


def test_a_revert_is_a_fix_only_if_it_says_so(history: History) -> None:
    broken = history.commit("Work on rows", {"a.py": CODE.format(5, 1)})
    history.git("revert", "--no-edit", broken)
    assert history.mine()[0] == []
    message = f'Revert "Work on rows"\n\nThis reverts commit {broken}.\n\nFixes #9, a crash.'
    history.git("commit", "-q", "--amend", "-m", message)
    (record,) = history.mine()[0]
    assert record.reasons[:2] == ("body says 'Fixes'", "link 'Fixes #9'") and "rows[1]" in record.fixed


def test_merges_are_skipped_and_copies_on_other_branches_counted_once(history: History) -> None:
    history.git("checkout", "-qb", "stable")
    history.commit("Work apart", {"b.py": "x = 1\n"})
    history.git("checkout", "-q", "main")
    fixed = history.commit("Fix the first row", {"a.py": CODE.format(0, 1)})
    history.git("checkout", "-q", "stable")
    history.git("cherry-pick", fixed)
    history.git("checkout", "-q", "main")
    history.git("merge", "-q", "--no-ff", "-m", "Fix conflict crash", "stable")
    records, tally = history.mine()
    assert len(records) == 1 and tally.skipped["copy of another commit"] == 1
    assert tally.commits == 4


def test_a_cursor_goes_on_where_it_stopped(history: History) -> None:
    history.commit("Fix the first row", {"a.py": CODE.format(0, 1)})
    records, tally = history.mine()
    assert len(records) == 1 and tally.cursor is not None
    assert history.mine(tally.cursor)[0] == []
    history.git("checkout", "-qb", "stable", "main~1")
    history.git("commit", "--allow-empty", "-qm", "apart")
    history.git("cherry-pick", "main")  # known already, by its patch
    later = history.commit("Fix the last row", {"a.py": CODE.format(0, -1)})
    records, second = history.mine(tally.cursor)
    assert [one.revision for one in records] == [later]
    assert second.skipped["copy of another commit"] == 1 and second.cursor is not None
    assert second.cursor.patches > tally.cursor.patches


def test_what_cannot_be_read_is_skipped_with_its_reason(history: History) -> None:
    text = CODE.format(1, 1)
    odd: dict[str, str | bytes] = {
        "latin.py": text.encode() + b"# \xe9\n",
        "windows.py": text.replace("\n", "\r\n"),
        "big.py": text + "# " + "x" * 1_100_000,
        "huge.py": text + "# " + "x" * 3_000_000,  # git is told not to compare these
    }
    history.commit("Work", odd)
    for name in odd:
        content = (history.folder / name).read_bytes().replace(b"rows[1]", b"rows[0]", 1)
        history.commit(f"Fix {name} crash", {name: content})
    for _ in range(2):  # a submodule is added, then moved
        entry = f"160000,{history.git('rev-parse', 'HEAD')},sub"
        history.git("update-index", "--add", "--cacheinfo", entry)
        history.git("commit", "-qm", "Fix submodule crash")
    records, tally = history.mine()
    assert [one.path for one in records] == ["windows.py"]
    assert all("\r" not in one.buggy + one.fixed for one in records)
    assert tally.skipped["not utf-8"] == tally.skipped["binary or huge"] == tally.skipped["too large"] == 1
    assert tally.skipped["submodule"] == 2


def test_a_lost_object_costs_its_commit_only(history: History) -> None:
    history.commit("Fix the first row", {"a.py": CODE.format(0, 1)})
    lost = history.git("rev-parse", "HEAD:a.py")
    history.commit("Work", {"a.py": "x = 1\n"})
    history.commit("Start again", {"a.py": CODE.format(1, 1)})
    kept = history.commit("Fix the last row", {"a.py": CODE.format(1, -1)})
    (history.folder / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    records, tally = history.mine()
    assert [one.revision for one in records] == [kept]
    assert tally.skipped["missing or corrupt object"] == 1


def test_work_runs_in_other_processes_and_gives_the_same(history: History) -> None:
    for n in range(2, 8):
        history.commit(f"Fix row crash {n}", {"a.py": CODE.format(n, 1)})
    repository, options = open_repository(str(history.folder)), Options(batch=2)
    found = list(units(repository, repository.tips(), options, Cursor(), Tally()))
    assert [len(unit.tasks) for unit in found] == [2, 2, 2]
    assert isinstance(pickle.loads(pickle.dumps(found[0])), Unit)
    assert [one.records[0].message for one in work(found[0])] == ["Fix row crash 2", "Fix row crash 3"]
    with ProcessPoolExecutor(1) as pool:
        assert list(mine(repository, options, spread=pool.map)) == list(mine(repository, options))


def test_new_commits_leave_earlier_units_as_they_were(history: History) -> None:
    for n in range(2, 6):
        history.commit(f"Fix row crash {n}", {"a.py": CODE.format(n, 1)})
    repository, options = open_repository(str(history.folder)), Options(batch=2)
    before = list(units(repository, repository.tips(), options, Cursor(), Tally()))
    history.commit("Fix row crash 6", {"a.py": CODE.format(6, 1)})
    after = list(units(repository, repository.tips(), options, Cursor(), Tally()))
    assert after[:2] == before
    assert len(after) == 3


def test_java_and_typescript_fixes_are_found(history: History) -> None:
    java = "class A {\n  int go(int x) {\n    return x + 1;\n  }\n}\n"
    script = "export function go(x: number) {\n  return x + 1\n}\n"
    history.commit("Work", {"A.java": java, "a.ts": script})
    history.commit("Fix go", {"A.java": java.replace("+", "-"), "a.ts": script.replace("+", "-")})
    records, _ = history.mine()
    assert [(one.language, one.function) for one in records] == [("java", "A.go"), ("typescript", "go")]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Fix\n\n>>> f()\nValueError: bad `x`\n", ("ValueError: bad `x`", "ValueError")),
        ("Fix\n\nE   pkg.errors.ParseError: line 3\n", ("pkg.errors.ParseError: line 3", "ParseError")),
        ("ValueError: in the subject only", ("", "")),
        ("Fix\n\nwe raise ValueError: sometimes", ("", "")),
    ],
)
def test_quoted_exception_lines_are_error_texts(message: str, error: tuple[str, str]) -> None:
    assert reported_error(message) == error
