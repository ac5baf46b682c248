from __future__ import annotations

import math

import numpy as np
import pytest

from training.bootstrap import Ratio, paired

NONE = np.zeros(50, np.bool_)


def test_equal_answers_have_no_difference_and_no_doubt():
    hits = np.random.default_rng(0).random(200) < 0.4
    found = paired(Ratio.mean(hits), Ratio.mean(hits))
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_mean_agrees_with_the_normal_interval():
    draw = np.random.default_rng(1)
    before = draw.normal(0, 1, 400)
    after = before + draw.normal(0.2, 1, 400)
    found = paired(Ratio.mean(before), Ratio.mean(after), resamples=4000)
    error = float((after - before).std(ddof=1)) / 20
    assert found.difference == pytest.approx(float((after - before).mean()))
    assert found.low == pytest.approx(found.difference - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(found.difference + 1.96 * error, abs=0.2 * error)


def test_pairing_leaves_out_what_is_hard_for_both():
    draw = np.random.default_rng(2)
    hard = draw.normal(0, 5, 300)
    before, after = hard + draw.normal(0, 0.1, 300), hard + 0.1 + draw.normal(0, 0.1, 300)
    together = paired(Ratio.mean(before), Ratio.mean(after))
    apart = paired(Ratio.mean(before), Ratio.mean(draw.permutation(after)))
    assert together.low > 0
    assert together.high - together.low < (apart.high - apart.low) / 20


@pytest.mark.parametrize("kind", ["share", "rare", "precision"])
def test_intervals_hold_the_truth_as_often_as_they_say(kind: str):
    draw = np.random.default_rng(3)
    held = above = 0
    for trial in range(400):
        if kind == "share":
            ease = draw.random(120) + 0.5
            base, tuned = (Ratio.mean(draw.random(120) < chance * ease) for chance in (0.3, 0.36))
            truth = 0.06
        elif kind == "rare":
            base, tuned = (Ratio.mean(draw.random(120) < 0.05) for _ in range(2))
            truth = 0.0
        else:  # a ratio whose denominator differs between the models: clean code called clean
            clean = draw.random(200) < 0.2
            calls = [draw.random(200) < np.where(clean, hit, false) for hit, false in ((0.5, 0.2), (0.6, 0.15))]
            base, tuned = (Ratio.share(clean, called) for called in calls)
            truth = 0.12 / (0.12 + 0.12) - 0.1 / (0.1 + 0.16)
        found = paired(base, tuned, resamples=400, seed=trial)
        held += found.low <= truth <= found.high
        above += truth > found.high
    assert 0.92 <= held / 400 <= 0.98  # 0.95 plus or minus 2.7 standard errors of 400 trials
    assert above <= 22  # misses lie on both sides


def test_wider_levels_give_wider_intervals_and_one_seed_the_same():
    draw = np.random.default_rng(4)
    base, tuned = (Ratio.mean(draw.random(90) < 0.5) for _ in range(2))
    narrow, wide = (paired(base, tuned, level=level) for level in (0.95, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow == paired(base, tuned)
    values = draw.normal(size=90)
    assert paired(base, Ratio.mean(values)) != paired(base, Ratio.mean(values), seed=1)


def test_a_ratio_of_nothing_has_no_interval():
    some = NONE.copy()
    some[0] = True  # called once: undefined in a third of the resamples
    for among in (NONE, some):
        found = paired(Ratio.share(NONE, among), Ratio.share(NONE, ~NONE))
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert math.isnan(Ratio.mean([]).value)
    assert math.isnan(paired(Ratio.mean([]), Ratio.mean([])).difference)
