"""Error text of real tools (samples/) and of live processes, read as evidence; hostile text, in linear time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.defects import Defect, Diagnostic, FailingTest, Frame, Report, Traceback
from repair.traces import frames_in, headline, parse_error
from repair.traces.places import affinity, owner

SAMPLES = Path(__file__).parent / "samples"


def _sample(name: str) -> str:
    return (SAMPLES / f"{name}.txt").read_text()


def _traces(text: str) -> list[Traceback]:
    return [e for e in parse_error(text).evidence if isinstance(e, Traceback)]


def _tests(text: str) -> dict[str, FailingTest]:
    return {e.test_id: e for e in parse_error(text).evidence if isinstance(e, FailingTest)}


def _diagnostics(text: str) -> list[Diagnostic]:
    return [e for e in parse_error(text).evidence if isinstance(e, Diagnostic)]


def _lines(trace: Traceback | None) -> list[tuple[str, int]]:
    assert trace is not None
    return [(f.path.rpartition("/")[2], f.line) for f in trace.frames]


# --- Python -----------------------------------------------------------------------------------------------------


def test_a_chain_gives_the_last_error_first_and_its_cause_after_it():
    last, cause = _traces(_sample("python_chain"))
    assert (last.error_type, last.message) == ("ValueError", "bad 1")
    assert last.frames[-1] == Frame("/home/ada/proj/mod.py", 17, "chain", 'raise ValueError(f"bad {x}") from error')
    assert (cause.error_type, _lines(cause)) == ("ZeroDivisionError", [("mod.py", 15), ("mod.py", 10)])
    assert headline(parse_error(_sample("python_chain"))) == "ValueError: bad 1"


def test_recursion_is_one_frame():
    (trace,) = _traces(_sample("python_recursion"))
    assert trace.error_type == "RecursionError"
    assert [f.line for f in trace.frames] == [1, 21]


def test_a_syntax_error_without_header_has_its_place():
    (trace,) = _traces(_sample("python_syntax"))
    assert trace == Traceback("SyntaxError", "invalid syntax", (Frame("/home/ada/proj/test_syn.py", 1, "", "def f(:"),))


def test_an_exception_group_gives_each_of_its_errors():
    found = _traces(_sample("python_group"))
    assert [t.error_type for t in found] == [
        "ExceptionGroup", "ZeroDivisionError", "ValueError", "ZeroDivisionError", "ExceptionGroup",
    ]  # fmt: skip
    assert found[0].message == "many (2 sub-exceptions)"
    assert _lines(found[2]) == [("eg.py", 3), ("mod.py", 17)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("IndexError: list index out of range", Traceback("IndexError", "list index out of range")),
        ("KeyboardInterrupt", Traceback("KeyboardInterrupt", "")),
        ("json.decoder.JSONDecodeError: Expecting value", Traceback("json.decoder.JSONDecodeError", "Expecting value")),
        (
            "SyntaxError: invalid syntax (a/b.py, line 3)",
            Traceback("SyntaxError", "invalid syntax", (Frame("a/b.py", 3),)),
        ),
        ("Error [MyError]: m\n    at f (a.js:1:2)", Traceback("MyError", "m", (Frame("a.js", 1, "f"),))),
        ("Uncaught TypeError: x is not a function", Traceback("TypeError", "x is not a function")),
        ("pkg/a.py:12: DeprecationWarning: old", Traceback("DeprecationWarning", "old", (Frame("pkg/a.py", 12),))),
        (
            '2024-05-01 ERROR Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\nOops: no',
            Traceback("Oops", "no", (Frame("a.py", 3, "f", "g()"),)),
        ),
        (
            'web_1  | Traceback (most recent call last):\nweb_1  |   File "a.py", line 3, in f\nweb_1  |     g()\n'
            "web_1  | Oops: no\nother",
            Traceback("Oops", "no", (Frame("a.py", 3, "f", "g()"),)),
        ),
        (
            'Traceback (most recent call last):\r\n  File "C:\\p\\a.py", line 3, in f\r\n    g()\r\nOops: no\r\n',
            Traceback("Oops", "no", (Frame("C:\\p\\a.py", 3, "f", "g()"),)),
        ),
        (
            'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g(\n    ~^\n    ...<2 lines>...\n'
            "    )\n    ^\nValueError: one\ntwo\n\nthree",
            Traceback("ValueError", "one\ntwo", (Frame("a.py", 3, "f", "g("),)),
        ),
        (
            'Traceback (most recent call last):\n  File "a.py", line 3, in f',
            Traceback("", "", (Frame("a.py", 3, "f"),)),
        ),
        (
            'Traceback (most recent call last):\n  File "a.py", line 3, in f\nm.<locals>: x',
            Traceback("", "", (Frame("a.py", 3, "f"),)),
        ),
    ],
)
def test_python_errors_of_other_shapes(text, wanted):
    assert parse_error(text) == Defect((wanted,))


# --- Python's test runners --------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["long", "short", "native", "color"])
def test_pytest_sections_have_full_ids_messages_and_frames(style):
    tests = _tests(_sample(f"pytest_{style}"))
    equal = tests["test_mod.py::test_eq"]
    assert equal.trace is not None
    assert equal.trace.error_type == "AssertionError"
    assert equal.message.startswith("assert 2.0 == 3\n +  where 2.0 = div(4, 2)")
    assert equal.trace.frames[-1].code == "assert div(4, 2) == 3"
    chain = tests["test_mod.py::test_chain"]
    assert chain.trace is not None
    assert (chain.trace.error_type, chain.message) == ("ValueError", "bad 3")
    assert _lines(chain.trace)[-2:] == [("test_mod.py", 9), ("mod.py", 17)]
    assert chain.trace.frames[-1].function == "chain"
    (cause,) = [t for t in _traces(_sample(f"pytest_{style}")) if t.message == "division by zero"][:1]
    assert _lines(cause) == [("mod.py", 15), ("mod.py", 10)]


@pytest.mark.parametrize("style", ["long", "short", "color"])
def test_pytest_assertions_with_a_message_and_subtests(style):
    tests = _tests(_sample(f"pytest_{style}"))
    assert tests["test_mod.py::test_param[2]"].message == "must be one\nassert 2 == 1"
    assert tests["test_mod.py::TestC::test_dict"].message.startswith("assert {'a': 1, 'b': [1, 2]} == {'a'")
    assert "U.test_sub (i=1)" in tests
    assert frames_in(parse_error(_sample(f"pytest_{style}")), "mod.py")[:2] == (17, 10)


def test_pytest_summary_lines_do_not_repeat_the_sections():
    tests = _tests(_sample("pytest_short"))
    assert [t for t in tests if t.endswith("test_eq")] == ["test_mod.py::test_eq"]


def test_pytest_in_one_line_style():
    text = _sample("pytest_line")
    assert Traceback("ValueError", "bad 3", (Frame("/home/ada/proj/mod.py", 17),)) in _traces(text)
    assert "test_mod.py::TestC::test_rec" in _tests(text)
    assert frames_in(parse_error(text), "mod.py") == (17, 21)


def test_pytest_collection_error_is_the_syntax_error_of_the_file():
    test = _tests(_sample("pytest_collect"))["test_syn.py"]
    assert test.trace is not None
    assert (test.trace.error_type, test.trace.message) == ("SyntaxError", "invalid syntax")
    assert test.trace.frames[-1] == Frame("/home/ada/proj/test_syn.py", 1, "", "def f(:")
    assert frames_in(parse_error(_sample("pytest_collect")), "test_syn.py") == (1,)


def test_pytest_doctest_says_what_was_expected():
    test = _tests(_sample("pytest_color"))["mod.py::mod.div"]
    assert test.message == "expected 3, got 2.0"
    assert frames_in(Defect((test,)), "mod.py") == (5,)


@pytest.mark.parametrize(
    ("line", "test_id", "message"),
    [
        ("FAILED tests/test_a.py::test_b[x - y]", "tests/test_a.py::test_b[x", ""),
        ("FAILED a.py::test_b - KeyError: 'k'", "a.py::test_b", "KeyError: 'k'"),
        ("ERROR tests/test_a.py - ImportError: no", "tests/test_a.py", "ImportError: no"),
        ("tests/test_a.py::test_b FAILED                 [ 50%]", "tests/test_a.py::test_b", ""),
    ],
)
def test_pytest_summary_alone(line, test_id, message):
    (test,) = [e for e in parse_error(line).evidence if isinstance(e, FailingTest)]
    assert test.test_id == test_id
    if message:
        assert test.message == message
        assert headline(parse_error(line)) == message


def test_unittest_sections():
    tests = _tests(_sample("unittest"))
    assert set(tests) == {"test_mod.U.test_err", "test_mod.U.test_list", "test_mod.U.test_sub (i=1)"}
    assert _lines(tests["test_mod.U.test_err"].trace) == [("test_mod.py", 30), ("mod.py", 17)]
    assert tests["test_mod.U.test_list"].message == "Lists differ: [2.0] != [3]"
    assert "test_a.T.test_b" in _tests(
        "FAIL: test_b (test_a.T)\n" + "-" * 70 + "\nTraceback (most recent call last):\nE: x"
    )


def test_doctest_failures():
    found = [e for e in parse_error(_sample("doctest")).evidence if isinstance(e, FailingTest)]
    assert [(t.test_id, t.message, t.source) for t in found] == [
        ("mod.div", "expected 3, got 2.0", "div(4, 2)"),
        ("mod.div", "division by zero", "div(1, 0)"),
    ]
    assert _lines(found[1].trace)[-1] == ("mod.py", 10)


# --- compilers and linters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            'pkg/m.py:3: error: Incompatible types in assignment (got "int")  [assignment]',
            Diagnostic("pkg/m.py", 3, 'Incompatible types in assignment (got "int")', 0, "assignment", "mypy"),
        ),
        ("m.py:3:5: note: See docs", Diagnostic("m.py", 3, "See docs", 5, "", "mypy", "note")),
        ("m.py:3:5:3:9: error: No  [misc]", Diagnostic("m.py", 3, "No", 5, "misc", "mypy")),
        (
            '  /p/m.py:3:5 - error: "x" is not defined (reportUndefinedVariable)',
            Diagnostic("/p/m.py", 3, '"x" is not defined', 5, "reportUndefinedVariable", "pyright"),
        ),
        (
            "/p/m.py:3:5 - warning: odd (reportOdd)",
            Diagnostic("/p/m.py", 3, "odd", 5, "reportOdd", "pyright", "warning"),
        ),
        (
            "src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.",
            Diagnostic("src/a.ts", 3, "Type 'string' is not assignable to type 'number'.", 5, "TS2322", "tsc"),
        ),
        (
            "src/a.ts:3:5 - error TS2322: Type 'string'.",
            Diagnostic("src/a.ts", 3, "Type 'string'.", 5, "TS2322", "tsc"),
        ),
        (
            "m.py:1:1: E302 expected 2 blank lines",
            Diagnostic("m.py", 1, "expected 2 blank lines", 1, "E302", "lint", "warning"),
        ),
        (
            "m.py:1:0: C0114: Missing docstring",
            Diagnostic("m.py", 1, "Missing docstring", 0, "C0114", "lint", "warning"),
        ),
        ("C:\\p\\a.ts(3,5): error TS1: x", Diagnostic("C:\\p\\a.ts", 3, "x", 5, "TS1", "tsc")),
        ("C:\\p\\m.py:3:5: error: x", Diagnostic("C:\\p\\m.py", 3, "x", 5, "", "mypy")),
        ("a/A.java:7: warning: [unchecked] x", Diagnostic("a/A.java", 7, "[unchecked] x", 0, "", "javac", "warning")),
    ],
)
def test_one_line_diagnostics(line, wanted):
    assert parse_error(line) == Defect((wanted,))


@pytest.mark.parametrize("style", ["ruff_full", "ruff_concise"])
def test_ruff_in_both_formats(style):
    found = _diagnostics(_sample(style))
    undefined = Diagnostic("mod.py", 24, "Undefined name `undefined`", 16, "F821", "lint")
    unused = Diagnostic("mod.py", 1, "`os` imported but unused", 8, "F401", "lint", "warning")
    assert undefined in found
    assert unused in found
    assert found.index(undefined) < found.index(unused)
    assert frames_in(parse_error(_sample(style)), "mod.py") == (24,)


def test_javac_has_its_column_from_the_caret():
    assert _diagnostics(_sample("javac")) == [Diagnostic("Bad.java", 3, "';' expected", 18, "", "javac")]
    assert _diagnostics(_sample("javac_symbol")) == [Diagnostic("Bad2.java", 3, "cannot find symbol", 16, "", "javac")]
    assert headline(parse_error(_sample("javac"))) == "error: ';' expected"


def test_times_of_day_are_no_diagnostics():
    assert parse_error("12:30:45: error: clock") == Defect((Report("12:30:45: error: clock"),))


# --- JavaScript and Java ----------------------------------------------------------------------------------------


def test_node_stacks_end_with_the_innermost_frame():
    (trace,) = _traces(_sample("node_type"))
    assert (trace.error_type, trace.message) == ("TypeError", "Cannot read properties of undefined (reading 'bar')")
    assert _lines(trace)[-3:] == [("a.js", 3), ("a.js", 2), ("a.js", 1)]
    assert trace.frames[-1].function == "f"
    assert frames_in(parse_error(_sample("node_type")), "src/a.js") == ()
    assert frames_in(parse_error(_sample("node_type")), "a.js") == (1, 2, 3)


def test_node_syntax_error_stands_in_the_head():
    (trace,) = _traces(_sample("node_syntax"))
    assert trace.frames[-1] == Frame("/home/ada/proj/c.js", 2, "", "if (x {")
    assert frames_in(parse_error(_sample("node_syntax")), "c.js") == (2,)


def test_node_modules_by_url_and_an_assertion_over_lines():
    (trace,) = _traces(_sample("node_assert"))
    assert (trace.error_type, trace.message) == ("AssertionError", "Expected values to be strictly equal:\n\n2 !== 3")
    assert frames_in(parse_error(_sample("node_assert")), "b.mjs") == (2, 3)


def test_node_causes_and_tap():
    outer, cause = _traces(_sample("node_cause"))
    assert (outer.message, cause.error_type) == ("outer", "TypeError")
    (test,) = _tests(_sample("node_test")).values()
    assert (test.test_id, test.message) == ("adds", "2 == 3")
    assert frames_in(parse_error(_sample("node_test")), "t.test.js") == (2,)


JEST = """  ● sum › adds numbers

    expect(received).toBe(expected) // Object.is equality

    Expected: 3
    Received: 2

      2 | test('adds numbers', () => {
    > 3 |   expect(add(1, 1)).toBe(3);
        |                     ^
      4 | });

      at Object.toBe (src/sum.test.js:3:21)
      at new Promise (<anonymous>)
"""


def test_jest_blocks():
    (test,) = _tests(JEST).values()
    assert test.test_id == "sum › adds numbers"
    assert test.message == "expect(received).toBe(expected) // Object.is equality\nExpected: 3\nReceived: 2"
    assert _lines(test.trace) == [("sum.test.js", 3)]


def test_java_stacks_with_causes():
    outer, cause = _traces(_sample("java_stack"))
    assert outer == Traceback("java.lang.IllegalStateException", "outer: failed", (Frame("Main.java", 4, "Main.main"),))
    assert cause.frames == (Frame("Main.java", 2, "Main.f"),)
    assert headline(Defect((cause,))) == "ArrayIndexOutOfBoundsException: Index 2 out of bounds for length 2"
    assert frames_in(parse_error(_sample("java_stack")), "src/main/java/Main.java") == (4, 2)


def test_junit_and_surefire():
    text = (
        "org.opentest4j.AssertionFailedError: expected: <1> but was: <2>\n"
        "\tat org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:55)\n"
        "\tat java.base/java.util.ArrayList.forEach(ArrayList.java:1511)\n"
        "\tat com.acme.Calc.add(Calc.java:9) ~[classes/:?]\n"
        "\tat com.acme.CalcTest.adds(CalcTest.java:12)\n\t... 7 more\n"
        "[ERROR]   CalcTest.adds:12 expected: <1> but was: <2>\n"
    )
    defect = parse_error(text)
    assert frames_in(defect, "src/main/java/com/acme/Calc.java") == (9,)
    assert frames_in(defect, "ArrayList.java") == ()
    assert frames_in(defect, "AssertionUtils.java") == ()
    assert _tests(text)["CalcTest.adds"].message == "expected: <1> but was: <2>"


# --- whatever comes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " \n\t\n", "\x1b[0m\r\n"])
def test_blank_text_is_no_evidence(text):
    assert parse_error(text) == Defect(())


def test_unknown_text_is_kept_as_it_came():
    text = "The result is wrong for n = 3:\r\n  it should be sorted"
    defect = parse_error(text)
    assert defect == Defect((Report(text),))
    assert headline(defect) == "The result is wrong for n = 3:"


def test_headline_is_one_bounded_line():
    assert headline(parse_error("ValueError: " + "x" * 5000)) == "ValueError: " + "x" * 288
    assert headline(Defect(())) == ""
    assert headline(Defect((FailingTest("t.py::test_a"),))) == "test t.py::test_a fails"
    assert headline(Defect((Report("started\nfatal error: boom\n"),))) == "fatal error: boom"


FRAGMENTS = st.sampled_from(
    [line for name in sorted(SAMPLES.glob("*.txt")) for line in name.read_text().split("\n")][::3]
) | st.text(max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAGMENTS, max_size=30).map("\n".join))
def test_nothing_is_ever_raised_and_nothing_is_lost(text):
    defect = parse_error(text)
    line = headline(defect)
    assert "\n" not in line
    assert len(line) <= 300
    assert all(n >= 0 for n in frames_in(defect, "mod.py"))
    assert bool(defect.evidence) or not text.strip() or "\x1b" in text


HOSTILE = [
    "a:1", 'File "', "    at f (", "Error: x\n", "Error: x\n\n\n", "::::", "_ ", "___ x ___\n", "\x1b[0", "\x1b]0",
    "Traceback (most recent call last):\n", '  File "a.py", line 1, in f\n', "at x\n", "x(1,1): ", "● x\n",
    "not ok 1 - x\n---\n", "a.js:1\n^\n", "FAIL: x\n", "a.py:1: error: " + " " * 900 + "x\n", "a.b.", "^", "(" * 50,
    "F401 x\n --> a.py:1:1\n", " [", "a.py:1: in f\n", "Caused by: ", "[" * 99 + "\n", "x.py:1:1: A1 \n", "\u2028",
    "Traceback (most recent call last):\nX: 1\n\n"
    "During handling of the above exception, another exception occurred:\n\n",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_megabyte_takes_linear_time(piece):
    whole = piece * (1_000_000 // len(piece))
    in_lines = (piece.replace("\n", " ") * (900 // len(piece) + 1) + "\n") * 1_000
    for text in (whole, in_lines):
        started = time.process_time()
        defect = parse_error(text)
        headline(defect)
        frames_in(defect, "a.py")
        assert time.process_time() - started < 20  # a quadratic reader takes hours


# --- live processes ---------------------------------------------------------------------------------------------


def test_this_python_is_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "calc.py").write_text("def half(x):\n    return x / 0\n")
    (tmp_path / "run.py").write_text("from sub.calc import half\nhalf(3)\n")
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    defect = parse_error(done.stdout + done.stderr)
    assert headline(defect) == "ZeroDivisionError: division by zero"
    assert frames_in(defect, "sub/calc.py") == (2,)
    assert frames_in(defect, "run.py") == (2,)
    assert frames_in(defect, "sub/other.py") == ()


def test_this_pytest_is_read(tmp_path):
    (tmp_path / "calc.py").write_text("def half(x):\n    return x // 3\n")
    (tmp_path / "test_calc.py").write_text(
        "from calc import half\n\ndef test_half():\n    assert half(9) == 4, 'nine'\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_calc.py"]
    plain = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, env=plain)
    defect = parse_error(done.stdout + done.stderr)
    assert headline(defect) == "AssertionError: nine"
    (test,) = defect.evidence
    assert isinstance(test, FailingTest)
    assert test.test_id == "test_calc.py::test_half"
    assert frames_in(defect, "test_calc.py") == (4,)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_this_node_is_read(tmp_path):
    (tmp_path / "a.js").write_text("function f(x) {\n  return x.y.z;\n}\nf({});\n")
    done = subprocess.run(["node", "a.js"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert frames_in(parse_error(done.stderr), "a.js") == (2, 4)


# --- whose file is it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "path", "ours"),
    [
        ("pkg/a.py", "pkg/a.py", True),
        ("./pkg/a.py", "pkg/a.py", True),
        ("/home/u/p/pkg/a.py", "pkg/a.py", True),
        ("a.py", "pkg/a.py", True),
        ("pkg\\a.py", "pkg/a.py", True),
        ("C:\\u\\pkg\\a.py", "pkg/a.py", True),
        ("file:///u/my%20p/pkg/a.mjs", "pkg/a.mjs", True),
        ("/tmp/emend-x1/a.py", "src/a.py", True),
        ("/home/u/other/a.py", "src/a.py", False),
        ("<stdin>", "src/a.py", True),
        ("[eval]", "a.js", True),
        ("/usr/lib/python3.11/json/decoder.py", "decoder.py", False),
        ("/v/lib/site-packages/x/a.py", "a.py", False),
        ("node:internal/a.js", "a.js", False),
        ("bba.py", "a.py", False),
        ("", "a.py", False),
        ("node_modules/x/a.js", "node_modules/x/a.js", True),
    ],
)
def test_printed_paths(printed, path, ours):
    assert (affinity(printed, path) > 0) is ours


def test_the_longest_match_owns_a_frame_and_a_tie_has_no_owner():
    paths = ("__init__.py", "pkg/__init__.py", "pkg/sub/__init__.py")
    assert owner(Frame("/p/pkg/__init__.py", 1), paths) == "pkg/__init__.py"
    assert owner(Frame("x.py", 1), ("a/x.py", "b/x.py")) is None
    assert owner(Frame("<stdin>", 1), ("a.py",)) == "a.py"
