"""Tree maps: areas proportional, disjoint, inside; what a diff's edit is called; the cards of error patterns."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.edits import EditKind, edit_kind
from eval.report.patterns import failures_by_kind, pattern_cards
from eval.stats import Share
from eval.treemap import Box, squarified
from tests.eval.measured import diff, failed, solved


@given(
    st.lists(st.floats(0.01, 1000), max_size=25),
    st.builds(Box, st.floats(-9, 9), st.floats(-9, 9), st.floats(1, 500), st.floats(1, 500)),
)
def test_rectangles_fill_the_box_by_value_and_do_not_overlap(values, box):
    found = squarified(values, box)
    assert len(found) == len(values)
    close = 1e-6 * (box.width + box.height)
    for value, one in zip(values, found, strict=True):
        assert one.area == pytest.approx(box.area * value / sum(values), rel=1e-6)
        assert one.x >= box.x - close and one.x + one.width <= box.x + box.width + close
        assert one.y >= box.y - close and one.y + one.height <= box.y + box.height + close
    for a, b in combinations(found, 2):
        wide = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
        high = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
        assert wide <= close or high <= close


def test_the_example_of_the_paper_has_its_shapes():
    found = squarified([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    assert (found[0].width, found[0].height) == pytest.approx((3, 2))
    assert (found[2].width, found[2].height) == pytest.approx((12 / 7, 7 / 3))
    worst = max(max(b.width / b.height, b.height / b.width) for b in found)
    assert worst == pytest.approx(2.78, abs=0.01)
    with pytest.raises(ValueError, match="above 0"):
        squarified([1, 0], Box(0, 0, 1, 1))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("x = a - b", "x = a + b", EditKind.OPERATOR),
        ("if a and b:", "if a or b:", EditKind.OPERATOR),
        ("x = 'a'", 'x = "b"', EditKind.LITERAL),
        ("return 1", "return None", EditKind.LITERAL),
        ("return left", "return right", EditKind.NAME),
        ("return a", "return sorted(a)", EditKind.STRUCTURE),
        ("f(a, b)", "f(b, a)", EditKind.REWRITTEN),
        ("  x = 1", "    x = 1", EditKind.LAYOUT),
        ("return a < 3", "return b > 3", EditKind.REWRITTEN),
        ("", "x = 1", EditKind.ADDED),
        ("x = 1", "", EditKind.REMOVED),
        ("x = 1\ny = 2", "x = 2", EditKind.SEVERAL),
        ("", "", EditKind.NOTHING),
    ],
)
def test_edits_are_named(before, after, kind):
    assert edit_kind(diff(before, after)) is kind


def test_failures_are_counted_by_class_exception_and_edit():
    rows = [
        failed("a", error_type="IndexError"),
        failed("b", error_type="IndexError", reference_diff=diff("a", "b")),
        solved("c", error_type="IndexError"),
        failed("d", bug_type="<i>"),
    ]
    found = failures_by_kind(rows)
    assert found["condition", "IndexError", "operator"] == Share(1, 2)
    assert found["condition", "IndexError", "name"] == Share(1, 1)
    assert found["<i>", "no error text", "operator"] == Share(1, 1)
    html = "".join(pattern_cards(rows, "p"))
    assert "Where the failures are" in html and "Edit needed and edit proposed" in html
    assert "<i>" not in html
    assert "operator needed, no patch proposed: 2 of 3" in html
    assert "operator needed, operator proposed: 1 of 3" in html
    assert list(pattern_cards([], "p")) == []
