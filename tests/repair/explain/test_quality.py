from collections.abc import Sequence
from dataclasses import replace

from repair.explain.evidence import ablation
from repair.explain.quality import judged, judged_together, trusted_first
from repair.explain.values import EvidenceMap, Subject, Target, Trust, UnitScore
from repair.models.scripted import Hunks, ScriptedModel
from repair.views import View


def additive(view: View, changes: Sequence[Hunks]) -> list[float]:
    bonus = 3.0 * bool(view.lines[1]) + 1.0 * bool(view.error) + 0.4 * (view.lines[2] != "")
    return [bonus if "*" in change[0].text else -1.0 for change in changes]


def reversed_(found: EvidenceMap) -> EvidenceMap:
    return replace(found, scores=tuple(UnitScore(s.unit, -s.score) for s in found.scores))


def test_true_scores_are_faithful_and_reversed_ones_fail(subject: Subject) -> None:
    model = ScriptedModel(scores=additive)
    found = ablation(model, subject, Target())
    assert found.badge.trust is Trust.UNMEASURED
    right, wrong = judged_together(model, subject, [found, reversed_(found)])
    assert right.badge.trust is Trust.FAITHFUL
    assert dict(right.badge.measures)["LDS"] > 0.9
    assert wrong.badge.trust is Trust.FAILED
    assert trusted_first((wrong, found, right)) == (right, found, wrong)
    assert judged(model, subject, found) == right


def test_the_cost_is_bounded(subject: Subject) -> None:
    model = ScriptedModel(scores=additive)
    found = ablation(model, subject, Target())
    before = len(model.calls)
    judged_together(model, subject, [found, reversed_(found)])
    assert len(model.calls) - before <= 16 + 3 + 2 + 2  # deletions, random, each map's own, the whole


def test_what_cannot_be_measured_says_why(subject: Subject) -> None:
    asked = ScriptedModel(completions=[subject.hunks])
    assert "too many answers" in judged(asked, subject, ablation(asked, subject, Target())).badge.why
    small = Subject(replace(subject.view, error="", frames=(), test="", context=()), subject.hunks)
    model = ScriptedModel(scores=additive)
    assert "too few" in judged(model, small, ablation(model, small, Target())).badge.why
