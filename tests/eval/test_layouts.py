"""Suites in other layouts: small look-alikes, read and run."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.measure import Conditions, Status, measure
from eval.suites.compared import about, as_json, raising
from eval.suites.rows import Suite, read_suite
from repair.errors import SuiteError
from repair.oracles.scripts import ScriptOracle, run_script, warm_programs
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source

PARCELS = """from heapq import *


def lightest(weights, count):
    queue = list(weights)
    heapify(queue)
    for _ in range({count}):
        yield heappop(queue), "g"


if __name__ == "__main__":
    raise SystemExit("started as a program")
"""
POSTAGE = "def postage(grams):\n    return {base} + grams * 0.1\n"
TAKEN = """def renumber(seats):
    seats.sort()
    return free(seats)


def free(seats):
    for number, seat in enumerate(seats, {first}):
        if seat != number:
            return number
    return None
"""
LOCK = """from .gate import Gate


def levels(lock):
    found = []
    while lock is not None:
        found.append(lock.level)
        lock = lock.{next}
    return found
"""
GATE = '''class Gate:
    """One gate of a river lock."""

    def __init__(self, level, below=None):
        if level < 0:
            raise ValueError("below the sea")
        self.level, self.below, self.above = level, below, None
'''
LOCK_TESTS = '''import pytest
from node import Gate as G

if pytest.use_correct:
    from correct_python_programs.levels import levels
else:
    from python_programs.levels import levels


@pytest.mark.timeout(3)
def test_falls():
    """Down to the sea."""
    sea = G(0)
    assert (
        levels(G(3, G(2, sea))) == [3, 2, 0]
    )
    assert levels(None) == []


@pytest.mark.parametrize("height,count", [(1, 1), (2.5, 1)])
def test_one(count, height):
    found = levels(G(height))
    assert len(found) == count
    assert found == pytest.approx([height])


def test_dry():
    with pytest.raises(ValueError, match="sea"):
        G(-1)
'''


def lines(*pairs):
    return "".join(json.dumps(pair) + "\n" for pair in pairs)


PROGRAMS = {
    "python_programs/lightest.py": PARCELS.format(count="count - 1"),
    "correct_python_programs/lightest.py": PARCELS.format(count="count"),
    "json_testcases/lightest.json": lines([[[5, 2, 9], 2], [[2, "g"], [5, "g"]]], [[[], 0], []]) + "\n",
    "python_programs/postage.py": POSTAGE.format(base=2),
    "correct_python_programs/postage.py": POSTAGE.format(base=1),
    "json_testcases/postage.json": lines([3, 1.3], [1, 1.1]),
    "python_programs/renumber.py": TAKEN.format(first=0),
    "correct_python_programs/renumber.py": TAKEN.format(first=1),
    "json_testcases/renumber.json": lines([[[3, 1, 2, 5]], 4], [[[1]], None]),
    "python_testcases/test_renumber.py": "import pytest\nfrom load import table\n",
    "python_programs/levels.py": LOCK.format(next="above"),
    "correct_python_programs/levels.py": LOCK.format(next="below"),
    "python_programs/gate.py": GATE,
    "python_programs/node.py": "from .gate import Gate\n",
    "python_programs/levels_test.py": "from .levels import levels\nprint(levels(None))\n",
    "python_programs/__init__.py": "",
    "python_testcases/test_levels.py": LOCK_TESTS,
}
SITTING = {
    "python_programs/untested.py": "def untested():\n    return 1\n",
    "json_testcases/ghost.json": lines([1, 2]),
    "python_programs/fixtured.py": "def fixtured():\n    return 1\n",
    "python_testcases/test_fixtured.py": "def test_a(tmp_path):\n    ...\n",
}


def folder(tmp_path, files):
    for name, content in files.items():
        path = tmp_path / "river" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path / "river"


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


def outcomes(sandbox, suite):
    """Whether the faulty and the right code of each case pass."""
    with warm_programs(sandbox, suite.cases[0].language) as programs:
        return {
            case.id: tuple(
                run_script(programs, case.language, code, case.tests).passed
                for code in (case.buggy_code, case.fixed_code)
            )
            for case in suite.cases
        }


def test_programs_of_a_directory_run(tmp_path, sandbox):
    suite = read_suite(folder(tmp_path, PROGRAMS))
    assert (suite.name, suite.layout, suite.skipped) == ("river", "programs", ())
    assert outcomes(sandbox, suite) == dict.fromkeys(("levels", "lightest", "postage", "renumber"), (False, True))
    assert all(case.held_out_tests is None for case in suite.cases)
    assert {case.id: case.entry_point for case in suite.cases}["renumber"] == "renumber"


def test_tests_of_a_directory_are_taken_apart(tmp_path, sandbox):
    for case in read_suite(folder(tmp_path, PROGRAMS)).cases:
        if case.id in ("postage", "levels"):
            oracle = ScriptOracle(Source("solution.py", case.buggy_code), case.tests, sandbox)
            with oracle.open() as bench:
                base = bench.baseline()
            assert base.spectrum is not None
            assert len(base.failing) + len(base.passing) == (2 if case.id == "postage" else 6)
            assert "assert " in base.test_text


def test_a_case_of_a_directory_is_repaired_and_the_reference_decides(tmp_path, sandbox):
    suite = read_suite(folder(tmp_path, {n: t for n, t in PROGRAMS.items() if "postage" in n}))
    found = measure(suite.cases[0], None, sandbox, Conditions(candidates=200))
    assert found.status is Status.REPAIRED, found.reason
    assert found.fault_rank is not None


def test_names_of_the_program_are_not_taken(tmp_path, sandbox):
    code = "def about(x):\n    return [as_json(x){}]\n\ndef as_json(x):\n    return x\n"
    files = {
        "python_programs/about.py": code.format(" + 1"), "correct_python_programs/about.py": code.format(""),
        "json_testcases/about.json": lines([1.5, [1.5]]),
    }  # fmt: skip
    assert outcomes(sandbox, read_suite(folder(tmp_path, files))) == {"about": (False, True)}


def test_programs_that_are_no_case_are_named(tmp_path):
    suite = read_suite(folder(tmp_path, {**PROGRAMS, **SITTING}))
    assert len(suite.cases) == 4
    told = dict(suite.skipped)
    assert set(told) == {"untested", "ghost", "fixtured"}
    assert "has no tests" in told["untested"]
    assert "there is no python_programs/ghost.py" in told["ghost"]
    assert "fixtures" in told["fixtured"]


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("def (", "no Python"),
        ("from python_programs.levels import levels\n", "no test functions"),
        ("class TestA:\n    def test(self): ...\n", "test classes"),
        ("import python_programs.levels\ndef test(): ...\n", "as a module"),
        ("from python_programs import levels\ndef test(): ...\n", "as a module"),
        ("from .wire import w\ndef test(): ...\n", "imports wire, which does not lie beside"),
        ("import pytest\ndef test():\n    pytest.importorskip('x')\n", "use pytest.importorskip"),
        ("import pytest\n@pytest.mark.parametrize(N, [])\ndef test(a): ...\n", "table of test"),
        ("async def test(): ...\n", "asynchronous"),
    ],
)
def test_tests_that_make_no_script(tmp_path, tests, says):
    suite = read_suite(folder(tmp_path, {**PROGRAMS, "python_testcases/test_levels.py": tests}))
    assert len(suite.cases) == 3
    assert [name for name, reason in suite.skipped if says in reason] == ["levels"]


@pytest.mark.parametrize(
    ("change", "says", "line"),
    [
        ({"json_testcases/postage.json": "[3, 1.3]\n[3]\n"}, "postage.json: line 2: a test must be a pair", 2),
        ({"json_testcases/postage.json": "\n[3, 1.3\n"}, "postage.json: line 2: not JSON", 2),
        ({"json_testcases/postage.json": "[" * 100_000}, "nested too deeply", 1),
        ({"json_testcases/postage.json": b"[1, 2]\n\xff"}, "line 2: not utf-8", 2),
        ({"python_programs/postage.py": b"# \xe9"}, "postage.py: line 1: not utf-8", 1),
    ],
)
def test_bad_files_of_a_directory(tmp_path, change, says, line):
    with pytest.raises(SuiteError, match=says) as caught:
        read_suite(folder(tmp_path, {**PROGRAMS, **change}))
    assert caught.value.line == line


def test_directories_of_no_layout(tmp_path):
    with pytest.raises(SuiteError, match="a directory of no known layout"):
        read_suite(tmp_path)
    with pytest.raises(SuiteError, match="has no program with tests"):
        read_suite(folder(tmp_path, {"python_programs/a.py": "a = 1\n", "json_testcases/a.json": ""}))
    with pytest.raises(SuiteError, match="the layout 'pack' is a file"):
        read_suite(tmp_path / "river", layout="pack")


def test_what_lies_in_a_directory_tells_its_hash(tmp_path):
    one = read_suite(folder(tmp_path / "a", PROGRAMS))
    two = read_suite(folder(tmp_path / "b", PROGRAMS))
    other = read_suite(folder(tmp_path / "c", {**PROGRAMS, "python_programs/gate.py": GATE + "\n"}))
    assert one == two
    assert one.sha256 != other.sha256


def test_results_are_compared_as_json_has_them():
    assert as_json({1: (x for x in (1, (2,))), "a": range(2)}) == {"1": [1, [2]], "a": [0, 1]}
    assert as_json(iter(int, 1), most=3) == [0, 0, 0]
    assert about([1, {"a": 0.3}]) == [1, {"a": 0.1 + 0.2}]
    assert about([float("nan")]) == [float("nan")]
    assert about([0.3]) != [0.3, 0.3]
    assert about([0.3]) != [0.4]
    assert about([0.3]) != ["0.3"]
    with pytest.raises(AssertionError, match="nothing was raised"), raising(ValueError):
        pass
    with pytest.raises(KeyError), raising(ValueError):
        raise KeyError


PACK = {
    "task_id": "Python/0", "declaration": "def row_of(seat, wide):\n", "entry_point": "row_of",
    "bug_type": "off by one",
    "canonical_solution": "    return (seat - 1) // wide + 1\n", "buggy_solution": "    return seat // wide + 1\n",
    "test": "def check(f):\n    assert f(4, 4) == 1\n    assert f(5, 4) == 2\n\ncheck(row_of)\n", "prompt": 3,
}  # fmt: skip
NODE = {
    **PACK, "task_id": "JavaScript/0", "declaration": "const rowOf = (seat, wide) => {\n",
    "canonical_solution": "  return Math.ceil(seat / wide)\n}\n",
    "buggy_solution": "  return Math.floor(seat / wide)\n}\n",
    "test": "const check = () => {\n  console.assert(rowOf(5, 4) === 2)\n}\n\ncheck()\n",
}  # fmt: skip
JAVA = {
    **PACK, "task_id": "Java/0",
    "declaration": "import java.util.*;\n\nclass Solution {\n    public int rowOf(int seat, int wide) {\n",
    "canonical_solution": "        return (seat - 1) / wide + 1;\n    }\n}",
    "buggy_solution": "        return seat / wide + 1;\n    }\n}",
    "test": "import java.util.function.*;\npublic class Main {\n    public static void main(String[] args) {\n"
    "        IntSupplier row = () -> new Solution().rowOf(4, 4);\n"
    "        List<Boolean> correct = Arrays.asList(row.getAsInt() == 1);\n"
    "        if (correct.contains(false)) throw new AssertionError();\n    }\n}\n",
}  # fmt: skip


def pack(tmp_path, *rows, name="pack.jsonl"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("row", [PACK, NODE, JAVA], ids=["python", "javascript", "java"])
def test_rows_of_the_pack_layout_run(tmp_path, sandbox, row):
    suite = read_suite(pack(tmp_path, row))
    assert suite.layout == "pack"
    case = suite.cases[0]
    if row is JAVA:  # to compile takes long: once
        with warm_programs(sandbox, "java") as programs:
            assert run_script(programs, "java", case.fixed_code, case.tests).passed
    else:
        assert outcomes(sandbox, suite) == {row["task_id"]: (False, True)}
    assert (case.entry_point, case.bug_type, case.held_out_tests) == ("row_of", "off by one", None)


@pytest.mark.parametrize(
    ("row", "name", "language"),
    [
        ({**PACK, "language": "js"}, "x.jsonl", "javascript"),
        ({**PACK, "task_id": "7"}, "pack_java.jsonl", "java"),
        ({**PACK, "task_id": None}, "javascript/rows/x.jsonl", "javascript"),
        ({**PACK, "task_id": "Java/1"}, "python/x.jsonl", "java"),
    ],
)
def test_the_language_of_a_pack(tmp_path, row, name, language):
    assert read_suite(pack(tmp_path, row, name=name)).cases[0].language == language


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"task_id": "Cobol/1"}, "language", "'Cobol' cannot be run"),
        ({"task_id": "one"}, "language", "the language is told by neither"),
        ({"test": None}, "test", "'test' is missing"),
        ({"buggy_solution": ""}, "buggy_solution", "is empty"),
        ({"canonical_solution": 3}, "canonical_solution", "it is int"),
        ({"declaration": "\ud800"}, "declaration", "surrogate"),
    ],
)
def test_bad_rows_of_a_pack(tmp_path, change, field, says):
    with pytest.raises(SuiteError, match=says) as caught:
        read_suite(pack(tmp_path, PACK, {**PACK, "task_id": "Python/1", **change}))
    assert (caught.value.line, caught.value.field) == (2, field)


TASK = {
    "id": "t", "repo": "lock", "buggy_commit": "a1b2c3d", "test_command": "python -m pytest -q",
    "fail_to_pass": ["tests/test_a.py::test_b"], "sources": ["./lock/gate.py"], "python": "/usr/bin/python3",
}  # fmt: skip


def test_repository_tasks_are_read(tmp_path):
    suite = read_suite(pack(tmp_path, TASK, {**TASK, "id": "u", "repo": "https://example.org/x.git"}))
    assert (suite.layout, suite.cases) == ("repositories", ())
    task, other = suite.tasks
    assert (task.repo, other.repo) == (str(tmp_path / "lock"), "https://example.org/x.git")
    assert (task.sources, task.python, task.pass_to_pass) == (("lock/gate.py",), "/usr/bin/python3", ())
    assert task.digest != other.digest


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"buggy_commit": "--upload-pack=x"}, "buggy_commit"),
        ({"fixed_commit": ""}, "fixed_commit"),
        ({"fail_to_pass": []}, "fail_to_pass"),
        ({"fail_to_pass": ["a", 3]}, "fail_to_pass"),
        ({"fail_to_pass": "a"}, "fail_to_pass"),
        ({"pass_to_pass": TASK["fail_to_pass"]}, "pass_to_pass"),
        ({"sources": ["../x.py"]}, "sources"),
        ({"sources": ["/x.py"]}, "sources"),
        ({"test_command": []}, "test_command"),
        ({"repo": "a\0b"}, "repo"),
        ({"commit": "x"}, "commit"),
    ],
)
def test_bad_repository_tasks(tmp_path, change, field):
    with pytest.raises(SuiteError) as caught:
        read_suite(pack(tmp_path, {**TASK, **change}))
    assert (caught.value.line, caught.value.field) == (1, field)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PACK, *TASK, "format"]), inner),
    max_leaves=8,
)
CHANGED = st.builds(
    lambda row, change: {**row, **change},
    st.sampled_from([PACK, NODE, TASK, {"format": "emend-suite", "version": 1}]),
    st.dictionaries(st.sampled_from([*PACK, *TASK, "version", "layout", "language"]), JSONS, max_size=2),
)
CONTENTS = st.binary(max_size=200) | st.lists(st.one_of(CHANGED, JSONS), min_size=1, max_size=3).map(
    lambda rows: "\n".join(json.dumps(row) for row in rows).encode()
)
LAYOUT = st.sampled_from(["auto", "rows", "pack", "repositories", "programs"])
SOURCES = st.sampled_from([LOCK, LOCK_TESTS, GATE, TAKEN]).flatmap(
    lambda text: st.lists(st.sampled_from(text.split("\n")), max_size=12).map(lambda some: "\n".join(some).encode())
)
fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(fuzzed, max_examples=80)
@given(content=CONTENTS, layout=LAYOUT)
def test_whatever_a_file_holds_is_read_or_refused(tmp_path, content, layout):
    path = tmp_path / "suite.jsonl"
    path.write_bytes(content)
    try:
        suite = read_suite(path, layout=layout)
    except SuiteError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(suite, Suite)
        assert [*suite.cases, *suite.tasks]
        assert all(len(found.digest) == 64 for found in (*suite.cases, *suite.tasks))


@settings(fuzzed, max_examples=25)
@given(content=st.one_of(st.binary(max_size=60), SOURCES), name=st.sampled_from([*PROGRAMS]))
def test_whatever_a_directory_holds_is_read_or_refused(tmp_path, content, name):
    try:
        suite = read_suite(folder(tmp_path, {**PROGRAMS, name: content}))
    except SuiteError as error:
        assert "river" in str(error)
    else:
        assert len(suite.cases) + len(suite.skipped) >= 4


def test_odd_places(tmp_path):
    fifo = tmp_path / "suite.jsonl"
    fifo.symlink_to(fifo)
    for path in (fifo, tmp_path / "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(SuiteError):
            read_suite(path)
    if os.geteuid():
        fifo.unlink()
        fifo.touch(0o000)
        with pytest.raises(SuiteError, match="Permission denied"):
            read_suite(fifo)
