"""Every domain value survives JSON; what does not fit is refused with the path of the field."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.candidates import Candidate, Completion
from repair.codec import KINDS, dumps, from_json, loads, to_json
from repair.defects import Budget, Defect, Diagnostic, FailingTest, Frame, Location, RepairRequest, Report, Traceback
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError
from repair.sources import Source
from repair.verdicts import Cost, Judgement, Observation, Outcome, RepairResult, Suspect, TestResult, Verdict

TEXT = st.text(max_size=12)
COUNT = st.integers(0, 10**9)
REAL = st.floats(allow_nan=False)
PATH = st.sampled_from(["a.py", "pkg/b.js", "ü/c d.java", "x"])
LINE = st.integers(1, 99)

FRAMES = st.builds(Frame, PATH, LINE, TEXT, TEXT)
TRACES = st.builds(Traceback, TEXT, TEXT, st.lists(FRAMES, max_size=3).map(tuple))
EVIDENCE = st.one_of(
    TRACES,
    st.builds(Diagnostic, PATH, LINE, TEXT, COUNT, TEXT, TEXT, TEXT),
    st.builds(FailingTest, TEXT, TEXT, st.none() | TRACES, TEXT),
    st.builds(Report, TEXT),
)
DEFECTS = st.builds(Defect, st.lists(EVIDENCE, max_size=4).map(tuple))
SPANS = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: Span(min(pair), max(pair)))
PATCHES = st.builds(
    lambda path, span, text: Patch((FilePatch(path, (Edit(span, text),)),)), PATH, SPANS, st.text(max_size=5)
)
SOURCES = st.builds(Source, PATH, TEXT, st.just(""), st.sampled_from(["utf-8", "latin-1"]), st.booleans())


@st.composite
def requests(draw):
    sources = tuple(draw(st.lists(SOURCES, min_size=1, max_size=3, unique_by=lambda s: s.path)))
    first = draw(LINE)
    location = draw(st.none() | st.just(Location(sources[0].path, first, first + 1)))
    budget = Budget(draw(st.integers(1, 500)), draw(st.floats(0.01, 1e6)))
    return RepairRequest(sources, draw(DEFECTS), budget, location, draw(TEXT))


CANDIDATES = st.builds(
    Candidate, PATCHES, TEXT, REAL, st.none() | REAL, st.none() | st.builds(Completion, TEXT, COUNT, st.none() | REAL)
)
TESTS = st.builds(TestResult, TEXT, st.sampled_from(Outcome), TEXT, REAL)
OBSERVATIONS = st.builds(
    Observation, st.booleans(), st.lists(TESTS, max_size=3).map(tuple), st.booleans(), TEXT, REAL, TEXT
)
JUDGEMENTS = st.builds(
    Judgement, CANDIDATES, st.sampled_from(Verdict), st.lists(OBSERVATIONS, max_size=2).map(tuple), TEXT
)
SUSPECTS = st.builds(Suspect, PATH, SPANS, LINE, REAL, st.lists(TEXT, max_size=2).map(tuple))
RESULTS = st.builds(
    RepairResult,
    requests(),
    st.lists(SUSPECTS, max_size=3).map(tuple),
    st.lists(JUDGEMENTS, max_size=2).map(tuple),
    st.none() | JUDGEMENTS,
    st.builds(Cost, REAL, COUNT, COUNT, COUNT, COUNT),
    st.none() | REAL,
    st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(RESULTS, requests(), DEFECTS, PATCHES, SUSPECTS, CANDIDATES, JUDGEMENTS, OBSERVATIONS, SOURCES, TRACES)
)
def test_every_value_comes_back(value):
    line = dumps(value)
    assert "\n" not in line
    assert loads(line, type(value)) == value
    assert from_json(type(value), json.loads(json.dumps(to_json(value)))) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.sampled_from(["evidence", "kind"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(KINDS)), JSON, st.randoms())
def test_other_json_is_an_input_error_and_nothing_else(kind, junk, _):
    try:
        value = from_json(KINDS[kind], junk)
    except InputError:
        return
    assert isinstance(value, KINDS[kind])


@settings(max_examples=40, deadline=None)
@given(requests(), st.data())
def test_one_spoilt_field_is_an_input_error_or_a_request(request_, data):
    plain = to_json(request_)
    at: object = plain
    while isinstance(at, (dict, list)) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if data.draw(st.booleans()):
            at[key] = data.draw(JSON)
            break
        at = at[key]
    try:
        from_json(RepairRequest, plain)
    except InputError:
        return


def test_the_envelope_says_version_and_kind():
    assert json.loads(dumps(Budget(3, 2.5))) == {
        "version": 1, "kind": "Budget", "value": {"candidates": 3, "seconds": 2.5},
    }  # fmt: skip


def test_floats_that_json_lacks():
    for odd in (math.inf, -math.inf):
        assert loads(dumps(Cost(odd)), Cost) == Cost(odd)
    assert math.isnan(loads(dumps(Cost(math.nan)), Cost).seconds)


def test_evidence_says_its_kind_and_defaults_may_be_absent():
    plain = to_json(Defect((Report("x"),)))
    assert plain == {"evidence": [{"kind": "Report", "text": "x"}]}
    read = from_json(Defect, {"evidence": [{"kind": "Diagnostic", "path": "a.py", "line": 3, "message": "m"}]})
    assert read == Defect((Diagnostic("a.py", 3, "m"),))
    assert from_json(Source, {"path": "a.py", "text": "x"}).language == "python"


@pytest.mark.parametrize(
    ("kind", "given_", "field"),
    [
        (Defect, {"evidence": [{"kind": "Traceback", "error_type": "E", "message": 3}]}, "evidence[0].message"),
        (Defect, {"evidence": [{"kind": "Rumour"}]}, "evidence[0].kind"),
        (Defect, {"evidence": [3]}, "evidence[0]"),
        (Defect, {"evidence": {}}, "evidence"),
        (Defect, {"evidences": []}, "evidences"),
        (Defect, [], ""),
        (Frame, {"path": "a"}, "line"),
        (Frame, {"path": "a", "line": True}, "line"),
        (Frame, {"path": "a", "line": 1.0}, "line"),
        (Cost, {"seconds": 10**400}, "seconds"),
        (Budget, {"candidates": 0}, ""),
        (Patch, {"files": [{"path": "../a", "edits": []}]}, "files[0].path"),
        (
            Patch,
            {"files": [{"path": "a", "edits": [{"span": {"start": 3, "end": 1}, "text": ""}]}]},
            "files[0].edits[0].span",
        ),
        (TestResult, {"test_id": "t", "outcome": "odd"}, "outcome"),
        (RepairRequest, {"sources": []}, ""),
    ],
)
def test_errors_name_the_field(kind, given_, field):
    with pytest.raises(InputError) as caught:
        from_json(kind, given_)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", ""),
        ("[" * 100_000, ""),
        ("[]", ""),
        ('{"kind": "Cost", "value": {}}', "version"),
        ('{"version": 2, "kind": "Cost", "value": {}}', "version"),
        ('{"version": true, "kind": "Cost", "value": {}}', "version"),
        ('{"version": 1, "kind": "Span", "value": {}}', "kind"),
        ('{"version": 1, "kind": "Cost"}', "value"),
        ('{"version": 1, "kind": "Cost", "value": {"seconds": "much"}}', "value.seconds"),
    ],
)
def test_envelopes_that_do_not_fit(text, field):
    with pytest.raises(InputError) as caught:
        loads(text, Cost)
    assert caught.value.field == field


def test_only_domain_values_are_stored():
    with pytest.raises(InputError, match="no value that is stored"):
        dumps({"a": 1})
