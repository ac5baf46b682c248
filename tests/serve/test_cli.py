"""`emend` as a process: bad input gets one sentence and its exit code, and the tree stays as it was."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = "def add(a, b):\n    return a - b\n"
TEST = """from calc import add


def test_add():
    assert add(2, 3) == 5


def test_zero():
    assert add(0, 0) == 0
"""
QUIET = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"  # what is installed here beside pytest is slow to import
RUN_TESTS = ("--test", f"{QUIET} python -m pytest -q test_calc.py", "--python", sys.executable)
FEW = ("--candidates", "8")  # enough for this fault


@pytest.fixture
def project(tmp_path):
    (tmp_path / "calc.py").write_text(CODE)
    (tmp_path / "test_calc.py").write_text(TEST)
    return tmp_path


def emend(project, *argv, stdin=b""):
    """Run the command line in a project; no model unless told."""
    command = [sys.executable, "-m", "serve", *argv]
    if argv[0] in ("fix", "locate") and "--model" not in argv:
        command += ["--model", "none"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(project / ".state")}
    return subprocess.run(
        command, cwd=project, input=stdin, capture_output=True, env=environment, timeout=300, check=False
    )


def tree(project):
    """Every file with its content's hash."""
    return {
        path.relative_to(project): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.rglob("*"))
        if path.is_file()
    }


def refused(project, *argv, code=2, stdin=b""):
    """The sentence of a refusal, whose exit code and harmlessness are checked."""
    before = tree(project)
    done = emend(project, *argv, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, b""), done.stderr.decode()
    assert tree(project) == before
    sentence = done.stderr.decode().strip()
    assert sentence.startswith("emend: ")
    assert "\n" not in sentence
    return sentence


def test_missing_file(project):
    assert refused(project, "fix", "none.py").endswith("none.py: no such file")


def test_directory(project):
    (project / "src").mkdir()
    assert refused(project, "fix", "src").startswith("emend: src is a directory; name the source files")


def test_binary_file(project):
    (project / "calc.py").write_bytes(b"\0\1\2")
    assert "binary" in refused(project, "fix", "calc.py")


def test_undecodable_file(project):
    (project / "calc.py").write_bytes(b"x = 1\ny = '\xff'\n")
    assert "line 2 is not utf-8 text" in refused(project, "fix", "calc.py")


def test_file_of_no_known_language(project):
    (project / "notes.txt").write_text("hello")
    assert "not a Python" in refused(project, "fix", "notes.txt")


def test_file_given_twice(project):
    assert "given twice" in refused(project, "fix", "calc.py", "./calc.py")


def test_file_outside_of_where_the_tests_run(project):
    (project / "inner").mkdir()
    argv = ("fix", "../calc.py", "--test", "true", "--model", "none")
    done = emend_in(project / "inner", *argv)
    assert done.returncode == 2
    assert "lies outside of" in done.stderr.decode()


def emend_in(directory, *argv):
    return emend(directory, *argv)


@pytest.mark.parametrize("error", ["", "  \n", "-"])
def test_empty_error_text(project, error):
    assert "the text is empty" in refused(project, "fix", "calc.py", "--error", error)


def test_missing_error_file(project):
    assert "none.txt: No such file" in refused(project, "fix", "calc.py", "--error", "@none.txt")


def test_missing_test_command(project):
    sentence = refused(project, "fix", "calc.py", "--test", "no-such-program --quick")
    assert "no-such-program" in sentence


def test_unreadable_test_command(project):
    assert "cannot be read" in refused(project, "fix", "calc.py", "--test", "pytest 'x")


def test_tests_that_pass_already(project):
    (project / "calc.py").write_text(CODE.replace("-", "+"))
    assert "nothing to repair" in refused(project, "fix", "calc.py", *RUN_TESTS, code=1).lower()


def test_usage_errors(project):
    for argv in (("fix",), ("fix", "calc.py", "--candidates", "0"), ("fix", "calc.py", "--colour"), ("mend",)):
        done = emend(project, *argv) if argv[0] != "mend" else emend(project, "mend")
        assert done.returncode == 2
        assert done.stdout == b""


def test_error_about_another_file_is_remarked(project):
    error = 'Traceback (most recent call last):\n  File "other.py", line 3, in go\nValueError: no'
    done = emend(project, "fix", "calc.py", "--error", error)
    assert done.returncode == 0
    assert "the error speaks of other.py, not of calc.py" in done.stderr.decode()


def test_syntax_error_is_a_defect(project):
    (project / "calc.py").write_text("def add(a, b)\n    return a + b\n")
    done = emend(project, "locate", "calc.py", "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["fault"][0]["span"]["start_line"] == 1


def test_large_source(project):
    (project / "calc.py").write_text(CODE + "x = [\n" + "    1,\n" * 300_000 + "]\n")
    assert "Emend repairs files of up to" in refused(project, "fix", "calc.py")


def test_tests_that_hang(project):
    (project / "test_calc.py").write_text(TEST.replace("assert", "while True:\n        pass\n    assert", 1))
    done = emend(project, "fix", "calc.py", *RUN_TESTS, "--seconds", "2")
    assert done.returncode in (0, 1, 2), done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_tests_that_flood(project):
    (project / "test_calc.py").write_text(TEST.replace("assert", "print('x' * 10**9)\n    assert", 1))
    before = tree(project)
    done = emend(project, "fix", "calc.py", *RUN_TESTS, "--candidates", "1")
    assert done.returncode in (0, 1, 2), done.stderr.decode()
    assert len(done.stdout) + len(done.stderr) < 20_000
    assert tree(project) == before


def test_tests_that_fail_whatever_is_done(project):
    (project / "test_calc.py").write_text("def test_no():\n    assert False\n")
    done = emend(project, "fix", "calc.py", *RUN_TESTS, "--candidates", "2")
    assert done.returncode == 1
    assert "No plausible patch was found" in done.stderr.decode()


def test_repair_prints_and_writes_nothing(project):
    before = tree(project)
    done = emend(project, "fix", "calc.py", *RUN_TESTS, *FEW)
    out = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    assert "calc.py:2" in out
    assert "plausible" in out
    assert "-    return a - b\n+    return a + b\n" in out
    assert "write it with --apply" in done.stderr.decode()
    assert tree(project) == before


def test_apply_writes_what_the_diff_says(project):
    (project / "calc.py").write_bytes(CODE.replace("\n", "\r\n").encode())
    done = emend(project, "fix", "calc.py", *RUN_TESTS, *FEW, "--apply")
    assert done.returncode == 0, done.stderr.decode()
    assert (project / "calc.py").read_bytes() == CODE.replace("-", "+").replace("\n", "\r\n").encode()
    assert (project / "test_calc.py").read_text() == TEST


def test_diff_is_what_git_applies(project):
    diff = emend(project, "fix", "calc.py", *RUN_TESTS, *FEW, "--diff").stdout
    subprocess.run(["git", "apply", "-"], cwd=project, input=diff, check=True)
    assert (project / "calc.py").read_text() == CODE.replace("-", "+")


def test_json_is_the_wire_format(project):
    done = emend(project, "fix", "calc.py", *RUN_TESTS, *FEW, "--json")
    from serve.wire import RepairOut

    out = RepairOut.model_validate_json(done.stdout)
    assert out.patches[out.chosen].verdict == "plausible"
    assert out.patches[out.chosen].tests.status == "passed"


def test_without_tests_patches_are_undecided_and_never_applied(project):
    before = tree(project)
    done = emend(project, "fix", "calc.py", "--error", "-", "--apply", stdin=b"AssertionError: assert -1 == 5")
    assert done.returncode == 0
    assert "undecided" in done.stdout.decode()
    assert "plausible" not in done.stdout.decode()
    assert tree(project) == before


def test_judge_tells_good_from_bad(project):
    good = "--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
    (project / "good.diff").write_text(good)
    options = ("--test", f"{QUIET} python -m pytest -q test_calc.py", "--python", sys.executable, "--json")
    done = emend(project, "judge", "good.diff", *options)
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "plausible")
    done = emend(project, "judge", "-", *options, stdin=good.replace("+    return a + b", "+    return b - a").encode())
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (1, "unfixed")


def test_judge_refuses_a_diff_that_does_not_fit(project):
    (project / "bad.diff").write_text("--- a/calc.py\n+++ b/calc.py\n@@ -1 +1 @@\n-def sub():\n+def add():\n")
    assert "calc.py" in refused(project, "judge", "bad.diff", "--test", "true")


def test_doctor_tells_what_works(project):
    done = emend(project, "doctor", "--model", "none", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["model"]["works"]
    assert done.returncode == (0 if findings["sandbox"]["works"] else 1)


def test_broken_pipe_is_no_error(project):
    command = f"{sys.executable} -m serve fix --help | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, env=environment, check=True)
    assert b"Traceback" not in done.stderr
