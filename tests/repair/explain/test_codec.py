import json

import numpy as np
import pytest

from repair.errors import InputError
from repair.explain.codec import explanation_json, parse_interventions, value_json
from repair.explain.values import (
    Alarm,
    AlarmKind,
    Badge,
    Explanation,
    Interventions,
    LensTable,
    LineValues,
    Method,
    MethodQuality,
    NeuronScale,
    Part,
    RunValues,
    Subject,
    Trust,
    Unit,
    UnitEdit,
    UnitKind,
)  # fmt: skip


def test_everything_becomes_json(subject: Subject) -> None:
    lens = LensTable(("a",), (("b",),), np.array([[1 / 3]], np.float32), np.array([np.nan]), np.array([-12345.678]))
    alarm = Alarm(AlarmKind.ATTENTION, "entropy", 1, 2, None, 9.0, 0.0, 1.0)
    found = explanation_json(
        Explanation(
            "m", subject, "why", Badge(Trust.WEAK, "so", (("LDS", 0.123456),)), lens=lens, anomalies=(alarm,),
            quality=(MethodQuality(Method.RIDGE, 3, (("LDS", 0.5, 0.1),), beats_random=True),),
            values=RunValues("t", (LineValues(3, 1, (("x", "1"),)),), ()), unavailable=((Part.WHERE, "no"),),
        )
    )  # fmt: skip
    found = json.loads(json.dumps(found, allow_nan=False))
    assert found["badge"] == {"trust": "weak", "why": "so", "measures": {"LDS": 0.12346}}
    assert found["lens"]["chance"] == [[0.33333]] and found["lens"]["fixed"] == [None]
    assert found["lens"]["original"] == [-12346.0]
    assert found["anomalies"][0]["text"] == str(alarm) and found["anomalies"][0]["kind"] == "attention"
    assert found["quality"][0]["measures"] == [{"name": "LDS", "value": 0.5, "random": 0.1}]
    assert found["values"]["before"][0]["values"] == {"x": "1"}
    assert found["unavailable"] == [{"part": "where", "why": "no"}]
    assert found["subject"]["hunks"][0] == {"first": 11, "last": 11, "text": "    return box.width * box.height"}
    assert value_json(Unit(UnitKind.FRAME, 3, "")) == {
        "kind": "frame", "number": 3, "text": "", "label": "the traceback (line 3)",
    }  # fmt: skip


def test_interventions_come_back() -> None:
    given = Interventions(
        0.5, (1,), ((0, 2),), (NeuronScale(1, 2, 3.0),), (UnitEdit(UnitKind.CODE, 3, "x"),), 0.7, 0.9, 4
    )
    assert parse_interventions(json.loads(json.dumps(value_json(given)))) == given
    assert parse_interventions({}).neutral


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], "interventions"),
        ({"layer": 1}, "interventions.layer"),
        ({"layers_off": 3}, "interventions.layers_off"),
        ({"layers_off": [True]}, "interventions.layers_off[0]"),
        ({"heads_off": [[0, 1], [2]]}, "interventions.heads_off[1]"),
        ({"neurons": [{"layer": 0}]}, "interventions.neurons[0].neuron"),
        ({"edits": [{"kind": "prose", "number": 1}]}, "interventions.edits[0].kind"),
        ({"edits": [{"kind": "code", "number": 1, "text": 3}]}, "interventions.edits[0].text"),
        ({"temperature": "hot"}, "interventions.temperature"),
        ({"top_p": 7}, "interventions.top_p"),
        ({"beams": 1.5}, "interventions.beams"),
    ],
)
def test_what_is_wrong_is_named(given: object, field: str) -> None:
    with pytest.raises(InputError) as told:
        parse_interventions(given)
    assert told.value.field == field
