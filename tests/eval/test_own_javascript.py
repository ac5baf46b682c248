"""Our own JavaScript rows: well formed, spread over the bug classes, and (a few of them, by hash) sound when run."""

import hashlib
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from eval.measure import unfit
from eval.suites.rows import LANGUAGES, read_suite
from repair.languages import parse
from repair.mutate import BUG_CLASSES
from repair.oracles.scripts import run_script, warm_programs
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source

LANGUAGE = "javascript"
CASES = read_suite(Path(__file__).resolve().parents[2] / "eval/suites/emend_javascript.jsonl").cases
RUN = sorted(CASES, key=lambda case: hashlib.sha256(case.id.encode()).digest())[:3]
OVERFITTING = (
    ("tiered-water-bill", "inTier * tier.price", "room * tier.price"),
    ("config-layers", "overlay(merged[name], value)", "{ ...merged[name], ...value }"),
    ("retry-awaits", "return await task(attempt)", "return attempts > 1 ? task(attempt).catch(task) : task(attempt)"),
    ("yunfei-moren", "dingdan.yunfei ??", "dingdan.yunfei >= 0 ? dingdan.yunfei :"),
    ("raspisanie-avtobusa", "minuty[0] + MINUT_V_SUTKAH - tekushchee", "Math.abs(minuty[0] - tekushchee)"),
)  # fmt: skip
"""Case, a piece of its reference, and what a patch that only pleases the visible tests writes there."""

NODE = pytest.mark.skipif(not shutil.which("node"), reason="needs node")


@pytest.fixture(scope="module")
def programs():
    with warm_programs(find_sandbox(Tier.E, unsafe=True), LANGUAGE) as running:
        yield running


def test_there_are_enough_and_all_are_whole():
    assert len(CASES) >= 20
    for case in CASES:
        assert re.fullmatch(r"emend-js/[a-z0-9-]+", case.id), case.id
        assert (case.language, case.source, case.license) == (LANGUAGE, "emend", "Apache-2.0"), case.id
        assert case.fixed_code and case.held_out_tests and case.error and case.entry_point, case.id
        assert case.entry_point in case.tests, case.id
        assert case.entry_point in case.buggy_code, case.id
        assert case.tests not in case.held_out_tests, case.id
        assert 12 <= case.fixed_code.count("\n") <= 60, case.id
    assert len({case.fixed_code for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_both_sides_and_the_tests_parse_and_the_sides_differ(case):
    assert case.buggy_code != case.fixed_code
    for code in (case.buggy_code, case.fixed_code):
        for text in (code, f"{code}\n\n{case.tests}", f"{code}\n\n{case.held_out_tests}"):
            tree = parse(Source(LANGUAGES[LANGUAGE], text, LANGUAGE))
            assert tree.root is not None
            assert tree.error is None


def test_bug_classes_are_spread():
    classes = Counter(case.bug_type for case in CASES)
    assert set(classes) <= set(BUG_CLASSES)
    assert len(classes) >= 10
    assert max(classes.values()) <= len(CASES) / 4


def test_held_out_tests_ask_more():
    for case in CASES:
        shown, held_out = (len(re.findall(r"assert\.\w+\(", t)) for t in (case.tests, case.held_out_tests))
        assert 2 <= shown <= 6, case.id
        assert "for (" in case.held_out_tests or held_out >= max(6, shown + 1), case.id


def test_errors_tell_frames_of_the_program_only():
    for case in CASES:
        frames = [line for line in case.error.split("\n") if line.lstrip().startswith("at ")]
        assert frames, case.id
        assert all("solution.js:" in frame and "/" not in frame for frame in frames), case.id


@NODE
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.id)
def test_a_case_is_sound(programs, case):
    assert unfit(case, programs) == ""
    assert not run_script(programs, LANGUAGE, case.buggy_code, case.held_out_tests).passed
    seen = run_script(programs, LANGUAGE, case.buggy_code, case.tests)
    assert seen.reason.partition(": ")[2] in case.error


@NODE
@pytest.mark.parametrize(("name", "right", "wrong"), OVERFITTING, ids=[name for name, _, _ in OVERFITTING])
def test_an_overfitting_patch_is_told_from_a_correct_one(programs, name, right, wrong):
    case = next(case for case in CASES if case.id == f"emend-js/{name}")
    patched = case.fixed_code.replace(right, wrong)
    assert patched != case.fixed_code
    assert run_script(programs, LANGUAGE, patched, case.tests).passed
    assert not run_script(programs, LANGUAGE, patched, case.held_out_tests).passed
