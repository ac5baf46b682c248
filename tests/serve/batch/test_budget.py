"""Budgets, prices, and what of them is left."""

import pytest

from repair.errors import InputError
from repair.projects.values import Bounds, Spent
from serve.batch.budget import Prices, RunBounds, check_prices, exhausted, larger, left

PRICES = Prices(prompt=2.0, completion=8.0)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (RunBounds(), ""),
        (RunBounds(seconds=10), "10 seconds"),
        (RunBounds(seconds=11, test_runs=5), "5 test runs"),
        (RunBounds(tokens=1_500_000), "1.5e+06 tokens"),
        (RunBounds(tokens=1_500_001), ""),
        (RunBounds(money=6.0), "6 money"),
        (RunBounds(money=6.01), ""),
    ],
)
def test_a_bound_is_reached_when_nothing_is_left(bounds, said):
    spent = Spent(test_runs=5, prompt_tokens=1_000_000, completion_tokens=500_000)
    assert exhausted(bounds, spent, 10.0, PRICES) == said


def test_what_is_left_is_the_smallest_of_what_binds():
    spent = Spent(seconds=90, test_runs=5, prompt_tokens=1000, completion_tokens=0)
    bounds = Bounds(seconds=100, fault_seconds=50, test_runs=8, tokens=0, money=0.01)
    found = left(bounds, spent, PRICES)
    assert (found.seconds, found.fault_seconds, found.test_runs) == (10, 10, 3)
    assert found.tokens == 1000  # 0.008 that are left, at 8 a million
    assert left(Bounds(seconds=0, tokens=5000), spent, PRICES).tokens == 4000
    none = left(Bounds(seconds=0, fault_seconds=0), spent, PRICES)
    assert (none.seconds, none.fault_seconds, none.test_runs, none.tokens) == (0, 0, 0, 0)


def test_larger_bounds_are_told_from_others():
    assert larger(Bounds(seconds=0), Bounds()) and larger(Bounds(candidates=500), Bounds())
    assert not larger(Bounds(), Bounds()) and not larger(Bounds(test_runs=5), Bounds())


def test_money_needs_prices():
    check_prices(0, Prices())
    check_prices(1, PRICES)
    with pytest.raises(InputError, match="--price-prompt"):
        check_prices(1, Prices())
    with pytest.raises(InputError, match="cannot be negative"):
        Prices(prompt=-1)
    with pytest.raises(InputError, match="tokens is -1"):
        RunBounds(tokens=-1)
