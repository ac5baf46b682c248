import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from repair.errors import InputError, ModelError
from repair.explain.codec import explanation_json
from repair.explain.explain import CLOSED, Makers, Matter, Wanted, composed, explain
from repair.explain.glass import Glass
from repair.explain.sentence import sentence
from repair.explain.values import (
    Badge,
    EvidenceMap,
    LineProbability,
    LocationMap,
    Method,
    Part,
    Subject,
    Target,
    Trust,
    Unit,
    UnitKind,
    UnitScore,
)  # fmt: skip
from repair.models.scripted import Hunks, ScriptedModel
from repair.views import Hunk, View

OWN = frozenset({Part.EVIDENCE, Part.TOKENS})
WHERE = LocationMap((LineProbability(11, 0.5, None, 0.5),), 0.1, calibrated=False)


def scores(view: View, changes: Sequence[Hunks]) -> list[float]:
    bonus = 3.0 * bool(view.lines[1]) + 1.0 * bool(view.error)
    return [bonus if "*" in change[0].text else -1.0 for change in changes]


def test_a_glass_explains_by_every_method_of_its_own(compact: Glass, subject: Subject) -> None:
    methods = (Method.ABLATION, Method.RIDGE, Method.GRADIENT, Method.GRADIENT_NORM)
    found = explain(subject, model=compact.local(), glass=compact, wanted=Wanted(OWN, methods))
    assert tuple(e.method for e in found.evidence) == methods
    assert all(e.badge.trust is not Trust.UNMEASURED for e in found.evidence)
    assert found.tokens is not None and not found.unavailable
    assert [s.name for s in found.stages] == [*methods, "quality", "tokens"]
    assert len(json.dumps(explanation_json(found), allow_nan=False)) < 100_000


def test_a_model_server_says_what_is_there(subject: Subject) -> None:
    found = explain(subject, model=ScriptedModel(scores=scores), wanted=Wanted(OWN))
    assert dict(found.unavailable) == {Part.EVIDENCE: f"gradient: {CLOSED}", Part.TOKENS: CLOSED}
    assert [e.method for e in found.evidence] == [Method.ABLATION]
    assert found.sentence == (
        "Changed line 11 because line 8 says `if box is None:` and the error names `height` "
        "(without it this change would be 20 times less likely against the code as it is)."
    )


def test_a_part_that_fails_leaves_the_rest_standing(subject: Subject) -> None:
    def broken(_: Matter) -> LocationMap:
        raise ModelError("no pointer: take another")

    def full(_: Matter) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    def wrong(_: Matter) -> None:
        raise RuntimeError("a mistake of ours")

    of = Matter(subject, ScriptedModel(scores=scores), None, None, Wanted(frozenset(Part), (Method.ABLATION,)))
    makers = replace(Makers(), where=broken, lens=full, patching=full)
    told = dict(composed(of, makers).unavailable)
    assert told[Part.WHERE] == "no pointer: take another"
    assert told[Part.LENS].startswith("memory ran out") and "smaller window" in told[Part.LENS]
    assert told[Part.LIVE] == told[Part.ANOMALIES] == CLOSED
    with pytest.raises(RuntimeError, match="of ours"):
        composed(of, replace(makers, lens=wrong))


def test_when_nothing_can_be_had_the_reason_is_raised(subject: Subject) -> None:
    with pytest.raises(ModelError, match="shows nothing of its inside"):
        explain(subject, model=ScriptedModel(), wanted=Wanted(frozenset({Part.LENS})))


def test_bad_requests_are_refused_before_anything_is_computed(compact: Glass, subject: Subject) -> None:
    model = ScriptedModel(scores=scores)
    with pytest.raises(InputError, match="does not lie"):
        explain(Subject(subject.view, (Hunk(99, 99, "x"),)), model=model)
    with pytest.raises(InputError, match="no line 7"):
        explain(subject, model=model, wanted=Wanted(target=Target(line=7)))
    assert not model.calls
    long = View("a.py", "python", 1, tuple(f"value_{n} = compute({n}, {n})" for n in range(200)))
    with pytest.raises(ModelError, match="smaller window"):
        explain(Subject(long, (Hunk(1, 1, "x"),)), model=compact.local(), glass=compact)


def evidence(subject: Subject, unit: Unit, score: float, trust: Trust = Trust.FAITHFUL) -> EvidenceMap:
    return EvidenceMap(Method.ABLATION, Target(), (UnitScore(unit, score),), 0.0, Badge(trust, "too few agree"))


def test_sentences(subject: Subject) -> None:
    error = Unit(UnitKind.ERROR, 1, "KeyError: 'k'")
    assert sentence(subject, evidence(subject, error, 2.5)) == (
        "Changed line 11 because the error says `KeyError: 'k'` "
        "(without it this change would be 12 times less likely against the code as it is)."
    )
    assert sentence(subject, evidence(subject, error, 2.5, Trust.FAILED)).startswith(
        "No reliable explanation: too few agree. Changed line 11"
    )
    assert "no single other line" in sentence(subject, evidence(subject, error, 0.01))
    frame = Unit(UnitKind.FRAME, 8, "")
    assert "because the traceback names line 8" in sentence(subject, evidence(subject, frame, 1.0))
    own = Unit(UnitKind.CODE, 11, "the changed line itself")
    assert sentence(subject, evidence(subject, own, 9.0)) == "Changed line 11."


@pytest.mark.parametrize(
    ("hunks", "said"),
    [
        ((), "Found no fault, which the model believes with probability 0.1."),
        ((Hunk(11, 11, "x"),), "Changed line 11, where the model sees the fault with probability 0.5."),
        ((Hunk(8, 9, ""),), "Deleted lines 8 to 9."),
        ((Hunk(8, 7, "a\nb"),), "Inserted 2 lines before line 8."),
        ((Hunk(7, 7, "x"), Hunk(10, 9, "y")), "Changed line 7 and inserted a line before line 10."),
        (tuple(Hunk(n, n, "x") for n in range(7, 11)), "Changed line 7, changed line 8 and changed 2 more places."),
    ],
)
def test_what_was_done(subject: Subject, hunks: Hunks, said: str) -> None:
    assert sentence(Subject(subject.view, hunks), where=WHERE) == said
