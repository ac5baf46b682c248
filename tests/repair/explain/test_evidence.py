import os
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from repair.embedded.expander import embedded_directory
from repair.errors import InputError, ModelError
from repair.explain.evidence import AGAIN, GONE, ablation, alternatives, asked, fitted_ridge, ridge
from repair.explain.glass import Glass
from repair.explain.passages import edited, units_of
from repair.explain.values import Subject, Target, TargetKind, UnitEdit, UnitKind
from repair.model import LineBelief
from repair.models.local import load_local
from repair.models.scripted import Hunks, ScriptedModel
from repair.views import Hunk, View


@pytest.mark.parametrize("kind", list(TargetKind))
def test_ablation_is_brute_force(kind: TargetKind, compact: Glass, subject: Subject) -> None:
    model, view = compact.local(), subject.view
    old = (Hunk(11, 11, view.lines[4]),)

    def value(shown: View) -> float:
        new, same = model.score(shown, [subject.hunks, old])
        where = float(np.log(model.locate(shown).lines[11]))
        return {TargetKind.CONTRAST: new - same, TargetKind.CHANGE: new, TargetKind.LOCATION: where}[kind]

    found = ablation(model, subject, Target(kind))
    assert [s.unit for s in found.scores] == list(units_of(view))
    for one in found.scores:
        without = value(edited(view, [UnitEdit(one.unit.kind, one.unit.number)]))
        assert one.score == pytest.approx(value(view) - without, abs=1e-4)


def additive(view: View, changes: Sequence[Hunks]) -> list[float]:
    """Line 8 adds 3 nats to the change, the error 1, the first frame takes 2."""
    bonus = 3.0 * bool(view.lines[1]) + 1.0 * bool(view.error) - 2.0 * (11 in view.frames)
    return [bonus if "*" in change[0].text else -1.0 for change in changes]


def test_both_methods_find_what_counts(subject: Subject) -> None:
    right = {"line 8": 3.0, "the error": 1.0, "the traceback (line 11)": -2.0}
    for found in (
        ablation(ScriptedModel(scores=additive), subject, Target()),
        ridge(ScriptedModel(scores=additive), subject, Target(), runs=96),
    ):
        assert found.value == pytest.approx(3.0)
        for one in found.scores:
            assert one.score == pytest.approx(right.get(one.unit.label, 0.0), abs=0.1), (found.method, one)
        assert found.top(1)[0].unit.label == "line 8"
        assert not found.notes


def test_time_bounds_are_said(subject: Subject) -> None:
    found = ablation(ScriptedModel(scores=additive), subject, Target(), seconds=-1.0)
    assert [s.unit.kind for s in found.scores] == [UnitKind.ERROR]
    assert "were not looked at" in found.notes[0]
    few = ridge(ScriptedModel(scores=additive), subject, Target(), seconds=-1.0)
    assert "8 of 64 runs" in few.notes[0]


def test_two_at_a_time_are_what_one_after_the_other_gives(subject: Subject) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        question = asked(load_local(embedded_directory(), threads=1), subject, Target())
        groups = [(unit,) for unit in question.units[:5]]
        serial = [question.without(group) for group in groups]
        if (os.cpu_count() or 1) > 1:
            assert question.beside is not None
        assert question.each_without(groups) == serial
        assert len(set(serial)) > 1
    finally:
        torch.set_num_threads(threads)


def test_ridge_weights_are_those_of_least_squares_where_nothing_is_uncertain() -> None:
    kept = (np.random.default_rng(0).random((64, 6)) < 0.5).astype(np.float64)
    weights = np.array([4.0, -1.0, 0.0, 0.5, 2.0, 0.0])
    assert np.allclose(fitted_ridge(kept, kept @ weights + 7), weights, atol=0.05)


def test_one_line_is_held_against_the_same_change_without_it(subject: Subject) -> None:
    two = Subject(subject.view, (Hunk(10, 11, "    size = 2\n    return box.width * box.height"),))
    assert alternatives(two, Target(line=2))[1] == (Hunk(10, 11, "    size = 2\n    return box.width + box.height"),)
    added = Subject(subject.view, (Hunk(8, 7, "    a = 1\n    b = 2"),))
    assert alternatives(added, Target(line=1))[1] == (Hunk(8, 7, "    b = 2"),)
    with pytest.raises(InputError) as told:
        alternatives(subject, Target(line=2))
    assert told.value.field == "target.line"


def test_no_fault_is_explained_by_its_own_probability(subject: Subject) -> None:
    model = ScriptedModel(LineBelief({11: 0.25}, 0.75), scores={(): -0.5})
    nothing = Subject(subject.view, ())
    assert ablation(model, nothing, Target()).value == -0.5
    assert ablation(model, nothing, Target(TargetKind.LOCATION)).value == pytest.approx(np.log(0.75))


def test_a_model_that_scores_nothing_is_asked_again(subject: Subject) -> None:
    model = ScriptedModel(completions=lambda view, _: [subject.hunks] if view.lines[1] else [(Hunk(9, 9, "x"),)])
    found = ablation(model, subject, Target())
    assert AGAIN in found.notes
    assert {s.unit.label: s.score for s in found.scores if s.score} == {"line 8": GONE}
    assert len([c for c in model.calls if c.method == "propose"]) <= 14
    with pytest.raises(ModelError, match="cannot be explained by perturbation"):
        ablation(ScriptedModel(completions=[(Hunk(9, 9, "x"),)]), subject, Target())


def test_a_change_elsewhere_is_refused(subject: Subject) -> None:
    with pytest.raises(InputError, match="does not lie"):
        ablation(ScriptedModel(scores=additive), Subject(subject.view, (Hunk(99, 99, "x"),)), Target())
