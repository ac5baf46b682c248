import pytest
from gearbox import choose, shifts


def test_keeps_the_gear():
    assert choose(35, 2) == 2
    assert choose(35, 3) == 3


def test_highest_when_comfortable():
    assert choose(100, 3) == 5


def test_lowest_when_sporty():
    assert choose(100, 3, sporty=True) == 4


def test_no_gear():
    with pytest.raises(ValueError):
        choose(300, 5)


def test_shifts():
    assert shifts([10, 18, 25, 45, 60, 100, 120]) == 3
