"""Which failures are thought to have one cause."""

from __future__ import annotations

import random

from repair.defects import Frame, Traceback
from repair.projects.grouping import Failure, Owners, Place, group, jaccard, title_of

NUMBER = {"number.py": frozenset({10, 11, 12, 13})}
TIME = {"time.py": frozenset({50, 51, 52})}
COMMON = {"core.py": frozenset(range(1, 40))}


def failure(test: str, kind: str = "AssertionError", place: Place | None = None, **files: frozenset[int]) -> Failure:
    return Failure(test, kind, place, {name.replace("_", ".", 1): lines for name, lines in files.items()})


def test_thirty_tests_that_crash_at_one_line_are_one_fault():
    place = Place("number.py", 42, "ordinal")
    found = group(Failure(f"t.py::test_{n}", "ZeroDivisionError", place, NUMBER) for n in range(30))
    assert [len(g.tests) for g in found] == [30]
    assert found[0].title == "ZeroDivisionError in number.py:42 (ordinal), 30 tests"


def test_another_error_at_the_same_line_without_coverage_is_another_fault():
    place = Place("number.py", 42, "ordinal")
    found = group([Failure("a", "ZeroDivisionError", place), Failure("b", "TypeError", place)])
    assert [g.tests for g in found] == [("a",), ("b",)]


def test_parameters_of_one_test_are_one_fault_without_coverage():
    place = Place("tests/test_a.py", 5, "test_ordinal", ours=False)
    found = group([Failure(f"tests/test_a.py::test_ordinal[{n}]", "AssertionError", place) for n in range(3)])
    assert [len(g.tests) for g in found] == [3]


def asserting(test: str, lines) -> Failure:
    return Failure(f"t.py::{test}", "AssertionError", Place("t.py", 1, test, ours=False), lines)


def test_different_asserts_about_one_function_are_one_fault():
    one = asserting("test_a", {**COMMON, "number.py": frozenset({10, 11, 12})})
    two = asserting("test_b", {**COMMON, "number.py": frozenset({10, 11, 12, 13})})
    found = group([one, two], [COMMON] * 20)
    assert [g.tests for g in found] == [("t.py::test_a", "t.py::test_b")]


def test_two_faults_stay_apart_though_all_tests_share_most_lines():
    failures = [asserting(f"test_n{n}", {**COMMON, **NUMBER}) for n in range(3)]
    failures += [asserting(f"test_t{n}", {**COMMON, **TIME}) for n in range(2)]
    found = group(failures, [COMMON] * 20)
    assert [len(g.tests) for g in found] == [3, 2]
    assert all("test_n" in test for test in found[0].tests)


def test_an_assertion_and_a_crash_of_the_same_lines_are_one_fault():
    crash = Failure("t.py::test_c", "TypeError", Place("number.py", 13, "f"), {**COMMON, **NUMBER})
    found = group([crash, asserting("test_a", {**COMMON, **NUMBER})], [COMMON] * 20)
    assert len(found) == 1
    assert found[0].leader == crash  # a place in our sources says more than one in a test


def test_without_coverage_and_place_nothing_is_joined():
    assert len(group([Failure("a"), Failure("b")])) == 2


def test_the_order_of_what_comes_in_changes_nothing():
    chance = random.Random(3)
    failures = [asserting(f"test_{n}", {"a.py": frozenset(range(n, n + 6))}) for n in range(12)]
    expected = group(failures, [{"a.py": frozenset({3})}])
    for _ in range(5):
        chance.shuffle(failures)
        assert group(failures, [{"a.py": frozenset({3})}]) == expected
    told = [test for g in expected for test in g.tests]
    assert sorted(told) == sorted(f.test for f in failures)


def test_the_key_does_not_change_with_line_numbers_but_with_what_fails():
    here, moved = Place("number.py", 42, "ordinal"), Place("number.py", 44, "ordinal")
    one, same = group([Failure("a", "E", here)]), group([Failure("a", "E", moved)])
    assert one[0].key == same[0].key
    assert one[0].key != group([Failure("b", "E", here)])[0].key
    assert len(one[0].key) == 12


def test_the_place_is_the_innermost_frame_in_our_sources():
    frames = (Frame("tests/test_a.py", 3, "test_a"), Frame("pkg/a.py", 9, "f"), Frame("/usr/lib/python3.11/json.py", 1))
    assert Owners(("pkg/a.py",)).place(Traceback("E", "", frames)) == Place("pkg/a.py", 9, "f")
    assert Owners(()).place(Traceback("E", "", frames)) == Place("pkg/a.py", 9, "f", ours=False)
    assert Owners(("pkg/a.py",)).place(Traceback("E", "", frames[:1])) == Place(
        "tests/test_a.py", 3, "test_a", ours=False
    )
    assert Owners(("pkg/a.py", "a.py")).place(Traceback("E", "", (Frame("/home/ci/build/pkg/a.py", 9, "f"),))) == Place(
        "pkg/a.py", 9, "f"
    )
    assert Owners(("a.py",)).place(None) is None


def test_titles():
    assert title_of("SyntaxError", Place("a.py", 3), 1) == "SyntaxError in a.py:3, 1 test"
    assert title_of("", None, 2) == "failure, 2 tests"
    assert title_of("KeyError", Place("a.py", 3, "<module>"), 0) == "KeyError in a.py:3, reported"


def test_jaccard_of_nothing_is_nothing():
    assert jaccard(frozenset(), frozenset()) == 0.0
    assert jaccard(frozenset({("a", 1), ("a", 2)}), frozenset({("a", 2)})) == 0.5
