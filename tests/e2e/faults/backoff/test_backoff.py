import pytest
from backoff import attempts_within, delays


def test_grows():
    assert delays(1, budget=7) == [1, 2, 4]


def test_last_one_is_cut():
    assert delays(1, budget=10) == [1, 2, 4, 3]


def test_ceiling():
    assert delays(20, ceiling=30, budget=80) == [20, 30, 30]


def test_attempts():
    assert attempts_within(1, 7) == 4


def test_bad_arguments():
    with pytest.raises(ValueError):
        delays(0)
