"""What the batch benchmarks conclude: ranks, decisions, held-out tests, repositories of faults, hashes of checkouts."""

import importlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from repair.projects.values import Diagnosis, Fault, Ranked

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
TEXT = "def one(a):\n    return a\n\n\ndef two(b):\n    if b:\n        return b\n    return 0\n"


@pytest.fixture(scope="module")
def benchmarks():
    """The benchmarks, which are no package: imported by name from their folder, and forgotten."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module
    finally:
        sys.path[:] = before
        for name in set(sys.modules) - known:
            if name.startswith(("batch_", "scale")):
                del sys.modules[name]


@pytest.fixture(scope="module")
def faults(benchmarks):
    return benchmarks("batch_faults")


@pytest.fixture(scope="module")
def material(benchmarks):
    return benchmarks("batch_material")


@pytest.fixture(scope="module")
def kills(benchmarks):
    return benchmarks("batch_kills")


def broken(material, failing, passing=(), *, buggy=TEXT, fixed=TEXT):
    return material.Broken("p/1", "p", "m.py", buggy, fixed, tuple(failing), tuple(passing), "E", "name")


def test_a_changed_line_is_one_of_the_text_with_the_fault(faults):
    assert faults.changed_lines("a\nb\nc\n", "a\nx\nc\n") == {2}
    assert faults.changed_lines("a\nc\n", "a\nb\nc\n") == {2}  # left out before the second
    assert faults.changed_lines("a\n", "a\n") == set()


def test_ranks_are_of_the_first_place_that_holds_the_fault(faults, material):
    wrong = TEXT.replace("return 0", "return 1")
    fault = broken(material, ["t::a", "t::b"], buggy=wrong)
    places = (Ranked("x.py", 0.5, 8), Ranked("m.py", 0.3, 7), Ranked("m.py", 0.2, 8))
    lesser = Fault("g", "", ("t::c",), ())
    meant = Fault(
        "f", "", ("t::a", "t::b"), (), (Ranked("x.py", 0.5), Ranked("m.py", 0.5)), (Ranked("m.py", 1.0, 5, 8),), places
    )
    diagnosis = Diagnosis("", "", "python", "", "", "", 3, 0, (), (), (lesser, meant))
    ranks = faults.ranks_of(fault, material.hold_out(fault, "python -m pytest", 0), diagnosis)
    assert ranks == {"line_rank": 3, "function_rank": 1, "file_rank": 2}
    nothing = faults.ranks_of(fault, material.hold_out(fault, "python -m pytest", 0), None)
    assert set(nothing.values()) == {None}


@pytest.mark.parametrize(
    ("same", "held", "passed", "answer"),
    [
        (True, ("h",), set(), "yes"),
        (False, (), {"p"}, "unknown"),
        (False, ("h",), {"h", "p"}, "yes"),
        (False, ("h",), {"p"}, "no"),
        (False, ("h",), {"h"}, "no"),  # a test that passed before fails
    ],
)
def test_decision_needs_the_tree_or_held_out_tests_and_all_others(faults, material, same, held, passed, answer):
    told = material.HeldOut("", ("v",), held)
    said = faults.decided(plausible=True, same=same, held=told, passed=frozenset(passed), good=frozenset({"p"}))
    assert said == answer
    assert faults.decided(plausible=False, same=False, held=told, passed=frozenset(), good=frozenset()) == "no"


def test_held_out_tests_are_left_out_by_the_command_and_some_stay(material):
    failing = [f"t.py::test_{n}[{case}]" for n in range(4) for case in ("a b", "c")]
    held = material.hold_out(broken(material, failing, ["t.py::test_9"]), "python -m pytest -q", 3)
    words = shlex.split(held.command)
    left_out = [words[at + 1] for at, word in enumerate(words) if word == "--deselect"]
    assert set(held.tests) == set(left_out) and len(held.tests) == 4
    assert set(held.visible) == set(failing) - set(held.tests)
    assert {t.partition("[")[0] for t in held.tests}.isdisjoint(t.partition("[")[0] for t in held.visible)


def test_ids_that_only_a_shell_could_read_go_with_their_function(material):
    failing = ["t.py::test_a[$x]", "t.py::test_b[`]"]
    held = material.hold_out(broken(material, failing, ["t.py::test_a[1]", "t.py::test_b[1]"]), "pytest", 0)
    assert "$" not in held.command and "`" not in held.command
    assert len(held.tests) == 1 and len(held.hidden) == 2  # its passing case cannot be seen either


def test_a_single_failing_test_is_never_held_out(material):
    held = material.hold_out(broken(material, ["t.py::test_a"]), "pytest", 0)
    assert held.command == "pytest" and held.visible == ("t.py::test_a",) and not held.tests


@pytest.fixture
def target(material, tmp_path):
    path = tmp_path / "project"
    path.mkdir()
    (path / "m.py").write_text(TEXT)
    material.git(path, "init", "-q", "-b", "main")
    material.git(path, "add", "-A")
    material.git(path, "commit", "-q", "-m", "first")
    return material.Target("p", path, Path(sys.executable), "python -m pytest -q")


def test_repository_of_a_fault_has_it_in_its_only_commit(material, target, tmp_path):
    wrong = TEXT.replace("return 0", "return 1")
    made = material.fault_repository(target, {"m.py": wrong}, tmp_path / "made")
    assert material.git(made, "show", "HEAD:m.py") == wrong
    assert material.git(made, "rev-list", "--count", "HEAD").strip() == "1"
    kept = material.fault_repository(target, {"m.py": wrong}, tmp_path / "kept", history=True)
    assert material.git(kept, "rev-list", "--count", "HEAD").strip() == "2"
    diff = material.git(kept, "diff", "HEAD", "HEAD~")
    assert (material.applied(made, diff, tmp_path / "patched") / "m.py").read_text() == TEXT
    with pytest.raises(subprocess.CalledProcessError):
        material.applied(made, diff.replace("return 1", "return 7"), tmp_path / "other")


def test_a_line_that_a_kill_has_cut_is_not_read(faults, tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text('{"id": 1}\n{"id": 2}\n{"id"')
    assert faults.read_rows(file) == [{"id": 1}, {"id": 2}]
    assert file.read_text().endswith("2}\n")


def test_faults_of_the_cache_are_not_made_again(material, target, tmp_path):
    row = {"id": "p/1", "path": "m.py", "buggy_file": "x = 1\n", "fixed_file": TEXT, "fail_to_pass": ["t"],
           "pass_to_pass": [], "error": "E", "bug_type": "name"}  # fmt: skip
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + '\n{"exhausted": true}\n')
    assert [fault.id for fault in material.faults_of(target, tmp_path, 5, 0)] == ["p/1"]


def test_hash_of_a_checkout_tells_every_change(kills, target):
    before = kills.digest(target.path)
    assert kills.digest(target.path) == before
    index = target.path / ".git" / "index"
    index.write_bytes(index.read_bytes() + b"x")
    assert kills.digest(target.path) != before


def test_differing_reports_are_shown(kills):
    assert kills.compare(b"{}\n", b"{}\n") == ""
    assert "-1" in kills.compare(b"1\n", b"2\n")
    assert kills.compare(b"1\n", b"1\r\n")
