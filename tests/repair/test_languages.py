"""Trees in character offsets, functions, names, and what does not parse."""

from __future__ import annotations

import ast
import heapq
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.languages import (
    attribute_names,
    comment_spans,
    enclosing_function,
    functions,
    language,
    language_names,
    parse,
    parses,
    statement_lines,
    tree_key,
    undefined_names,
    visible_names,
)
from repair.languages.trees import offsets
from repair.sources import Source


def python(text: str) -> Source:
    return Source("a.py", textwrap.dedent(text))


CLASS = python(
    '''
    import os.path as p
    from a import b, c as d

    LIMIT = 3

    class Box(Base):
        """Doc."""

        @property
        def size(self, scale=1, *rest, flag: bool = True, **more):  # why
            total = scale + self.width
            for i, (j, k) in enumerate(rest):
                total += j.height
            return [q for q in more if q]

        async def load(
            self,
            path,
        ):
            def inner(x):
                return x + path
            return inner
    '''
)


def test_functions_of_a_class():
    found = {f.qualified_name: f for f in functions(CLASS)}
    assert list(found) == ["Box.size", "Box.load", "Box.load.inner"]
    size = found["Box.size"]
    assert CLASS.line(size.first_line).strip() == "@property"
    assert CLASS.line(size.last_line).strip() == "return [q for q in more if q]"
    assert size.signature == "def size(self, scale=1, *rest, flag: bool = True, **more):"
    assert size.class_header == "class Box(Base):"
    assert found["Box.load"].signature == "async def load( self, path, ):"
    assert found["Box.load.inner"].nested
    assert not size.nested


def test_the_innermost_function_holds_a_line():
    inside = CLASS.position(CLASS.text.index("return x"))[0]
    found = enclosing_function(CLASS, inside)
    assert found is not None
    assert found.name == "inner"
    assert enclosing_function(CLASS, 2) is None


def test_visible_names_are_nearest_first():
    names = visible_names(CLASS, CLASS.text.index("total +="))
    assert names == ("self", "scale", "rest", "flag", "more", "total", "i", "j", "k", "p", "b", "d", "LIMIT", "Box")
    assert visible_names(CLASS, CLASS.text.index("q for"))[0] == "q"
    assert visible_names(CLASS, CLASS.text.index("x + path"))[:3] == ("x", "self", "path")


def test_attributes_nearest_first():
    assert attribute_names(CLASS, CLASS.text.index("j.height")) == ("height", "width")
    assert attribute_names(CLASS, 0, limit=1) == ("width",)


def test_statement_lines_and_comments():
    source = python("x = (1,\n     2)  # two\nif x:\n    pass\nelse:\n    y = 1\n")
    assert statement_lines(source) == frozenset({1, 3, 4, 5, 6})
    assert [s.of(source.text) for s in comment_spans(source)] == ["# two"]


def test_undefined_names():
    source = python(
        "import os\ndef f(a):\n    global G\n    G = len(a)\n    return g(a) + os.x + b + [i for i in a][0]\n"
    )
    assert undefined_names(source) == {"g", "b"}
    assert undefined_names(python("from m import *\nf()\n")) == frozenset()
    assert undefined_names(python("f(\n")) == frozenset()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", "def f(:\n    pass\n", 1),
        ("a.py", "x = 1\nreturn x\n", 2),
        ("a.py", "for x in y:\n    pass\nbreak\n", 3),
        ("a.py", "x = '\\ud8'\n\0", 0),
        ("a.js", "var x = 1;\nif (x {\n}\n", 2),
        ("a.ts", "let x: number = ;\n", 1),
        ("A.java", "class A {\n  int f() { return 1 }\n}\n", 2),
    ],
)
def test_what_does_not_parse(name: str, text: str, line: int):
    error = parses(Source(name, text))
    assert error is not None
    assert error.message
    assert error.line in {0, line}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "async def f():\n    return [x async for x in y]\n"),
        ("a.js", "const f = async (x) => { await x?.y; };\n"),
        ("a.tsx", "const a: number = <b>{1}</b>;\n"),
        ("A.java", "class A { int f(int... x) { return x[0]; } }\n"),
        ("a.unknown", "((( whatever"),
    ],
)
def test_what_parses(name: str, text: str):
    assert parses(Source(name, text)) is None


def test_unknown_languages_have_nothing_but_text():
    source = Source("a.unknown", "def f():\n\n  x\n")
    assert language("klingon").name == "text"
    assert functions(source) == ()
    assert visible_names(source, 3) == ()
    assert statement_lines(source) == frozenset({1, 3})
    assert tree_key(source) == source.text


def test_javascript_functions_and_names():
    text = "class A extends B {\n  m(x) { return this.x; }\n}\n"
    text += "export const f = ({k, l: m}, ...n) => { let z = 1; return z; };\n"
    source = Source("a.js", text)
    assert [f.qualified_name for f in functions(source)] == ["A.m", "f"]
    assert functions(source)[0].class_header == "class A extends B"
    assert visible_names(source, text.index("return z")) == ("k", "m", "n", "z", "A", "f")
    assert attribute_names(source, 0) == ("x",)


def test_java_functions_and_names():
    text = "class A {\n  int k;\n  int m(int x, String... y) {\n    int a = x;\n"
    text += "    for (String s : y) a += s.length();\n    return a;\n  }\n}\n"
    source = Source("A.java", text)
    assert [f.qualified_name for f in functions(source)] == ["A.m"]
    assert visible_names(source, text.index("return a"))[:4] == ("x", "y", "a", "s")
    assert attribute_names(source, 0) == ("length",)


def test_tree_key_ignores_layout_and_nothing_else():
    key = tree_key(python("x = (1 + 2)  # c\n"))
    assert key == tree_key(python("x = 1+2\n"))
    assert key != tree_key(python("x = 1 + 3\n"))
    one = tree_key(Source("a.js", "f(1, 'a b'); // c\n"))
    assert one == tree_key(Source("a.js", "f( 1,\n'a b' );\n"))
    assert one != tree_key(Source("a.js", "f(1, 'ab');\n"))


@pytest.mark.parametrize("name", language_names())
@given(text=st.text(alphabet=st.characters(), max_size=60))
@settings(max_examples=40, deadline=None)
def test_weird_text_never_raises(name: str, text: str):
    source = Source("a", text, name)
    parse(source)
    parses(source)
    functions(source)
    visible_names(source, len(text))
    tree_key(source)
    undefined_names(source)


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 20000 + "1", "x = " + "[" * 300 + "]" * 300, "a" + ".b" * 5000, "\ud800 = 1"]
)
def test_deep_and_broken_text_never_raises(text: str):
    source = python(text)
    parses(source)
    tree_key(source)
    functions(source)
    undefined_names(source)


@given(st.text(alphabet=st.sampled_from("aß€😀\r\n \ud800"), max_size=40))
def test_offsets_are_characters(text: str):
    to_char = offsets(text)
    encoded = 0
    for at, character in enumerate(text):
        assert to_char(encoded) == at
        encoded += len(character.encode("utf-8", "surrogatepass"))
    assert to_char(encoded) == len(text)


@given(st.lists(st.sampled_from(["ß", "😀", "x", "\r\n", "€"]), max_size=8).map("".join))
@settings(deadline=None)
def test_nodes_cover_their_characters(noise: str):
    text = f"# {noise!s}\n".replace("\n\n", "\n") + "naïve = f('😀', größe)\r\n"
    tree = parse(Source("a.py", text))
    words = [tree.text(n) for n in tree.nodes if n.kind == "identifier" and n.start >= text.index("naïve")]
    assert words == ["naïve", "f", "größe"]


def test_nodes_that_overlap_a_line():
    source = python('x = f(1,\n      """a\n      b""",\n  y)\nz = 2\n')
    tree = parse(source)
    for number in range(1, source.line_count + 1):
        span = source.line_span(number, terminator=True)
        wanted = [n for n in tree.nodes if n.start < span.end and n.end > span.start and n.end > n.start]
        assert tree.overlapping(span) == wanted


def test_the_grammar_agrees_with_python_on_the_library():
    text = Path(heapq.__file__).read_text(encoding="utf-8")
    source = Source("heapq.py", text)
    theirs = {(n.name, n.lineno, n.end_lineno) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)}
    assert {(f.name, f.first_line, f.last_line) for f in functions(source)} == theirs
    lines = {n.lineno for n in ast.walk(ast.parse(text)) if isinstance(n, ast.stmt)}
    assert lines <= statement_lines(source)
