import itertools
import random
from collections import Counter

import numpy as np
import pytest

from eval.slices import TOO_FEW, Sliced, gap_table, permutation_test
from eval.stats import Share, newcombe


def rows(**counts):
    """Tasks by group: name=(hits, misses, unknown)."""
    found = []
    for name, (hits, misses, unknown) in counts.items():
        for hit in [True] * hits + [False] * misses + [None] * unknown:
            found.append(Sliced(str(len(found)), hit, {"language": name}))
    return found


def test_gap_by_hand():
    (gap,) = gap_table(rows(python=(18, 2, 1), java=(5, 15, 0), tcl=(0, 3, 0)))
    assert (gap.attribute, gap.best, gap.worst, gap.difference) == ("language", "python", "java", pytest.approx(0.65))
    assert gap.interval == newcombe(Share(18, 20), Share(5, 20))
    assert [(g.name, g.share, g.unknown, g.note) for g in gap.groups] == [
        ("python", Share(18, 20), 1, ""),
        ("java", Share(5, 20), 0, ""),
        ("tcl", Share(0, 3), 0, TOO_FEW),
    ]
    assert gap.p_value == gap.adjusted == pytest.approx(1 / 2001)
    assert gap.warning == "java 25.0 % against python 90.0 % (p = 0.0005)"


def test_too_few_to_say():
    (gap,) = gap_table(rows(python=(30, 0, 0), java=(0, 9, 20)))
    assert (gap.warning, gap.difference, gap.interval, gap.p_value, gap.adjusted) == (TOO_FEW, None, None, None, None)
    assert gap_table([]) == ()


def test_no_warning_without_a_difference():
    (gap,) = gap_table(rows(python=(10, 10, 0), java=(11, 10, 0)))
    assert gap.warning == ""
    assert gap.p_value > 0.5


def test_the_same_whatever_the_order_and_the_other_attributes():
    tasks = rows(python=(14, 6, 0), java=(8, 12, 0), go=(9, 10, 1))
    wider = [Sliced(t.id, t.hit, {**t.groups, "odd": str(int(t.id) % 2)}) for t in tasks]
    (gap,) = gap_table(tasks)
    language, odd = gap_table(random.Random(1).sample(wider, len(wider)))
    assert (language.attribute, odd.attribute) == ("language", "odd")
    assert language.p_value == gap.p_value
    assert language.adjusted == pytest.approx(min(1, 2 * gap.p_value))


def test_twice_the_same_task_is_refused():
    with pytest.raises(ValueError, match="once"):
        gap_table([Sliced("a", True, {}), Sliced("a", True, {})])


def test_permutation_test_against_enumeration():
    shares = [Share(3, 3), Share(1, 3), Share(0, 2)]
    members = [number for number, share in enumerate(shares) for _ in range(share.total)]

    def statistic(hits):
        return sum((n - s.total * 0.5) ** 2 / s.total for n, s in zip(hits, shares, strict=True))

    seen = statistic([s.count for s in shares])
    dealt = [Counter(members[i] for i in chosen) for chosen in itertools.combinations(range(8), 4)]
    exact = sum(statistic([c[g] for g in range(3)]) >= seen - 1e-9 for c in dealt) / len(dealt)
    found = permutation_test(shares, 20_000, np.random.default_rng(0))
    assert found == pytest.approx(exact, abs=0.01)


def test_permutation_test_of_all_or_none():
    draw = np.random.default_rng(0)
    assert permutation_test([Share(5, 5), Share(6, 6)], 100, draw) == 1
    assert permutation_test([Share(0, 5), Share(0, 6)], 100, draw) == 1


def test_false_warnings_are_as_rare_as_the_level():
    """Six attributes without any effect, 300 times: at most about one table in twenty warns."""
    draw, warned = np.random.default_rng(2), 0
    for number in range(300):
        hits, groups = draw.random(60) < 0.4, draw.integers(3, size=(60, 6))
        tasks = [
            Sliced(str(i), bool(hit), {f"a{j}": str(group) for j, group in enumerate(row)})
            for i, (hit, row) in enumerate(zip(hits, groups, strict=True))
        ]
        table = gap_table(tasks, permutations=300, seed=number)
        warned += any(gap.warning not in ("", TOO_FEW) for gap in table)
    assert warned / 300 <= 0.08
