"""Ochiai against values computed by hand, and spectra built from real coverage contexts."""

from __future__ import annotations

import math

import coverage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.spectrum import Spectrum, spectrum_from_contexts

# four tests of a function: 1 and 2 fail, 3 to 5 pass
SPECTRUM = Spectrum(
    failing=2,
    passing=3,
    executed_failing={("a.py", 1): 2, ("a.py", 2): 2, ("a.py", 3): 1, ("a.py", 4): 1},
    executed_passing={("a.py", 1): 3, ("a.py", 3): 3, ("a.py", 5): 3},
)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (1, 2 / math.sqrt(2 * 5)),  # run by all
        (2, 1.0),  # by both failing tests and no passing one
        (3, 1 / math.sqrt(2 * 4)),
        (4, 1 / math.sqrt(2 * 1)),
        (5, 0.0),  # by passing tests only
        (6, 0.0),  # by none
    ],
)
def test_ochiai_by_hand(line, value):
    assert SPECTRUM.ochiai("a.py", line) == pytest.approx(value)


def test_another_file_is_another_line():
    assert SPECTRUM.ochiai("b.py", 2) == 0.0
    assert SPECTRUM.runs("a.py", 5)
    assert not SPECTRUM.runs("a.py", 6)


@given(st.integers(1, 50), st.integers(0, 50), st.data())
def test_ochiai_lies_between_0_and_1_and_passing_tests_lower_it(failing, passing, data):
    ef = data.draw(st.integers(0, failing))
    ep = data.draw(st.integers(0, passing))
    one = Spectrum(failing, passing, {("a", 1): ef}, {("a", 1): ep})
    more = Spectrum(failing, passing + 1, {("a", 1): ef}, {("a", 1): ep + 1})
    assert 0.0 <= more.ochiai("a", 1) <= one.ochiai("a", 1) <= 1.0


def test_contexts_are_counted_once_per_test_and_unknown_ones_not_at_all():
    lines = {"a.py": {1: ["t1", "t2", ""], 2: ["t1", "t1"], 3: ["flaky"]}, "b.py": {9: {"t2"}}}
    found = spectrum_from_contexts(lines, {"t1"}, {"t2", "t3"})
    assert found == Spectrum(1, 2, {("a.py", 1): 1, ("a.py", 2): 1}, {("a.py", 1): 1, ("b.py", 9): 1})


def test_real_coverage_contexts(tmp_path):
    module = tmp_path / "calc.py"
    module.write_text("def sign(x):\n    if x > 0:\n        return 1\n    return 1\n")
    meter = coverage.Coverage(data_file=None, include=[str(module)])
    names: dict[str, object] = {}
    code = compile(module.read_text(), str(module), "exec")
    with meter.collect():
        exec(code, names)
        for test, argument in (("good", 5), ("bad", -5)):
            meter.switch_context(test)
            names["sign"](argument)
    measured = meter.get_data().contexts_by_lineno(str(module))
    found = spectrum_from_contexts({"calc.py": measured}, ["bad"], ["good"])
    assert found.ochiai("calc.py", 4) == 1.0
    assert found.ochiai("calc.py", 2) == pytest.approx(1 / math.sqrt(2))
    assert found.ochiai("calc.py", 3) == 0.0
    assert not found.runs("calc.py", 1)
