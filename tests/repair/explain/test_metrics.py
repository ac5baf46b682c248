import numpy as np
import pytest

from repair.explain.metrics import (
    Mask,
    calibration_error,
    completeness_gap,
    comprehensiveness,
    deletion_auc,
    hit_at,
    insertion_auc,
    interval,
    lds,
    random_masks,
    rank_correlation,
    ranks,
    sanity,
    stability,
    sufficiency,
    top_drop,
)  # fmt: skip

WEIGHTS = np.array([5.0, 0.0, 1.0, -2.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.5])


def measure(kept: Mask) -> float:
    return float(kept @ WEIGHTS)


def test_true_scores_are_best_and_reversed_ones_worst() -> None:
    masks = random_masks(10, 40)
    values = np.array([measure(m) for m in masks])
    assert lds(WEIGHTS, masks, values) == pytest.approx(1.0)
    assert lds(-WEIGHTS, masks, values) == pytest.approx(-1.0)
    assert comprehensiveness(WEIGHTS, measure) == pytest.approx((5 + 8 + 9.5) / 3)
    assert sufficiency(WEIGHTS, measure) == pytest.approx(7.5 - (5 + 8 + 9.5) / 3)
    for found in (deletion_auc(WEIGHTS, measure), deletion_auc(-WEIGHTS, lambda kept: -measure(kept))):
        assert found.value < found.random
    assert insertion_auc(WEIGHTS, measure).value > insertion_auc(WEIGHTS, measure).random
    assert insertion_auc(-WEIGHTS, measure).value < insertion_auc(-WEIGHTS, measure).random
    drop = top_drop(WEIGHTS, measure, count=2)
    assert drop.value == 8.0 > drop.random


def test_areas_are_trapezes() -> None:
    assert deletion_auc(np.array([1.0, 0.0]), lambda kept: float(kept[0])).value == pytest.approx(0.25)
    assert insertion_auc(np.array([1.0, 0.0]), lambda kept: float(kept[0])).value == pytest.approx(0.75)


def test_ranks_and_correlations() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0])).tolist() == [1.5, 0.0, 1.5]
    assert rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.0, 5.0, 6.0])) == pytest.approx(1.0)
    assert rank_correlation(np.ones(3), np.arange(3.0)) == 0.0
    assert sanity(WEIGHTS, -WEIGHTS) == pytest.approx(-1.0)
    assert stability(WEIGHTS, 3 * WEIGHTS) == pytest.approx(1.0)


def test_hits_gaps_and_calibration() -> None:
    assert hit_at(WEIGHTS, [0]) and not hit_at(WEIGHTS, [5]) and hit_at(WEIGHTS, [5], 2)
    assert completeness_gap(np.array([1.0, 0.9]), 2.0) == pytest.approx(0.05)
    assert calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([1, 1, 1, 0])) == pytest.approx(0.0)
    assert calibration_error(np.array([0.95, 1.0]), np.array([0, 1])) == pytest.approx(0.475)
    low, high = interval(np.array([0.0, 1.0] * 50))
    assert 0.35 < low < 0.5 < high < 0.65
