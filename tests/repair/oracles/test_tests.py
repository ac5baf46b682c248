"""TestOracle on real projects and real pytest, in the real sandbox."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from repair.defects import FailingTest
from repair.errors import NothingToRepair, OracleError
from repair.oracles.tests import TestOracle
from repair.sandbox import Limits
from repair.sources import Source, read_source
from repair.verdicts import Outcome, Verdict

PYTHON = Path(sys.executable)
QUIET = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"  # what is installed here beside pytest is not under test
COMMAND = f"{QUIET} python -m pytest -q test_calc.py"
CALC = """def add(a, b):
    return a - b


def mul(a, b):
    return a * b
"""
RIGHT = CALC.replace("a - b", "a + b")
TESTS = """import pytest
from calc import add, mul


def test_add():
    total = add(2, 3)
    assert total == 5


@pytest.mark.parametrize("a", [1, 2])
def test_mul(a):
    assert mul(a, 3) == 3 * a
"""
QUICK = Limits(wall_seconds=90.0, cpu_seconds=60.0)


def oracle(root: Path, sandbox, command=COMMAND, *, paths=("calc.py",), **options) -> TestOracle:
    sources = tuple(read_source(root, path) for path in paths)
    return TestOracle(root, sources, sandbox, command, **{"python": PYTHON, "limits": QUICK, **options})


def write(root: Path, **files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    return root


@pytest.fixture(scope="module")
def bench(sandbox, tmp_path_factory):
    root = write(tmp_path_factory.mktemp("calc"), calc=CALC, test_calc=TESTS)
    with oracle(root, sandbox).open() as ready:
        ready.told = ready.baseline()
        yield ready


def test_baseline(bench):
    told = bench.told
    assert told.failing == {"test_calc.py::test_add"}
    assert told.passing == {"test_calc.py::test_mul[1]", "test_calc.py::test_mul[2]"}
    assert told.test_text == "def test_add():\n    total = add(2, 3)\n    assert total == 5"
    (failure,) = told.evidence
    assert isinstance(failure, FailingTest)
    assert failure.trace is not None
    assert (failure.trace.error_type, failure.trace.message) == ("AssertionError", "assert -1 == 5")
    assert failure.trace.frames[-1].path == "test_calc.py"


def test_coverage_of_single_tests(bench):
    spectrum = bench.told.spectrum
    assert spectrum is not None
    assert spectrum.ochiai("calc.py", 2) == 1.0
    assert spectrum.ochiai("calc.py", 6) == 0.0
    assert spectrum.passing == 2


@pytest.mark.parametrize("thorough", [False, True])
def test_plausible(bench, rewrite, thorough):
    judgement = bench.judge(rewrite("calc.py", CALC, RIGHT), thorough=thorough)
    assert judgement.verdict is Verdict.PLAUSIBLE, judgement.reason
    assert judgement.reason == "3 tests pass"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (CALC.replace("a - b", "a * b"), Verdict.UNFIXED),
        (RIGHT.replace("a * b", "a"), Verdict.REGRESSED),
        (CALC + "def (", Verdict.BROKEN),
        (RIGHT.replace("return a * b", "import os; os._exit(0)"), Verdict.UNFIXED),
        ("import os\nos._exit(0)\n", Verdict.UNFIXED),
        ("import sys\nsys.exit(0)\n", Verdict.UNFIXED),
        ("import pytest\npytest.exit('done', returncode=0)\n", Verdict.UNFIXED),
        ("import pytest\npytest.skip('no', allow_module_level=True)\n", Verdict.UNFIXED),
        ("import nowhere\n", Verdict.UNFIXED),
        ("while True: pass\n", Verdict.UNFIXED),
        ("import os\nos.kill(os.getpid(), 9)\n", Verdict.UNDECIDED),
        ("import atexit, os\natexit.register(os._exit, 0)\n" + RIGHT, Verdict.PLAUSIBLE),
    ],
)
def test_verdicts(bench, rewrite, text, verdict):
    judgement = bench.judge(rewrite("calc.py", CALC, text))
    assert judgement.verdict is verdict, judgement
    assert judgement.reason


def test_what_a_repair_may_not_touch(sandbox, tmp_path, rewrite):
    root = write(tmp_path, calc=CALC, test_calc=TESTS, conftest="", helper="x = 1\n", setup="", sitecustomize="")
    (root / "link.py").symlink_to("calc.py")
    (root / "pkg").mkdir()
    (root / "pkg" / "checks.py").write_text("def test_it():\n    assert True\n")
    (root / "pytest.ini").write_text("[pytest]\npython_files = test_*.py checks.py\n")
    paths = ("calc.py", "test_calc.py", "conftest.py", "pytest.ini", "link.py", "sitecustomize.py", "pkg/checks.py")
    with oracle(root, sandbox, f"{QUIET} python -m pytest", paths=paths).open() as bench:
        bench.baseline()
        assert bench.covers(rewrite("calc.py", "", "x").patch)
        refused = [
            p for p in (*paths[1:], "helper.py", ".git/config", "x.pth") if bench.covers(rewrite(p, "", "x").patch)
        ]
        assert refused == []
        assert bench.judge(rewrite("conftest.py", "", "x = 1")).verdict is Verdict.INAPPLICABLE


def test_tests_that_vanish_are_a_regression(sandbox, tmp_path, rewrite):
    cases = "from calc import add, CASES\nimport pytest\n\ndef test_add():\n    assert add(2, 3) == 5\n\n"
    cases += "@pytest.mark.parametrize('case', CASES)\ndef test_case(case):\n    assert case\n"
    code = "CASES = [1, 2]\n" + CALC
    root = write(tmp_path, calc=code, test_calc=cases)
    with oracle(root, sandbox).open() as bench:
        bench.baseline()
        judgement = bench.judge(rewrite("calc.py", code, "CASES = [1]\n" + RIGHT))
        assert judgement.verdict is Verdict.REGRESSED
        assert "gone" in judgement.reason


def test_an_import_that_fails_is_a_failing_state(sandbox, tmp_path, rewrite):
    code = RIGHT.replace("def mul", "def mull")
    other = "def test_other():\n    assert True\n"
    root = write(tmp_path, calc=code, test_calc=TESTS, test_other=other)
    with oracle(root, sandbox, f"{QUIET} pytest -q -x").open() as bench:
        told = bench.baseline()
        assert told.failing == {"test_calc.py"}
        assert told.passing == {"test_other.py::test_other"}, "-x does not hide the others"
        (failure,) = told.evidence
        assert isinstance(failure, FailingTest)
        assert failure.trace is not None
        assert failure.trace.error_type == "ImportError"
        assert bench.judge(rewrite("calc.py", code, RIGHT)).verdict is Verdict.PLAUSIBLE
        assert bench.judge(rewrite("calc.py", code, CALC)).verdict is Verdict.UNFIXED


def test_a_conftest_that_fails_because_of_the_fault_is_a_failing_state(sandbox, tmp_path, rewrite):
    code = RIGHT.replace("def add", "def ad")
    root = write(tmp_path, calc=code, test_calc=TESTS, conftest="from calc import add\n")
    with oracle(root, sandbox).open() as bench:
        bench.baseline()
        assert bench.judge(rewrite("calc.py", code, RIGHT)).verdict is Verdict.PLAUSIBLE
        assert bench.judge(rewrite("calc.py", code, CALC)).verdict is Verdict.UNFIXED


def test_a_syntax_error_is_a_failing_state(sandbox, tmp_path, rewrite):
    code = RIGHT.replace("def mul(a, b):", "def mul(a, b:")
    root = write(tmp_path, calc=code, test_calc=TESTS)
    with oracle(root, sandbox).open() as bench:
        told = bench.baseline()
        (failure,) = told.evidence
        assert isinstance(failure, FailingTest)
        assert failure.trace is not None
        assert (failure.trace.error_type, failure.trace.frames[-1].path) == ("SyntaxError", "calc.py")
        assert failure.trace.frames[-1].line == 5
        assert bench.judge(rewrite("calc.py", code, RIGHT)).verdict is Verdict.PLAUSIBLE


def test_nothing_to_repair(sandbox, tmp_path):
    root = write(tmp_path, calc=RIGHT, test_calc=TESTS)
    with oracle(root, sandbox).open() as bench, pytest.raises(NothingToRepair, match="pass"):
        bench.baseline()


def test_flaky_tests_do_not_count(sandbox, tmp_path, rewrite):
    unsteady = TESTS + "\n\ndef test_luck():\n    import time\n    assert time.time_ns() // 100 % 2\n"
    root = write(tmp_path, calc=CALC, test_calc=unsteady)
    with oracle(root, sandbox).open() as bench:
        for _ in range(12):
            told = bench.baseline()
            assert "test_calc.py::test_add" in told.failing
            if told.flaky:
                assert told.flaky == {"test_calc.py::test_luck"}
                assert any("test_luck" in note for note in told.notes)
                assert bench.judge(rewrite("calc.py", CALC, RIGHT)).verdict is Verdict.PLAUSIBLE
                return
    pytest.fail("a test that depends on the clock was never seen to differ")


def test_only_flaky_failures_are_no_oracle(sandbox, tmp_path):
    luck = "import time\n\ndef test_luck():\n    assert time.time_ns() // 100 % 2\n"
    root = write(tmp_path, calc=RIGHT, test_calc=luck)
    with oracle(root, sandbox).open() as bench:
        for _ in range(12):
            try:
                assert bench.baseline().failing == {"test_calc.py::test_luck"}
            except NothingToRepair:
                continue
            except OracleError as error:
                assert "flaky" in str(error)
                return
    pytest.fail("a test that depends on the clock was never seen to differ")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program --now", "does not exist here"),
        ("./missing.sh", "does not exist here"),
        (f"{QUIET} python -m pytest nowhere.py", "nowhere.py"),
        (f"{QUIET} python -m pytest --no-such-option", "no-such-option"),
        (f"{QUIET} python -m pytest -k nothing_at_all", "collects no tests"),
        ("python -m unittest calc", "collects no tests"),
        ("", "empty"),
        ("pytest 'unclosed", "cannot be read"),
        ("sh -c 'exit 127'", "cannot be run"),
        ("sh -c 'sleep 600'", "did not end within"),
        ("sh -c 'yes'", "printed more than allowed"),
    ],
)
def test_commands_that_cannot_be_used(sandbox, tmp_path, command, said):
    root = write(tmp_path, calc=CALC, test_calc=TESTS)
    limits = Limits(wall_seconds=1.0) if "sleep" in command else QUICK
    with pytest.raises(OracleError, match=said), oracle(root, sandbox, command, limits=limits).open() as bench:
        bench.baseline()


def test_an_interpreter_without_pytest(sandbox, tmp_path):
    bare = Path("/usr/bin/python3")
    if not bare.exists() or list(Path("/usr/lib/python3/dist-packages").glob("pytest")):
        pytest.skip("needs a system Python without pytest")
    root = write(tmp_path, calc=CALC, test_calc=TESTS)
    with pytest.raises(OracleError, match="pip install pytest"), oracle(root, sandbox, python=bare).open() as bench:
        bench.baseline()


def test_a_hanging_test_fails_where_it_hangs_and_the_others_run(sandbox, tmp_path, rewrite):
    code = RIGHT.replace("return a + b", "\n    while a: pass")
    root = write(tmp_path, calc=code, test_calc=TESTS)
    limits = Limits(wall_seconds=12.0, cpu_seconds=12.0)
    with oracle(root, sandbox, limits=limits).open() as bench:
        told = bench.baseline()
        assert told.failing == {"test_calc.py::test_add"}
        assert len(told.passing) == 2
        (failure,) = told.evidence
        assert isinstance(failure, FailingTest)
        assert failure.trace is not None
        assert failure.trace.frames[-1].line == 3
        assert bench.judge(rewrite("calc.py", code, RIGHT)).verdict is Verdict.PLAUSIBLE


def test_unittest(sandbox, tmp_path, rewrite):
    cases = "import unittest\nfrom calc import add, mul\n\nclass T(unittest.TestCase):\n"
    cases += "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n\n"
    cases += "    def test_mul(self):\n        for n in 1, 2:\n            with self.subTest(n=n):\n"
    cases += "                self.assertEqual(mul(n, 2), 2 * n)\n"
    root = write(tmp_path, calc=CALC, test_calc=cases)
    with oracle(root, sandbox, "python -m unittest", python=Path("/usr/bin/python3")).open() as bench:
        told = bench.baseline()
        assert told.failing == {"test_calc.T.test_add"}
        assert told.passing == {"test_calc.T.test_mul"}
        assert told.test_text.startswith("def test_add(self)")
        assert told.spectrum is not None
        assert told.spectrum.ochiai("calc.py", 2) == 1.0
        assert bench.judge(rewrite("calc.py", CALC, RIGHT)).verdict is Verdict.PLAUSIBLE
        assert bench.judge(rewrite("calc.py", CALC, RIGHT.replace("a * b", "a"))).verdict is Verdict.REGRESSED
        assert bench.judge(rewrite("calc.py", CALC, "import os\nos._exit(0)\n")).verdict is Verdict.UNFIXED


def test_files_without_a_command(sandbox, tmp_path, rewrite):
    """Test files that come with the request, under a Python that has no pytest."""
    root = write(tmp_path, calc=CALC)
    head, _, _ = TESTS.partition("@pytest")
    plain = head.replace("import pytest\n", "") + "def test_mul():\n    assert mul(2, 3) == 6\n"
    tests = {"checks/test_it.py": plain.encode()}
    with oracle(root, sandbox, None, tests=tests, python=Path("/usr/bin/python3")).open() as bench:
        told = bench.baseline()
        assert told.failing == {"test_it.test_add"}
        assert told.passing == {"test_it.test_mul"}
        assert bench.judge(rewrite("calc.py", CALC, RIGHT)).verdict is Verdict.PLAUSIBLE
    assert not (root / "checks").exists()


def test_a_script_as_the_test(sandbox, tmp_path, rewrite):
    script = "import sys\nfrom calc import add\nif add(2, 3) != 5:\n    sys.exit('bad %d' % add(2, 3))\nsys.exit(0)\n"
    root = write(tmp_path, calc=CALC, run=script)
    with oracle(root, sandbox, "python run.py").open() as bench:
        bench.baseline()
        assert bench.judge(rewrite("calc.py", CALC, RIGHT)).verdict is Verdict.PLAUSIBLE
        flood = "while True: print('x' * 10**6)\n"
        for cheat in ("import sys\nsys.exit(0)\n", "exit(0)\n", "import os\nos._exit(0)\n", flood):
            judgement = bench.judge(rewrite("calc.py", CALC, cheat))
            assert judgement.verdict is Verdict.UNFIXED, judgement


def test_any_program_as_the_test(sandbox, tmp_path, rewrite):
    root = write(tmp_path, calc=CALC)
    (root / "Makefile").write_text("test:\n\tpython3 -c 'from calc import add; assert add(2, 3) == 5'\n")
    with oracle(root, sandbox, "make -s test").open() as bench:
        told = bench.baseline()
        assert told.evidence
        assert bench.judge(rewrite("calc.py", CALC, RIGHT)).verdict is Verdict.PLAUSIBLE
        assert bench.judge(rewrite("calc.py", CALC, CALC + "\n")).verdict is Verdict.UNFIXED


def test_source_layout_is_importable(sandbox, tmp_path, rewrite):
    write(tmp_path / "src" / "pkg", calc=CALC, __init__="")
    write(tmp_path / "tests", test_calc=TESTS.replace("from calc", "from pkg.calc"))
    with oracle(tmp_path, sandbox, f"{QUIET} pytest tests", paths=("src/pkg/calc.py",)).open() as bench:
        assert bench.baseline().failing == {"tests/test_calc.py::test_add"}
        judgement = bench.judge(rewrite("src/pkg/calc.py", CALC, RIGHT))
        assert judgement.verdict is Verdict.PLAUSIBLE
        assert judgement.observations[-1].ids(Outcome.PASSED) >= {"tests/test_calc.py::test_add"}


def test_the_project_itself_is_never_written(sandbox, tmp_path, rewrite):
    noisy = TESTS + "\n\ndef test_writes():\n    open('left-behind', 'w').close()\n"
    root = write(tmp_path, calc=CALC, test_calc=noisy)
    before = sorted(p.name for p in root.rglob("*"))
    with oracle(root, sandbox).open() as bench:
        bench.baseline()
        bench.judge(rewrite("calc.py", CALC, RIGHT))
    assert sorted(p.name for p in root.rglob("*")) == before
    assert (root / "calc.py").read_text() == CALC
    assert Source("calc.py", CALC).to_bytes() == (root / "calc.py").read_bytes()


NODE_TESTS = """const { test } = require('node:test');
const assert = require('node:assert');
const { twice, half } = require('./calc.js');
require('installed');
test('twice', () => assert.strictEqual(twice(2), 4));
test('half', () => assert.strictEqual(half(4), 2));
"""
NODE_CALC = "exports.twice = (n) => n + n + 1;\nexports.half = (n) => n / 2;\n"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_node(sandbox, tmp_path, rewrite):
    (tmp_path / "calc.js").write_text(NODE_CALC)
    (tmp_path / "calc.test.js").write_text(NODE_TESTS)
    (tmp_path / "node_modules" / "installed").mkdir(parents=True)
    (tmp_path / "node_modules" / "installed" / "index.js").write_text("")
    with oracle(tmp_path, sandbox, "node --test", paths=("calc.js",)).open() as bench:
        told = bench.baseline()
        assert (len(told.failing), len(told.passing)) == (1, 1)
        right = NODE_CALC.replace(" + 1", "")
        verdicts = {
            right: Verdict.PLAUSIBLE,
            right.replace("n / 2", "n"): Verdict.REGRESSED,
            right.replace("exports.half", "process.exit(0);exports.half"): Verdict.UNFIXED,
            NODE_CALC + "\n": Verdict.UNFIXED,
        }
        for text, verdict in verdicts.items():
            assert bench.judge(rewrite("calc.js", NODE_CALC, text)).verdict is verdict, text
        assert not bench.covers(rewrite("calc.test.js", "", "x").patch)


def test_a_candidate_that_repairs_one_of_two_faults_tells_so(sandbox, tmp_path, rewrite):
    code = CALC.replace("a * b", "a")
    root = write(tmp_path, calc=code, test_calc=TESTS)
    with oracle(root, sandbox).open() as bench:
        assert len(bench.baseline().failing) == 3
        half = bench.judge(rewrite("calc.py", code, CALC))
        assert half.verdict is Verdict.UNFIXED
        passed = half.observations[0].ids(Outcome.PASSED)
        assert passed == {"test_calc.py::test_mul[1]", "test_calc.py::test_mul[2]"}
        assert bench.judge(rewrite("calc.py", code, RIGHT)).verdict is Verdict.PLAUSIBLE


def test_doctests_are_tests_inside_of_a_source(sandbox, tmp_path, rewrite):
    code = 'def add(a, b):\n    """Sum.\n\n    >>> add(2, 3)\n    5\n    """\n    return a - b\n'
    root = write(tmp_path, calc=code)
    with oracle(root, sandbox, f"{QUIET} pytest --doctest-modules").open() as bench:
        assert bench.baseline().failing == {"calc.py::calc.add"}
        right = code.replace("a - b", "a + b")
        assert bench.judge(rewrite("calc.py", code, right)).verdict is Verdict.PLAUSIBLE
        cheat = code.replace("    5", "    -1")
        assert bench.judge(rewrite("calc.py", code, cheat)).verdict is Verdict.INAPPLICABLE
