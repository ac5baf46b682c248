"""Diagnoses of small real repositories: their tests run in the real sandbox."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from repair.defects import FailingTest, Traceback
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from repair.oracles.commands import parse_command
from repair.oracles.judging import WHOLE
from repair.oracles.suites import SuiteRun
from repair.projects.baseline import Tests, environment_of, nothing_fails, take_baseline
from repair.projects.diagnosis import diagnose
from repair.projects.history import RecordedHistory, Touch
from repair.projects.values import Bounds, Order, Project, Refusal, Standing
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox
from repair.verdicts import Observation, Outcome, TestResult

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED
PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
NUMBER = """def ordinal(n):
    suffixes = ["th", "st", "nd", "rd"]
    tens = n // (n - n)
    if tens == 1:
        return "th"
    return suffixes[n % 10]


def double(n):
    return n + n
"""
WORDS = """from number import double


def plural(word, n):
    if n == 0:
        return word
    return word + "s" * double(1)


def shout(word):
    return word.upper()
"""
TESTS = """import pytest
from number import double, ordinal
from words import plural, shout


@pytest.mark.parametrize("n", [1, 2, 11])
def test_ordinal(n):
    assert ordinal(n).isalpha()


def test_double():
    assert double(2) == 4


def test_plural():
    assert plural("dog", 2) == "dogs"


def test_plural_of_many():
    assert len(plural("cat", 9)) == 4


def test_plural_of_none():
    assert plural("cat", 0) == "cat"


def test_shout():
    assert shout("a") == "A"
"""


def project(root: Path, files: dict[str, str], command: str = PYTEST, **order) -> Project:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    python = Path(sys.executable) if "python" in command else None
    return Project(Order("x", str(root), **order), root, "c" * 40, "main", "python", command, "pytest", "", python)


def diagnosed(made: Project, model=None, history=None):
    sandbox = find_sandbox(Tier.E, unsafe=True)
    return diagnose(made, sandbox, model, history=history)


def refused(made: Project) -> Refusal:
    with pytest.raises(Refusal) as caught:
        diagnosed(made)
    return caught.value


@pytest.fixture(scope="module")
def two_faults(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    files = {"number.py": NUMBER, "words.py": WORDS, "test_all.py": TESTS, "unused.py": "x = 1\n" * 10}
    made = project(root, files, green="good")
    line = ("words.py", 7)
    past = RecordedHistory(
        {"words.py": Touch("d" * 40, 2.0, "Spell")}, {line: Touch("d" * 40, 2.0, "Spell")}, {"good": frozenset({line})}
    )
    model = ScriptedModel(belief=lambda view: LineBelief({view.last_line: 0.2}, 0.8))
    return *diagnosed(made, model, past), model


def test_two_faults_and_what_passes(two_faults):
    diagnosis, groundwork, _ = two_faults
    assert [(f.title, len(f.tests)) for f in diagnosis.faults] == [
        ("ZeroDivisionError in number.py:3 (ordinal), 3 tests", 3),
        ("AssertionError in test_all.py:16 (test_plural), 2 tests", 2),
    ]
    assert (diagnosis.tests, diagnosis.passing, len(diagnosis.failing), diagnosis.flaky) == (8, 3, 5, ())
    assert groundwork.failing == {t for f in diagnosis.faults for t in f.tests}
    assert groundwork.passing == {f"test_all.py::{n}" for n in ("test_double", "test_plural_of_none", "test_shout")}


def test_the_lines_of_each_test(two_faults):
    _, groundwork, _ = two_faults
    assert groundwork.traced
    assert groundwork.lines["test_all.py::test_plural_of_none"] == {"words.py": {5, 6}}
    assert groundwork.lines["test_all.py::test_plural"] == {"words.py": {5, 7}, "number.py": {10}}
    assert groundwork.lines.keys() == groundwork.passing | groundwork.failing
    assert groundwork.seconds.keys() >= groundwork.passing


def test_each_fault_is_ranked_down_to_its_line(two_faults):
    diagnosis, _, _ = two_faults
    zero, plural = diagnosis.faults
    assert (zero.files[0].path, zero.functions[0].name, zero.lines[0].first) == ("number.py", "ordinal", 3)
    assert any("innermost frame" in reason for reason in zero.files[0].reasons)
    assert (plural.files[0].path, plural.functions[0].name, plural.lines[0].first) == ("words.py", "plural", 7)
    assert any("executed by 2 of 2 failing" in reason for reason in plural.lines[0].reasons)
    assert "changed since the last good commit" in plural.lines[0].reasons
    assert "changed 2 days before, in ddddddd 'Spell'" in plural.lines[0].reasons
    assert zero.notes[0] == "no line changed since good is executed by the failing tests"
    for fault in diagnosis.faults:
        assert {f.path for f in fault.files} <= {"number.py", "words.py"}  # what no failing test runs is not read
        for level in (fault.files, fault.functions, fault.lines):
            assert sum(r.score for r in level) <= 1 + 1e-9


def test_evidence_and_costs(two_faults):
    diagnosis, _, model = two_faults
    evidence = diagnosis.faults[0].evidence
    assert len(evidence) == 3
    assert isinstance(evidence[0], FailingTest)
    assert "def test_ordinal(n):" in evidence[0].source
    assert evidence[0].trace.error_type == "ZeroDivisionError"
    spent = diagnosis.spent
    assert (spent.whole, spent.test_runs, spent.executed) == (2, 3, 24)
    assert spent.prompt_tokens == model.usage.prompt_tokens > 0
    assert {call.view.path for call in model.calls} == {"number.py", "words.py"}


def test_a_syntax_error_is_a_fault_of_its_own_whose_test_is_the_file(tmp_path):
    files = {"number.py": NUMBER.replace("def double(n):", "def double(n)"), "test_n.py": "from number import double\n"}
    files["test_other.py"] = "def test_fine():\n    assert True\n"
    diagnosis, groundwork = diagnosed(project(tmp_path, files))
    (fault,) = diagnosis.faults
    assert fault.title == "SyntaxError in number.py:9, 1 test"
    assert fault.tests == ("test_n.py",)
    assert groundwork.failing == {"test_n.py"}
    assert fault.lines[0].first == 9


def test_a_conftest_that_breaks_over_a_source(tmp_path):
    files = {"number.py": "def double(n)\n    return n\n", "conftest.py": "import number\n", "test_a.py": TESTS}
    diagnosis, groundwork = diagnosed(project(tmp_path, files))
    (fault,) = diagnosis.faults
    assert (fault.tests, fault.lines[0].path, fault.lines[0].first) == ((WHOLE,), "number.py", 1)
    assert groundwork.failing == {WHOLE}


ONE = "def test_one():\n    {}\n\n\ndef test_two():\n    pass\n"


@pytest.mark.parametrize(
    ("text", "standing", "words"),
    [
        (ONE.format("pass"), Standing.HEALTHY, "all 2 tests pass"),
        ("x = 1\n", Standing.NO_TESTS, "collects no tests"),
        ("import numpyish\n", Standing.NO_ENVIRONMENT, "numpyish is not installed"),
        ("import missing_dep\nimport numpyish\n", Standing.NO_ENVIRONMENT, "missing_dep is not installed"),
        ("raise RuntimeError('not today')\n", Standing.BROKEN_BUILD, "no test can be collected"),
        (
            ONE.format("raise OSError('Network is unreachable')"),
            Standing.HEALTHY,
            "1 failing test (test_a.py::test_one)",
        ),
        ("import os; os._exit(3)", Standing.BROKEN_BUILD, "the tests do not start"),
        (ONE.format("import os; os._exit(3)"), Standing.HOSTILE, "while test_a.py::test_one ran"),
        (ONE.format("import os; os.kill(os.getpid(), 9)"), Standing.HOSTILE, "killed, twice while test_a.py::test_one"),
        (ONE.format("import os; [os.write(1, b'x' * 99999) for _ in range(200)]"), Standing.HOSTILE, "printed more"),
    ],
)
def test_what_cannot_be_worked_on(tmp_path, text, standing, words):
    refusal = refused(project(tmp_path, {"test_a.py": text, "a.py": "x = 1\n"}, f"{PYTEST} -s"))
    assert refusal.standing is standing, refusal.reason
    assert words in refusal.reason


class Chancy:
    """A suite whose runs are told beforehand."""

    selects = True

    def __init__(self, *runs: dict[str, Outcome]) -> None:
        self._runs = list(runs)

    def run(self, files, limits, selection) -> SuiteRun:
        ended = tuple(TestResult(test, outcome) for test, outcome in self._runs.pop(0).items())
        return SuiteRun(Observation(all(t.outcome is PASSED for t in ended), ended))


def based(*runs: dict[str, Outcome]):
    tests = Tests(Chancy(*runs), parse_command(PYTEST), Path(), Limits())
    return take_baseline(tests, environment_of(()))


def test_a_package_that_one_test_file_misses_is_no_fault(tmp_path):
    files = {"number.py": NUMBER, "words.py": WORDS, "test_all.py": TESTS, "test_x.py": "import numpyish\n"}
    files["test_y.py"] = "def test_speed(no_such_plugin):\n    pass\n"
    diagnosis, groundwork = diagnosed(project(tmp_path, files))
    assert len(diagnosis.failing) == 5
    assert diagnosis.notes == (
        "2 failing tests (test_x.py, test_y.py::test_speed) need what is not installed and are not counted",
    )
    assert groundwork.flaky == {"test_x.py", "test_y.py::test_speed"}  # may end either way after a patch


def test_only_flaky_tests_fail():
    good, bad = {"a": PASSED, "b": PASSED}, {"a": FAILED, "b": PASSED}
    refusal = nothing_fails(based(bad, good, bad))
    assert refusal.standing is Standing.FLAKY
    assert refusal.reason.endswith("other runs of the same code: a")
    assert nothing_fails(based(good, good)).standing is Standing.HEALTHY  # a third run was not asked for
    found = based(bad, bad)
    assert (found.settled.failing, [t.test_id for t in found.failed]) == ({"a"}, ["a"])


def test_a_command_that_does_not_exist(tmp_path):
    refusal = refused(project(tmp_path, {"a.txt": ""}, "no-such-program-anywhere --all"))
    assert refusal.standing is Standing.NO_ENVIRONMENT


def test_without_coverage_the_output_and_names_decide(tmp_path):
    files = {"number.py": NUMBER, "words.py": WORDS, "run.py": "from number import ordinal\nordinal(3)\n"}
    made = project(tmp_path, files, f"{sys.executable} -I -c 'import sys; sys.path.insert(0, \".\"); import run'")
    diagnosis, groundwork = diagnosed(made)
    (fault,) = diagnosis.faults
    assert fault.tests == (WHOLE,)
    assert not groundwork.traced
    assert (fault.files[0].path, fault.lines[0].first) == ("number.py", 3)


LOG = """Traceback (most recent call last):
  File "/home/ci/build/words.py", line 11, in shout
    return word.upper()
AttributeError: 'int' object has no attribute 'upper'
"""


def test_a_log_brings_its_tests_first_and_a_fault_of_its_own(tmp_path):
    log = f"{LOG}\nFAILED ci/test_all.py::test_plural - AssertionError: assert 'dogss' == 'dogs'\n"
    files = {"number.py": NUMBER, "words.py": WORDS, "test_all.py": TESTS}
    diagnosis, _ = diagnosed(project(tmp_path, files, report=log))
    assert [len(f.tests) for f in diagnosis.faults] == [2, 3, 0]
    reported = diagnosis.faults[2]
    assert reported.title == "AttributeError in words.py:11 (shout), reported"
    assert isinstance(reported.evidence[0], Traceback)
    assert reported.functions[0].name == "shout"
    assert len(diagnosis.notes) == 2


def test_a_report_alone(tmp_path):
    made = project(tmp_path, {"words.py": WORDS, "other.py": "x = 1\n"}, "", report=LOG)
    diagnosis, groundwork = diagnosed(made)
    assert [(f.tests, f.files[0].path) for f in diagnosis.faults] == [((), "words.py")]
    assert not groundwork.failing
    assert refused(project(tmp_path, {}, "")).standing is Standing.NO_TESTS


def test_faults_over_the_bound_are_named_and_left(tmp_path):
    files = {"number.py": NUMBER, "words.py": WORDS, "test_all.py": TESTS}
    diagnosis, _ = diagnosed(project(tmp_path, files, bounds=Bounds(faults=1)))
    assert len(diagnosis.faults) == 1
    assert "1 more faults were found than are worked on (1)" in diagnosis.notes


HEALTHY = {"words.py": WORDS.replace("double(1)", "1"), "number.py": "def double(n):\n    return n + n\n"}
HEALTHY["test_words.py"] = "from words import shout\n\n\ndef test_shout():\n    assert shout('a') == 'A'\n"


def test_alerts_of_a_healthy_repository_get_its_tests_as_groundwork(tmp_path):
    diagnosis, groundwork = diagnosed(project(tmp_path, HEALTHY, alerts="{}"))
    assert (diagnosis.faults, diagnosis.passing, diagnosis.notes) == ((), 1, ("all 1 tests pass",))
    assert groundwork.passing == {"test_words.py::test_shout"}
    assert groundwork.lines["test_words.py::test_shout"] == {"words.py": {11}}


def test_a_report_over_a_healthy_repository_is_its_fault(tmp_path):
    diagnosis, groundwork = diagnosed(project(tmp_path, HEALTHY, report=LOG))
    assert [(f.tests, f.lines[0].first) for f in diagnosis.faults] == [((), 11)]
    assert diagnosis.notes[0] == "all 1 tests pass" and groundwork.traced


def test_where_the_command_finds_no_test_alerts_are_left(tmp_path):
    diagnosis, groundwork = diagnosed(project(tmp_path, {"a.py": "x = 1\n", "test_a.py": ""}, alerts="{}"))
    assert (diagnosis.tests, groundwork.passing) == (0, frozenset())
    assert "no tests" in diagnosis.notes[0]


def test_a_refusal_survives_the_way_between_processes():
    refusal = pickle.loads(pickle.dumps(Refusal(Standing.HOSTILE, "it attacks")))
    assert (type(refusal), refusal.standing, refusal.reason) == (Refusal, Standing.HOSTILE, "it attacks")
    assert str(refusal) == "it attacks"
