"""Which tests a patch can reach, on recorded coverage; nothing is executed but lines of a tiny model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.edits import Edit, FilePatch, Patch, Span, patch_between
from repair.projects.impact import Why, closure, file_of, impacted, imported
from repair.sources import Source

CODE = """\
LIMIT = 3


def first(n):
    if n > LIMIT:
        return n
    return 0


@cached
def second(a,
           b=1):
    c = a
    return c + b


class Third:
    size = 1

    def third(self):
        return self.size
"""
SOURCES = {"m.py": Source("m.py", CODE)}
LINES = {
    "t.py::high": {"m.py": frozenset({5, 6})},
    "t.py::low": {"m.py": frozenset({5, 7})},
    "t.py::second": {"m.py": frozenset({13, 14})},
    "t.py::third": {"m.py": frozenset({21}), "o.py": frozenset({1})},
    "u.py::other": {"o.py": frozenset({1})},
}
IMPORTS = {"t.py": frozenset({"m.py"}), "u.py": frozenset({"o.py"})}
PASSING = frozenset(LINES)


def selected(old: str, new: str) -> dict[str, Why]:
    assert old in CODE
    patch = patch_between({"m.py": CODE}, {"m.py": CODE.replace(old, new)})
    found = impacted(patch, SOURCES, LINES, PASSING, imports=IMPORTS)
    assert set(found.tests) == set(found.why)
    return {test.split("::")[1]: why for test, why in found.why.items()}


@pytest.mark.parametrize(
    ("old", "new", "tests", "why"),
    [
        ("return n\n", "return -n\n", {"high"}, Why.LINE),
        ("if n > LIMIT", "if n >= LIMIT", {"high", "low"}, Why.LINE),
        ("    return 0\n", "    n = 1\n    return 0\n", {"high", "low"}, Why.FUNCTION),
        ("        return n\n", "        yield n\n", {"high", "low"}, Why.FUNCTION),
        ("           b=1", "           b=2", {"second"}, Why.FUNCTION),
        ("    return 0\n", "    return 0\n    print()\n", {"high", "low"}, Why.FUNCTION),
        ("LIMIT = 3", "LIMIT = 4", {"high", "low", "second", "third"}, Why.FILE),
        ("@cached", "@once", {"high", "low", "second", "third"}, Why.FILE),
        ("    size = 1", "    size = 2", {"high", "low", "second", "third"}, Why.FILE),
    ],
)
def test_who_is_selected_and_why(old, new, tests, why):
    found = selected(old, new)
    assert set(found) == tests
    assert max(found.values()) == why


def test_the_most_specific_and_the_quickest_come_first():
    patch = patch_between({"m.py": CODE}, {"m.py": CODE.replace("return n\n", "return -n\n").replace("= 3", "= 4")})
    seconds = {"t.py::low": 0.5, "t.py::second": 0.1, "t.py::third": 0.2}
    found = impacted(patch, SOURCES, LINES, PASSING, seconds=seconds, imports=IMPORTS)
    assert found.tests == ("t.py::high", "t.py::second", "t.py::third", "t.py::low")
    assert found.share(of=8) == 0.5


def test_what_is_not_traced_selects_everything():
    patch = patch_between({"m.py": CODE}, {"m.py": CODE + "X = 1\n"})
    assert set(impacted(patch, SOURCES, {}, PASSING).tests) == PASSING
    other = {"n.py": Source("n.py", "x = 1\n")}
    assert (
        set(impacted(patch_between({"n.py": "x = 1\n"}, {"n.py": "x = 2\n"}), other, LINES, PASSING).tests) == PASSING
    )
    assert "new" in impacted(patch, SOURCES, LINES, {*PASSING, "new"}).tests


def test_a_file_that_does_not_parse_is_reached_by_whoever_imports_it():
    broken = {"m.py": Source("m.py", CODE.replace("return c + b", "return c +"))}
    patch = patch_between({"m.py": broken["m.py"].text}, {"m.py": CODE})
    assert "u.py::other" not in impacted(patch, broken, LINES, PASSING, imports=IMPORTS).tests


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_test_that_executes_a_changed_line_is_selected(data: st.DataObject):
    start = data.draw(st.integers(0, len(CODE)))
    end = data.draw(st.integers(start, min(len(CODE), start + 40)))
    text = data.draw(st.sampled_from(["", "x", "\n", "x = 1\n", "    y = 2\n", "(", "return 1"]))
    lines = {
        f"t.py::{i}": {"m.py": frozenset(data.draw(st.sets(st.integers(1, 21), max_size=6), label=f"lines {i}"))}
        for i in range(4)
    }
    patch = Patch((FilePatch("m.py", (Edit(Span(start, end), text),)),))
    found = impacted(patch, SOURCES, lines, frozenset(lines), imports=IMPORTS)
    first, last = SOURCES["m.py"].lines_of(Span(start, end))
    for test, files in lines.items():
        if patch and files["m.py"] & set(range(first, last + 1)):
            assert test in found.tests
    assert found == impacted(patch, SOURCES, lines, frozenset(lines), imports=IMPORTS)


def test_names_of_tests_lead_to_their_files():
    files = ("a/test_b.py", "test_c.py")
    assert [file_of(t, files) for t in ("a/test_b.py::C::d", "a.test_b.C.d", "test_c.T.x", "gone.T.x")] == [
        "a/test_b.py", "a/test_b.py", "test_c.py", "",
    ]  # fmt: skip


def test_imports_with_the_packages_around_them():
    known = ("src/pkg/__init__.py", "src/pkg/mod.py", "src/pkg/other.py", "test_x.py")
    assert imported("test_x.py", "from pkg.mod import f", known) == {"src/pkg/__init__.py", "src/pkg/mod.py"}
    assert imported("src/pkg/mod.py", "from . import other", known) == {"src/pkg/__init__.py", "src/pkg/other.py"}
    assert imported("test_x.py", "def (", known) == set(known)
    assert closure({"a": frozenset("b"), "b": frozenset("ca"), "c": frozenset()})["a"] == {"a", "b", "c"}
