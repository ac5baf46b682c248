"""Rankings of files, functions and lines, and the reasons that they give."""

from __future__ import annotations

from math import isclose

from repair.edits import Span
from repair.projects.history import Touch
from repair.projects.levels import (
    Clue,
    Past,
    refined_files,
    suspect_files,
    suspect_functions,
    suspect_lines,
    useful_green,
)  # fmt: skip
from repair.projects.values import Ranked
from repair.sources import Source
from repair.spectrum import Spectrum
from repair.verdicts import Suspect

PATHS = ("core.py", "number.py", "other.py")
SPECTRUM = Spectrum(
    3, 210, {("core.py", 5): 3, ("number.py", 7): 3, ("number.py", 8): 2}, {("core.py", 5): 200, ("number.py", 7): 1}
)


def suspect(path: str, line: int, mass: float) -> Suspect:
    return Suspect(path, Span(0, 1), line, mass, ("clue",))


def test_the_file_that_failing_tests_alone_execute_comes_first():
    found = suspect_files(PATHS, Clue(), SPECTRUM, Past())
    assert [f.path for f in found] == ["number.py", "core.py"]  # what no failing test executes is no candidate
    assert found[0].reasons == ("executed by 3 of 3 failing and 1 of 210 passing tests",)
    assert isclose(sum(f.score for f in found), 1.0)


def test_a_traceback_adds_what_no_test_executed_and_lifts_what_is_innermost():
    found = suspect_files(PATHS, Clue((("core.py", 5), ("other.py", 2))), SPECTRUM, Past())
    by_path = {f.path: f for f in found}
    assert by_path["core.py"].reasons[-1] == "innermost frame"
    assert by_path["other.py"].reasons == ("frame 2 from inside",)
    plain = {f.path: f for f in suspect_files(PATHS, Clue(), SPECTRUM, Past())}
    assert by_path["core.py"].score / by_path["number.py"].score > plain["core.py"].score / plain["number.py"].score


def test_without_coverage_and_traceback_names_and_history_decide():
    past = Past({"other.py": Touch("1a2b3c4d5e", 2.1, "Speed up other", 3)})
    found = suspect_files(PATHS, Clue(tests=("tests/test_number.py",)), None, past)
    assert [f.path for f in found] == ["number.py", "other.py", "core.py"]
    assert found[1].reasons == ("changed 2 days before, in 1a2b3c4 'Speed up other'",)


def test_a_change_since_the_good_commit_outweighs_coverage():
    past = Past(green=frozenset({("core.py", 5)}))
    assert suspect_files(PATHS, Clue(), SPECTRUM, past)[0].path == "core.py"
    lines = suspect_lines([suspect("number.py", 7, 0.9), suspect("core.py", 5, 0.1)], SPECTRUM, past)
    assert (lines[0].path, lines[0].first, lines[0].last) == ("core.py", 5, 5)
    assert lines[0].reasons == ("clue", "changed since the last good commit")


def test_a_change_that_no_failing_test_executes_says_nothing():
    away = frozenset({("other.py", 1)})
    assert useful_green(away, SPECTRUM) == frozenset()
    assert useful_green(away, None) == away
    assert useful_green(None, SPECTRUM) == frozenset()


def test_the_age_of_lines_decides_between_equals():
    past = Past(lines={("a.py", 9): Touch("f" * 40, 0.2, "New"), ("a.py", 3): Touch("e" * 40, 900.0, "Old")})
    found = suspect_lines([suspect("a.py", 3, 0.4), suspect("a.py", 9, 0.4), suspect("a.py", 12, 0.2)], None, past)
    assert [line.first for line in found] == [9, 3, 12]
    assert "changed at the same day, in fffffff 'New'" in found[0].reasons
    assert isclose(sum(line.score for line in found), 1.0)


def test_functions_have_the_belief_of_their_own_lines():
    outer = "def outer():\n    a = 1\n    def inner():\n        return a\n    return inner\n"
    text = f"x = 1\n{outer}\ndef last():\n    return 2\n"
    lines = [Ranked("m.py", s, n, n) for n, s in ((5, 0.4), (3, 0.2), (6, 0.15), (9, 0.15), (1, 0.1))]
    found = suspect_functions([Source("m.py", text)], lines)
    assert [(f.name, f.first, f.last, round(f.score, 2)) for f in found] == [
        ("outer.inner", 4, 5, 0.4),
        ("outer", 2, 6, 0.35),
        ("last", 8, 9, 0.15),
    ]


def test_files_that_were_read_share_by_their_best_lines():
    files = (Ranked("a.py", 0.5), Ranked("b.py", 0.3), Ranked("c.py", 0.2))
    lines = (Ranked("b.py", 0.6, 1, 1), Ranked("a.py", 0.2, 1, 1), Ranked("b.py", 0.2, 2, 2))
    found = refined_files(files, ("a.py", "b.py"), lines)
    assert [(f.path, round(f.score, 2)) for f in found] == [("b.py", 0.6), ("a.py", 0.2), ("c.py", 0.2)]
    assert refined_files(files, ("a.py",), ()) == files
