import random
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.calibration import (
    Bin,
    brier,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_svg,
    reliability_table,
)
from eval.stats import Share

CONFIDENCES = [0.05, 0.05, 0.35, 0.45, 0.45, 0.95, 1.0]
OUTCOMES = [False, True, False, True, True, True, True]
CASES = st.lists(st.tuples(st.sampled_from([0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.99, 1]), st.booleans()), min_size=1)


def test_equal_width_by_hand():
    table = reliability_table(CONFIDENCES, OUTCOMES, 4)
    assert [(b.low, b.high, b.hits, b.count) for b in table] == [(0, 0.25, 1, 2), (0.25, 0.5, 2, 3), (0.75, 1, 2, 2)]
    assert [b.confidence for b in table] == pytest.approx([0.05, 1.25 / 3, 0.975])
    assert table[0].observed == Share(1, 2)
    gaps = [0.45, 2 / 3 - 1.25 / 3, 0.025]
    assert expected_calibration_error(table) == pytest.approx((2 * gaps[0] + 3 * gaps[1] + 2 * gaps[2]) / 7)
    assert maximum_calibration_error(table) == pytest.approx(0.45)


def test_equal_mass_keeps_equal_confidences_together():
    table = reliability_table(CONFIDENCES, OUTCOMES, 3, equal_mass=True)
    assert [(b.low, b.high, b.count) for b in table] == [(0.05, 0.05, 2), (0.35, 0.45, 3), (0.95, 1.0, 2)]
    together = reliability_table([0.5] * 9 + [0.6], [True] * 10, 5, equal_mass=True)
    assert [b.count for b in together] == [9, 1]


@given(CASES, st.integers(1, 12), st.booleans())
def test_the_order_does_not_matter_and_nothing_is_lost(cases, bins, equal_mass):
    shuffled = random.Random(0).sample(cases, len(cases))
    table, other = (reliability_table(*zip(*c, strict=True), bins, equal_mass=equal_mass) for c in (cases, shuffled))
    assert table == other
    assert sum(b.count for b in table) == len(cases)
    assert sum(b.hits for b in table) == sum(hit for _, hit in cases)
    assert len(table) <= bins
    assert all(b.low - 1e-12 <= b.confidence <= b.high + 1e-12 for b in table)


@given(CASES)
def test_the_parts_of_the_score_add_up(cases):
    confidences, outcomes = zip(*cases, strict=True)
    found = brier(confidences, outcomes)
    assert found.within == 0
    assert found.score == pytest.approx(found.reliability - found.resolution + found.uncertainty)
    assert found.score == pytest.approx(sum((c - o) ** 2 for c, o in cases) / len(cases))


def test_parts_over_bins_need_what_is_within():
    found = brier([0.1, 0.4, 0.9, 0.6], [False, True, True, True], bins=2)
    # within = mean of (c - mean c)^2 - 2 (c - mean c)(o - mean o) over the bins
    low = [(-0.15, -0.5), (0.15, 0.5)]
    high = [(0.15, 0), (-0.15, 0)]
    assert found.within == pytest.approx(sum(c * c - 2 * c * o for c, o in low + high) / 4)


def test_perfect_and_constant():
    assert brier([1.0, 0.0], [True, False]).score == 0
    constant = brier([0.5] * 4, [True, False, False, False])
    assert (constant.reliability, constant.resolution, constant.uncertainty) == (0.0625, 0, 0.1875)


def test_nothing():
    assert reliability_table([], []) == ()
    assert (expected_calibration_error(()), maximum_calibration_error(()), brier([], [])) == (None, None, None)


@pytest.mark.parametrize(
    ("confidences", "outcomes", "bins", "says"),
    [
        ([1.01], [True], 10, "between 0 and 1"),
        ([float("nan")], [True], 10, "between 0 and 1"),
        ([0.5], [], 10, "longer|shorter"),
        ([0.5], [True], 0, "at least one bin"),
    ],
)
def test_refused(confidences, outcomes, bins, says):
    with pytest.raises(ValueError, match=says):
        reliability_table(confidences, outcomes, bins)


def test_picture_is_xml_with_a_point_a_bin():
    bins = reliability_table(CONFIDENCES, OUTCOMES, 4)
    root = ElementTree.fromstring(reliability_svg(bins, title="Sure & <right>", ident="r1"))
    assert root.find("title").text == "Sure & <right>"
    assert root.get("aria-labelledby") == "r1-t r1-d"
    assert "confidence 0.05: 1 of 2" in root.find("desc").text
    circles = list(root.iter("circle"))
    assert len(circles) == len(bins)
    # (0.05, 1/2) in a square of 300 that begins at 40, 10
    assert (float(circles[0].get("cx")), float(circles[0].get("cy"))) == (55.0, 160.0)
    assert all("#" not in element.get("style", "") for element in root.iter()), "colours come from the page"


def test_picture_of_nothing_and_of_the_ends():
    assert "nothing to show" in reliability_svg(())
    root = ElementTree.fromstring(reliability_svg([Bin(0, 1, 1.0, 3, 3)]))
    assert float(next(root.iter("circle")).get("cx")) <= 360
