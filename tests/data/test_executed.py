"""Executed examples: really run, really failing, nothing unsafe, hangs ended."""

import random
import subprocess
import sys

import pytest

from data.executed import Runner, executed, suite_row
from data.mutants import Injector
from data.sources.packages import CodeFile
from data.standalone import Module, draw_calls, standalone

TEXT = '''"""Small functions."""
import math
import os
from collections import deque

LIMIT = 3


def helper(x):
    return x * LIMIT


def area(w: int, h: int) -> int:
    """The area.

    >>> area(2, 3)
    18
    """
    total = helper(w) * h
    if total < 0:
        total = math.floor(-total)
    return total


def runs(text: str):
    best = current = 0
    last = None
    for letter in text:
        current = current + 1 if letter == last else 1
        best = max(best, current)
        last = letter
    return best


def reads(path: str):
    with open(path) as stream:
        lines = stream.read()
    size = len(lines)
    return size


def lists(folder: str):
    found = os.listdir(folder)
    found.sort()
    found.reverse()
    return found
'''


@pytest.fixture
def runner():
    runner = Runner()
    yield runner
    runner.close()


def made(runner, seed=3):
    return list(executed(CodeFile("p", "m.py", TEXT), Injector(seed, 0, 0), runner, each=6, seed=seed))


def run_script(program, tests):
    script = "\n\n".join([program, "\n".join(tests)])
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)


def test_every_example_fails_as_it_says(runner):
    found = made(runner)
    assert {b.example.function for b in found} == {"area", "runs"}
    for b in found:
        error = b.example.view.error
        assert not b.example.error_made and error
        assert run_script(b.fixed, b.tests).returncode == 0
        if not error.startswith("Timeout"):
            failed = run_script(b.buggy, b.tests)
            assert failed.returncode == 1
            assert error.split(":")[0].split(" ")[0].lower() in failed.stderr.lower()


def test_frames_lie_in_the_view(runner):
    for b in made(runner):
        view = b.example.view
        assert all(view.first_line <= n <= view.last_line for n in view.frames)


def test_the_same_seed_gives_the_same_examples(runner):
    assert [b.example for b in made(runner)] == [b.example for b in made(runner)]


def test_a_suite_row_shows_a_failing_test_and_holds_out_others(runner):
    b = made(runner)[0]
    row = suite_row(b, 0)
    visible, hidden = row["tests"].splitlines(), row["held_out_tests"].splitlines()
    assert sorted(visible + hidden) == sorted(b.tests)
    assert b.example.view.test.splitlines()[-1] in visible


def test_what_a_function_needs_comes_along_and_nothing_else():
    alone = standalone(Module.of(TEXT), "area")
    assert "LIMIT = 3" in alone.prefix and "def helper" in alone.prefix and "import math" in alone.prefix
    assert "deque" not in alone.prefix and "import os" not in alone.prefix
    assert alone.examples == ("area(2, 3)",)
    assert draw_calls(alone, 5, random.Random(1))[0] == "area(2, 3)"


@pytest.mark.parametrize("name", ["reads", "lists", "missing"])
def test_functions_that_reach_outside_are_not_run(name):
    assert standalone(Module.of(TEXT), name) is None


def test_outcomes_are_values_errors_and_hangs(runner):
    program = "def f(n):\n    while n > 5:\n        pass\n    return [1 // n, {n}]\n"
    assert runner.run(program, ["f(1)", "f(0)", "f(9)", "f"]) == [
        ("value", "[1, {1}]", ()),
        ("raise", "ZeroDivisionError: integer division or modulo by zero", (4,)),
        ("hang", "", (2,)),
        ("raise", "TypeError: a function has no plain form", ()),
    ]


def test_files_and_imports_are_out_of_reach(runner):
    outcomes = runner.run("def f(n):\n    return n\n", ["open('/etc/passwd')", "__import__('os')", "f(exec)"])
    assert [o[0] for o in outcomes] == ["raise"] * 3
    assert [o[1].split(":")[0] for o in outcomes] == ["NameError", "ImportError", "NameError"]


def test_a_dead_child_is_replaced(runner):
    assert runner.run("def f(n):\n    return n\n", ["f(1)"]) == [("value", "1", ())]
    runner._child.kill()
    runner._child.wait()
    assert runner.run("def f(n):\n    return n\n", ["f(2)"]) == [("value", "2", ())]
