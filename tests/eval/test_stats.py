import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.estimators import first_rank_at_k, mean_pass_at_k, mean_reciprocal_rank, pass_at_k, top_k
from eval.stats import (
    Confusion,
    Estimate,
    Share,
    bootstrap,
    confusion,
    estimate,
    holm,
    median,
    newcombe,
    quantile,
    wilson,
)


@pytest.mark.parametrize(
    # from R: binom::binom.confint(methods = "wilson")
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775328), (5, 10, 0.2365931, 0.7634069), (10, 10, 0.7224672, 1.0), (24, 40, 0.4460, 0.7365)],
)
def test_wilson_against_known_values(count, total, low, high):
    assert wilson(count, total) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@given(st.integers(1, 500), st.data())
def test_interval_holds_the_share(total, data):
    count = data.draw(st.integers(0, total))
    low, high = wilson(count, total)
    assert 0 <= low <= count / total + 1e-12
    assert count / total - 1e-12 <= high <= 1


def test_share_of_nothing():
    share = Share(0, 0)
    assert (share.value, share.interval, str(share)) == (None, None, "0 of 0")


def test_share_that_is_none():
    with pytest.raises(ValueError, match="no share"):
        Share(3, 2)


def test_share_in_words():
    assert str(Share(5, 10)) == "5 of 10 = 50.0 % [23.7, 76.3]"


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [([], 0.5, None), ([3], 0.5, 3), ([1, 2, 9], 0.5, 2), ([1, 2], 0.5, 1.5), ([1, 2], 1, 2)],
)
def test_quantile(values, q, expected):
    assert quantile(values, q) == expected


@pytest.mark.parametrize(
    # Newcombe (1998), Table II, method 10
    ("first", "second", "low", "high"),
    [
        (Share(56, 70), Share(48, 80), 0.0524, 0.3339),
        (Share(9, 10), Share(3, 10), 0.1705, 0.8090),
        (Share(6, 7), Share(2, 7), 0.0582, 0.8062),
        (Share(5, 56), Share(0, 29), -0.0381, 0.1926),
        (Share(0, 10), Share(0, 20), -0.1611, 0.2775),
        (Share(10, 10), Share(0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_against_the_paper(first, second, low, high):
    assert newcombe(first, second) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_newcombe_turns_its_sign():
    low, high = newcombe(Share(3, 9), Share(8, 11))
    assert newcombe(Share(8, 11), Share(3, 9)) == (pytest.approx(-high), pytest.approx(-low))
    with pytest.raises(ValueError, match="at least one trial on both sides"):
        newcombe(Share(0, 0), Share(1, 2))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_what_the_step_down_rule_rejects(p_values):
    level, rejected = 0.05, set()
    for done, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > level / (len(p_values) - done):
            break
        rejected.add(index)
    near = any(abs(p * n - level) < 1e-9 for p in p_values for n in range(1, 9))
    assert near or {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_confusion_by_hand():
    found = confusion([True, True, False, True, False], [True, False, False, True, True])
    assert found == Confusion(tp=2, fp=1, fn=1, tn=1)
    assert (found.precision, found.recall, found.false_alarms) == (Share(2, 3), Share(2, 3), Share(1, 2))
    assert found.f1 == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="below zero"):
        Confusion(-1, 0, 0, 0)
    with pytest.raises(ValueError, match="shorter"):
        confusion([True, False], [True])


def test_f1_where_there_is_nothing_and_where_all_is_right():
    assert (Confusion(0, 0, 0, 9).f1, Confusion(0, 0, 0, 9).f1_interval) == (None, None)
    low, high = Confusion(5, 0, 0, 0).f1_interval
    assert 0.5 < low < 0.9
    assert high == pytest.approx(1)


def test_f1_interval_holds_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(1)
    inside = 0
    for counts in draw.multinomial(80, [0.35, 0.15, 0.10, 0.40], size=2000):
        low, high = Confusion(*map(int, counts)).f1_interval
        inside += low <= 0.7 / 0.95 <= high
    assert 0.93 <= inside / 2000 <= 0.97


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    values = list(np.random.default_rng(3).normal(10, 2, size=200))
    low, high = bootstrap(values)
    half = 1.96 * float(np.std(values)) / 200**0.5
    middle = float(np.mean(values))
    assert (low, high) == (pytest.approx(middle - half, abs=0.03), pytest.approx(middle + half, abs=0.03))


def test_bootstrap_against_enumeration():
    """All 27 samples of three values; the 10 % and 90 % points of their means lie well inside of a step."""
    values = [0.0, 1.0, 5.0]
    means = sorted(sum(sample) / 3 for sample in itertools.product(values, repeat=3))
    low, high = bootstrap(values, level=0.8)
    assert (low, high) == (pytest.approx(means[3]), pytest.approx(means[-3]))


def test_bootstrap_is_the_same_for_any_order_and_depends_on_the_seed():
    values = [3.0, 1.0, 2.0, 9.0, 4.0, 4.5]
    assert bootstrap(values, seed=5) == bootstrap(values[::-1], seed=5)
    assert bootstrap(values, resamples=50, seed=5) != bootstrap(values, resamples=50, seed=6)
    assert bootstrap([2.0]) == (2.0, 2.0)


def test_bootstrap_of_a_median_and_of_much():
    low, high = bootstrap([1.0] * 5 + [100.0], median)
    assert (low, high) == (1.0, 50.5) or (low, high) == (1.0, 100.0)
    low, high = bootstrap(list(range(3000)), resamples=1500)  # drawn in several blocks
    assert low < 1499.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 866 / 3000**0.5, rel=0.1)


@pytest.mark.parametrize(
    ("values", "settings", "says"),
    [([], {}, "at least one value"), ([float("nan")], {}, "finite"), ([1.0], {"level": 1.0}, "level between")],
)
def test_bootstrap_refuses(values, settings, says):
    with pytest.raises(ValueError, match=says):
        bootstrap(values, **settings)


def test_estimate():
    assert estimate([]) == Estimate(None, None, None, 0)
    found = estimate([0.0, 1.0, 1.0, 0.0])
    assert (found.value, found.low, found.high, found.count) == (0.5, 0.0, 1.0, 4)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 4), (6, 6, 1), (7, 3, 5), (4, 1, 4)])
def test_pass_at_k_against_enumeration(n, c, k):
    draws = list(itertools.combinations([i < c for i in range(n)], k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many():
    assert pass_at_k(100_000, 10, 1) == pytest.approx(1e-4)
    assert pass_at_k(100_000, 10, 50_000) == pytest.approx(1 - 0.5**10, rel=1e-3)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6)])
def test_pass_at_k_refuses(n, c, k):
    with pytest.raises(ValueError, match=r"cannot be (right|told)"):
        pass_at_k(n, c, k)


def test_ranks_by_hand():
    ranks = [1, 3, None, 2]
    assert first_rank_at_k(ranks, 2) == Share(2, 4)
    assert top_k(ranks) == ((1, Share(1, 4)), (3, Share(3, 4)), (5, Share(3, 4)))
    assert mean_reciprocal_rank(ranks).value == pytest.approx((1 + 1 / 3 + 0.5) / 4)
    assert mean_reciprocal_rank([]).value is None
    for refused in (lambda: first_rank_at_k([0], 1), lambda: first_rank_at_k([1], 0)):
        with pytest.raises(ValueError, match="from 1"):
            refused()


def test_mean_pass_at_k_has_an_interval_over_tasks():
    found = mean_pass_at_k([(10, 3)] * 5 + [(10, 0)] * 5, 1)
    assert (found.value, found.count) == (pytest.approx(0.15), 10)
    assert (found.low, found.high) == (pytest.approx(0.06), pytest.approx(0.24))
