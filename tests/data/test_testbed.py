"""A testbed in the real sandbox: what counts, what is covered, and what each kind of bad mutant comes to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from data.testbed import open_testbed
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source, read_source

CODE = """import helper


def count(n):
    total = 0
    while n > 0:
        n -= 1
        total += 1
    return total


def other(n):
    return helper.double(n)
"""
TESTS = """import unittest
import helper
from loop import count, other


class Tests(unittest.TestCase):
    def test_count(self):
        assert count(3) == 3

    def test_other(self):
        assert other(2) == 4

    def test_unrelated(self):
        assert helper.double(1) == 2

    def test_fails(self):
        assert False
"""


@pytest.fixture(scope="module", params=["pytest -q", "unittest -q"])
def bed(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("loops")
    (root / "loop.py").write_text(CODE)
    (root / "helper.py").write_text("def double(n):\n    return n + n\n")
    (root / "test_loop.py").write_text(TESTS)
    command = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m {request.param}"
    sandbox = find_sandbox(Tier.E, unsafe=True)
    with open_testbed(root, command, sandbox, python=Path(sys.executable), limits=Limits(30.0, 20.0)) as testbed:
        testbed.survey([read_source(root, "loop.py")])
        yield testbed


def named(tests) -> set[str]:
    return {test.rpartition("_")[2] for test in tests}


def judged(bed, text: str, lines: range = range(4, 10), *, first: bool = True):
    source = Source("loop.py", text)
    return bed.judge(source, bed.ground.tests_of("loop.py", lines), bed.ground.passing, first=first)


def test_the_ground(bed):
    assert named(bed.ground.passing) == {"count", "other", "unrelated"}
    assert named(bed.ground.left_out) == {"fails"}
    assert bed.ground.covered("loop.py") == {5, 6, 7, 8, 9, 13}
    assert named(bed.ground.tests_of("loop.py", range(7, 8))) == {"count"}
    assert not bed.ground.tests_of("loop.py", range(1, 3))


def test_a_noticed_fault(bed):
    found = judged(bed, CODE.replace("total += 1", "total += [1]"))
    assert (named(found.fail_to_pass), named(found.pass_to_pass)) == ({"count"}, {"other", "unrelated"})
    assert found.failure.error_type == "TypeError" and found.failure.error.startswith("TypeError: unsupported operand")
    assert (found.failure.frames[0].path, found.failure.frames[0].line) == ("loop.py", 8)


def test_a_fault_that_nothing_notices_costs_one_run(bed):
    before = bed.runs
    assert judged(bed, CODE.replace("n > 0", "n >= 1")).reason == "no test fails"
    assert bed.runs == before + 1


def test_a_hang_is_a_failure_of_its_test(bed):
    found = judged(bed, CODE.replace("n -= 1", "n += 1"))
    if found.failure is None:  # unittest has no clock of its own for single tests
        assert found.reason == "over a limit"
    else:
        assert found.failure.error_type == "Timeout" and not found.failure.frames
        assert named(found.pass_to_pass) == {"other", "unrelated"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("total = 0", "import os; os._exit(0)", "the process ended early"),
        ("import helper", "import nowhere", "no test passes any more"),
        ("total = 0", "import os; os.kill(os.getpid(), 9)", "killed from outside"),
        ("total = 0", "total = 'a' * 10**11", "kept"),
    ],
)
def test_bad_mutants_are_data(bed, old, new, reason):
    assert judged(bed, CODE.replace(old, new)).reason == reason
