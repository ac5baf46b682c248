"""Which messages, paths and sizes speak for a bug fix."""

from __future__ import annotations

import pytest

from data.sources.fixes import judge_message, judge_paths, judge_size, of_tests, program, reverted, together


@pytest.mark.parametrize(
    ("message", "score", "reason"),
    [
        ("Fix crash on empty input (#12)", 2, "subject says 'Fix'"),
        ("fix(parser): keep the last line", 2, "kind 'fix'"),
        ("BUG: wrong axis", 2, "kind 'BUG'"),
        ("Off-by-one in the loop", 2, "subject says 'Off-by-one'"),
        ("No more KeyError for unknown hosts", 2, "subject says 'KeyError'"),
        ("Handle empty lists\n\nCloses #7", 2, "link 'Closes #7'"),
        ("Handle empty lists\n\nThis crashed before. Fixes GH-7", 3, "body says 'crashed'"),
        ("Fix the cache, see PROJ-12", 2.5, "issue 'PROJ-12'"),
        (
            "Keep the order\n\nResolves https://example.org/x/issues/3",
            1,
            "link 'Resolves https://example.org/x/issues/3'",
        ),
        ("Work on the parser", 0, ""),
    ],
)
def test_words_and_links_count(message: str, score: float, reason: str) -> None:
    judged = judge_message(message)
    assert (judged.veto, judged.score) == ("", score)
    assert reason in judged.reasons or not reason


@pytest.mark.parametrize(
    "message",
    [
        "Fix typo in error", "Fix docs build", "fix flake8 errors", "Fix tests on Windows", "Fix failing test",
        "Fix CI",
        "docs: fix broken thing", "chore(deps): fix lock", "DOC: fix wrong formula", "Fix formatting", "Merge fix of x",
        "Bump version, fix pin", "Fix changelog", "Refactor to fix cycle", "Add a fix-all command",
        "Fix deprecation warnings",
        "Rename the wrong name", "Allow missing keys", "Fix mypy errors", "fix indentation", "Fix spelling of receive",
    ],
)  # fmt: skip
def test_what_fixes_no_program_is_vetoed(message: str) -> None:
    assert judge_message(message).veto


def test_quotes_of_other_commits_and_trailers_do_not_speak() -> None:
    assert judge_message('Revert "Fix crash"\n\nThis reverts commit 0123456789abcdef.').score == 0
    assert judge_message('Revert "Cache rows"\n\nThis reverts commit 0123456789abcdef.\n\nIt broke: crash.').score == 1
    assert judge_message("Work on it\n\n(cherry picked from commit fix)\nReviewed-by: Bug Fix <a@b>").score == 0


def test_reverts_say_what_they_take_back() -> None:
    by_id = reverted('Revert "Fix x"\n\nThis reverts commit 0123456789abcdef0123.')
    assert by_id is not None and by_id.ids == ("0123456789abcdef0123",) and by_id.title == ""
    by_title = reverted('Revert "Fix "x" again"')
    assert by_title is not None and by_title.title == 'Fix "x" again'
    assert reverted("Fix the revert button") is None


def test_paths_must_hold_a_program_and_few_of_it() -> None:
    assert judge_paths(["README.md", "tests/test_a.py", "docs/conf.py"]).veto == "no program changed"
    assert judge_paths([f"a{n}.py" for n in range(4)]).veto == "many files"
    assert judge_paths(["a.py"]).score == 0
    assert judge_paths(["src/A.java", "src/test/ATest.java"]).reasons == ("tests changed with it",)
    assert judge_paths(["a.py", "tests/test_a.py", "CHANGES.rst"]).score == 1.5


@pytest.mark.parametrize(
    ("path", "is_test", "is_program"),
    [
        ("src/a.py", False, True), ("pkg/tests/test_a.py", True, False), ("a.spec.ts", True, False),
        ("x/FooTest.java", True, False), ("__tests__/a.js", True, False), ("pkg/testsuite/a.py", True, False),
        ("setup.py", False, False), ("a.min.js", False, False), ("pkg/_vendor/six.py", False, False),
        ("tools/a.py", False, False), ("pkg/tools/a.py", False, True), ("a.md", False, False),
        ("types/a.d.ts", False, False), ("contest.py", False, True),
    ],
)  # fmt: skip
def test_paths_are_sorted(path: str, is_test: bool, is_program: bool) -> None:
    assert (of_tests(path), program(path)) == (is_test, is_program)


def test_small_changes_count_and_large_ones_are_refused() -> None:
    assert judge_size(2, 3).reasons == ("small: 2 hunks, 3 lines",)
    assert judge_size(1, 1).reasons == ("small: 1 hunk, 1 line",)
    assert judge_size(5, 20).score == 0
    assert judge_size(2, 41).veto == judge_size(9, 9).veto == "large change"
    whole = together(judge_message("Fix crash"), judge_paths(["a.py", "test_a.py"]), judge_size(1, 1))
    assert (whole.score, whole.veto, len(whole.reasons)) == (4, "", 3)
