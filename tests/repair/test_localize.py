"""Localization: each clue by itself, their fusion, and what must never be suspected."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.defects import Defect, Diagnostic, FailingTest, Frame, Location, RepairRequest, Traceback
from repair.localize import DEFAULT, Weights, localize
from repair.localize.clues import place_of
from repair.localize.terrain import Ground, survey
from repair.model import LineBelief
from repair.sources import Source
from repair.spectrum import Spectrum

CODE = '''\
"""A module."""
import os

LIMIT = 3  # of items


@cache
def first(items, key=None):
    """Say which one is first.

    >>> first([1])
    """
    # the loop
    for item in items:
        if item > LIMIT:
            return item
        else:
            continue
    return None


def second(
    items,
):
    total = first(
        items,
        key=1,
    )
    return total
'''
SOURCE = Source("pkg/a.py", CODE)


def _at(text: str) -> int:
    """The number of the first line that holds `text`."""
    return CODE[: CODE.index(text)].count("\n") + 1


def _request(*evidence, location=None, tests="", sources=(SOURCE,)):
    return RepairRequest(tuple(sources), Defect(tuple(evidence)), location=location, tests=tests)


def _rank(suspects):
    return [s.line for s in suspects]


def _mass(suspects, line):
    return sum(s.suspiciousness for s in suspects if s.line == line)


def test_with_nothing_known_all_statements_are_alike():
    suspects = localize(_request())
    assert len({s.suspiciousness for s in suspects}) == 1
    assert _rank(suspects) == [
        _at(x)
        for x in ("import os", "LIMIT = 3", "@cache", "def first", "for item", "if item", "return item", "else:",
                  "continue", "return None", "def second", "total = first", "return total")
    ]  # fmt: skip
    assert sum(s.suspiciousness for s in suspects) == pytest.approx(1)


def test_a_span_is_the_code_of_its_line():
    for suspect in localize(_request()):
        assert suspect.span.of(CODE) == SOURCE.line(suspect.line).strip()


def test_the_innermost_frame_comes_first_then_the_outer_one_then_the_rest_of_their_functions():
    trace = Traceback(
        "TypeError",
        "no",
        (
            Frame("/p/pkg/a.py", _at("total = first"), "second"),
            Frame("/p/pkg/a.py", _at("if item"), "first"),
            Frame("/usr/lib/python3.11/json/a.py", 4, "x"),
        ),
    )
    suspects = localize(_request(trace))
    assert _rank(suspects)[:2] == [_at("if item"), _at("total = first")]
    assert suspects[0].suspiciousness > 1.5 * suspects[1].suspiciousness
    assert "innermost frame of the traceback" in suspects[0].reasons
    assert "frame 2 of the traceback" in suspects[1].reasons
    assert _mass(suspects, _at("return total")) > _mass(suspects, _at("LIMIT = 3"))


def test_a_frame_on_a_continuation_line_counts_for_its_statement_too():
    frame = Frame("pkg/a.py", _at("        key=1"), "second", "key=1,")
    suspects = localize(_request(Traceback("E", "", (frame,))))
    assert set(_rank(suspects)[:2]) == {_at("total = first"), _at("        key=1")}


def test_an_error_about_another_file_says_nothing():
    trace = Traceback("E", "m", (Frame("other/b.py", 4, "f"), Frame("a/lib/site-packages/pkg/a.py", 14)))
    assert localize(_request(trace, Diagnostic("b.py", 3, "bad"))) == localize(_request())


def test_a_frame_whose_code_moved_is_found_and_one_whose_code_is_gone_is_not():
    assert place_of(Frame("a.py", 2, "first", "if item > LIMIT:"), SOURCE) == _at("if item")
    assert place_of(Frame("a.py", _at("if item"), "first", "if item >= LIMIT:"), SOURCE) is None
    assert place_of(Frame("a.py", 999, "first"), SOURCE) is None
    assert place_of(Frame("a.py", _at("total = first"), "f", "total = first(items, key=1)"), SOURCE) == _at(
        "total = first"
    )
    assert place_of(Frame("a.py", _at("total = first"), "f", "total = first("), SOURCE) == _at("total = first")


def test_a_diagnostic_counts_like_the_innermost_frame_and_a_warning_does_not():
    line = _at("return total")
    assert _rank(localize(_request(Diagnostic("a.py", line, "wrong type"))))[0] == line
    assert "reported here: wrong type" in localize(_request(Diagnostic("a.py", line, "wrong type")))[0].reasons
    quiet = localize(_request(Diagnostic("a.py", line, "x", severity="warning")))
    assert _mass(quiet, line) == pytest.approx(1 / len(quiet))


def test_functions_that_the_test_names_come_before_the_others():
    suspects = localize(_request(tests="assert second([1]) == 1"))
    assert _rank(suspects)[0] == _at("total = first")
    assert "in second, which the test or the message names" in suspects[0].reasons
    by_frame = FailingTest(
        "t", "", Traceback("AssertionError", "", (Frame("t.py", 3, "t", "assert first([]) is None"),))
    )
    assert _rank(localize(_request(by_frame)))[0] == _at("for item")


def _spectrum(failing, passing, *, n_failing=1, n_passing=2):
    path = SOURCE.path
    return Spectrum(
        n_failing, n_passing, {(path, n): c for n, c in failing.items()}, {(path, n): c for n, c in passing.items()}
    )


RAN = {_at("for item"): 1, _at("if item"): 1, _at("return item"): 1}


def test_coverage_ranks_by_ochiai_and_masks_what_no_failing_test_ran():
    covered = _spectrum(RAN, {_at("for item"): 2, _at("if item"): 1, _at("return None"): 1})
    suspects = localize(_request(), spectrum=covered)
    assert _rank(suspects)[:3] == [_at("return item"), _at("if item"), _at("for item")]
    assert suspects[0].reasons == ("executed by 1 of 1 failing and 0 of 2 passing tests (Ochiai 1.00)",)
    masked = {_at("return None"), _at("total = first"), _at("return total")}
    assert not masked & set(_rank(suspects))


def test_headers_decorators_defaults_and_module_level_are_never_masked():
    suspects = localize(_request(), spectrum=_spectrum(RAN, {}))
    assert {_at(x) for x in ("import os", "LIMIT = 3", "@cache", "def first", "def second", "else:")} <= set(
        _rank(suspects)
    )


def test_continuation_lines_of_an_executed_statement_count_as_executed():
    belief = {"pkg/a.py": LineBelief({_at("        key=1"): 0.6, _at("return total"): 0.3}, 0.1)}
    suspects = localize(_request(), beliefs=belief, spectrum=_spectrum({_at("total = first"): 1}, {}))
    assert _rank(suspects)[0] == _at("        key=1")
    assert any("executed by 1 of 1 failing" in reason for reason in suspects[0].reasons)
    assert _at("return total") not in _rank(suspects)


def test_a_spectrum_of_other_files_masks_nothing():
    other = Spectrum(1, 0, {("tests/t.py", 3): 1}, {})
    assert localize(_request(), spectrum=other) == localize(_request())
    assert localize(_request(), spectrum=Spectrum(0, 3, {}, {("pkg/a.py", 14): 3})) == localize(_request())


def test_the_model_breaks_the_ties_of_coverage():
    tied = _spectrum(RAN, {})
    belief = {"pkg/a.py": LineBelief({_at("if item"): 0.7, _at("return None"): 0.2}, 0.1)}
    suspects = localize(_request(), beliefs=belief, spectrum=tied)
    assert _rank(suspects)[0] == _at("if item")
    assert "model: 70 %" in suspects[0].reasons
    assert _at("return None") not in _rank(suspects)


def test_comments_and_blank_lines_stay_near_zero_even_where_the_model_points():
    comment, blank = _at("# the loop"), _at("@cache") - 1
    belief = {"pkg/a.py": LineBelief({comment: 0.4, blank: 0.3, _at("if item"): 0.2, 999: 0.1})}
    suspects = localize(_request(), beliefs=belief)
    assert _rank(suspects)[0] == _at("if item")
    assert 0 < _mass(suspects, comment) < 0.05
    assert 0 < _mass(suspects, blank) < 0.05
    assert 999 not in _rank(suspects)


def test_a_given_location_dominates_everything():
    belief = {"pkg/a.py": LineBelief({_at("if item"): 0.99})}
    trace = Traceback("E", "", (Frame("pkg/a.py", _at("if item"), "first"),))
    place = Location("pkg/a.py", _at("total = first"), _at("return total"))
    suspects = localize(_request(trace, location=place), beliefs=belief, spectrum=_spectrum(RAN, {}))
    inside = [s for s in suspects if place.first <= s.line <= place.last]
    assert sum(s.suspiciousness for s in inside) > 0.98
    assert suspects[0].reasons[0] == "the place that was given"
    outside = Location("pkg/a.py", 500, 501)
    assert localize(_request(location=outside)) == localize(_request())


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("a.py", "x = 1\ndef f(a)\n    return a\n\nf(2)\n", 2),
        ("a.py", "def f(a):\n    return (a\n\n\ny = 2\n", 2),
        ("a.py", "def f(a):\n    # nothing\n\n", 2),
        ("a.js", "function f(a) {\n  return a +;\n}\n", 2),
        ("A.java", "class A {\n  int f() {\n    int x = ;\n    return x;\n  }\n}\n", 3),
    ],
)
def test_where_the_language_stops_to_parse(path, text, line):
    suspects = localize(RepairRequest((Source(path, text),)))
    assert abs(suspects[0].line - line) <= 1
    assert any("syntax error" in reason for reason in suspects[0].reasons)
    assert sum(s.suspiciousness for s in suspects if abs(s.line - line) <= 1) > 0.5


def test_suspects_of_several_files_share_one_scale():
    other = Source("pkg/b.py", "def third(x):\n    return x + 1\n")
    trace = Traceback("E", "", (Frame("/p/pkg/b.py", 2, "third", "return x + 1"),))
    suspects = localize(_request(trace, sources=(SOURCE, other)))
    assert (suspects[0].path, suspects[0].line) == ("pkg/b.py", 2)
    assert sum(s.suspiciousness for s in suspects) == pytest.approx(1)
    assert {s.path for s in suspects} == {"pkg/a.py", "pkg/b.py"}


def test_surprisal_and_weights_are_heard():
    line = _at("return total")
    suspects = localize(_request(), surprisal={("pkg/a.py", line): 3.0})
    assert suspects[0].line == line
    assert "a likelier text exists here (by 3.0 nats)" in suspects[0].reasons
    deaf = localize(_request(), surprisal={("pkg/a.py", line): 3.0}, weights=Weights(surprisal=0.0))
    assert len({s.suspiciousness for s in deaf}) == 1
    assert Weights() == DEFAULT


@pytest.mark.parametrize("text", ["", "\n\n", "# only words\n", '"""Doc."""\n'])
def test_a_source_without_statements_has_one_suspect(text):
    (suspect,) = localize(RepairRequest((Source("a.py", text),)))
    assert (suspect.line, suspect.suspiciousness) == (1, 1.0)


def test_text_of_no_language_has_its_lines():
    suspects = localize(RepairRequest((Source("a.cfg", "[x]\n\ny = 1\n"),)))
    assert _rank(suspects) == [1, 3]


def test_javascript_arrows_and_closing_brackets():
    text = "const f = (a, b) => {\n  if (a) {\n    return b;\n  }\n};\nmodule.exports = f;\n"
    terrain = survey(Source("a.js", text))
    assert terrain.ground[1:] == (
        Ground.STATEMENT, Ground.STATEMENT, Ground.STATEMENT, Ground.IDLE, Ground.IDLE, Ground.STATEMENT,
    )  # fmt: skip
    covered = Spectrum(1, 0, {("a.js", 2): 1}, {})
    assert 3 not in _rank(localize(RepairRequest((Source("a.js", text),)), spectrum=covered))


ODD_LINES = [
    "def f(x):",
    "    return x",
    "x = (",
    ")",
    "",
    "# c",
    '"""',
    "    if x:",
    "    else:",
    "\u2028",
    "é = '\U0001f600'",
]
LINES = st.lists(st.sampled_from(ODD_LINES), max_size=12).map("\n".join)


@settings(max_examples=80, deadline=None)
@given(LINES, st.dictionaries(st.integers(-1, 15), st.floats(0, 1), max_size=5), st.integers(0, 15), st.booleans())
def test_any_text_gives_a_distribution(text, beliefs, line, covered):
    source = Source("a.py", text)
    request = RepairRequest((source,), Defect((Traceback("E", "", (Frame("a.py", line, "f"),)),)))
    spectrum = Spectrum(1, 1, {("a.py", line): 1}, {("a.py", 1): 1}) if covered else None
    suspects = localize(request, beliefs={"a.py": LineBelief(beliefs)}, spectrum=spectrum)
    assert suspects
    assert sum(s.suspiciousness for s in suspects) <= 1 + 1e-9
    assert [s.suspiciousness for s in suspects] == sorted((s.suspiciousness for s in suspects), reverse=True)
    assert len({s.line for s in suspects}) == len(suspects)
    for suspect in suspects:
        first, last = source.lines_of(suspect.span)
        assert first == last == suspect.line


def test_a_returned_string_is_no_docstring():
    text = 'def f(n):\n    """Say."""\n    if n:\n        return f"{n(1)}"\n    return ""\n'
    ground = survey(Source("a.py", text)).ground
    assert [ground[n] for n in (2, 4, 5)] == [Ground.IDLE, Ground.STATEMENT, Ground.STATEMENT]
