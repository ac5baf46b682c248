"""The location map: sums to 1, is the pointer without a reference, joins the probe with one."""

import pytest

from repair.errors import ModelError
from repair.explain.glass import open_glass
from repair.explain.reference import read_reference
from repair.explain.where import location_map
from repair.models.scripted import ScriptedModel
from repair.views import View

VIEW = View(
    "m.py", "python", 5,
    ("def f(xs):", "    best = xs[0]", "", "    for x in xs:", "        if x < best:", "    return best"),
    "AssertionError: assert 1 == 3",
)  # fmt: skip


@pytest.fixture(scope="module")
def glass():
    return open_glass()


def test_without_a_reference_it_is_the_pointer(glass):
    model = glass.local()
    found, belief = location_map(model, VIEW), model.locate(VIEW)
    assert not found.calibrated
    assert {one.line: one.calibrated for one in found.lines} == pytest.approx(dict(belief.lines))
    assert found.no_fault == pytest.approx(belief.no_fault)
    assert all(one.probe is None for one in found.lines)


def test_with_glass_and_reference_both_sources_speak(glass):
    reference = read_reference(glass)
    found = location_map(glass.local(), VIEW, glass=glass, reference=reference)
    assert found.calibrated
    assert [one.line for one in found.lines] == [5, 6, 7, 8, 9, 10]
    assert sum(one.calibrated for one in found.lines) + found.no_fault == pytest.approx(1, abs=1e-5)
    assert 0 < sum(one.probe or 0 for one in found.lines) < 1
    alone = location_map(glass.local(), VIEW, reference=reference)
    assert alone.calibrated and alone.no_fault != found.no_fault
    assert sum(one.calibrated for one in alone.lines) + alone.no_fault == pytest.approx(1, abs=1e-5)


def test_a_model_without_probabilities_is_told(glass):
    silent = ScriptedModel(belief=None)
    assert silent.locate(VIEW) is None
    with pytest.raises(ModelError, match="no probabilities"):
        location_map(silent, VIEW)
    found = location_map(silent, VIEW, glass=glass, reference=read_reference(glass))
    assert not found.calibrated and found.lines[0].pointer is None
