"""The arithmetic of edits: apply, invert, merge; what does not fit is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.edits import Edit, FilePatch, Patch, Span, file_patch_between, patch_between
from repair.errors import PatchError

ALPHABET = "ab \n\r\u2028\x0c\U0001f600é"
TEXTS = st.text(ALPHABET, max_size=30)


@st.composite
def patched(draw):
    """A text and edits of it that do not overlap, in any order; some touch, some do nothing."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edits = [Edit(Span(a, b), draw(st.text(ALPHABET, max_size=4))) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    return text, edits


def _by_hand(text, edits):
    """Replace from the back, so that no offset ever moves."""
    for edit in sorted(edits, key=lambda e: (e.span.start, e.span.end), reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


@given(patched())
def test_apply_is_replacing_from_the_back(case):
    text, edits = case
    same_place = len({(e.span.start, e.span.end) for e in edits}) < len(edits)
    if not same_place:
        assert FilePatch("a.py", tuple(edits)).apply(text) == _by_hand(text, edits)


@given(patched())
def test_invert_leads_back_and_twice_forth_again(case):
    text, edits = case
    patch = FilePatch("a.py", tuple(edits))
    after = patch.apply(text)
    back = patch.invert(text)
    assert back.apply(after) == text
    assert back.invert(after).apply(text) == after


@given(patched(), patched())
def test_a_patch_of_two_files_inverts_too(one, two):
    texts = {"a.py": one[0], "b/c.py": two[0], "untouched": "x"}
    patch = Patch((FilePatch("b/c.py", tuple(two[1])), FilePatch("a.py", tuple(one[1]))))
    after = patch.apply(texts)
    assert after["untouched"] == "x"
    assert patch.invert(texts).apply(after) == texts


@given(patched(), st.randoms())
def test_edits_are_kept_sorted_disjoint_and_apart_in_whatever_order_they_come(case, order):
    _, edits = case
    wanted = FilePatch("a.py", tuple(edits))
    for first, second in zip(wanted.edits, wanted.edits[1:], strict=False):
        assert first.span.end < second.span.start
    spans = {(e.span.start, e.span.end) for e in edits}
    if len(spans) == len(edits):
        shuffled = list(edits)
        order.shuffle(shuffled)
        assert FilePatch("a.py", tuple(shuffled)) == wanted


@given(TEXTS, TEXTS)
def test_the_patch_between_two_texts_leads_from_one_to_the_other(old, new):
    assert file_patch_between("a.py", old, new).apply(old) == new
    assert patch_between({"a": old, "b": "x"}, {"a": new, "b": "x"}).apply({"a": old, "b": "x"}) == {"a": new, "b": "x"}


def test_the_patch_between_leaves_equal_lines_alone():
    patch = file_patch_between("a.py", "a\nb\nc\nd\n", "a\nx\nc\nd\ne\n")
    assert patch.edits == (Edit(Span(2, 4), "x\n"), Edit(Span(8, 8), "e\n"))


def test_touching_deletions_are_one_so_that_their_inverse_is_one_insertion():
    patch = FilePatch("a", (Edit(Span(0, 2), ""), Edit(Span(2, 4), "")))
    assert patch.edits == (Edit(Span(0, 4), ""),)
    assert patch.invert("abcdef").edits == (Edit(Span(0, 0), "abcd"),)


def test_insertions_at_one_place_keep_their_order():
    patch = FilePatch("a", (Edit(Span(1, 1), "x"), Edit(Span(1, 1), "y"), Edit(Span(1, 2), "z")))
    assert patch.edits == (Edit(Span(1, 2), "xyz"),)
    assert patch.apply("abc") == "axyzc"


def test_edits_that_do_nothing_are_dropped_and_with_them_the_file():
    assert FilePatch("a", (Edit(Span(3, 3), ""),)).edits == ()
    patch = Patch((FilePatch("a", (Edit(Span(3, 3), ""),)),))
    assert not patch
    assert patch.paths == ()


def test_overlapping_edits_are_refused():
    for second in (Span(1, 3), Span(1, 1), Span(0, 2)):
        with pytest.raises(PatchError, match="overlap"):
            FilePatch("a", (Edit(Span(0, 2), "x"), Edit(second, "y")))


@pytest.mark.parametrize("span", [(-1, 2), (3, 2)])
def test_spans_that_are_none_are_refused(span):
    with pytest.raises(PatchError, match="is not a range"):
        Span(*span)


def test_an_edit_beyond_the_text_is_refused():
    with pytest.raises(PatchError, match="ends at offset 5, the text has 4"):
        FilePatch("a", (Edit(Span(3, 5), ""),)).apply("abcd")
    with pytest.raises(PatchError):
        FilePatch("a", (Edit(Span(3, 5), ""),)).invert("abcd")


@pytest.mark.parametrize(
    "path", ["", ".", "/etc/passwd", "../a", "a/../../b", "a\\b", "a\0b", "./a", "a//b", "a/", "a/./b", "//a"]
)
def test_paths_outside_or_in_two_spellings_are_refused(path):
    with pytest.raises(PatchError, match="not a relative path"):
        FilePatch(path, ())


@pytest.mark.parametrize("path", ["a", "a b/ü.py", "..a/b..", ".hidden", "a\nb", "-x"])
def test_odd_paths_inside_are_taken(path):
    assert FilePatch(path, ()).path == path


def test_a_path_twice_and_an_unknown_path_are_refused():
    one = FilePatch("a", (Edit(Span(0, 0), "x"),))
    with pytest.raises(PatchError, match="twice"):
        Patch((one, one))
    with pytest.raises(PatchError, match="not among the sources"):
        Patch((one,)).apply({"b": ""})
