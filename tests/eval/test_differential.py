"""Patches compared with a reference in a real sandbox: overfitting, equivalent and hostile ones."""

from dataclasses import replace

import pytest

from eval.differential import MIN, compare, compare_with_reference, learn
from eval.differential.scripts import Pace
from eval.suites.rows import Case
from repair.oracles.scripts import run_script, warm_programs
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox

SQUARE = "def square(x):\n    return x * x\n"
SQUARE_TESTS = "assert square(7) == 49\nassert square(0) == 0\nassert square(-3) == 9\n"
STACK = """
class Stack:
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, item):
        self.items.append(item)
    def pop(self):
        return self.items.pop()
    def size(self):
        return len(self.items)
"""
STACK_TESTS = "s = Stack([1])\ns.push(3)\ns.push(4)\nassert s.pop() == 4\nassert s.size() == 2\n"


def case(tests, fixed, language="python", **fields):
    return Case("c", language, "broken", tests, fixed_code=fixed, **fields)


@pytest.fixture(scope="module")
def python():
    with warm_programs(find_sandbox(Tier.C), "python") as programs:
        yield programs


@pytest.fixture(scope="module")
def node():
    with warm_programs(find_sandbox(Tier.C), "javascript") as programs:
        yield programs


@pytest.fixture(scope="module")
def square(python):
    """Its patches get little time, for those that hang."""
    known = learn(case(SQUARE_TESTS, SQUARE), python)
    assert known.pace.each == 1.0
    assert 2 <= known.pace.together <= 12
    return replace(known, pace=Pace(each=0.3, together=0.5), alone=Pace(each=0.3, together=0.5))


@pytest.mark.parametrize(
    "patched",
    ["def square(x):\n    return x ** 2\n", "def square(x):\n    total = float(x)\n    return total * total\n"],
)
def test_equivalent_rewrites_agree(python, square, patched):
    found = compare(square, patched, python)
    assert (found.agrees, found.witness) == (True, "")
    assert found.inputs >= MIN


@pytest.mark.parametrize(
    ("patched", "gives"),
    [
        ("def square(x):\n    if x == 7: return 49\n    return 9 if x else 0\n", "gives 9"),
        ("def square(x):\n    if x > 20: raise ValueError\n    return x * x\n", "raises ValueError"),
        ("class Any:\n    def __eq__(self, other): return True\ndef square(x): return Any()\n", "gives <Any"),
        ("class Int(int):\n    def __eq__(self, other): return True\ndef square(x): return Int(9)\n", "gives 9"),
        ("import os\nos._exit(0)\n", "left before its end"),
        ("import os\ndef square(x):\n    if x > 20: os._exit(0)\n    return x * x\n", "left before its end"),
        ("def square(x):\n    print('{\"number\": 1, \"answers\": [1]}')\n    return 49\n", "gives 49"),
        ("import builtins\nbuiltins.isinstance = builtins.issubclass = lambda a, b: True\nsquare = len\n", ""),
        ("import json\njson.dumps = lambda value: '[]'\ndef square(x): return 49\n", "no answer"),
        ("def square(x):\n    while x > 20: pass\n    return x * x\n", "nothing within its time"),
    ],
)  # fmt: skip
def test_patches_that_only_fit_the_tests_differ(python, square, patched, gives):
    found = compare(square, patched, python)
    assert found.agrees is False
    assert gives in found.witness
    assert found.witness.startswith("square(")


def test_a_hang_that_swallows_everything_is_told(python, square):
    hang = "    while x > 20:\n        try:\n            while True: pass\n        except: pass\n"
    patched = f"def square(x):\n{hang}    return x * x\n"
    found = compare(square, patched, python)
    assert found.agrees is False
    assert found.witness.startswith("square(")


def test_same_seed_same_comparison_other_seed_other_inputs(python):
    several = case("assert total([1, 2]) == 3\nassert total([]) == 0\n", "def total(x):\n    return sum(x)\n")
    first, again, other = (learn(several, python, limit=60, seed=seed) for seed in (1, 1, 2))
    assert first.inputs == again.inputs
    assert first.inputs != other.inputs
    assert len(first.inputs) <= 60


@pytest.mark.parametrize(
    ("tests", "fixed", "patched"),
    [
        # never negative, never empty, sorted, of equal lengths, an index: so in all calls of the tests
        ("assert f(3) == 3\nassert f(0) == 0\n", "def f(n): return n", "def f(n): return abs(n)"),
        ("assert f([3, 1]) == 3\nassert f([5]) == 5\n", "def f(x): return max(x or [0])",
         "def f(x): return max(x or [1])"),
        ("assert f([1, 5, 9]) == 9\nassert f([2, 2]) == 2\n", "def f(x): return x[-1] if x else 0",
         "def f(x): return max(x, default=0)"),
        ("assert f([1, 2], [3, 4]) == 2\nassert f([5], [1]) == 1\n", "def f(a, b): return len(a)",
         "def f(a, b): return len(b)"),
        ("assert f([4, 5, 6], 2) == 6\nassert f([7, 8], 0) == 7\n", "def f(x, i): return x[i] if i < len(x) else 0",
         "def f(x, i): return x[i] if i < len(x) else 1"),
        ("assert f('(())') == 4\nassert f('()') == 2\n", "def f(s): return len(s)",
         "def f(s): return s.count('(') + s.count(')')"),
    ],
)  # fmt: skip
def test_differences_outside_of_the_contract_do_not_count(python, tests, fixed, patched):
    found = compare_with_reference(case(tests, fixed), patched, python)
    assert found.agrees is True, found.witness


def test_inputs_on_which_the_reference_raises_are_dropped(python):
    fixed = "def f(n):\n    if n > 20: raise ValueError\n    return n\n"
    tests = "assert f(3) == 3\nassert f(9) == 9\nassert f(19) == 19\nassert f(1) == 1\n"
    assert compare_with_reference(case(tests, fixed), "def f(n): return n\n", python).agrees is not False
    expecting = tests + "try:\n    f(30)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError\n"
    found = compare_with_reference(case(expecting, fixed), "def f(n): return n\n", python)
    assert found.agrees is False
    assert "the reference raises ValueError" in found.witness
    reworded = fixed.replace("ValueError", "ValueError('too large')")
    assert compare_with_reference(case(expecting, fixed), reworded, python).agrees is True


def test_arguments_changed_by_the_call_are_compared(python):
    tests = "a = [3, 1, 2]\norder(a)\nassert a == [1, 2, 3]\n"
    fixed = "def order(x):\n    x.sort()\n"
    assert compare_with_reference(case(tests, fixed), "def order(x):\n    x[:] = sorted(x)\n", python).agrees is True
    found = compare_with_reference(case(tests, fixed), "def order(x):\n    x[:] = [1, 2, 3]\n", python)
    assert found.agrees is False
    assert "the patch gives nothing and arguments [[1, 2, 3]]" in found.witness


def test_printed_text_is_compared_where_nothing_is_returned(python):
    tests, fixed = "show(3)\nshow(5)\n", "def show(n):\n    print('n is', n)\n"
    assert compare_with_reference(case(tests, fixed), "def show(n):\n    print(f'n is {n}')\n", python).agrees is True
    assert compare_with_reference(case(tests, fixed), "def show(n):\n    print('n is 3')\n", python).agrees is False


def test_floats_sets_dicts_and_generators(python):
    tests = "assert abs(f([0.1, 0.2, 0.3])[0] - 0.6) < 1e-6\nf([1.5, 2.25])\n"
    fixed = "def f(x):\n    return [sum(x), set(x), {v: 1 for v in x}]\n"
    patched = (
        "def f(x):\n    total = 0\n    for v in reversed(x): total += v\n"
        "    return [total, set(x[::-1]), {v: 1 for v in x[::-1]}]\n"
    )
    assert compare_with_reference(case(tests, fixed), patched, python).agrees is True
    assert (
        compare_with_reference(case(tests, fixed), patched.replace("total,", "total + 1e-3,"), python).agrees is False
    )
    streams = case("assert list(up(3)) == [0, 1, 2]\nlist(up(5))\n", "def up(n):\n    yield from range(n)\n")
    assert compare_with_reference(streams, "def up(n):\n    return iter(list(range(n)))\n", python).agrees is True
    assert compare_with_reference(streams, "def up(n):\n    yield from range(min(n, 5))\n", python).agrees is False


def test_objects_are_driven_by_the_calls_of_the_tests(python):
    stack = case(STACK_TESTS, STACK)
    assert compare_with_reference(stack, STACK.replace(".append(item)", ".extend([item])"), python).agrees is True
    found = compare_with_reference(stack, STACK.replace("len(self.items)", "2"), python)
    assert found.agrees is False
    assert found.witness.startswith("v0 = Stack(")


def test_tables_and_test_functions_are_recorded_as_they_run(python):
    tests = "def check(f):\n    for x, y in [(1, 1), (3, 9), (5, 25)]:\n        assert f(x) == y\ncheck(square)\n"
    found = compare_with_reference(case(tests, SQUARE), "def square(x): return {1: 1, 3: 9}.get(x, 25)", python)
    assert found.agrees is False


def test_the_signature_serves_where_the_tests_call_nothing(python):
    fixed = "from typing import List\ndef f(x: List[int], k: int = 1) -> int:\n    return sum(x) * k\n"
    silent = case("assert True\n", fixed, entry_point="f")
    assert compare_with_reference(silent, fixed.replace("sum(x)", "sum(x[::-1])"), python).agrees is True
    assert compare_with_reference(silent, fixed.replace("sum(x)", "sum(x[:1])"), python).agrees is False


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [
        (case(SQUARE_TESTS, None), "there is no reference"),
        (case("assert f(1) == 2\n", "def f(x, y=1): return x + y", "java"), "java"),
        (case("assert f(True) is False\n", "def f(x): return not x"), "only 2 different inputs"),
        (case("f(3)\nf(4)\n", "import random\ndef f(n): return random.random() + n"), "not answer the same twice"),
        (case("f(3)\nf(4)\n", "import time\ndef f(n): return time.time_ns()"), "not answer the same twice"),
        (case("assert f(lambda: 3) == 3\n", "def f(g): return g()"), "nothing", ),
    ],
)  # fmt: skip
def test_where_nothing_can_be_concluded(python, unfit, reason):
    found = compare_with_reference(unfit, "def f(x): return 0\n", python)
    assert found.agrees is None
    assert reason in found.reason


@pytest.fixture(scope="module")
def js_square(node):
    tests = "console.assert(square(3) === 9); square(12)"
    return learn(case(tests, "const square = (x) => x * x;\n", "javascript"), node)


@pytest.mark.parametrize(
    ("patched", "agrees"),
    [
        ("function square(x) { return x ** 2 }", True),
        ("const square = (x) => x === 3 ? 9 : 144", False),
        ("process.exit(0)", False),
    ],
)
def test_javascript_functions(node, js_square, patched, agrees):
    found = compare(js_square, patched, node)
    assert found.agrees is agrees, found
    assert bool(found.witness) is not agrees


@pytest.mark.parametrize(
    ("fixed", "tests", "patched", "agrees"),
    [
        ("const f = (o) => ({n: o.a + 1, s: new Set([o.a])})", "f({a: 1}); f({a: 5})",
         "const f = (o) => ({s: new Set([o.a]), n: 1 + o.a})", True),
        ("function f(x) { x.sort((a, b) => a - b) }", "f([3, 1, 2]); f([10, 9])", "function f(x) { x.sort() }", False),
        ("class Sum { constructor(n) { this.n = n } add(k) { this.n += k; return this.n } }",
         "const s = new Sum(1); s.add(2); s.add(5)",
         "class Sum { constructor(n) { this.n = n } add(k) { this.n += Math.min(k, 5); return this.n } }", False),
    ],
)  # fmt: skip
def test_javascript_values(node, fixed, tests, patched, agrees):
    found = compare_with_reference(case(tests, fixed, "javascript"), patched, node)
    assert found.agrees is agrees, found
    assert bool(found.witness) is not agrees


def test_overfitting_patch_passes_the_tests_that_it_fits(python):
    patched = "def square(x):\n    return {7: 49, 0: 0}.get(x, 9)\n"
    overfit = case(SQUARE_TESTS, SQUARE)
    assert run_script(python, "python", patched, overfit.tests).passed
    assert compare_with_reference(overfit, patched, python).agrees is False
    assert compare_with_reference(replace(overfit, fixed_code=patched), patched, python).agrees is True
