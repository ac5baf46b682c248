"""Labels that follow from a record: classes of hunks, error type, difficulty; what is given stays."""

import difflib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from data.labelling import bug_classes, difficulty, error_type, labelled, record_of
from data.mutants import Injector, units
from data.records import ErrorOrigin, Origin, Record, example
from data.sources.packages import CodeFile

FIXED = "def f(a, b):\n    x = a + 1\n    y = g(x)\n    z = h(y)\n    return z\n"


def record(*changes: tuple[str, str], **more) -> Record:
    buggy = FIXED
    for old, new in changes:
        assert old in buggy
        buggy = buggy.replace(old, new)
    return Record("python", buggy, FIXED, Origin.COMMIT, **more)


def failing(error: str, *frames: int) -> dict:
    return {"error": error, "error_origin": ErrorOrigin.REPORTED, "frames": frames}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("IndexError: list index out of range", "IndexError"),
        ("AssertionError", "AssertionError"),
        ("json.decoder.JSONDecodeError: Expecting value", "JSONDecodeError"),
        ("assert f(1) == 2", "AssertionError"),
        ("Uncaught TypeError: x is not a function", "TypeError"),
        ("Exception in thread \"main\" java.lang.NullPointerException: Cannot invoke", "NullPointerException"),
        ("KeyNotFound: 'a'", "KeyNotFound"),
        ("Timeout: it had not ended when its time was up", "Timeout"),
        ("Wrong result for large inputs", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_error_types(line, name):
    assert error_type(line) == name


def test_each_hunk_has_its_class():
    assert bug_classes(record(("a + 1", "a - 1"), ("return z", "return a"))) == ("arithmetic", "variable")
    assert bug_classes(record(("    y = g(x)\n", ""))) == ("statement",)
    assert bug_classes(record(("g(x)", "x"), ("    z = h(y)\n", "    z = h(y)\n    b = a\n"))) == (
        "unwrap",
        "statement",
    )
    assert bug_classes(record()) == ("clean",)
    assert bug_classes(record(("g(x)", "g(x"))) == ("syntax",)
    assert bug_classes(record(("y = g(x)", "y  =  g(x)"))) == ()  # layout alone


def test_a_statement_missing_in_front_of_another_fault():
    buggy = FIXED.replace("    y = g(x)\n", "").replace("return z", "return a")
    assert bug_classes(Record("python", buggy, FIXED, Origin.COMMIT)) == ("statement", "variable")


def test_difficulty_grows_with_each_of_its_parts():
    easy = difficulty(record(("a + 1", "a - 1"), **failing("TypeError: no", 2)))
    assert easy == 0.0  # one token, located by its error
    near = difficulty(record(("a + 1", "a - 1"), **failing("TypeError: no", 4)))
    unlocated = difficulty(record(("a + 1", "a - 1")))
    two = difficulty(record(("a + 1", "a - 1"), ("return z", "return a")))
    novel = difficulty(record(("g(x)", "x")))
    assert easy < near < unlocated < min(two, novel)
    assert max(two, novel) < 1


def test_a_word_of_the_faulty_line_in_the_message_locates_in_part():
    told = record(("g(x)", "q(x)"), **failing("NameError: name 'q' is not defined"))
    untold = record(("g(x)", "q(x)"), **failing("AssertionError"))
    assert difficulty(told) < difficulty(untold)


def test_difficulty_stays_within_bounds():
    rewritten = "def f(a, b):\n" + "".join(f"    new{n} = other{n}(thing{n})\n\n    a = a\n" for n in range(60))
    hard = difficulty(Record("python", FIXED, rewritten, Origin.COMMIT))
    assert 0.6 < hard <= 1.0
    assert difficulty(record()) == 0.0


def test_what_is_given_stays():
    given = record(("a + 1", "a - 1"), **failing("TypeError: no", 2), bug_classes=("operand",), error_type="Odd")
    done = labelled(replace(given, difficulty=0.7))
    assert (done.bug_classes, done.error_type, done.difficulty) == (("operand",), "Odd", 0.7)
    bare = labelled(record(("a + 1", "a - 1"), **failing("TypeError: no", 4)))
    assert (bare.bug_classes, bare.error_type) == (("arithmetic",), "TypeError")
    assert 0 < bare.difficulty < 0.5
    assert labelled(bare) == bare


def test_injected_examples_become_records_and_come_back():
    path = Path(difflib.__file__)
    draw, injector = random.Random(1), Injector(1, 0.2, 0.1)
    made = [
        e for u in units(CodeFile("python", path.name, path.read_text("utf-8")), draw) for e in injector.examples(u, 3)
    ]
    assert len(made) > 40
    for one in made:
        assert example(record_of(one)) == replace(one, error_made=True)
