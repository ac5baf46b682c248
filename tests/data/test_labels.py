"""Labels: the fewest lines, and always the way back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.labels import hunks_of
from repair.errors import PatchError
from repair.sources import Source
from repair.views import Hunk, hunks_patch

LINES = st.lists(st.sampled_from(["", "a", "b", "    c", "x = 1", "return x"]), min_size=1, max_size=12)


def applied(buggy: str, hunks: tuple[Hunk, ...]) -> str:
    source = Source("m.py", buggy)
    return hunks_patch(source, hunks).apply({"m.py": buggy})["m.py"]


@settings(max_examples=400, deadline=None)
@given(LINES, LINES)
def test_hunks_lead_to_the_fixed_text(left, right):
    buggy, fixed = "\n".join([*left, "end"]) + "\n", "\n".join([*right, "end"]) + "\n"
    assert applied(buggy, hunks_of(buggy, fixed)) == fixed


@settings(max_examples=300, deadline=None)
@given(LINES, LINES)
def test_hunks_hold_without_a_final_newline(left, right):
    buggy, fixed = "\n".join(["top", *left, "x"]), "\n".join(["top", *right, "y"])
    assert applied(buggy, hunks_of(buggy, fixed)) == fixed


def test_deletion_at_the_end_without_a_final_newline():
    assert applied("a\nb\nc", hunks_of("a\nb\nc", "a")) == "a"


def test_one_changed_line_is_one_hunk_of_one_line():
    assert hunks_of("a\nb\nc\n", "a\nB\nc\n") == (Hunk(2, 2, "B"),)


def test_an_inserted_line_replaces_nothing():
    assert hunks_of("a\nc\n", "a\nb\nc\n") == (Hunk(2, 1, "b"),)


def test_a_deleted_line_has_no_text():
    assert hunks_of("a\nb\nc\n", "a\nc\n") == (Hunk(2, 2, ""),)


def test_two_faults_are_two_hunks():
    assert hunks_of("a\nb\nc\nd\n", "A\nb\nc\nD\n") == (Hunk(1, 1, "A"), Hunk(4, 4, "D"))


def test_equal_texts_have_no_hunks():
    assert hunks_of("a\n", "a\n") == ()


def test_a_line_that_becomes_empty_takes_its_neighbour_along():
    assert hunks_of("a\nb\nc\n", "a\n\nc\n") == (Hunk(1, 2, "a\n"),)


def test_a_lost_final_newline_is_refused():
    with pytest.raises(PatchError):
        hunks_of("a\n", "b")
