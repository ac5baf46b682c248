"""Gaps against the rest, their intervals, the position of faults, and the picture."""

from dataclasses import replace

import numpy as np
import pytest

from eval.fairness import gaps_of
from eval.forest import difference_interval, fault_position, gap_rows, with_position
from eval.measure import _measurement
from eval.measurement import Status
from eval.report.forest import forest_card
from eval.slices import Sliced, gap_table
from eval.stats import Share, bootstrap, newcombe
from eval.suites.rows import Case
from tests.eval.measured import failed


def tasks():
    return [
        Sliced(f"{n}", n % 5 < (4 if n % 2 else 1), {"fault_position": "first third" if n % 2 else "last third"})
        for n in range(200)
    ]


def test_a_group_is_compared_with_all_others_of_its_attribute():
    first, last = gap_rows(gap_table(tasks()))
    assert (first.share, first.rest) == (Share(80, 100), Share(20, 100))
    assert first.difference == pytest.approx(0.6) and last.difference == pytest.approx(-0.6)
    assert first.low < 0.6 < first.high
    assert first.apart and last.apart
    assert gap_rows(gap_table(tasks()[:1])) == (), "nothing to be compared with"


def test_drawing_from_the_binomial_law_is_the_bootstrap():
    low, high, drawn = difference_interval(Share(30, 50), Share(1, 10**7), 10_000, np.random.default_rng(0))
    assert (low, high) == pytest.approx(bootstrap([1.0] * 30 + [0.0] * 20), abs=0.021)  # one task of fifty
    assert drawn
    assert difference_interval(Share(9, 9), Share(4, 9), 10, np.random.default_rng(0)) == (
        *newcombe(Share(9, 9), Share(4, 9)),
        False,
    )


@pytest.mark.parametrize(
    ("lines", "count", "third"),
    [((1,), 9, "first"), ((3,), 9, "first"), ((4, 9), 9, "middle"), ((7,), 9, "last"), ((9,), 9, "last"),
     ((3,), 3, "last")],
)  # fmt: skip
def test_faults_lie_in_thirds(lines, count, third):
    assert fault_position(lines, count) == f"{third} third"
    assert with_position(failed(fault_lines=lines), count).groups["fault_position"] == f"{third} third"


def test_a_measurement_knows_position_and_exception():
    code = "def f(a):\n    b = a\n    return a - b\n"
    case = Case(
        "c", "python", code, "assert f(1) == 2\n", code.replace("-", "+"), error="Traceback:\n  x\nKeyError: 'a'"
    )
    found = _measurement(case, Status.NONE_FOUND)
    assert (found.groups["fault_position"], found.error_type) == ("last third", "KeyError")
    assert fault_position((), 9) == fault_position((1,), 2) == ""
    assert "fault_position" not in _measurement(replace(case, fixed_code=None), Status.NONE_FOUND).groups


def test_the_picture_says_its_figures_and_escapes_names():
    rows = gap_rows(gap_table([replace(t, groups={"project": "<b>" if t.groups["fault_position"] < "g" else "q"})
                               for t in tasks()]))  # fmt: skip
    html = forest_card(rows, "Gaps", "g")
    assert "&lt;b&gt;" in html and "<b>" not in html
    assert "+60.0" in html and "2 of 2 leave out 0" in html
    assert forest_card((), "Gaps", "g") == ""
    assert gaps_of([])["correct"] == ()
