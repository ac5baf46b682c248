"""Repository tasks measured with real git, real pytest and a real sandbox; where the search does not matter, a
scripted model knows the fix.
"""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from data.repositories import open_repository
from eval.checkouts import checked_out
from eval.measure import Conditions, Status
from eval.repositories import is_reference, measure_repository, unlike
from eval.suites.cases import RepositoryTask
from repair.edits import patch_between
from repair.models.scripted import ScriptedModel
from repair.oracles.tests import TestOracle
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source
from repair.views import Hunk

SEATS = (
    "def row_of(seat, wide):\n    return (seat - 1) // wide - 1\n\n\ndef place(seat, wide):\n    return seat % wide\n"
)
TICKET = (
    "from theatre.seats import place, row_of\n\n\ndef ticket(seat, wide=10):\n"
    '    return f"row {row_of(seat, wide)}, place {place(seat, wide)}"\n'
)
TESTS = "from theatre.ticket import place, ticket\n\n\ndef test_first():\n    assert place(1, 10) == 1\n"
LAST = """

def test_last():
    assert ticket(14, 15) == 'row 1, place 14'
    assert ticket(15, 15)[:5] == 'row 1'
    assert ticket(16, 15)[:5] == 'row 2'
"""
OLD = "\n\ndef test_old():\n    assert False\n"
FLAKY = "import random\n" + "".join(
    f"\n\ndef test_luck_{n}():\n    assert random.SystemRandom().random() < 0.5\n" for n in range(40)
)
FILES = {
    "theatre/__init__.py": "", "theatre/seats.py": SEATS, "theatre/ticket.py": TICKET,
    "theatre/prices.py": "def price(row):\n    return 30 - row\n", "README": "A theatre.\n",
    "tests/test_ticket.py": TESTS + OLD, "tests/test_flaky.py": FLAKY,
}  # fmt: skip
RUN = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"  # to import plugins takes longer than all else here
FIRST, LAST_ID = "tests/test_ticket.py::test_first", "tests/test_ticket.py::test_last"


def git(folder, *arguments):
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", folder, *author, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a step")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theatre")
    git(folder, "init", "-q")
    buggy = commit(folder, FILES)
    fixed = commit(
        folder,
        {
            "theatre/seats.py": SEATS.replace("wide - 1", "wide + 1"),
            "tests/test_ticket.py": TESTS + LAST + OLD,
            "README": "A theatre, mended.\n",
        },
    )
    (folder / "theatre/seats.py").write_text("what the user is about to write")
    return RepositoryTask(
        "theatre", str(folder), buggy, RUN, (LAST_ID,), (FIRST,), fixed, python=sys.executable,
        bug_type="off by one",
    )  # fmt: skip


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


CONDITIONS = Conditions(candidates=16, seconds=300, extra=0)


def knowing():
    """A model whose first answer is the fix."""
    return ScriptedModel(completions=[(Hunk(2, 2, "    return (seat - 1) // wide + 1\n"),)])


def test_a_task_is_repaired_and_the_fix_decides(task, sandbox):
    found = measure_repository(task, None, sandbox, CONDITIONS)
    assert (found.status, found.reason) == (Status.REPAIRED, "")
    assert found.first_plausible <= found.judged <= 16
    assert found.fault_rank is not None
    assert "+++ b/theatre/seats.py" in found.diff
    assert (found.language, found.bug_type, found.id) == ("python", "off by one", "theatre")
    assert found.correct is True
    assert found.first_plausible <= found.first_correct
    assert found.test_runs > found.judged
    assert found.wall_seconds > 0
    assert "about to write" in (Path(task.repo) / "theatre/seats.py").read_text()
    assert git(task.repo, "status", "--porcelain") == "M theatre/seats.py"
    assert len(git(task.repo, "worktree", "list").split("\n")) == 1


def test_tests_of_the_fix_are_laid_over_and_the_fix_itself_is_not(task, tmp_path):
    with checked_out(task, tmp_path) as trees:
        assert list(trees.tests) == ["tests/test_ticket.py"]
        assert trees.changed == ("theatre/seats.py",)
        assert (trees.buggy / "theatre/seats.py").read_text() == SEATS
        folder = trees.buggy.parent
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        (SEATS.replace("(seat - 1) // wide - 1", "((seat - 1)  // wide) + 1  # as the fix"), True),
        (SEATS.replace("(seat - 1) // wide - 1", "1 + (seat - 1) // wide"), None),
    ],
)
def test_a_patch_like_the_fix_is_correct_and_another_is_unknown(task, tmp_path, text, correct):
    patch = patch_between({"theatre/seats.py": SEATS}, {"theatre/seats.py": text})
    with checked_out(task, tmp_path) as trees:
        sources = (Source("theatre/seats.py", SEATS),)
        assert is_reference(patch, sources, trees) is correct
        assert is_reference(patch, sources, replace(trees, changed=("theatre/seats.py", "theatre/gone.py"))) is None
        assert is_reference(patch, sources, replace(trees, fixed=None)) is None


def test_without_the_fix_correct_is_unknown(task, sandbox, tmp_path):
    repo = tmp_path / "one"
    repo.mkdir()
    git(repo, "init", "-q")
    buggy = commit(repo, {**FILES, "tests/test_ticket.py": TESTS + LAST})
    alone = replace(task, repo=str(repo), buggy_commit=buggy, fixed_commit=None, sources=("theatre/seats.py",))
    found = measure_repository(alone, knowing(), sandbox, CONDITIONS)
    assert (found.status, found.correct, found.fault_rank) == (Status.REPAIRED, None, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"buggy_commit": "0" * 40}, "has no commit 0000"),
        ({"fixed_commit": "no-such-branch"}, "has no commit no-such-branch"),
        ({"repo": "/nonexistent/theatre"}, "not a git repository"),
        ({"pass_to_pass": ("tests/test_gone.py::test_none",)}, "on the fixed commit the tests cannot be run: .*gone"),
        (
            {"fail_to_pass": (FIRST,), "pass_to_pass": (), "fixed_commit": None},
            "on the buggy commit .*test_first passes, it should fail",
        ),
        ({"sources": ("theatre/stage.py",)}, "stage.py: no such file"),
        ({"test_command": "true"}, "the test command tells no single tests"),
        ({"python": "/nonexistent/python"}, "is no Python that can be run"),
    ],
)
def test_unsound_tasks_are_left_out(task, sandbox, change, says):
    found = measure_repository(replace(task, **change), None, sandbox, CONDITIONS)
    assert found.status is Status.LEFT_OUT
    assert re.search(says, found.reason)


def test_runs_unlike_the_task_are_told(task, sandbox, tmp_path):
    """Of 40 tests that pass by chance it is certain that one does not pass three times or never."""
    with checked_out(task, tmp_path) as trees:
        oracle = TestOracle(trees.fixed, (), sandbox, task.test_command, python=Path(task.python))
        with oracle.open() as bench:
            runs = [bench.observe() for _ in range(3)]
    right, old = frozenset((FIRST, LAST_ID)), "tests/test_ticket.py::test_old"
    assert unlike(runs, right, frozenset({old})) == ""
    assert unlike(runs, right | {old}, frozenset()) == f"{old} fails, it should pass"
    assert unlike(runs, right, frozenset({"tests/test_ticket.py::test_none"})) == ""
    assert unlike(runs, frozenset({"test_none"}), frozenset()) == "test_none does not exist, it should pass"
    assert unlike(runs, frozenset(), right) == f"{FIRST} passes, it should fail"
    lucky = (unlike(runs, frozenset({f"tests/test_flaky.py::test_luck_{n}"}), frozenset()) for n in range(40))
    assert any(re.search("is flaky: it passes in [12] of 3 runs", reason) for reason in lucky)


def test_an_address_that_cannot_be_fetched_says_nothing_about_the_task(task, sandbox, tmp_path):
    gone = replace(task, repo=f"file://{tmp_path}/gone")
    found = measure_repository(gone, None, sandbox, CONDITIONS, cache=tmp_path / "cache")
    assert (found.status, "cannot be fetched" in found.reason) == (Status.UNSCORED, True)


def test_an_address_is_cloned_into_the_cache(task, tmp_path):
    with checked_out(replace(task, repo=f"file://{task.repo}"), tmp_path / "cache") as trees:
        assert (trees.buggy / "theatre/seats.py").read_text() == SEATS
    assert list((tmp_path / "cache").iterdir())


def test_a_whole_run_is_one_test(task, sandbox):
    command = "python -c 'from theatre.ticket import ticket; assert ticket(15, 15)[:5] == \"row 1\"'"
    whole = replace(task, test_command=command, fail_to_pass=("the whole run",), pass_to_pass=())
    found = measure_repository(replace(whole, sources=("theatre/seats.py",)), knowing(), sandbox, CONDITIONS)
    assert (found.status, found.reason) == (Status.REPAIRED, "")


def test_commits_are_resolved_and_checked_out_elsewhere(task, tmp_path):
    repository = open_repository(task.repo)
    assert repository.resolve("HEAD") == task.fixed_commit
    repository.check_out(task.buggy_commit, tmp_path / "x")
    assert (tmp_path / "x/theatre/seats.py").read_text() == SEATS
