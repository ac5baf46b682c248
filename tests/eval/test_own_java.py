"""Our own Java rows: well formed, spread over the bug classes, and (all of them, compiled together) sound when run."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from eval.suites.rows import LANGUAGES, read_suite
from repair.languages import parse
from repair.mutate import BUG_CLASSES
from repair.oracles.scripts import run_script, warm_programs
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source

LANGUAGE = "java"
CASES = read_suite(Path(__file__).resolve().parents[2] / "eval/suites/emend_java.jsonl").cases
LIMITS = Limits(wall_seconds=60.0, cpu_seconds=40.0)
OVERFITTING = (
    ("tingche-shoufei", "(fenzhong + 59) / 60", "fenzhong / 60 + 1"),
    ("rating-board", "return (double) total / given.size();", "return total / given.size() + 0.5;"),
    ("door-roles", "role.equals(wanted)", "role.startsWith(wanted)"),
    ("tushu-jieyue", "shuliang.merge(duzhe, -1, Integer::sum);", "shuliang.remove(duzhe);"),
    ("session-expiry", "entries.remove();", "entries.remove(); break;"),
)  # fmt: skip
"""Case, a piece of its reference, and what a patch that only pleases the visible tests writes there."""

JDK = pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK")


@pytest.fixture(scope="module")
def programs():
    with warm_programs(find_sandbox(Tier.E, unsafe=True), LANGUAGE) as running:
        yield running


def test_there_are_enough_and_all_are_whole():
    assert len(CASES) >= 14
    for case in CASES:
        assert re.fullmatch(r"emend-java/[a-z0-9-]+", case.id), case.id
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
    assert len(classes) >= 8
    assert max(classes.values()) <= len(CASES) / 4


def test_held_out_tests_ask_more():
    for case in CASES:
        shown, held_out = (len(re.findall(r"\b(?:same|raises)\(", t)) for t in (case.tests, case.held_out_tests))
        assert 2 <= shown <= 6, case.id
        assert "for (" in case.held_out_tests or held_out >= max(6, shown + 1), case.id


def test_errors_tell_frames_of_the_program_only():
    for case in CASES:
        frames = [line for line in case.error.split("\n") if line.lstrip().startswith("at ")]
        assert frames, case.id
        assert all("(Main.java:" in frame and "/" not in frame for frame in frames), case.id


ONE = """
try {{ Main{0}.main(args); System.out.println("{0} passes"); }}
catch (Throwable error) {{ System.out.println("{0} " + error); }}
"""


def outcomes(programs, codes, tests):
    """What becomes of each test; all is one program, since to compile costs more than to run."""
    lines = "\n".join(codes).split("\n")
    imports = sorted({line for line in lines if line.startswith("import ")})
    mains = [re.sub(r"\bclass Main\b", f"class Main{number}", text) for number, text in enumerate(tests)]
    calls = "\n".join(ONE.format(number) for number in range(len(tests)))
    driver = f"class AllCases {{ public static void main(String[] args) {{ {calls} }} }}"
    code = "\n".join([*imports, *(line for line in lines if not line.startswith("import "))])
    seen = run_script(programs, LANGUAGE, code, "\n".join([*mains, driver]), LIMITS)
    assert seen.passed, seen.reason
    told = dict(re.findall(r"^(\d+) (.*)", seen.output, re.M))
    return [told[str(number)] for number in range(len(tests))]


def both(cases):
    return [case.tests for case in cases] + [case.held_out_tests for case in cases]


@JDK
def test_the_references_pass_both_tests(programs):
    found = outcomes(programs, [case.fixed_code for case in CASES], both(CASES))
    assert set(found) == {"passes"}, list(zip([case.id for case in CASES] * 2, found, strict=True))


@JDK
def test_the_faults_fail_as_the_rows_tell(programs):
    found = outcomes(programs, [case.buggy_code for case in CASES], both(CASES))
    assert found[: len(CASES)] == [case.error.split("\n")[0] for case in CASES]
    assert "passes" not in found


@JDK
def test_overfitting_patches_are_told_from_correct_ones(programs):
    by_name = {case.id.removeprefix("emend-java/"): case for case in CASES}
    cases = [by_name[name] for name, _, _ in OVERFITTING]
    patched = [case.fixed_code.replace(*change) for case, (_, *change) in zip(cases, OVERFITTING, strict=True)]
    assert not {case.fixed_code for case in cases} & set(patched)
    found = outcomes(programs, patched, both(cases))
    assert set(found[: len(cases)]) == {"passes"}
    assert "passes" not in found[len(cases) :]
