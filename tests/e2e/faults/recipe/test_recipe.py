from fractions import Fraction

import pytest
from recipe import scale, shopping_list


def test_double():
    assert scale({"flour": 500, "eggs": 3}, 4, 8) == {"flour": 1000, "eggs": 6}


def test_less():
    assert scale({"milk": Fraction(1, 2)}, 4, 2) == {"milk": Fraction(1, 4)}


def test_same():
    assert scale({"salt": 1}, 3, 3) == {"salt": 1}


def test_shopping_list():
    recipes = [({"flour": 500, "milk": 200}, 4), ({"flour": 300}, 2)]
    assert shopping_list(recipes, 2) == {"flour": 550, "milk": 100}


def test_servings_are_positive():
    with pytest.raises(ValueError):
        scale({}, 0, 2)
