"""Changed functions out of two texts of a file."""

from __future__ import annotations

import pytest

from data.outlines import outline, outlines
from data.pairs import PairLimits, file_pairs, text_pairs
from repair.languages import functions
from repair.sources import Source
from repair.windows import context_lines

LIMITS = PairLimits()
MODULE = '''import os
from sys import path


class Store(dict):
    """Keeps."""

    def first(self, key, default=None):
        """Say the first."""
        rows = self.get(key, [])
        return rows[1] if rows else default

    @property
    def size(self):
        return len(self)

    @size.setter
    def size(self, value):
        self.limit = value


def outer(n):
    def inner(m):
        return m + n
    return inner


async def fetch(place, *, depth=0):
    return place
'''


def test_a_changed_method_comes_with_its_place_and_context() -> None:
    found = text_pairs("a/store.py", MODULE, MODULE.replace("rows[1]", "rows[0]"), LIMITS)
    (pair,) = found.pairs
    assert (pair.language, pair.path, pair.function, pair.first_line) == ("python", "a/store.py", "Store.first", 8)
    assert pair.buggy.replace("rows[1]", "rows[0]") == pair.fixed
    assert pair.buggy.startswith("    def first(") and pair.buggy.endswith("else default\n")
    assert pair.changed == 1 and not pair.prose
    source = Source("a/store.py", MODULE)
    own = next(f for f in functions(source) if f.name == "first")
    assert pair.context == context_lines(source, own, functions(source))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", MODULE),
        ("a.js",
        "class A { go(x) { return x } }\nconst f = a => { return a }\nexport function g() { }\ny = function () {}\n"),
        ("a.ts", "export class A<T> {\n  go(x: T): T { return x }\n}\nfunction f(a?: number) { return a }\n"),
        ("a.java", "class A {\n  A() { }\n  int go(int x) { return x; }\n  Runnable r = () -> { };\n}\n"),
    ],
)  # fmt: skip
def test_outline_says_what_the_language_package_says(path: str, text: str) -> None:
    source = Source(path, text)
    ours = [(p.key[0], p.first_line, p.last_line) for p in outline(text, source.language)]
    assert ours == [(f.qualified_name, f.first_line, f.last_line) for f in functions(source)]
    assert ours


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("rows[1] if rows else default", "rows[ 1 ] if (rows) else default  # first", "same program"),
        ('"""Say the first."""', '"""Say the very first one."""', "same program"),
        ("key, default=None", "key: str, default: object = None", "same program"),
        ("return rows[1]", "return rows[1", "does not parse"),
        ("rows = self.get(key, [])", "print 'x'", "does not parse"),
        ("rows = self.get(key, [])", "\n".join(f"rows = {n}" for n in range(20)), "large change"),
    ],
)
def test_what_is_no_small_change_of_a_program_is_left_out(old: str, new: str, reason: str) -> None:
    indented = new.replace("\n", "\n        ")
    found = text_pairs("a.py", MODULE, MODULE.replace(old, indented), LIMITS)
    assert found.pairs == () and found.reasons == (reason,)


def test_words_of_messages_are_told_from_keys() -> None:
    text = "def f(x):\n    raise ValueError('cannot read it', x['key'])\n"
    (prose,) = text_pairs("a.py", text, text.replace("cannot read it", "unable to read this"), LIMITS).pairs
    (key,) = text_pairs("a.py", text, text.replace("'key'", "'name'"), LIMITS).pairs
    assert prose.prose and not key.prose
    js = "function f(x) {\n  throw new Error('cannot read it')\n}\n"
    (prose,) = text_pairs("a.js", js, js.replace("cannot", "can not"), LIMITS).pairs
    assert prose.prose


def test_numbers_that_are_equal_but_not_the_same_are_a_change() -> None:
    text = "def f(x):\n    return x / 1\n"
    assert len(text_pairs("a.py", text, text.replace("1", "1.0"), LIMITS).pairs) == 1


def test_only_functions_of_both_sides_are_paired() -> None:
    found = text_pairs("a.py", MODULE, MODULE.replace("def outer(n)", "def other(n)"), LIMITS)
    assert found.pairs == () and (found.added, found.removed) == (2, 2)
    more = MODULE.replace("    @property\n", "    @property\n    def size(self):\n        return 0\n\n    @property\n")
    assert text_pairs("a.py", MODULE, more, LIMITS).pairs == ()  # which `size` became which cannot be told


def test_functions_of_one_name_are_told_by_their_order() -> None:
    (pair,) = text_pairs("a.py", MODULE, MODULE.replace("= value", "= int(value)"), LIMITS).pairs
    assert pair.function == "Store.size" and pair.buggy.startswith("    @size.setter\n")


def test_the_largest_function_within_the_limit_holds_the_nested_ones() -> None:
    changed = MODULE.replace("m + n", "m - n")
    (pair,) = text_pairs("a.py", MODULE, changed, LIMITS).pairs
    assert pair.function == "outer"
    (pair,) = text_pairs("a.py", MODULE, changed, PairLimits(lines=3)).pairs
    assert pair.function == "outer.inner" and pair.buggy.startswith("    def inner(")


def test_too_many_changed_functions_give_none() -> None:
    text = "".join(f"def f{n}(x):\n    return x + {n}\n\n\n" for n in range(5))
    found = text_pairs("a.py", text, text.replace("x +", "x -"), LIMITS)
    assert found.pairs == () and found.reasons == ("many functions",)


def test_line_ends_are_made_one_and_odd_bytes_refused() -> None:
    before = MODULE.replace("\n", "\r\n").encode()
    assert file_pairs("a.py", before, MODULE.encode(), LIMITS).pairs == ()
    (pair,) = file_pairs("a.py", before, before.replace(b"rows[1]", b"rows[0]"), LIMITS).pairs
    assert "\r" not in pair.buggy + pair.fixed
    assert file_pairs("a.py", before, b"x = '\xff'\n", LIMITS).reasons == ("not utf-8",)
    assert file_pairs("a.txt", b"x\n", b"y\n", LIMITS).reasons == ("no language",)


@pytest.mark.parametrize("text", ["", "ä = 1\n", MODULE, "def f():\n    pass\n"])
def test_the_second_tree_is_that_of_a_fresh_parse(text: str) -> None:
    variants = (text + "def g(y):\n    return y\n", "x = 'ü'\n" + text, text.replace("def ", "def x", 1), "", text[5:])
    for other in variants:
        _, new = outlines(text, other, "python")
        assert [(p.key, p.text) for p in new] == [(p.key, p.text) for p in outline(other, "python")]


JAVA = """package a;

class Box {
    // how many
    int size(int[] items) {
        int n = 0;
        for (int i = 0; i <= items.length; i++) { n++; }
        return n;
    }
}
"""


def test_java_and_typescript_pairs_ignore_comments_and_layout() -> None:
    (pair,) = text_pairs("Box.java", JAVA, JAVA.replace("<=", "<"), LIMITS).pairs
    assert (pair.function, pair.language, pair.first_line) == ("Box.size", "java", 5)
    same = JAVA.replace("int n = 0;", "int n   =  0; // counts")
    assert text_pairs("Box.java", JAVA, same, LIMITS).reasons == ("same program",)
    text = "export class A {\n  go(x: number) {\n    return x ? 1 : 2\n  }\n}\n"
    (pair,) = text_pairs("a.ts", text, text.replace("x ?", "!x ?"), LIMITS).pairs
    assert (pair.function, pair.language) == ("A.go", "typescript")
