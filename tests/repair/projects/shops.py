"""A small repository with faults, and the groundwork of it from real runs: what `mend` and `combine` start from."""

from __future__ import annotations

import sys
from pathlib import Path

from repair.defects import FailingTest
from repair.oracles.judging import settle
from repair.oracles.suites import Selection
from repair.oracles.tests import TestOracle
from repair.projects.values import Fault, Groundwork, Order, Project, Ranked
from repair.sandbox import Limits, Sandbox, Tier
from repair.sandboxes.select import find_sandbox

COMMAND = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONHASHSEED=0 python -m pytest -q"
PRICES = """\
RATE = 2


def total(prices):
    result = 0
    for price in prices:
        result -= price
    return result


def cheapest(prices):
    best = prices[0]
    for price in prices:
        if price < best:
            best = price
    return best
"""
NAMES = """\
from prices import total


def label(name, count):
    if count > 1:
        return name
    return name + "s"


def bill(name, prices):
    return name + ": " + str(total(prices))
"""
TESTS = """\
from names import bill, label
from prices import RATE, cheapest, total


def test_total():
    assert total([1, 2]) == 3


def test_total_of_nothing():
    assert total([]) == 0


def test_cheapest():
    assert cheapest([3, 1, 2]) == 1


def test_rate():
    assert RATE == 2


def test_many():
    assert label("egg", 2) == "eggs"


def test_one():
    assert label("egg", 1) == "egg"


def test_bill():
    assert bill("a", [1]) == "a: 1"
"""


def sandbox() -> Sandbox:
    return find_sandbox(Tier.E, unsafe=True)


def laid(root: Path, **files: str) -> Project:
    """The shop at `root`; `files` (stems of Python files) in place of or beside its own."""
    root.mkdir(exist_ok=True)
    for name, text in {"prices": PRICES, "names": NAMES, "test_shop": TESTS, **files}.items():
        (root / f"{name}.py").write_text(text)
    order = Order("shop", str(root))
    return Project(order, root, "0" * 40, "main", "python", COMMAND, "pytest", "given", Path(sys.executable))


def groundwork(project: Project) -> tuple[Groundwork, tuple[FailingTest, ...]]:
    """Two runs and one for coverage, and what the failing tests say."""
    oracle = TestOracle(project.root, (), sandbox(), project.command, python=project.python, limits=Limits(30.0, 20.0))
    sources = tuple(p.name for p in sorted(project.root.glob("*.py")) if not p.name.startswith("test_"))
    with oracle.staged() as (suite, _, _):
        runs = [suite.run({}, oracle.limits, Selection(trace=sources, test_seconds=5.0)) for _ in range(2)]
    settled = settle(run.observation for run in runs)
    tests = runs[0].observation.tests
    evidence = tuple(
        FailingTest(t.test_id, t.message, runs[0].report.traces.get(t.test_id))
        for t in tests
        if t.test_id in settled.failing
    )
    seconds = {t.test_id: t.seconds for t in tests}
    found = Groundwork(
        settled.passing, settled.failing, settled.flaky, runs[0].report.lines, seconds, 0.3, 0.5, 0.5, traced=True
    )
    return found, evidence


def fault(key: str, *tests: str, files: tuple[str, ...], evidence: tuple[FailingTest, ...] = ()) -> Fault:
    """A fault that fails `tests` of test_shop.py, thought to lie in `files`."""
    ids = tuple(f"test_shop.py::{test}" for test in tests)
    told = tuple(e for e in evidence if e.test_id in ids)
    return Fault(key, key, ids, told, tuple(Ranked(f, 1 / len(files)) for f in files))
