"""Changes that teach nothing are named; anything real in them makes them real."""

import pytest

from data.cosmetic import REASONS, reason
from data.records import Origin, Record

PY = "def f(a, b):\n    total = a + b\n    return total\n"
JS = "function f(a, b) {\n  const total = a + b;\n  return total;\n}\n"
TS = "function f(a: number, b: number): number {\n  const total = a + b;\n  return total;\n}\n"
JAVA = "int f(int a, int b) {\n    int total = a + b;\n    return total;\n}\n"

CASES = [
    ("python", PY, "def f(a, b):\n    total = (a\n             + b)\n    return total\n", "format"),
    ("python", "def f():\n    return g('x', 1)\n",
     'def f():\n    return g(\n        "x",\n        1,\n    )\n', "format"),
    ("python", PY, "def f(a, b):\n    total = a + b  # the sum\n    return total\n", "comment"),
    ("python", PY, 'def f(a, b):\n    """Add."""\n    total = a + b\n    return total\n', "docstring"),
    ("python", 'def f():\n    """Do."""\n', "def f():\n    pass\n", "docstring"),
    ("python", PY, PY.replace("total", "result"), "rename"),
    ("python", PY, PY.replace("a", "x").replace("totxl", "total"), "rename"),
    ("python", "import os\n" + PY, "import os\nimport re\n" + PY, "import"),
    ("python", PY, "def f(a: int, b: int) -> int:\n    total: int = a + b\n    return total\n", "annotation"),
    ("python", "def f():\n    raise ValueError('bad')\n", "def f():\n    raise ValueError('bad value')\n", "string"),
    ("python", "def f(x):\n    log(f'a {x}')\n", "def f(x):\n    log(f'b {x}')\n", "string"),
    ("python", PY, "def f(a, b):\n    total = a +\n    return total\n", "unparsable"),
    ("python", "    def f(self):\n        x = 1\n        return x\n",
     "    def f(self):\n        y = 1\n        return y\n",
     "rename"),
    ("javascript", JS, JS.replace(";", ""), "format"),
    ("javascript", JS, JS.replace("total", "sum"), "rename"),
    ("javascript", JS, "// adds\n" + JS, "comment"),
    ("javascript", "function f() { g('a'); }\n", 'function f() { g("a"); }\n', "format"),
    ("javascript", "function f() { g('a'); }\n", "function f() { g('b'); }\n", "string"),
    ("javascript", "  run(a) {\n    return a;\n  }\n", "  run(b) {\n    return b;\n  }\n", "rename"),
    ("typescript", TS, TS.replace(": number", ""), "annotation"),
    ("typescript", TS, TS.replace("total", "sum"), "rename"),
    ("java", JAVA, JAVA.replace("total", "sum"), "rename"),
    ("java", JAVA, "@Override\n" + JAVA, "annotation"),
    ("java", JAVA, "/** Adds. */\n" + JAVA, "comment"),
    ("java", JAVA, JAVA.replace("\n    ", " "), "format"),
]  # fmt: skip

REAL = [
    ("python", PY, PY.replace("a + b", "a - b")),
    ("python", PY, PY.replace("return total", "return a")),
    ("python", PY, "def f(a, b):\n    # a comment\n    total = b + a\n    return total\n"),  # mixed with a comment
    ("python", PY, PY.replace("total", "result").replace("a + b", "b + a")),  # mixed with a rename
    ("python", "def f(x):\n    log(f'a {x}')\n", "def f(x):\n    log(f'b {x.y}')\n"),
    ("python", "def f(a):\n    if a:\n        g()\n    h()\n", "def f(a):\n    if a:\n        g()\n        h()\n"),
    ("python", "def f(a):\n    return a.x\n", "def f(a):\n    return a.y\n"),  # attributes are not local
    ("python", "def f(a):\n    return g(k=a)\n", "def f(a):\n    return g(j=a)\n"),
    ("python", "def f(a):\n    return len(a)\n", "def f(len):\n    return len(len)\n"),  # captures a builtin
    ("python", "def f(a):\n    return (a,)\n", "def f(a):\n    return (a)\n"),
    ("python", "def f(a):\n    return 'x'\n", "def f(a):\n    return b'x'\n"),
    ("python", "def f(a)\n    return 1\n", "def f(a):\n    return 1\n"),  # the buggy side does not parse
    ("python", "def f():\n    global n\n    n = 1\n", "def f():\n    global m\n    m = 1\n"),
    ("javascript", JS, JS.replace("a + b", "a * b")),
    ("javascript", "function f(a) { return {a}; }\n", "function f(b) { return {b}; }\n"),  # the key changes too
    ("typescript", TS, TS.replace("a + b", "a * b").replace(": number", "")),
    ("java", JAVA, JAVA.replace("int total", "long total")),  # types mean something there
    ("java", JAVA, JAVA.replace("a + b", "a * b")),
]


@pytest.mark.parametrize(("language", "before", "after", "name"), CASES)
def test_cosmetic_changes_are_named(language, before, after, name):
    assert reason((language, before, after)) == name
    if name not in {"unparsable"}:
        assert reason((language, after, before)) == name


@pytest.mark.parametrize(("language", "before", "after"), REAL)
def test_real_changes_are_not_filtered(language, before, after):
    assert reason((language, before, after)) == ""


def test_a_record_is_taken_as_well():
    assert reason(Record("python", PY, PY.replace("total", "sum_"), Origin.COMMIT)) == "rename"
    assert reason(Record("python", PY, PY, Origin.COMMIT)) == ""
    assert {name for *_, name in CASES} == set(REASONS)
