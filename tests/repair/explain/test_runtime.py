"""Run-time values: real tests in a real sandbox, also where a repr raises, hangs or has no end."""

import sys
from pathlib import Path

import pytest

from repair.explain.runtime import observed, read_values, watched_lines
from repair.explain.values import Subject
from repair.oracles.tests import TestOracle
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source
from repair.views import Hunk, View

SHOP = """class Odd:
    def __init__(self, kind):
        self.kind = kind

    def __repr__(self):
        if self.kind == "raises":
            raise ValueError("no repr")
        while self.kind == "hangs":
            pass
        return "x" * 10_000_000


class Loud(Odd):
    pass


class Long(Odd):
    pass


def total(prices, discount):
    odd, loud, long = Odd("raises"), Loud("hangs"), Long("long")
    for price in prices:
        discount += 0
    amount = sum(prices)
    return amount - discount, (odd, loud, long)[0] and (loud, long) and 2**5000
"""
QUICK = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q test_shop.py"  # our environment has many plugins
LINE = 26  # of the return
PYTEST = """from shop import total
def test_other(): assert total([1], 1)
def test_total(): assert total([2, 4], 0.5)[0] == 6.5
"""
UNITTEST = """import unittest
from shop import total
class T(unittest.TestCase):
    def test_total(self): self.assertEqual(total([2, 4], 0.5)[0], 6.5)
"""


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.E, unsafe=True)


def tried(sandbox, folder: Path, command, test, *, code=SHOP, line=LINE, text="    return amount + discount, 0"):
    (folder / "shop.py").write_text(code)
    (folder / "test_shop.py").write_text(PYTEST)
    (folder / "unit_shop.py").write_text(UNITTEST)
    source = Source("shop.py", code, "python")
    lines = tuple(code.split("\n")[:-1])
    subject = Subject(View("shop.py", "python", 1, lines), (Hunk(line, line, text),))
    oracle = TestOracle(folder, (source,), sandbox, command=command, python=Path(sys.executable))
    return observed(oracle, test, subject, source)


def at(lines, number):
    return next(one for one in lines if one.line == number)


def test_pytest_tells_the_last_visit_of_the_failing_test_alone(sandbox, tmp_path):
    found, note = tried(sandbox, tmp_path, QUICK, "test_shop.py::test_total")
    assert note == ""
    assert found.test == "test_shop.py::test_total"
    before, after = dict(at(found.before, LINE).values), dict(at(found.after, LINE).values)
    assert (before["amount"], before["discount"], after["discount"]) == ("6", "0.5", "0.5")
    assert before["returns"].startswith("(5.5, ")
    assert after["returns"] == "(6.5, 0)"
    assert before["odd"] == "<Odd: its repr raises ValueError>"
    assert before["loud"] == "<Loud: its repr takes too long>"
    assert before["long"].startswith("xxx")
    assert len(before["long"]) <= 120
    assert dict(at(found.before, 25).values)["amount after"] == "6"
    assert at(found.before, 24).hits == 2
    assert [one.line for one in found.before] == [24, 25, 26]


def test_unittest_and_scripts(sandbox, tmp_path):
    found, _ = tried(sandbox, tmp_path, "python -m unittest unit_shop", "unit_shop.T.test_total")
    assert dict(at(found.after, LINE).values)["returns"] == "(6.5, 0)"
    script = "def half(x):\n    return x / 3\n\nassert half(4) == 2\n"
    found, _ = tried(
        sandbox, tmp_path, "python shop.py", "shop.py", code=script, line=2, text="    return x / 2",
    )  # fmt: skip
    assert dict(at(found.before, 2).values)["returns"].startswith("1.33")
    assert dict(at(found.after, 2).values) == {"x": "4", "returns": "2.0"}


def test_a_repr_that_never_comes_back_loses_nothing_that_was_seen_before(sandbox, tmp_path):
    code = (
        "import signal, time\n\nclass Deaf:\n    def __repr__(self):\n        signal.signal(signal.SIGALRM, "
        "signal.SIG_IGN)\n        import os\n        os._exit(3)\n\n\ndef f(n):\n    deaf = n and Deaf()\n    "
        "return deaf\n\nf(1)\n"
    )
    found, _ = tried(sandbox, tmp_path, "python shop.py", "shop.py", code=code, line=12, text="    return n")
    assert at(found.before, 11).values == (("n", "1"),)
    assert at(found.before, 11).hits == 1


def test_other_programs_get_a_reason(sandbox, tmp_path):
    found, note = tried(sandbox, tmp_path, "make test", "x")
    assert found is None
    assert "not of `make test`" in note
    found, note = tried(sandbox, tmp_path, QUICK, "test_shop.py::test_none")
    assert found is None
    assert "may not come to these lines" in note


def test_lines_are_those_of_each_program():
    view = View("a.py", "python", 1, ("x",) * 20)
    subject = Subject(view, (Hunk(5, 6, "a\nb\nc\nd"), Hunk(15, 14, "new"), Hunk(20, 20, "")))
    old, new = watched_lines(subject, 20)
    assert old == (3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 18, 19, 20)
    assert new == (3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 21, 22)


def test_a_report_that_is_not_ours_is_left_out():
    good = b'n {"kind": "values", "lines": {"3": {"hits": 2, "cut": true, "values": [["a", "1"], ["b"], 7]}}}\n'
    bad = b'n {"kind": "values"\nm {"kind": "values", "lines": {"9": {}}}\nn [1]\n' + b"n " + b"[" * 100_000 + b"\n"
    (line,) = read_values(bad + good + bad, "n")
    assert (line.line, line.hits, line.values) == (3, 2, (("a", "1"), ("(last visits)", "only counted")))
    assert read_values(b'n {"kind": "values", "lines": {"x": 1, "2": 3, "4": {"hits": "a"}}}\n', "n") == ()
