import pytest
from pydantic import ValidationError

from repair.candidates import Candidate
from repair.defects import Location, Traceback
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError
from repair.sources import Source
from repair.verdicts import Judgement, Observation, Outcome, RepairResult, Suspect, TestResult, Verdict
from serve.wire import RepairIn, fault_out, outcome_out, repair_out, span_out

CODE = "def f(x):\r\n    return x + 𝟙\r\n"


def body(**fields):
    return RepairIn.model_validate({"files": [{"path": "f.py", "text": CODE}], **fields})


def request(**fields):
    return body(**fields).to_request(max_candidates=100, max_seconds=10)


def test_text_arrives_as_it_was_sent():
    assert request().sources == (Source("f.py", CODE),)


def test_error_text_becomes_evidence():
    error = "Traceback (most recent call last):\n  File \"f.py\", line 2, in f\nNameError: name '𝟙' is not defined"
    (evidence,) = request(error=error).defect.evidence
    assert isinstance(evidence, Traceback)
    assert evidence.error_type == "NameError"


def test_blank_error_is_none():
    assert request(error=" \n").defect.evidence == ()


@pytest.mark.parametrize(
    ("asked", "given"),
    [({}, (100, 10)), ({"candidates": 7, "seconds": 2}, (7, 2)), ({"candidates": 5000, "seconds": 3000}, (100, 10))],
)
def test_budget_is_cut_to_the_service_s_limits(asked, given):
    budget = request(budget=asked).budget
    assert (budget.candidates, budget.seconds) == given


@pytest.mark.parametrize(
    ("span", "lines"),
    [((1, 1, 2, 1), (1, 1)), ((2, 5, 2, 11), (2, 2)), ((1, 1, 2, 9), (1, 2)), ((2, 1, 2, 1), (2, 2))],
)
def test_location_is_end_exclusive(span, lines):
    names = ("start_line", "start_column", "end_line", "end_column")
    location = {"path": "f.py", "span": dict(zip(names, span, strict=True))}
    assert request(location=location).location == Location("f.py", *lines)


@pytest.mark.parametrize("path", ["/etc/passwd", "../f.py", "a//f.py", "a\\f.py", "./f.py", "a/../f.py", "f\0.py"])
def test_paths_outside_are_refused(path):
    with pytest.raises(InputError) as caught:
        body(files=[{"path": path, "text": "x = 1\n"}]).to_sources()
    assert caught.value.field == "files.0.path"


@pytest.mark.parametrize(
    ("test", "field"),
    [
        ({}, "test"),
        ({"command": "  ", "files": [{"path": "t.py", "text": ""}]}, "test.command"),
        ({"files": [{"path": "f.py", "text": ""}]}, "test.files.0.path"),
        ({"files": [{"path": "f.py/t.py", "text": ""}]}, "test.files.0.path"),
        ({"files": [{"path": "../t.py", "text": ""}]}, "test.files.0.path"),
        ({"files": [{"path": "t.py", "text": "\ud800"}]}, "test.files.0.text"),
    ],
)
def test_unusable_tests_are_refused(test, field):
    with pytest.raises(InputError) as caught:
        body(test=test).test_files()
    assert caught.value.field == field


@pytest.mark.parametrize(
    "fields",
    [{"surprise": 1}, {"files": []}, {"budget": {"candidates": 0}}, {"budget": {"second": 1}}, {"language": "cobol"}],
)
def test_what_is_unknown_or_out_of_range_is_refused(fields):
    with pytest.raises(ValidationError):
        body(**fields)


def test_spans_count_characters_from_one_and_end_exclusive():
    source = Source("f.py", CODE)
    start = CODE.index("x + ")
    span = span_out(source, Span(start, start + len("x + 𝟙")))
    assert (span.start_line, span.start_column, span.end_line, span.end_column) == (2, 12, 2, 17)


def test_suspect_on_the_wire():
    suspect = Suspect("f.py", Span(0, 9), 1, 0.25, ("in the traceback",))
    out = fault_out(suspect, {"f.py": Source("f.py", CODE)})
    assert out.model_dump() == {
        "path": "f.py",
        "span": {"start_line": 1, "start_column": 1, "end_line": 1, "end_column": 10},
        "suspiciousness": 0.25,
        "reasons": ["in the traceback"],
    }


def seen(passed, *outcomes):
    return Observation(passed, tuple(TestResult(f"t{n}", outcome) for n, outcome in enumerate(outcomes)))


def test_tests_tell_the_last_run():
    out = outcome_out((seen(False, Outcome.PASSED, Outcome.FAILED),), "t1 still fails")
    assert (out.status, out.passed, out.failed, out.failing, out.reason) == ("failed", 1, 1, ["t1"], "t1 still fails")


def test_without_runs_nothing_passed():
    assert outcome_out((), "no test was run").status == "not run"


def test_result_names_the_chosen_patch():
    at = CODE.index("𝟙")
    patch = Patch((FilePatch("f.py", (Edit(Span(at, at + 1), "1"),)),))
    undone = Judgement(Candidate(Patch(()), "model"), Verdict.UNFIXED)
    chosen = Judgement(Candidate(patch, "model", -1.5), Verdict.PLAUSIBLE, (seen(True, Outcome.PASSED),))
    result = RepairResult(request(), judgements=(undone, chosen), chosen=chosen)
    out = repair_out(result, identity="rep_1", model="m")
    assert out.chosen == 1
    (edit,) = out.patches[1].edits
    assert (edit.text, edit.span.start_column, edit.span.end_column) == ("1", 16, 17)
    assert "-    return x + 𝟙\r\n+    return x + 1\r\n" in out.patches[1].diff
