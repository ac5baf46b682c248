import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.stats import Share, quantile, wilson


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
