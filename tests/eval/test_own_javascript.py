"""Our own JavaScript rows: well formed, spread over the bug classes, and (a few of them, by hash) sound when run."""

import hashlib
import shutil

import pytest

from eval.correctness import unfit
from repair.oracles.scripts import run_script, warm_programs
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from tests.eval import own_suites

LANGUAGE = "javascript"
CASES = own_suites.cases_of(LANGUAGE)
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
    own_suites.whole(CASES, LANGUAGE, "emend-js")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_both_sides_and_the_tests_parse_and_the_sides_differ(case):
    own_suites.parses_and_differs(case)


def test_bug_classes_are_spread():
    own_suites.classes_spread(CASES, 10)


def test_held_out_tests_ask_more():
    own_suites.held_out_tests_ask_more(CASES, r"assert\.\w+\(")


def test_errors_tell_frames_of_the_program_only():
    own_suites.frames_of_the_program_only(CASES, "solution.js")


@NODE
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.id)
def test_a_case_is_sound(programs, case):
    assert unfit(case, programs, runs=1) == ""
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
