"""ScriptOracle on real interpreters: what passes, what only seems to, and what the probe tells."""

from __future__ import annotations

import shutil

import pytest

from repair.defects import FailingTest, Traceback
from repair.errors import NothingToRepair, OracleError
from repair.oracles.scripts import ScriptOracle, run_script, warm_programs
from repair.sandbox import Limits
from repair.sources import Source
from repair.verdicts import Outcome, Verdict

CODE = """def middle(values):
    ordered = sorted(values)
    if len(ordered) % 2 == 1:
        return ordered[len(ordered) // 2]
    return ordered[len(ordered) // 2]
"""
FIXED = (
    CODE[: CODE.rindex("    return")] + "    return (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2\n"
)
TESTS = """def check(f):
    assert f([3, 1, 2]) == 2
    assert f([4, 1, 2, 3]) == 2.5
    for n in range(1, 9, 2):
        assert f(range(n)) == n // 2
    assert f([1, 2]) == 1.5

check(middle)
"""
FORGERY = """import os
for fd in range(3, 256):
    try:
        os.write(fd, b'\\n0 {"kind": "end", "code": 0}\\n')
    except OSError:
        pass
os._exit(0)
"""
QUICK = Limits(wall_seconds=60.0, cpu_seconds=10.0)


@pytest.fixture(scope="module")
def python(sandbox):
    with warm_programs(sandbox, "python") as programs:
        yield programs


@pytest.fixture(scope="module")
def bench(sandbox):
    with ScriptOracle(Source("solution.py", CODE), TESTS, sandbox).open() as ready:
        ready.told = ready.baseline()
        yield ready


def passes(programs, code, tests="", limits=QUICK):
    return run_script(programs, "python", code, tests, limits)


def test_baseline_tells_single_assertions(bench):
    told = bench.told
    assert told.failing == {"line 10", "line 13"}
    assert told.passing == {"line 9", "line 11"}, "a loop is kept whole"
    assert told.test_text == "assert f([4, 1, 2, 3]) == 2.5"


def test_evidence_has_values_of_both_sides_and_a_trace(bench):
    first = bench.told.evidence[0]
    assert isinstance(first, FailingTest)
    assert first.trace is not None
    assert (first.trace.error_type, first.trace.message) == ("AssertionError", "got 3, expected 2.5")
    assert first.trace.frames[-1].line == 10
    assert first.source == "assert f([4, 1, 2, 3]) == 2.5"


def test_spectrum_points_at_the_line_that_only_failing_assertions_run(bench):
    spectrum = bench.told.spectrum
    assert spectrum is not None
    lines = {line: spectrum.ochiai("solution.py", line) for line in range(1, 6)}
    assert max(lines, key=lines.__getitem__) == 5
    assert lines[5] == 1.0
    assert lines[4] == 0.0
    assert not [key for key in spectrum.executed_failing if key[1] > 6], "tests are not part of the spectrum"


@pytest.mark.parametrize("thorough", [False, True])
def test_a_right_repair_is_plausible(bench, rewrite, thorough):
    judgement = bench.judge(rewrite("solution.py", CODE, FIXED), thorough=thorough)
    assert judgement.verdict is Verdict.PLAUSIBLE
    assert len(judgement.observations) == 1 + thorough


def test_a_wrong_repair_is_unfixed_and_tells_how_far_it_came(bench, rewrite):
    judgement = bench.judge(rewrite("solution.py", CODE, CODE.replace("    return ordered", "    return 1 + ordered")))
    assert judgement.verdict is Verdict.REGRESSED
    half = CODE[: CODE.rindex("    return")] + "    return 2.5\n"
    judgement = bench.judge(rewrite("solution.py", CODE, half))
    assert judgement.verdict is Verdict.UNFIXED
    assert judgement.observations[0].ids(Outcome.PASSED) >= {"line 9", "line 10"}
    assert judgement.observations[0].ids(Outcome.FAILED) == {"line 13"}


def test_longer_code_does_not_confuse_the_lines_of_tests(bench, rewrite):
    judgement = bench.judge(rewrite("solution.py", CODE, "\n\n\n" + CODE))
    assert judgement.verdict is Verdict.UNFIXED
    assert judgement.observations[0].ids(Outcome.FAILED) == {"line 10"}


def test_what_does_not_parse_is_broken_without_a_run(bench, rewrite):
    before = bench.runs
    assert bench.judge(rewrite("solution.py", CODE, CODE + "return (")).verdict is Verdict.BROKEN
    assert bench.runs == before


def test_another_file_is_inapplicable(bench, rewrite):
    assert bench.judge(rewrite("other.py", "", "x = 1")).verdict is Verdict.INAPPLICABLE


@pytest.mark.parametrize(
    "cheat",
    [
        "import sys; sys.exit(0)",
        "exit(0)",
        "raise SystemExit",
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import threading, os; threading.Thread(target=lambda: os._exit(0), daemon=True).start()\nwhile True: pass",
        "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "while True: pass",
        "import time; time.sleep(60)",
        "import os\nif os.fork(): os._exit(0)",
        FORGERY,
        "def f(): f()\nf()",
        "x = [0] * 10**12",
        "print('x' * 10**8)",
        "import atexit, os; atexit.register(os._exit, 3)",
    ],
)
def test_only_the_very_end_is_a_pass(python, cheat):
    observation = passes(python, cheat, "assert True", Limits(wall_seconds=1.0, cpu_seconds=0.5))
    assert not observation.passed
    assert observation.reason


@pytest.mark.parametrize(
    "fine",
    [
        "x = 1",
        "import threading; t = threading.Thread(target=lambda: None); t.start()",
        "from __future__ import annotations\ndef f(a: Undefined): pass",
        "import sys\nif __name__ == '__main__':\n    assert sys.argv == ['solution.py'] and __file__ == 'solution.py'",
        "import os; assert 'EMEND_REPORT_FD' not in os.environ and not os.path.exists('.emend-task.json')",
        "import sys; assert not [p for p in sys.path if 'emend' in p or 'oracles' in p], sys.path",
        "import os\npid = os.fork()\nif not pid: os._exit(3)\nos.waitpid(pid, 0)",
    ],
)
def test_honest_programs_pass(python, fine):
    observation = passes(python, fine)
    assert observation.passed, observation


def test_runs_do_not_see_each_other(python):
    assert passes(python, "import builtins, os; builtins.left = 1; open('left', 'w').close()").passed
    assert passes(
        python, "import builtins, os; assert not hasattr(builtins, 'left') and not os.path.exists('left')"
    ).passed


def test_functions_called_in_a_loop_are_taken_apart(sandbox):
    code = "def half(n):\n    if n < 0:\n        raise ValueError(n)\n    return n // 2 + (n > 4)\n"
    tests = (
        "def test_1():\n    result = half(2)\n    assert result == 1, f'got {result!r}'\n\n"
        "def test_2():\n    result = half(-2)\n    assert result == -1\n\n"
        "def test_3():\n    result = half(6)\n    assert result == 3, f'got {result!r}, expected 3'\n\n"
        "if __name__ == '__main__':\n    for t in [test_1, test_2, test_3]:\n        t()\n"
    )
    with ScriptOracle(Source("s.py", code), tests, sandbox).open() as bench:
        told = bench.baseline()
    assert len(told.passing) == 1
    assert len(told.failing) == 2
    raised, differs = told.evidence
    assert isinstance(raised, FailingTest)
    assert raised.trace is not None
    assert raised.trace.error_type == "ValueError"
    assert [f.line for f in raised.trace.frames][-1] == 3
    assert raised.source == "result = half(-2)\nassert result == -1"
    assert isinstance(differs, FailingTest)
    assert differs.trace is not None
    assert differs.trace.message == "got 4, expected 3", "the author's message is not repeated"


def test_a_hanging_assertion_is_told_with_the_place_where_it_hangs(sandbox):
    code = "def count(n):\n    i = 0\n    while i < n:\n        if n != 3:\n            i += 1\n    return i\n"
    tests = "assert count(2) == 2\nassert count(3) == 3\nassert count(4) == 4\n"
    oracle = ScriptOracle(Source("s.py", code), tests, sandbox, Limits(wall_seconds=60.0, cpu_seconds=1.5))
    with oracle.open() as bench:
        told = bench.baseline()
    assert len(told.passing) == 2
    (hung,) = told.evidence
    assert isinstance(hung, FailingTest)
    assert hung.trace is not None
    assert hung.trace.frames[-1].line in (3, 4)
    assert told.spectrum is not None


def test_a_script_that_cannot_be_taken_apart_has_its_traceback(sandbox):
    code = "def f(x):\n    return x.missing\n"
    with ScriptOracle(Source("s.py", code), "print(f(3))", sandbox).open() as bench:
        told = bench.baseline()
    (trace,) = told.evidence
    assert isinstance(trace, Traceback)
    assert trace.error_type == "AttributeError"
    assert trace.frames[-1].line == 2


def test_code_that_does_not_compile_is_a_failing_state(sandbox, rewrite):
    with ScriptOracle(Source("s.py", "def f(:\n"), "assert f() == 1", sandbox).open() as bench:
        told = bench.baseline()
        assert isinstance(told.evidence[0], Traceback)
        assert told.evidence[0].error_type == "SyntaxError"
        assert bench.judge(rewrite("s.py", "def f(:\n", "def f(): return 1\n")).verdict is Verdict.PLAUSIBLE


def test_nothing_to_repair(sandbox):
    with ScriptOracle(Source("s.py", FIXED), TESTS, sandbox).open() as bench, pytest.raises(NothingToRepair):
        bench.baseline()


def test_flaky_tests_are_no_oracle(sandbox):
    tests = "import time; assert time.time_ns() // 1000 % 2"
    with ScriptOracle(Source("s.py", "x = 1"), tests, sandbox).open() as bench:
        for _ in range(20):  # runs of equal outcomes have a chance of their own
            try:
                assert bench.baseline().failing
            except NothingToRepair:
                continue
            except OracleError as error:
                assert "flaky" in str(error)
                return
    pytest.fail("a test that depends on the clock was never seen to differ")


JS_CODE = "const twice = (n) => n + n + 1;\n"
JS_TESTS = "const assert = require('assert');\nassert.strictEqual(twice(2), 4);\n"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_javascript(sandbox, rewrite):
    with ScriptOracle(Source("solution.js", JS_CODE), JS_TESTS, sandbox).open() as bench:
        told = bench.baseline()
        (failure,) = told.evidence
        assert isinstance(failure, FailingTest)
        assert failure.trace is not None
        assert failure.trace.message == "got 5, expected 4"
        assert {f.path for f in failure.trace.frames} == {"solution.js"}
        verdicts = {
            "const twice = (n) => n * 2;\n": Verdict.PLAUSIBLE,
            "const twice = (n) => n * 3;\n": Verdict.UNFIXED,
            "process.exit(0);\n": Verdict.UNFIXED,
            "setTimeout(() => process.exit(0), 1);\nconst twice = (n) => n * 2;\n": Verdict.UNFIXED,
            "const twice = (n) => { while (true) {} };\n": Verdict.UNFIXED,
            "const twice = (n => n * 2;\n": Verdict.BROKEN,
        }
        for text, verdict in verdicts.items():
            assert bench.judge(rewrite("solution.js", JS_CODE, text)).verdict is verdict, text


JS_UNITS = """let calls = 0;
const expectSame = (a, b) => { if (a !== b) throw new Error(`${a} is not ${b}`) }
function testSign() {
  assert(sign(3) === 1)
  assert(
    sign(-3) === -1
  )
  for (const n of [1, 2]) {
    expectSame(sign(n), 1)
  }
  expectSame(sign(0), 0)
  assert.throws(() => sign())
}
const assert = require('assert');
testSign()
"""
JS_SIGN = """function sign(n) {
  if (n === undefined) {
    throw new TypeError('é');
  }
  if (n > 0) {
    return 1;
  }
  return n;
}
"""


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_javascript_assertions_are_told_one_by_one(sandbox, rewrite):
    with ScriptOracle(Source("solution.js", JS_SIGN), JS_UNITS, sandbox).open() as bench:
        told = bench.baseline()
        assert told.failing == {"line 16"}
        assert told.passing == {"line 15", "line 19", "line 22", "line 23"}
        (failure,) = told.evidence
        assert isinstance(failure, FailingTest)
        assert failure.trace is not None
        assert failure.trace.message == "got -3, expected -1"
        assert failure.source == "assert(\n    sign(-3) === -1\n  )"
        assert told.spectrum is not None
        ranked = {line: told.spectrum.ochiai("solution.js", line) for line in range(1, 10)}
        assert ranked[8] > ranked[2] > 0.0
        assert ranked[3] == ranked[6] == 0.0
        wrong = JS_SIGN.replace("return n;", "return -1;")
        judgement = bench.judge(rewrite("solution.js", JS_SIGN, wrong))
        assert judgement.verdict is Verdict.REGRESSED
        assert judgement.observations[0].ids(Outcome.FAILED) == {"line 22"}
        assert "line 16" in judgement.observations[0].ids(Outcome.PASSED)
        right = JS_SIGN.replace("return n;", "return n < 0 ? -1 : 0;")
        assert bench.judge(rewrite("solution.js", JS_SIGN, right)).verdict is Verdict.PLAUSIBLE


JAVA = "class Solution {\n  static int twice(int n) { return n + n%s; }\n}\n"
JAVA_TESTS = (
    "class Main {\n  public static void main(String[] a) {\n"
    '    if (Solution.twice(2) != 4) throw new AssertionError("got " + Solution.twice(2));\n  }\n}\n'
)


@pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK")
def test_java(sandbox):
    limits = Limits(wall_seconds=120.0, cpu_seconds=60.0)
    with warm_programs(sandbox, "java") as programs:
        observation = run_script(programs, "java", JAVA % "", JAVA_TESTS, limits)
        assert observation.passed, observation
        left = run_script(programs, "java", (JAVA % "").replace("return", "System.exit(0); return"), JAVA_TESTS, limits)
        assert not left.passed
        assert "before its end" in left.reason


def test_a_language_that_cannot_be_run(sandbox):
    with pytest.raises(OracleError, match="python, javascript and java"), warm_programs(sandbox, "cobol"):
        pass
