"""Transformations keep what a program does: by running it, and by its tree over many functions of the library."""

import ast
import copy
import difflib
import random
import statistics
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from data.augment import TRANSFORMATIONS, augmented, transformed
from data.classes import differences
from data.cosmetic import reason
from data.labelling import labelled, record_of
from data.mutants import Injector, units
from data.records import ErrorOrigin, Origin, Record
from data.sources.packages import CodeFile
from repair.sources import Source
from repair.views import hunks_patch

BY_NAME = {t.name: t for t in TRANSFORMATIONS}
SAFE_FOR_CALLERS = [t for t in TRANSFORMATIONS if t.name != "rename-parameters"]  # these modules use keywords
LAYOUT = {"add-comment", "drop-comment", "change-comment", "docstring", "blank-line"}
MODULES = ("heapq", "textwrap", "statistics", "difflib", "fractions", "bisect", "calendar", "random", "argparse",
           "shlex", "configparser")  # fmt: skip

# Each function with the arguments that it is run on.
PROGRAMS = [
    (
        """\
def f(a, b):
    low = 0
    items = []
    count = len(a)
    while low < count:
        items.append(a[low])
        low += 1
    if b > 2:
        items.append(b)
    else:
        items.append(0)
    return items
""",
        [([1, 2], 3), ([], 1), ((4,), 2), (5, 1)],
    ),
    (
        """\
def f(x):
    # twice
    y = x * 2  # doubled

    def inner(z):
        nonlocal y
        y = y + z
        return y
    inner(z=1)
    inner(3)
    return f'{y=} {x}', [y for y in range(x)], y
""",
        [(1,), (4,), ("a",)],
    ),
    (
        """\
def f(n, start=1, *, step=1):
    total = 0
    i = start
    while i != n:
        total = total + 1
        if total == 20:
            break
        i += step
    else:
        total = -total
    return total, locals()
""",
        [(4,), (0,), (9, 2)],
    ),
    (
        """\
def f(words):
    seen = {}
    best = None
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        if best is None or seen[word] > seen[best]:
            best = word
    return best, sorted(seen), {k: v for k, v in seen.items()}
""",
        [("abca",), ([],), (["x", "y", "y"],), (3,)],
    ),
    (
        """\
def f(a, b):
    try:
        result = a / b
    except ZeroDivisionError as error:
        result = str(error)
    finally:
        done = True
    if not done:
        return None
    if a is b:
        return done
    if a not in [b]:
        return result
    return a == b
""",
        [(1, 2), (1, 0), (1, 1), ("a", 1)],
    ),
    (
        """\
def f(count, len=len):
    class Box:
        value = count
        def get(self):
            return self.value
    value = Box().value
    text = '%(value)s' % vars()
    return value, text, len([count]), Box().get()
""",
        [(1,), ("z",)],
    ),
    (
        """\
def f(items):
    x = [x for x in items if x]
    total = sum(i * 2 for i in x)
    key = lambda pair: (pair, total)
    first, *rest = sorted(x, key=key) or [0]
    with open(__file__) as stream:
        size = stream is None
    return first, rest, total, size, dict(total=total)
""",
        [([3, 0, 1],), ([],), ([1],)],
    ),
    (
        """\
def f(n):
    '''Count.

    >>> f(n=2)
    '''
    import math
    def go(depth, limit=n):
        if depth >= limit:
            return depth
        else:
            return go(depth=depth + 1)
    a, b = go(0), math.floor(n)
    del a
    return b
""",
        [(0,), (3,), (2.5,)],
    ),
    (
        """\
def f(n):
    a = 0
    b = 1
    log = []
    for _ in range(n):
        log.append(a)
        c = a
        a = b
        b = c + b
        n -= 1
    if len(log) < 3:
        if n == 0:
            log.append(-1)
        elif n > 5:
            log.append(-5)
        else:
            log.append(-2)
    return log
""",
        [(0,), (1,), (7,)],
    ),
    (
        """\
def f(a):
    match a:
        case [x, *others]:
            r = x
        case {'k': v}:
            r = v
        case str() as t:
            r = t
        case _:
            r = None
    if (n := r) is not None:
        r = n
    return r
""",
        [([1, 2],), ({"k": 3},), ("s",), (4,)],
    ),
]


def outcome(text: str, arguments: tuple) -> tuple:
    """What a run gives: the value or the kind of error, and what became of the arguments."""
    space = {"__name__": "m", "__file__": __file__}
    given = copy.deepcopy(arguments)
    exec(compile(text, "m", "exec"), space)  # our own programs
    try:
        return "value", repr(space["f"](*given)), repr(given)
    except Exception as error:  # noqa: BLE001 - whatever it raises is compared
        return "error", type(error).__name__, repr(given)


@pytest.mark.parametrize("name", BY_NAME)
def test_programs_do_the_same_afterwards(name):
    applied = 0
    for text, inputs in PROGRAMS:
        wanted = [outcome(text, arguments) for arguments in inputs]
        for seed in range(8):
            result = BY_NAME[name].apply(text, "python", random.Random(seed))
            if result is None:
                continue
            applied += 1
            assert result != text
            assert [outcome(result, arguments) for arguments in inputs] == wanted, result
    assert applied >= 8


class Canonical(ast.NodeTransformer):
    """One form for what `rewriting` writes differently: no negations of arms and comparisons, no docstrings."""

    def visit_If(self, node):
        self.generic_visit(node)
        while isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not) and node.orelse:
            node.test, node.body, node.orelse = node.test.operand, node.orelse, node.body
        negative = {ast.NotEq: ast.Eq, ast.IsNot: ast.Is, ast.NotIn: ast.In}
        if node.orelse and isinstance(node.test, ast.Compare) and type(node.test.ops[0]) in negative:
            node.test.ops = [negative[type(node.test.ops[0])]()]
            node.body, node.orelse = node.orelse, node.body
        return node

    def visit_Compare(self, node):
        self.generic_visit(node)
        mirrored = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
        if len(node.ops) == 1 and type(node.ops[0]) in mirrored:
            node.left, node.comparators = node.comparators[0], [node.left]
            node.ops = [mirrored[type(node.ops[0])]()]
        return node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        opposite = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
                    ast.NotIn: ast.In}  # fmt: skip
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and type(inner.ops[0]) in opposite:
            inner.ops = [opposite[type(inner.ops[0])]()]
            return inner
        return node

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            left = ast.Name(node.target.id, ast.Load())
            return ast.Assign([node.target], ast.BinOp(left, node.op, node.value), None, lineno=1)
        return node


def dump(text: str) -> str:
    tree = ast.parse("if 1:\n" + text if text[0] in " \t" else text)
    return ast.dump(Canonical().visit(Canonical().visit(tree)))


def statements(text: str) -> Counter:
    """All simple statements, in no order."""
    tree = ast.parse("if 1:\n" + text if text[0] in " \t" else text)
    return Counter(ast.dump(n) for n in ast.walk(tree) if isinstance(n, ast.stmt) and not hasattr(n, "body"))


@pytest.fixture(scope="module")
def functions():
    paths = [Path(ast.__file__).parent / f"{name}.py" for name in MODULES]
    draw = random.Random(1)
    found = [u for p in paths for u in units(CodeFile("python", p.name, p.read_text("utf-8")), draw)]
    assert len(found) >= 300
    return found


@pytest.mark.parametrize("name", BY_NAME)
def test_trees_stay_the_same_over_the_library(functions, name):
    applied, draw = 0, random.Random(name)
    half = functions[list(BY_NAME).index(name) % 2 :: 2]
    for unit in functions if name == "augment-assignment" else half:  # which fits few
        text = BY_NAME[name].apply(unit.text, "python", draw)
        if text is None:
            continue
        applied += 1
        if applied % 3 and (
            name.startswith("rename") or name in LAYOUT
        ):  # that all of them parse and miss no name was checked by `apply`
            ast.parse("if 1:\n" + text if text[0] in " \t" else text)
            continue
        why = reason(("python", unit.text, text))
        if name.startswith("rename"):
            assert why == "rename", text
        elif name.endswith("comment"):
            assert why == "comment", text
        elif name in {"docstring", "blank-line"}:
            assert why == {"docstring": "docstring", "blank-line": "format"}[name], text
        elif name == "reorder":
            assert statements(unit.text) == statements(text)
        else:
            assert dump(unit.text) == dump(text), text
    assert applied >= (3 if name == "augment-assignment" else 10)


def test_modules_that_are_rewritten_whole_still_work():
    for module, check in ((textwrap, wrapped), (statistics, summed), (difflib, compared)):
        text = Path(module.__file__).read_text("utf-8")
        found = list(units(CodeFile("python", "m.py", text), random.Random(0)))
        source = found[0].source.text
        for unit in sorted(found, key=lambda u: -u.start):
            draw = random.Random(unit.start)
            changed = unit.text
            for kind in draw.sample(SAFE_FOR_CALLERS, 8):
                changed = kind.apply(changed, "python", draw) or changed
            source = source[: unit.start] + changed + source[unit.start + len(unit.text) :]
        assert ast.dump(ast.parse(source)) != ast.dump(ast.parse(text))
        space = {"__name__": module.__name__}
        exec(compile(source, "m", "exec"), space)
        assert check(space) == check(vars(module))


def wrapped(space):
    text = "    The quick brown fox,\n  jumps over the lazy-dog\tand a_very_long_word_that_does_not_fit\n"
    return [
        space["wrap"](text, 20), space["fill"](text, 12, initial_indent="* "), space["dedent"](text),
        space["shorten"](text, 25), space["indent"](text, "> "), space["wrap"](text, 9, max_lines=3, tabsize=4),
    ]  # fmt: skip


def summed(space):
    values = [1, 2, 2, 3.5, 7, 11]
    names = ("mean", "fmean", "median", "median_low", "median_high", "mode", "multimode", "stdev", "pvariance",
             "quantiles", "harmonic_mean", "geometric_mean", "median_grouped")  # fmt: skip
    more = [space["linear_regression"](values, values[::-1]), space["NormalDist"](1, 2).cdf(0.5)]
    return [repr(space[n](values)) for n in names] + [repr(m).rsplit(".", 1)[-1] for m in more]


def compared(space):
    one, two = ["a\n", "b\n", "c d e\n", "f\n"], ["b\n", "c e d\n", "f\n", "g\n"]
    matcher = space["SequenceMatcher"](None, "private Thread currentThread", "private volatile Thread thread")
    return [
        list(space["ndiff"](one, two)), list(space["unified_diff"](one, two)), list(space["context_diff"](one, two)),
        matcher.ratio(), matcher.get_opcodes(), space["get_close_matches"]("appel", ["ape", "apple", "peach"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("def f(a):\n    total = a\n    return locals()\n", "total"),
        ("def f(a):\n    total = a\n    return eval('total')\n", "total"),
        ("def f(a):\n    global total\n    total = a\n", "total"),
        ("def f(a):\n    total = a\n    return f'{total=}'\n", "total ="),
        ("def f(a):\n    import os.path\n    return os\n", "import os.path"),
        ("def f(a):\n    def total(x):\n        return x\n    return total(a)\n", "def total"),
        ("def f(a, *, total):\n    return total\n", "*, total"),
        ("def f(a):\n    g = lambda total: total\n    return g(total=1)\n", "total=1"),
        ("def f(a):\n    class C:\n        total = 1\n    total = C.total\n    return total\n", "total = 1"),
        ("def f(a):\n    x = [total for total in total]\n    return x\n", "in total"),
        ("    def f(self):\n        total = self\n        return self.total\n", "self.total"),
    ],
)
def test_names_that_something_hangs_on_stay(text, kept):
    for name in ("rename", "rename-foreign", "rename-parameters"):
        for seed in range(5):
            result = BY_NAME[name].apply(text, "python", random.Random(seed))
            assert result is None or kept in result


def test_names_of_other_languages_and_scripts_are_used():
    text = PROGRAMS[0][0]
    found = {BY_NAME["rename-foreign"].apply(text, "python", random.Random(n)) for n in range(30)}
    assert any(t and not t.isascii() for t in found)
    assert any(t and t.isascii() for t in found)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("javascript", "function f(a) {\n  let total = 0; // sum\n  for (const x of a) {\n    total += x;\n  }\n"
                       "  if (total > 3) {\n    return total;\n  } else {\n    return 0;\n  }\n}\n"),
        ("typescript", "function f(a: number[]): number {\n  let total = 0; // sum\n  for (const x of a) {\n"
                       "    total += x;\n  }\n  if (total > 3) {\n    return total;\n  } else {\n    return 0;\n"
                       "  }\n}\n"),
        ("java", "int f(int[] a) {\n    int total = 0; // sum\n    for (int x : a) {\n        total += x;\n    }\n"
                 "    if (total > 3) {\n        return total;\n    } else {\n        return 0;\n    }\n}\n"),
    ],
)  # fmt: skip
def test_other_languages(language, text):
    draw = random.Random(4)
    done = {name: kind.apply(text, language, draw) for name, kind in BY_NAME.items()}
    for name in ("rename", "rename-foreign", "rename-parameters"):
        assert reason((language, text, done[name])) == "rename"
    for name in ("add-comment", "drop-comment", "change-comment"):
        assert reason((language, text, done[name])) == "comment"
    assert reason((language, text, done["blank-line"])) == "format"
    assert "if (!(total > 3)) {" in done["swap-arms"]
    assert done["swap-arms"].index("return 0;") < done["swap-arms"].index("return total;")
    assert "3 < total" in done["mirror-comparison"]
    assert done["docstring"] is None and done["reorder"] is None


def test_block_scoped_names_that_are_declared_twice_stay():
    text = "function f(a) {\n  { let t = 1; g(t); }\n  return t;\n}\n"
    assert BY_NAME["rename"].apply(text, "javascript", random.Random(1)) is None


@pytest.fixture(scope="module")
def records(functions):
    injector = Injector(2, 0.05, 0.1)
    found = [labelled(record_of(e)) for u in functions[:110] for e in injector.examples(u, 1)]
    assert len(found) > 90
    return found


def fault(record: Record) -> Counter:
    return Counter((d.fine, d.coarse) for d in differences(record.language, record.buggy, record.fixed))


def test_the_fault_of_a_record_stays(records):
    count, draw = 0, random.Random(3)
    for record in records:
        for other in augmented(record, draw, 2):
            count += 1
            assert (other.buggy, other.fixed) != (record.buggy, record.fixed)
            back = hunks_patch(Source("m", other.buggy, "python"), other.hunks).apply({"m": other.buggy}).get("m")
            assert back == other.fixed
            assert fault(other) == fault(record)
            assert len(other.hunks) == len(record.hunks)
            assert (other.bug_classes, other.first_line) == (record.bug_classes, record.first_line)
    assert count > 1.8 * len(records)


def test_frames_move_with_their_lines(records):
    moved, kind, draw = 0, BY_NAME["add-comment"], random.Random(5)
    for record in (r for r in records if r.frames):
        other = transformed(record, kind, draw)
        if other is not None:
            old, new = record.buggy.split("\n"), other.buggy.split("\n")
            assert [new[n - 1] for n in other.frames] == [old[n - 1] for n in record.frames]
            moved += other.frames != record.frames
    assert moved > 3


def test_frames_follow_statements_that_change_places():
    fixed = "def f(a):\n    x = 0\n    y = a[1]\n    return x - y\n"
    record = Record("python", fixed.replace("x - y", "x + y"), fixed, Origin.COMMIT, error="IndexError: no",
                    error_origin=ErrorOrigin.REPORTED, frames=(3, 4))  # fmt: skip
    other = transformed(record, BY_NAME["reorder"], random.Random(1))
    assert other is not None
    assert other.buggy.split("\n")[1:3] == ["    y = a[1]", "    x = 0"]
    assert other.frames == (2, 4)


def test_errors_speak_of_the_new_names():
    fixed = "def f(a):\n    total = a\n    return total\n"
    buggy = "def f(a):\n    if a:\n        total = a\n    return total\n"
    record = Record("python", buggy, fixed, Origin.COMMIT, error_origin=ErrorOrigin.EXECUTED,
                    error="UnboundLocalError: cannot access local variable 'total'")  # fmt: skip
    other = transformed(record, BY_NAME["rename"], random.Random(1))
    assert other is not None
    name = other.fixed.split("return ")[1].strip()
    assert name != "total" and other.error.endswith(f"'{name}'")


def test_a_fault_that_does_not_parse_is_carried_along():
    fixed = "def f(a):\n    total = a\n    g(total)\n    return total\n"
    record = Record("python", fixed.replace("g(total)", "g(total"), fixed, Origin.COMMIT)
    found = list(augmented(record, random.Random(1), 3))
    assert found
    assert all(differences("python", r.buggy, r.fixed)[0].fine == "SYNTAX" for r in found)


def test_the_same_chance_gives_the_same_records(records):
    one, two = (list(augmented(records[0], random.Random(9), 3)) for _ in range(2))
    assert one == two
    assert list(augmented(records[0], random.Random(10), 3)) != one
