"""Executable mutants of a small real project: really run, kept only when noticed, nothing left behind."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from data.executable import ExecuteOptions, executable_mutants, execute
from data.mutant_plan import source_files
from data.records import ErrorOrigin, Origin
from data.testbed import Failure
from data.testtext import TEST_TOKENS, test_text, tokens
from repair.defects import Frame
from repair.errors import InputError, OracleError
from repair.sandbox import Limits, Tier

COMMAND = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
FILES = {
    "shop/__init__.py": "",
    "shop/prices.py": '''"""Prices."""

LIMIT = 100


def total(prices, discount=0):
    result = 0
    for price in prices:
        if price < 0:
            raise ValueError("negative price")
        result += price
    return result - discount


def never_called(prices):
    result = 0
    for price in prices:
        result += price
    return result
''',
    "shop/stock.py": """from shop.prices import total


class Stock:
    def __init__(self):
        self.items = {}

    def add(self, name, price, count=1):
        if count < 1:
            raise ValueError("count")
        known = self.items.setdefault(name, [])
        known.extend([price] * count)
        return len(known)

    def value(self):
        parts = [total(prices) for prices in self.items.values()]
        whole = total(parts)
        return whole
""",
    "shop/words.py": """def initials(text):
    found = []
    for word in text.split():
        if word:
            found.append(word[0].upper())
    return "".join(found)


def longest(words):
    best = ""
    for word in words:
        if len(word) > len(best):
            best = word
    return best
""",
    "tests/test_prices.py": """import pytest
from shop.prices import total


def test_total():
    assert total([1, 2, 3]) == 6


def test_discount():
    assert total([5, 5], 3) == 7


def test_negative():
    with pytest.raises(ValueError):
        total([1, -1])
""",
    "tests/test_stock.py": """from shop.stock import Stock


def test_value():
    stock = Stock()
    assert stock.add("tea", 3, 2) == 2
    assert stock.add("cup", 5) == 1
    assert stock.value() == 11


def test_fails_already():
    assert Stock().value() == 1
""",
    "tests/test_words.py": """from shop.words import initials, longest


def test_initials():
    assert initials("ada maria lovelace") == "AML"


def test_longest():
    assert longest(["a", "abc", "ab", "xyz"]) == "abc"
""",
    "README.md": "x",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("checkout") / "shop-1"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def options(project: Path, **changes) -> ExecuteOptions:
    given = {"python": Path(sys.executable), "tier": Tier.E, "unsafe": True, "seed": 5, "limits": Limits(30.0, 20.0)}
    return ExecuteOptions(project, COMMAND, **{**given, "mutants": 12, **changes})


def state(root: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def trees() -> set[Path]:
    """Copies of the project that lie in the temporary folder."""
    return set(Path(tempfile.gettempdir()).glob("emend-*/tree/shop/prices.py"))


@pytest.fixture(scope="module")
def result(project):
    before, left = state(project), trees()
    found = execute(options(project))
    assert state(project) == before
    assert not trees() - left
    return found


def test_what_is_kept_breaks_tests_and_leaves_others(result):
    assert result.counts["kept"] == len(result.kept) == 12
    assert sum(result.counts.values()) == len(result.tried) == len(set(result.tried))
    for kept in result.kept:
        broken, whole = set(kept.task["fail_to_pass"]), set(kept.task["pass_to_pass"])
        assert broken and whole and not broken & whole
        assert "tests/test_stock.py::test_fails_already" not in broken | whole


def test_records_carry_what_was_seen(result):
    for kept in result.kept:
        record = kept.record
        assert (record.origin, record.error_origin) == (Origin.MUTANT, ErrorOrigin.EXECUTED)
        assert record.error.startswith(record.error_type) and record.error_type.isidentifier()
        assert all(1 <= n <= record.buggy.count("\n") for n in record.frames)
        assert record.function != "never_called"
        assert record.bug_classes != ("syntax",) and record.operators
        assert "def test_" in record.test and tokens(record.test) <= TEST_TOKENS
        assert FILES[record.path].count(record.fixed) == 1
    assert any(k.record.frames for k in result.kept)
    assert {k.record.path for k in result.kept} == {"shop/prices.py", "shop/stock.py", "shop/words.py"}


def test_tasks_differ_from_the_checkout_in_the_fault_alone(result):
    for kept in result.kept:
        task, record = kept.task, kept.record
        assert task["fixed_file"] == FILES[record.path]
        assert task["buggy_file"] == FILES[record.path].replace(record.fixed, record.buggy)
        assert task["id"] == f"shop-1/{kept.id}" and task["test_command"] == COMMAND


def test_functions_that_run_alone_become_suite_rows(result):
    rows = [k.suite for k in result.kept if k.suite]
    assert rows
    assert {r["entry_point"] for r in rows} <= {"total", "initials", "longest"}
    for row in rows:
        space: dict[str, object] = {}
        exec(f"{row['fixed_code']}\n\n{row['tests']}", space)
        with pytest.raises(Exception):  # noqa: B017
            exec(f"{row['buggy_code']}\n\n{row['tests']}", {})


def test_the_whole_suite_gives_every_test_an_answer_and_skip_goes_on(project, result):
    done = frozenset(result.tried[:4])
    again = execute(options(project, whole=True, skip=done, mutants=6))
    assert list(again.tried) == [i for i in result.tried if i not in done][: len(again.tried)]
    for kept in again.kept:
        assert len(kept.task["fail_to_pass"]) + len(kept.task["pass_to_pass"]) == 6
    by_id = {k.id: k for k in result.kept}
    assert [k.record for k in again.kept] == [by_id[k.id].record for k in again.kept]


def test_closing_early_leaves_nothing(project):
    before = trees()
    running = executable_mutants(options(project))
    next(running)
    (tree,) = trees() - before
    running.close()
    assert not tree.exists()


@pytest.mark.parametrize(
    ("text", "command", "message"),
    [
        ("def test_a():\n    assert False\n", COMMAND, "no test .* passes"),
        ("x = 1\n", COMMAND, "collects no tests"),
        ("def test_a():\n    pass\n", "true", "tells no single tests"),
    ],
)
def test_tests_that_say_nothing_are_an_error(tmp_path, text, command, message):
    (tmp_path / "a.py").write_text(FILES["shop/words.py"])
    (tmp_path / "test_a.py").write_text(text)
    with pytest.raises(OracleError, match=message):
        execute(ExecuteOptions(tmp_path, command, python=Path(sys.executable), tier=Tier.E, unsafe=True))


def test_which_files_may_be_broken(project, tmp_path):
    assert [s.path for s in source_files(project, ())] == [n for n in sorted(FILES) if n.startswith("shop/")]
    assert [s.path for s in source_files(project, ("shop/w*.py",))] == ["shop/words.py"]
    with pytest.raises(InputError, match="nothing/"):
        source_files(project, ("nothing/*.py",))
    with pytest.raises(InputError, match="no directory"):
        source_files(tmp_path / "gone", ())
    with pytest.raises(InputError, match="mutants is 0"):
        options(project, mutants=0)


def test_a_long_test_is_shown_up_to_the_line_that_failed(tmp_path):
    lines = [f"    value_{n} = compute({n})" for n in range(30)]
    lines += ["    assert (", "        value_29", "        == 3", "    )", "    assert value_1 == 4"]
    (tmp_path / "test_x.py").write_text("def test_x():\n" + "\n".join(lines) + "\n")
    failure = Failure(
        "test_x.py::test_x", "AssertionError", "AssertionError", (Frame("test_x.py", 32, "", "assert ("),)
    )
    text = test_text(tmp_path, ["test_x.py::test_x"], failure)
    assert text.endswith("value_29 = compute(29)\nassert (\n    value_29\n    == 3\n)")
    assert TEST_TOKENS - 8 < tokens(text) <= TEST_TOKENS


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_without_coverage(tmp_path):
    code = "function sum(xs) {\n  let total = 0;\n  for (const x of xs) {\n    total += x;\n  }\n  return total;\n}\n"
    (tmp_path / "sum.js").write_text(code + "module.exports = { sum };\n")
    (tmp_path / "sum.test.js").write_text(
        "const test = require('node:test');\nconst assert = require('node:assert');\n"
        "const { sum } = require('./sum');\n"
        "test('adds', () => assert.strictEqual(sum([1, 2]), 3));\ntest('empty', () => assert.ok(true));\n"
    )
    found = execute(ExecuteOptions(tmp_path, "node --test sum.test.js", mutants=2, tier=Tier.E, unsafe=True))
    assert len(found.kept) == 2
    for kept in found.kept:
        assert kept.record.language == "javascript" and kept.record.error and kept.record.path == "sum.js"
        assert len(kept.task["fail_to_pass"]) == len(kept.task["pass_to_pass"]) == 1
