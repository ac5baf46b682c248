"""Hunks of whole lines become edits: newlines kept, ends of files, what lies outside refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.edits import Edit, FilePatch, Span
from repair.errors import PatchError
from repair.sources import Source
from repair.views import Hunk, View, edit_hunk, hunk_edit, hunks_patch

LINES = st.lists(st.sampled_from(["a", "", "b c", "x\u2028y", "\x0c", "\U0001f600", "é"]), min_size=1, max_size=8)


def _apply(source, *hunks):
    return hunks_patch(source, hunks).apply({source.path: source.text})[source.path]


@st.composite
def cases(draw):
    """Lines, how they end, and a hunk of them: (lines, newline, final newline?, hunk)."""
    lines = draw(LINES)
    first = draw(st.integers(1, len(lines)))
    last = draw(st.integers(first - 1, len(lines)))
    new = draw(st.lists(st.sampled_from(["n", "m\u2028", "\U0001f600"]), min_size=int(last < first), max_size=3))
    return lines, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans()), Hunk(first, last, "\n".join(new)), new


@given(cases())
def test_a_hunk_replaces_lines_as_a_list_would(case):
    lines, newline, final, hunk, new = case
    if not final and not lines[-1]:
        return  # the text would end with a newline after all
    source = Source("a.py", newline.join(lines) + (newline if final else ""))
    wanted = lines[: hunk.first - 1] + new + lines[hunk.last :]
    after = _apply(source, hunk)
    assert after.split("\n") == (newline.join(wanted) + newline).split("\n") or not final or not wanted
    assert [x.removesuffix("\r") for x in after.split("\n")][: len(wanted)] == wanted
    if newline == "\r\n" and len(lines) > 1:
        assert after.count("\n") == after.count("\r\n")
    if wanted and hunk.last < len(lines):
        assert after.endswith("\n") == source.text.endswith("\n")


@pytest.mark.parametrize(
    ("text", "hunk", "after"),
    [
        ("a\nb\nc\n", Hunk(2, 2, "x"), "a\nx\nc\n"),
        ("a\nb\nc\n", Hunk(2, 3, "x\ny\nz"), "a\nx\ny\nz\n"),
        ("a\nb\nc\n", Hunk(2, 2, ""), "a\nc\n"),
        ("a\nb\nc\n", Hunk(2, 1, "x"), "a\nx\nb\nc\n"),
        ("a\nb\nc\n", Hunk(4, 3, "x"), "a\nb\nc\nx\n"),
        ("a\nb", Hunk(3, 2, "x"), "a\nb\nx"),
        ("a\nb", Hunk(2, 2, "x"), "a\nx"),
        ("a\nb", Hunk(2, 2, ""), "a\n"),
        ("a\nb", Hunk(1, 2, ""), ""),
        ("a\r\nb\r\n", Hunk(2, 2, "x\ny"), "a\r\nx\r\ny\r\n"),
        ("a\r\nb\r\n", Hunk(1, 1, "x\r\ny"), "x\r\ny\r\nb\r\n"),
        ("", Hunk(1, 1, "x"), "x"),
        ("", Hunk(1, 0, "x"), "x\n"),
        ("", Hunk(2, 1, "x"), "x\n"),
        ("x\u2028y\nb\n", Hunk(2, 2, "c"), "x\u2028y\nc\n"),
    ],
)
def test_hunks_by_hand(text, hunk, after):
    assert _apply(Source("a.py", text), hunk) == after


@pytest.mark.parametrize(
    ("text", "hunks", "after"),
    [
        ("a\nb\nc\n", (Hunk(3, 3, "z"), Hunk(1, 1, "x")), "x\nb\nz\n"),
        ("a\nb\nc\n", (Hunk(2, 2, "x"), Hunk(3, 2, "y")), "a\nx\ny\nc\n"),
        ("a\nb\nc\n", (Hunk(2, 1, "y"), Hunk(2, 2, "x")), "a\ny\nx\nc\n"),
        ("a\nb\nc\n", (Hunk(1, 1, ""), Hunk(2, 2, "")), "c\n"),
        ("a\nb\nc\n", (Hunk(2, 2, ""), Hunk(3, 2, "x")), "a\nx\nc\n"),
        ("a\nb", (Hunk(2, 2, ""), Hunk(3, 2, "x")), "a\nx"),
        ("a\nb", (Hunk(2, 2, "x"), Hunk(3, 2, "y")), "a\nx\ny"),
        ("a\nb", (Hunk(3, 2, "x"), Hunk(3, 2, "y")), "a\nb\nx\ny"),
    ],
)
def test_hunks_that_meet(text, hunks, after):
    assert _apply(Source("a.py", text), *hunks) == after


def _shown(text):
    """What a model's answer can say: lines without blank ones at either side of a change, without terminators."""
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip("\r")]


@given(cases(), st.data())
def test_an_edit_as_a_hunk_does_the_same(case, data):
    lines, newline, final, _, new = case
    source = Source("a.py", newline.join(lines) + (newline if final else ""))
    start = data.draw(st.integers(0, len(source.text)))
    end = data.draw(st.integers(start, len(source.text)))
    cut = source.text[:start].endswith("\r") or source.text[end:].startswith("\n")  # between \r and \n
    edit = Edit(Span(start, end), newline.join(new))
    if newline == "\r\n" and cut:
        return
    hunk = edit_hunk(source, edit)
    wanted = FilePatch("a.py", (edit,)).apply(source.text)
    assert _shown(_apply(source, hunk) if hunk else source.text) == _shown(wanted)


@pytest.mark.parametrize("range_", [(0, 1), (3, 1), (0, -1)])
def test_ranges_that_are_none_are_refused(range_):
    with pytest.raises(PatchError, match="no range"):
        Hunk(*range_, "x")


def test_what_lies_outside_overlaps_or_does_nothing_is_refused():
    source = Source("a.py", "a\nb\n")
    with pytest.raises(PatchError, match="the file has 2"):
        hunk_edit(source, Hunk(2, 3, "x"))
    with pytest.raises(PatchError, match="cannot insert before line 4 of 2"):
        hunk_edit(source, Hunk(4, 3, "x"))
    with pytest.raises(PatchError, match="inserts nothing"):
        Hunk(2, 1, "")
    with pytest.raises(PatchError, match="overlap"):
        hunks_patch(source, (Hunk(1, 2, "x"), Hunk(2, 2, "y")))


def test_a_view_knows_its_last_line():
    assert View("a.py", "python", 7, ("x", "y")).last_line == 8
