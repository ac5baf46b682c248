"""Mutations apply, invert, parse; every bug class is injected; the search reaches what injection broke."""

from __future__ import annotations

import statistics
import sys
import sysconfig
import textwrap
import time
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.edits import FilePatch
from repair.languages import Function, functions, parse, parses, statement_lines, tree_key
from repair.mutate import BUG_CLASSES, Mutation, draw, faults, repairs, sites
from repair.sources import Source

LIBRARY = ("bisect", "heapq", "textwrap", "shlex", "fractions", "calendar")


def python(text: str) -> Source:
    return Source("a.py", textwrap.dedent(text))


@cache
def library(name: str) -> Source:
    path = Path(sysconfig.get_paths()["stdlib"]) / f"{name}.py"
    return Source(path.name, path.read_text(encoding="utf-8"))


def say(*figures: object) -> None:
    """Measured figures, seen with `pytest -s`."""
    sys.stdout.write(" ".join(map(str, figures)) + "\n")


def middle_sized(source: Source, random: Random | None = None) -> list[Function]:
    """Functions of 5 to 30 lines, in random order on demand."""
    found = [f for f in functions(source) if 4 <= f.last_line - f.first_line < 30]
    return random.sample(found, len(found)) if random is not None else found


def alone(source: Source, function: Function) -> Source:
    """The function as a file of its own."""
    text = source.line_span(function.first_line, function.last_line, terminator=True).of(source.text)
    return source.with_text(textwrap.dedent(text))


def applied(source: Source, mutation: Mutation) -> str:
    return FilePatch(source.path, (mutation.edit,)).apply(source.text)


def results(source: Source, **options: object) -> set[str]:
    return {applied(source, m) for m in repairs(source, **options)}  # type: ignore[arg-type]


SAMPLE = python(
    """
    def find(items, key, start=0, strict=False):
        best = None
        for index, item in enumerate(items[start:]):
            if not item.name or item.size <= 0 and not strict:
                continue
            if key in item.name.lower():
                best = max(index + start, item.size, key=abs)
                print("found", best)
            else:
                best -= 1
        if best is None:
            raise KeyError(key)
        result = [best, start]
        return result
    """
)


@cache
def sample_faults() -> tuple[Mutation, ...]:
    return tuple(faults(SAMPLE))


@cache
def sample_repairs() -> tuple[Mutation, ...]:
    return tuple(repairs(SAMPLE))


@pytest.mark.parametrize("bug_class", [c for c in BUG_CLASSES if c != "syntax"])
def test_every_class_is_injected(bug_class: str):
    found = [m for m in sample_faults() if m.bug_class == bug_class]
    assert found
    for mutation in found:
        text = applied(SAMPLE, mutation)
        assert text != SAMPLE.text
        assert parses(SAMPLE.with_text(text)) is None, mutation


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("variable", "        if best is None:"),
        ("variable", "    result = [start, start]"),
        ("confusable-name", "        if key in item.name.upper():"),
        ("drop-method", "        if key in item.name:"),
        ("drop-argument", "            best = max(index + start, key=abs)"),
        ("drop-argument", "            best = max(index + start, item.size)"),
        ("swap-arguments", "            best = max(item.size, index + start, key=abs)"),
        ("drop-operand", "            best = max(index, item.size, key=abs)"),
        ("drop-conjunct", "        if not item.name or item.size <= 0:"),
        ("and-or", "        if not item.name or item.size <= 0 or not strict:"),
        ("drop-not", "        if item.name or item.size <= 0 and not strict:"),
        ("integer", "        if not item.name or item.size <= 1 and not strict:"),
        ("comparison", "        if not item.name or item.size < 0 and not strict:"),
        ("augmented", "            best += 1"),
        ("drop-element", "    result = [best]"),
        ("exception", "        raise ValueError(key)"),
        ("negate-condition", "    if not best is None:"),
        ("boolean", "def find(items, key, start=0, strict=True):"),
        ("unwrap-call", "            best = index + start"),
        ("shift-bound", "    for index, item in enumerate(items[start + 1:]):"),
        ("dedent", "    best = max(index + start, item.size, key=abs)"),
        ("delete-statement", "            pass"),
    ],
)
def test_injected_lines(operator: str, line: str):
    lines = {text for m in sample_faults() if m.operator == operator for text in applied(SAMPLE, m).split("\n")}
    if operator == "variable" and "if best" in line:
        assert "    if result is None:" in lines
    elif operator == "dedent":
        assert any("print" in text and text.startswith("        print") for text in lines)
    else:
        assert line in lines


@pytest.mark.parametrize(
    ("buggy", "fixed"),
    [
        ("return a", "return a + 1"),
        ("return a", "return b"),
        ("return a", "return abs(a)"),
        ("return a", "return a.strip()"),
        ("return a", "return a[b]"),
        ("return a", "return a[1:]"),
        ("return a", "return max(a, b)"),
        ("return a", "return f(a)"),
        ("return a and b", "return a or b"),
        ("return a == b", "return a != b"),
        ("return a == b", "return set(a) == set(b)"),
        ("return f(a)", "return f(a, b)"),
        ("return f(a, b)", "return f(b, a)"),
        ("return f(a, b)", "return f(a)"),
        ("return [a, b]", "return [b, a]"),
        ("return sorted(a)", "return sorted(a, reverse=True)"),
        ("return a[b:]", "return a[b + 1:]"),
        ("return a[b:]", "return a[:]"),
        ("return a * 2 / 0.5", "return a * 2 / 2.0"),
        ("return a.lower()", "return a.upper()"),
        ("if a:\n        return b", "if not a:\n        return b"),
        ("if a:\n        return b", "if a and b:\n        return b"),
        ("if a:\n        return b", "if a is not None:\n        return b"),
        ("if a:\n        return b", "while a:\n        return b"),
        ("for x in a:\n        b += x\n        return b", "for x in a:\n        b += x\n    return b"),
        ("for x in a:\n        b += x\n    return b", "for x in a:\n        b += x\n        return b"),
        ("for x in a:\n        b += x", "for x in a:\n        b += x\n    return b"),
        ("for x in a:\n        b += x", "for x in a:\n        b += x\n        break"),
        ("while a:\n        b = a", "while a:\n        b = a\n        a -= 1"),
        ("b = a\n    a = b", "a = b\n    b = a"),
        ("a, b = b, a", "b, a = b, a"),
        ("return a", "if not a:\n        return b\n    return a"),
        ("a = b", "if a is None:\n        a = b"),
        ("if a:\n        return True\n    return False", "if a:\n        return False\n    return True"),
        ("return a % 2", "return a // 2"),
        ("return -a", "return a"),
        ("return a", "return -a"),
        ("return self.a", "return self.b"),
        ("return lenght", "return a"),
        ("raise ValueError(a)", "raise TypeError(a)"),
    ],
)
def test_reachable_repairs(buggy: str, fixed: str):
    head = "def f(a, b, self=None):\n    self.b = 1\n    "
    assert head + fixed + "\n" in results(python(head + buggy + "\n"))


@pytest.mark.parametrize(
    ("buggy", "fixed"),
    [
        ("def f(a)\n    return a\n", "def f(a):\n    return a\n"),
        ("def f(a:\n    return a\n", "def f(a):\n    return a\n"),
        ("def f(a):\n    return (a + 1\n", "def f(a):\n    return (a + 1)\n"),
        ("def f(a):\n    return [a, 1)\n", "def f(a):\n    return [a, 1]\n"),
        ("def f(a):\n    if a = 1:\n        return a\n", "def f(a):\n    if a == 1:\n        return a\n"),
        ("def f(a):\n    retrun a\n", "def f(a):\n    return a\n"),
        ("def f(a):\n    x = 1\n     return a\n", "def f(a):\n    x = 1\n    return a\n"),
        ("def f(a):\nreturn a\n", "def f(a):\n    return a\n"),
        ("def f(a):\n    return 'a\n", "def f(a):\n    return 'a'\n"),
        ("def f(a):\n    return [1 2]\n", "def f(a):\n    return [1, 2]\n"),
        ("def f(a):\n    a++\n", "def f(a):\n    a += 1\n"),
        ("def f(a):\n    // double\n    return 2 * a\n", "def f(a):\n    # double\n    return 2 * a\n"),
        ("def f(a):\n    if a:\n    b = 1\n    return b\n", "def f(a):\n    if a:\n        b = 1\n        return b\n"),
        ("def f(a)\n    if a\n        return (1\n", "def f(a):\n    if a:\n        return (1)\n"),
        (
            "def f(a):\n    if a:\n        pass\n    else if a:\n        pass\n",
            "def f(a):\n    if a:\n        pass\n    elif a:\n        pass\n",
        ),
    ],
)
def test_syntax_repairs(buggy: str, fixed: str):
    source = python(buggy)
    assert parses(source) is not None
    assert fixed in results(source)


def test_syntax_faults_break_the_text():
    found = [m for m in sample_faults() if m.bug_class == "syntax"]
    assert len({m.operator for m in found}) >= 4
    assert all(parses(SAMPLE.with_text(applied(SAMPLE, m))) is not None for m in found)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (
            "a.js",
            "function f(a, b) {\n  if (a < b) {\n    return a;\n  }\n  return b + 1;\n}\n",
            ("a <= b", "return b - 1", "!(a < b)", "return a + 1", "b < a"),
        ),
        (
            "a.ts",
            "function f(a: number, b: number): number {\n  return a && !b ? a : b;\n}\n",
            ("a || !b", "a && b ?", "return b"),
        ),
        (
            "A.java",
            "class A {\n int f(int a, int b) {\n  for (int i = 0; i < a; i++) b += g(a, i);\n  return b;\n }\n}\n",
            ("i <= a", "g(i, a)", "b -= g", "int i = 1", "return a;"),
        ),
    ],
)
def test_other_languages(name: str, text: str, wanted: tuple[str, ...]):
    source = Source(name, text)
    for found in (faults(source), repairs(source)):
        texts = [applied(source, m) for m in found]
        for part in wanted:
            assert any(part in t for t in texts), part
    valid = [m for m in faults(source) if m.bug_class != "syntax"]
    assert len({m.bug_class for m in valid}) >= 4
    assert all(parses(source.with_text(applied(source, m))) is None for m in valid)


def test_repairs_keep_to_their_lines_and_are_distinct():
    line = next(n for n in range(1, SAMPLE.line_count) if "best -= 1" in SAMPLE.line(n))
    texts = [applied(SAMPLE, m) for m in repairs(SAMPLE, lines=[line])]
    assert len(texts) == len(set(texts)) > 50
    for m in repairs(SAMPLE, lines=[line]):
        first, last = SAMPLE.lines_of(m.edit.span)
        assert first <= line + 1
        assert last >= line
    assert SAMPLE.text not in texts


def test_cheap_repairs_come_first():
    operators = [m.operator for m in sample_repairs()]
    assert operators.index("comparison") < operators.index("wrap") < operators.index("insert-guard")


def test_crlf_is_kept():
    source = Source("a.py", SAMPLE.text.replace("\n", "\r\n"))
    for found in (faults(source), repairs(source, lines=[9, 10])):
        for mutation in found:
            assert applied(source, mutation).replace("\r\n", "").count("\n") == 0, mutation


@pytest.mark.parametrize("name", LIBRARY)
def test_edits_apply_and_invert_on_the_library(name: str):
    source, random = library(name), Random(name)
    for function in middle_sized(source, random)[:2]:
        several = list(repairs(source, function.span, lines=[function.first_line + 2]))
        for mutation in [*random.sample(several, min(80, len(several))), *_drawn(source, function, random, 10)]:
            patch = FilePatch(source.path, (mutation.edit,))
            text = patch.apply(source.text)
            assert text != source.text
            assert patch.invert(source.text).apply(text) == source.text


def _drawn(source: Source, function: Function, random: Random, number: int) -> list[Mutation]:
    places = sites(source, function.span)
    return [m for m in (draw(places, random) for _ in range(number)) if m is not None]


def test_drawn_faults_parse_and_follow_the_mix():
    random = Random(0)
    classes: Counter[str] = Counter()
    for name in LIBRARY:
        source = library(name)
        for function in middle_sized(source, random)[:3]:
            for mutation in _drawn(source, function, random, 8):
                classes[mutation.bug_class] += 1
                broken = parses(source.with_text(applied(source, mutation))) is not None
                assert broken == (mutation.bug_class == "syntax"), mutation
    assert classes.total() >= 120
    assert len(classes) >= 11
    assert max(classes.values()) < classes.total() / 3


def test_drawing_is_fast():
    source, random = library("textwrap"), Random(0)
    parse(source)
    start, number = time.process_time(), 0
    while time.process_time() - start < 0.5:
        for function in middle_sized(source):
            number += len(_drawn(source, function, random, 5))
    rate = number / (time.process_time() - start)
    say(f"{rate:.0f} drawn faults per core-second")
    assert rate > 500


def _whitespace_free(text: str) -> str:
    return "".join(text.split())


def _reached(original: Source, mutation: Mutation) -> tuple[bool, int]:
    """Whether the original comes back from the repairs of the changed lines, and after how many."""
    patch = FilePatch(original.path, (mutation.edit,))
    buggy = original.with_text(patch.apply(original.text))
    inverse = patch.invert(original.text).edits[0].span
    first, last = buggy.lines_of(inverse)
    first -= first > 1 and buggy.text[: inverse.start].endswith("\n")
    wanted, number = _whitespace_free(original.text), 0
    for number, repair in enumerate(repairs(buggy, lines=range(first, last + 1))):
        if abs(len(buggy.text) + len(repair.edit.text) - len(repair.edit.span) - len(original.text)) > 12:
            continue
        text = applied(buggy, repair)
        if _whitespace_free(text) == wanted and tree_key(buggy.with_text(text)) == tree_key(original):
            return True, number
    return False, number


def test_injected_faults_are_within_reach():
    """Measured: 0.65 of 564 faults in 20 modules, each function a file of its own; 0.72 of 456 in their files.

    A deleted statement, a name that nothing else uses or a long argument cannot be enumerated.
    """
    random = Random(4)
    reached: Counter[str] = Counter()
    drawn: Counter[str] = Counter()
    ranks: list[int] = []
    for name in LIBRARY:
        for function in middle_sized(library(name), random)[:3]:
            source = alone(library(name), function)
            for mutation in _drawn(source, functions(source)[0], random, 6):
                found, rank = _reached(source, mutation)
                drawn[mutation.bug_class] += 1
                reached[mutation.bug_class] += found
                ranks += [rank] if found else []
    share = reached.total() / drawn.total()
    say(f"{share:.2f} of {drawn.total()} reached, median rank {statistics.median(ranks)}")
    say({c: f"{reached[c]}/{drawn[c]}" for c in BUG_CLASSES if drawn[c]})
    assert drawn.total() >= 80
    assert share >= 0.6
    assert statistics.median(ranks) <= 60


@pytest.mark.parametrize("name", ["a.py", "a.js", "a.tsx", "A.java", "a.unknown"])
@given(text=st.text(alphabet=st.sampled_from("ab1 (){}[]:;,.=+-<!\"'\\#/\n\t\r😀\ud800\0if"), max_size=40))
@settings(max_examples=25, deadline=None)
def test_any_text_has_applicable_edits(name: str, text: str):
    source = Source(name, text)
    for mutation in (*islice(repairs(source), 200), *islice(faults(source), 50)):
        patch = FilePatch("a", (mutation.edit,))
        changed = patch.apply(text)
        assert changed != text
        assert patch.invert(text).apply(changed) == text


def test_syntax_repairs_parse():
    source = python("def f(a, b:\n    x = [a, b\n    return x\n")
    found = list(repairs(source))
    assert found
    assert all(parses(source.with_text(applied(source, m))) is None for m in found)


def test_size_of_the_neighbourhood():
    source = library("textwrap")
    wanted = [f for f in middle_sized(source) if f.last_line - f.first_line < 15]
    lines = statement_lines(source)
    sizes = [
        sum(1 for _ in repairs(source, f.span, lines=[max(lines & set(range(f.first_line, f.last_line + 1)))]))
        for f in wanted
    ]
    say(f"median {statistics.median(sizes)} repairs of a line")
    assert 50 < statistics.median(sizes) < 5000
