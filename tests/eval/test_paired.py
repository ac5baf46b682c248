import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.paired import compare, mcnemar_exact, mcnemar_mid_p, paired_bootstrap, paired_interval
from eval.stats import Share


def enumerated(first, second):
    """Exact and mid-p over all 2^n ways in which the discordant pairs could have turned."""
    total, fewer = first + second, min(first, second)
    ways = [sum(turn) for turn in itertools.product((0, 1), repeat=total)]
    exact = sum(abs(2 * n - total) >= abs(first - second) for n in ways) / len(ways)
    one_side = sum(0.5 if n == fewer else 1.0 for n in ways if n <= fewer) / len(ways)
    return exact, 2 * one_side


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (1, 7), (3, 3), (2, 9), (6, 5), (0, 12)])
def test_mcnemar_against_enumeration(first, second):
    exact, mid = enumerated(first, second)
    assert mcnemar_exact(first, second) == pytest.approx(exact)
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)
    assert mcnemar_mid_p(first, second) == pytest.approx(mid)


@pytest.mark.parametrize(
    # (1, 7): Fagerland, Lydersen, Laake (2013), airway responsiveness; (5, 15): R, binom.test(5, 20) and its mid-p
    ("first", "second", "exact", "mid"),
    [(1, 7, 0.0703125, 0.0390625), (5, 15, 0.0413895, 0.0266036)],
)
def test_mcnemar_by_known_values(first, second, exact, mid):
    assert mcnemar_exact(first, second) == pytest.approx(exact, abs=1e-6)
    assert mcnemar_mid_p(first, second) == pytest.approx(mid, abs=1e-6)


def test_mcnemar_of_many_pairs_nears_the_normal():
    assert mcnemar_exact(2000, 2100) == pytest.approx(0.1221, abs=1e-3)
    assert mcnemar_exact(0, 3000) < 1e-300
    with pytest.raises(ValueError, match="not below 0"):
        mcnemar_exact(-1, 2)


def test_compare_by_hand():
    before = {"a": True, "b": True, "c": False, "d": False, "e": None, "f": True, "g": False}
    after = {"a": True, "b": False, "c": True, "d": False, "e": True, "f": None, "h": True}
    found = compare(before, after)
    assert (found.both, found.only_before, found.only_after, found.neither, found.unknown) == (1, 1, 1, 1, 4)
    assert (found.before, found.after, found.difference, found.p_value) == (Share(2, 4), Share(2, 4), 0.0, 1.0)
    assert found.interval == (pytest.approx(-found.interval[1]), found.interval[1])


def test_positive_is_better_after():
    names = [str(i) for i in range(30)]
    found = compare({n: int(n) < 5 for n in names}, {n: int(n) < 20 for n in names})
    assert found.difference == pytest.approx(0.5)
    assert 0 < found.interval[0] < 0.5 < found.interval[1] < 1
    assert found.p_value == pytest.approx(2 / 2**15)
    turned = compare({n: int(n) < 20 for n in names}, {n: int(n) < 5 for n in names})
    assert turned.interval == (pytest.approx(-found.interval[1]), pytest.approx(-found.interval[0]))


def test_compare_of_nothing():
    found = compare({"a": None}, {"b": True})
    assert (found.known, found.unknown, found.difference, found.interval, found.p_value) == (0, 2, None, None, 1.0)


def test_paired_interval_against_the_book():
    # Fagerland, Lydersen, Laake (2017), chapter 8: square-and-add interval of the airway responsiveness table
    assert paired_interval(1, 1, 7, 12) == (pytest.approx(0.0256, abs=6e-5), pytest.approx(0.5069, abs=6e-5))


def test_no_difference_seen_is_not_certain():
    low, high = paired_interval(5, 0, 0, 5)
    assert low < 0 < high
    with pytest.raises(ValueError, match="at least one trial"):
        paired_interval(0, 0, 0, 0)


@given(st.tuples(*[st.integers(0, 40)] * 4).filter(any))
def test_paired_interval_holds_the_difference(table):
    _, only_before, only_after, _ = table
    low, high = paired_interval(*table)
    difference = (only_after - only_before) / sum(table)
    assert -1 - 1e-9 <= low <= difference + 1e-9
    assert difference - 1e-9 <= high <= 1 + 1e-9


def test_paired_interval_holds_the_truth_as_often_as_it_says():
    """Exactly, by summing over every table of 12 pairs that can come up."""
    chances, total, covered = (0.3, 0.1, 0.25, 0.35), 12, 0.0
    for table in itertools.product(range(total + 1), repeat=3):
        rest = total - sum(table)
        if rest < 0:
            continue
        counts, ways, left = (*table, rest), 1, total
        for n in counts:
            ways *= comb(left, n)
            left -= n
        probability = ways * float(np.prod([p**n for p, n in zip(chances, counts, strict=True)]))
        low, high = paired_interval(*counts)
        covered += probability * (low <= 0.15 <= high)
    assert 0.93 <= covered <= 0.99


def test_paired_bootstrap():
    found = paired_bootstrap([5.0, 7.0, None, 9.0], [4.0, 5.0, 1.0, 9.0])
    assert (found.value, found.count) == (-1.0, 3)
    means = sorted(sum(sample) / 3 for sample in itertools.product((-1, -2, 0), repeat=3))
    assert (found.low, found.high) == (pytest.approx(means[0]), pytest.approx(means[-1]))
    assert paired_bootstrap([None], [1.0]).value is None
    with pytest.raises(ValueError, match="shorter"):
        paired_bootstrap([1.0, 2.0], [1.0])
