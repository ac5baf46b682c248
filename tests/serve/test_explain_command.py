"""`emend explain` as a process, with the embedded model: a diff explained with its tests; bad input in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = "def scaled(amount, factor):\n    base = amount + 1\n    return base * base\n"
TEST = "from calc import scaled\n\n\ndef test_scaled():\n    assert scaled(2, 5) == 15\n"
DIFF = """--- a/calc.py
+++ b/calc.py
@@ -1,3 +1,3 @@
 def scaled(amount, factor):
     base = amount + 1
-    return base * base
+    return base * factor
"""
TESTS = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q test_calc.py"  # our environment has many plugins


@pytest.fixture
def project(tmp_path):
    files = {"calc.py": CODE, "test_calc.py": TEST, "change.diff": DIFF, "error.txt": "AssertionError"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def explain(project, *argv):
    known = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(project / ".state"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "serve", "explain", *argv], cwd=project, capture_output=True, env=known, timeout=110,
        check=False,
    )  # fmt: skip


def test_a_diff_is_explained_with_tests_values_report_and_profile(project):
    done = explain(
        project, "--patch", "change.diff", "--test", TESTS, "--python", sys.executable, "--sandbox-minimum", "C",
        "-o", "report.html", "--json", "--profile", "trace.json", "--part", "where", "--part", "evidence",
        "--method", "gradient",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["model"] == "embedded"
    assert "line 3" in told["sentence"]
    assert told["checked"]["verdict"] == "plausible"
    assert told["checked"]["failing"] == ["test_calc.py::test_scaled"]
    assert {"aten::mm", "group"} <= set(done.stderr.decode().split())
    spans = {one.get("name") for one in json.loads((project / "trace.json").read_text())["traceEvents"]}
    assert {"emend::where", "emend::evidence::gradient"} <= spans
    page = (project / "report.html").read_text()
    assert "plausible" in page
    assert "<code>returns</code></td><td><code>15</code>" in page
    assert "<code>returns</code></td><td><code>9</code>" in page
    assert "Suspected" in page


def test_figures_stand_whole_where_the_terminal_is_narrow(monkeypatch, capsys):
    from serve.commands.explain import tell
    from tests.serve.explaining import samples

    monkeypatch.setenv("COLUMNS", "60")
    told = samples.full()
    tell(told)
    lines = capsys.readouterr().out.splitlines()
    for one in told.evidence[0].top(3, leave_out=told.subject.changed):
        assert any(line.lstrip().startswith(f"{one.score:+.2f} ") and one.unit.label in line for line in lines)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("calc.py", "--model", "none"), "--model none leaves nothing to explain"),
        (("calc.py", "--part", "live"), "--part: there is no 'live'; there are where, evidence"),
        (("calc.py", "--method", "random"), "--method: there is no 'random'; there are ablation"),
        (("calc.py", "--target", "x"), "--target: there is no 'x'; there are contrast, change, location"),
        (("calc.py", "--head", "1"), "--head needs --layer"),
        (("calc.py", "--patch", "change.diff", "--candidate", "1"), "leave --candidate out"),
        (("calc.py", "--patch", "error.txt"), "no unified diff"),
        (("calc.py", "-o", "no/report.html"), "--output: no/report.html cannot be written"),
        ((), "no source file was given"),
    ],
)
def test_bad_input_is_said_before_any_model_is_loaded(project, capsys, monkeypatch, argv, said):
    from serve.boundary import ErrorBoundary
    from serve.cli import app

    monkeypatch.chdir(project)
    with pytest.raises(SystemExit) as left, ErrorBoundary():
        app(["explain", *argv], standalone_mode=False)
    assert left.value.code == 2
    assert said in capsys.readouterr().err
