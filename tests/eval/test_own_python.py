"""The Python suite that ships: its format, its spread, and that each of its rows measures something."""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from data.classes import coarse_class
from eval.correctness import unfit
from eval.suites.rows import read_suite
from repair.mutate import BUG_CLASSES
from repair.oracles.scripts import SCRIPT_LIMITS, run_script, warm_programs
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "eval" / "suites" / "emend_python.jsonl"
SUITE = read_suite(PATH)
HANGING = {"emend-py/next-opening"}  # too slow to wait for in full
LIMITS = Limits(wall_seconds=60.0, cpu_seconds=1.0)
ORDER = [
    "id", "language", "buggy_code", "fixed_code", "tests", "held_out_tests", "error", "entry_point", "bug_type",
    "source", "license",
]  # fmt: skip
IDENTIFIER_WORDS = {
    "pinyin": {"ren", "fen", "shu", "liang", "zhong", "ming", "hao", "jin", "ri", "jia", "biao", "dui", "fei", "pai"},
    "cyrillic": {
        "spisok", "stroka", "nazvanie", "kolichestvo", "vremya", "raspisanie", "schetchik", "rashod", "uroven", "srok",
        "zapis", "chitatel", "kniga", "nomer", "srochnost", "otmenit", "gotov", "tarif", "stroki", "ochered",
    },
}  # fmt: skip
NAMED_BY_HAND = {"emend-py/clock-face", "emend-py/shortcut-bindings"}
"""Rows whose class `coarse_class` calls a rewritten statement: a format specification and a parameter."""


def _identifier_words(code: str) -> set[str]:
    """Parts of all names of a program, in lower case: `jinE` and `jin_e` have `jin` in common."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [n.id for n in nodes if isinstance(n, ast.Name)]
    names += [n.attr for n in nodes if isinstance(n, ast.Attribute)]
    names += [n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return {part.lower() for name in names for part in re.findall(r"[A-Z]?[a-z]+", name)}


def test_rows_are_whole():
    assert len(SUITE.cases) >= 38
    for case in SUITE.cases:
        assert case.id.startswith("emend-py/")
        assert (case.language, case.source, case.license) == ("python", "emend", "Apache-2.0")
        assert case.fixed_code, case.id
        assert case.held_out_tests, case.id
        assert case.error, case.id
        assert case.entry_point, case.id


def test_rows_are_written_in_one_form():
    for line in PATH.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        row = json.loads(line)
        assert list(row) == ORDER
        assert line == json.dumps(row, ensure_ascii=False), row["id"]


@pytest.mark.parametrize("case", SUITE.cases, ids=lambda case: case.id)
def test_sources_parse_and_differ(case):
    fixed = ast.parse(case.fixed_code)
    assert case.buggy_code != case.fixed_code
    if case.bug_type == "syntax":
        with pytest.raises(SyntaxError):
            ast.parse(case.buggy_code)
    else:
        assert ast.dump(ast.parse(case.buggy_code)) != ast.dump(fixed)
    names = {n.name for n in fixed.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    assert case.entry_point in names
    assert 12 <= len(case.fixed_code.splitlines()) <= 60
    visible, held_out = (
        sum(isinstance(n, ast.Assert) for n in ast.walk(ast.parse(tests)))
        for tests in (case.tests, case.held_out_tests)
    )
    assert visible <= 6 <= held_out


def test_all_classes_of_faults_are_there():
    spread = Counter(case.bug_type for case in SUITE.cases)
    assert set(spread) == set(BUG_CLASSES)
    assert max(spread.values()) <= len(SUITE.cases) / 3
    for case in SUITE.cases:
        if case.id not in NAMED_BY_HAND:
            assert coarse_class("python", case.buggy_code, case.fixed_code) == case.bug_type, case.id


@pytest.mark.parametrize("language", IDENTIFIER_WORDS)
def test_identifiers_of_other_languages_are_there(language):
    words = IDENTIFIER_WORDS[language]
    rows = [case.id for case in SUITE.cases if len(_identifier_words(case.fixed_code) & words) >= 2]
    assert 5 <= len(rows) <= 8, rows


@pytest.fixture(scope="module")
def programs():
    with warm_programs(find_sandbox(Tier.C), "python") as warm:
        yield warm


@pytest.mark.parametrize("case", SUITE.cases, ids=lambda case: case.id)
def test_the_reference_passes_and_the_fault_fails(case, programs):
    """Once: `emend eval check` runs each three times."""
    limits = LIMITS if case.id in HANGING else SCRIPT_LIMITS
    assert unfit(case, programs, limits, runs=1) == ""
    assert not run_script(programs, "python", case.buggy_code, case.held_out_tests, limits).passed
