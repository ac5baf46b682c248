"""Our own Java rows: well formed, spread over the bug classes, and (all of them, compiled together) sound when run."""

import re
import shutil

import pytest

from repair.oracles.scripts import run_script, warm_programs
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox
from tests.eval import own_suites

LANGUAGE = "java"
CASES = own_suites.cases_of(LANGUAGE)
LIMITS = Limits(wall_seconds=150.0, cpu_seconds=40.0)
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
    own_suites.whole(CASES, LANGUAGE, "emend-java")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_both_sides_and_the_tests_parse_and_the_sides_differ(case):
    own_suites.parses_and_differs(case)


def test_bug_classes_are_spread():
    own_suites.classes_spread(CASES, 8)


def test_held_out_tests_ask_more():
    own_suites.held_out_tests_ask_more(CASES, r"\b(?:same|raises)\(")


def test_errors_tell_frames_of_the_program_only():
    own_suites.frames_of_the_program_only(CASES, "Main.java")


ONE = """
try {{ Main{0}.main(args); System.out.println("{0} passes"); }}
catch (Throwable error) {{ System.out.println("{0} " + error); }}
"""


def named(code, tests, mark):
    """Code and its tests with other names of its classes, so that several versions are one program."""
    for name in re.findall(r"^(?:final |abstract )?(?:class|interface|record|enum) (\w+)", code, re.M):
        code, tests = (re.sub(rf"\b{name}\b", f"{name}{mark}", text) for text in (code, tests))
    return code, tests


def outcomes(programs, versions):
    """What becomes of each test of (code, its tests); all is one program: to compile costs more than to run."""
    lines = "\n".join(code for code, _ in versions).split("\n")
    imports = sorted({line for line in lines if line.startswith("import ")})
    mains = [re.sub(r"\bclass Main\b", f"class Main{number}", tests) for number, (_, tests) in enumerate(versions)]
    calls = "\n".join(ONE.format(number) for number in range(len(versions)))
    driver = f"class AllCases {{ public static void main(String[] args) {{ {calls} }} }}"
    code = "\n".join([*imports, *(line for line in lines if not line.startswith("import "))])
    seen = run_script(programs, LANGUAGE, code, "\n".join([*mains, driver]), LIMITS)
    assert seen.passed, seen.reason
    told = dict(re.findall(r"^(\d+) (.*)", seen.output, re.M))
    return [told[str(number)] for number in range(len(versions))]


def patched_cases():
    """Cases of OVERFITTING with their code as such a patch makes it."""
    by_name = {case.id.removeprefix("emend-java/"): case for case in CASES}
    cases = [by_name[name] for name, _, _ in OVERFITTING]
    patched = [case.fixed_code.replace(*change) for case, (_, *change) in zip(cases, OVERFITTING, strict=True)]
    assert not {case.fixed_code for case in cases} & set(patched)
    return list(zip(cases, patched, strict=True))


@pytest.fixture(scope="module")
def told(programs):
    """(visible, held-out) outcomes of each reference, faulty code and overfitting patch, in lists by these names."""
    kinds = {
        "reference": [(case, case.fixed_code) for case in CASES], "fault": [(case, case.buggy_code) for case in CASES],
        "patch": patched_cases(),
    }  # fmt: skip
    versions = []
    for kind, codes in kinds.items():
        for case, code in codes:
            mark = "" if kind == "fault" else f"_{kind}"  # messages of faults may hold names
            renamed, tests = named(code, case.tests, mark)
            versions += [(renamed, tests), ("", named(code, case.held_out_tests, mark)[1])]
    found = iter(outcomes(programs, versions))
    return {kind: [(next(found), next(found)) for _ in codes] for kind, codes in kinds.items()}


@JDK
def test_the_references_pass_both_tests(told):
    for case, found in zip(CASES, told["reference"], strict=True):
        assert found == ("passes", "passes"), case.id


@JDK
def test_the_faults_fail_as_the_rows_tell(told):
    for case, (visible, held_out) in zip(CASES, told["fault"], strict=True):
        assert visible == case.error.split("\n")[0], case.id
        assert held_out != "passes", case.id


@JDK
def test_overfitting_patches_are_told_from_correct_ones(told):
    for (name, _, _), (visible, held_out) in zip(OVERFITTING, told["patch"], strict=True):
        assert visible == "passes", name
        assert held_out != "passes", name
