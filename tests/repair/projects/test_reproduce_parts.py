"""The pure parts of reproduction: reading reports, values, agreement, shrinking, writing."""

import ast
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from repair.projects.reproduce.calls import Calls, by_sum
from repair.projects.reproduce.harvest import seen_calls
from repair.projects.reproduce.index import Index
from repair.projects.reproduce.pool import message_values, printed_locals
from repair.projects.reproduce.shrink import shrunk
from repair.projects.reproduce.snippets import draft_of, snippets, wrong_results
from repair.projects.reproduce.target import Agreement, Level, Raised, Target, agreement, masked, targets
from repair.projects.reproduce.writing import Draft, render, show, snake

MODULE = '''"""
>>> f(9)
"""

class C:
    def __init__(self, size):
        self.size = size

    def get(self, key):
        return {}[key]


def f(a, b=1):
    return a
'''
INNER = Level("a.py", 3, "f", "return x[key]")
TARGET = Target("KeyError", "'k1'", (Level("", 1, "<module>", "main()"), Level("a.py", 9, "g", "f({})"), INNER))


@pytest.mark.parametrize(
    ("report", "body"),
    [
        ("```python\nimport a\na.f(1)\n```", ("a.f(1)",)),
        ("```\na.f(1)\n", ("a.f(1)",)),
        ("text\n\n    a.f(1)\n\ntext", ("a.f(1)",)),
        ("    >>> x = 1\n    >>> a.f(x)\n    2\n", ("x = 1", "a.f(x)")),
        (">>> for i in (1, 2):\n...     a.f(i)\n", ("for i in (1, 2):\n    a.f(i)",)),
        ("run `a.f(1)` and see", ("a.f(1)",)),
        ("$ python -c 'import a; a.f(1)'", ("a.f(1)",)),
        ("```py\ndef m():\n    a.f(1)\n\nif __name__ == '__main__':\n    m()\n```", ("def m():\n    a.f(1)", "m()")),
    ],
)  # fmt: skip
def test_code_of_reports(report: str, body: tuple[str, ...]) -> None:
    assert snippets(report)[0].body == body


def test_output_below_code_is_no_code() -> None:
    draft = draft_of("import a\na.f(1)\nprints: [1, 2\n")
    assert draft is not None
    assert (draft.imports, draft.body) == (("import a",), ("a.f(1)",))


@pytest.mark.parametrize(
    ("report", "expression", "wanted", "got"),
    [
        (">>> f(2)\n3\n\nexpected 4", "f(2)", "4", "3"),
        ("```\nprint(f(2))\n```\nReturns 3, should return `4`.", "f(2)", "4", "3"),
        ("```\nf('a')\n```\nExpected: 'b'\nActual: 'c'", "f('a')", "'b'", "'c'"),
    ],
)
def test_wrong_results(report: str, expression: str, wanted: str, got: str) -> None:
    found = wrong_results(report)[-1]
    assert (found.expression, found.wanted, found.got) == (expression, wanted, got)


@pytest.mark.parametrize("piece", ["```\n", "    \n", "expected ", ">>> (\n", "x = [" * 20 + "\n", "`f(1)` ", "'" * 50])
def test_reading_takes_linear_time_whatever_the_text(piece: str) -> None:
    report = piece * (60_000 // len(piece))
    start = time.process_time()
    snippets(report)
    wrong_results(report)
    printed_locals(report)
    assert time.process_time() - start < 30  # a quadratic reader takes hours


def test_locals_as_pytest_and_rich_print_them() -> None:
    report = "key        = 'a'\n│ count = 3            │\nitems = [1, 2], sep = ','\nself = <object at 0x1>\n"
    found = {name: [v.text for v in values] for name, values in printed_locals(report).items()}
    assert found == {"key": ['"a"'], "count": ["3"], "items": ["[1, 2]"], "sep": ['","']}


@pytest.mark.parametrize(
    ("error", "message", "among"),
    [
        ("KeyError", "'foo'", '"foo"'),
        ("ValueError", "invalid literal for int() with base 10: 'abc'", '"abc"'),
        ("AttributeError", "'NoneType' object has no attribute 'x'", "None"),
        ("ZeroDivisionError", "division by zero", "[]"),
        ("ValueError", "cannot convert float NaN to integer", 'float("nan")'),
        ("KeyError", "('a', 1)", '("a", 1)'),
    ],
)
def test_values_of_messages_come_early(error: str, message: str, among: str) -> None:
    assert among in [v.text for v in message_values(Target(error, message, ()))][:4]


def test_literals_of_the_innermost_function_are_tried(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text('def f(text):\n    """No value."""\n    return text.replace("$$", "q")[7]\n')
    index = Index(tmp_path, ())
    target = Target("IndexError", "string index out of range", (Level("m.py", 3, "f", ""),))
    bodies = [d.body[-1] for d in Calls(index, target, {}).drafts(60)]
    assert 'f("$$")' in bodies
    assert not any("No value" in body for body in bodies)


def test_agreement_asks_for_type_function_and_line() -> None:
    same = Raised("KeyError", "'k7'", (Level("a.py", 8, "g", "f({})"), Level("a.py", 3, "f", "return x[key]")))
    assert agreement(TARGET, same) == Agreement(line=True, message=True, chain=2, exact=False)
    assert agreement(TARGET, Raised("ValueError", "'k1'", same.levels)) is None
    assert agreement(TARGET, Raised("KeyError", "'k1'", same.levels[:1])) is None
    other = Level("a.py", 4, "f", "return other[key]")
    assert agreement(TARGET, Raised("KeyError", "'k1'", (other,))) is None
    assert agreement(TARGET, Raised("KeyError", "'k1'", (other,)), stale=True) is not None
    assert masked("<A object at 0x7f00> has 12 items") == "<A object at #> has # items"


def test_frames_of_other_paths_are_not_ours() -> None:
    report = 'Traceback (most recent call last):\n  File "/x/s.py", line 1, in <module>\n    f()\n' \
        '  File "/x/pkg/a.py", line 3, in f\n    return 1 / 0\nZeroDivisionError: division by zero\n```\n'  # fmt: skip
    (found,) = targets(report, ("pkg/a.py", "pkg/b.py"))
    assert found.inner == Level("pkg/a.py", 3, "f", "return 1 / 0")
    assert (found.levels[0].path, found.message) == ("", "division by zero")


def test_shrinking_keeps_only_what_the_failure_needs() -> None:
    body = ("a = 1", "b = [1, 2, 3]", 'c = "xxQxx"', "unrelated(b)", "print(f(a, c, key=4))")

    def fails(drafts: Sequence[Draft]) -> list[bool]:
        return [any("Q" in s for s in d.body) and any("f(" in s for s in d.body) for d in drafts]

    small = shrunk(Draft(("import a", "from m import f, g"), body, "f", ""), fails)
    assert small.body in (('c = "Q"', "f()"), ('"Q"', "f()"))
    assert small.imports == ("from m import f",)


def test_written_as_formatters_do() -> None:
    call = ast.parse(f"x = function({'a' * 60!r}, ['it\\'s', 'b'], key='value')").body[0]
    assert show(call) == f'x = function(\n    "{"a" * 60}",\n    ["it\'s", "b"],\n    key="value",\n)'
    text = render(Draft(("from m import f", "import os"), ("f(os)",), "HTMLFilter", ""), "KeyError", 'KeyError: "a"')
    expected = '''\
        import os

        from m import f


        def test_html_filter_key_error():
            """KeyError: "a" """
            f(os)
        '''
    assert text == textwrap.dedent(expected)
    assert snake("getHTTPResponse2") == "get_http_response2"


def test_docstring_cannot_be_left_by_the_report() -> None:
    text = render(Draft((), ("f()",), "f", ""), "E", 'E: """ + evil() + """\\')
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert [type(n) for n in function.body] == [ast.Expr, ast.Expr]
    assert isinstance(function.body[0].value, ast.Constant)


def test_products_go_by_the_sum_of_places() -> None:
    assert list(by_sum((2, 2), 9)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(by_sum((), 9)) == [()]
    assert list(by_sum((2, 0), 9)) == []


def test_calls_of_tests_are_written_out(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "m.py").write_text(MODULE)
    (tmp_path / "tests/test_m.py").write_text(
        textwrap.dedent("""
        import datetime as dt
        import pytest
        from m import C, f

        LIMIT = 3

        @pytest.mark.parametrize("given, want", [(1, 2), (dt.date(2020, 1, 2), 3)])
        def test_f(given, want):
            assert f(given, b=LIMIT) == want

        def test_c(tmp_path):
            c = C(size=4)
            c.get("k")
            f(tmp_path)
        """)
    )
    index = Index(tmp_path, ())
    whole = [s.whole.text for s in seen_calls(index, "f") if s.whole]
    assert whole == ["f(1, b=3)", "f(dt.date(2020, 1, 2), b=3)", "f(9)"]
    assert 'C(size=4).get("k")' in [s.whole.text for s in seen_calls(index, "get") if s.whole]
    level = Level("m.py", 10, "get", "return {}[key]")
    drafts = Calls(index, Target("KeyError", "'z'", (level,)), {}).drafts(60)
    assert ("instance = C(size=4)", 'instance.get("z")') in [d.body for d in drafts]
