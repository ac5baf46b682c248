"""Hooks, workflows and their docs: what they call exists, and the workflow's script does what it says."""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.serve.calls import calls_in, check_call

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "ci.md"
WORKFLOW = ROOT / "examples" / "github" / "repair.yml"
EXAMPLE = ROOT / "examples" / "github" / ".pre-commit-config.yaml"
PAGES = [DOCS, ROOT / "docs" / "deployment.md"]
TEST = "python -m pytest -q -p no:cacheprovider"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def documented_calls():
    for page in PAGES:
        for block in (*blocks(page, "sh"), *blocks(page, "yaml")):
            yield from (shlex.join(call) for call in calls_in(block))


def workflow_steps():
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]["test"]["steps"]


@pytest.mark.parametrize("line", sorted(set(documented_calls())))
def test_calls_in_the_docs_exist(line):
    check_call(shlex.split(line))


def test_calls_in_the_workflow_exist():
    calls = [call for step in workflow_steps() for call in calls_in(step.get("run", ""))]
    assert [call[1] for call in calls] == ["fix"]
    for call in calls:
        check_call(call)


def test_yaml_of_the_docs_is_yaml():
    for page in PAGES:
        assert all(yaml.safe_load(block) for block in blocks(page, "yaml"))
    assert yaml.safe_load(EXAMPLE.read_text()) == yaml.safe_load(blocks(DOCS, "yaml")[0])


def test_hook_and_its_example_fit_the_command():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (repo,) = yaml.safe_load(EXAMPLE.read_text())["repos"]
    (used,) = repo["hooks"]
    assert used["id"] == hook["id"]
    assert hook["require_serial"]
    assert hook["pass_filenames"]
    assert set(hook["stages"]) == {"manual", "pre-push"}
    assert set(used) <= {"id", "args"}
    check_call([*shlex.split(hook["entry"]), *used["args"]])


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("src/calc.py", True), ("contest.py", True), ("latest.ts", True), ("test_calc.py", False),
        ("calc_test.py", False), ("tests/data.py", False), ("a/conftest.py", False),
        ("a.test.tsx", False), ("CalcTest.java", False),
    ],
)  # fmt: skip
def test_hook_passes_no_tests(path, passed):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (re.search(hook["exclude"], path) is None) == passed


def test_steps_after_a_failure_run_only_then():
    steps = workflow_steps()
    tested = next(n for n, step in enumerate(steps) if step.get("name") == "Test")
    assert all("failure()" in step["if"] for step in steps[tested + 1 :])
    assert all(re.fullmatch(r"[\w/-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


@pytest.fixture
def checkout(tmp_path):
    """A small failing project under git, and `emend` and `python` on the path."""
    project, tools = tmp_path / "my project", tmp_path / "bin"
    project.mkdir()
    tools.mkdir()
    (project / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (project / "test_calc.py").write_text("from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    tool = tools / "emend"
    tool.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m serve "$@"\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}", "TEST": TEST,
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path),
    }  # fmt: skip
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=project, check=True, env=environment)

    def step(name):
        script = next(s["run"] for s in workflow_steps() if s.get("name") == name)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # as GitHub runs it
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return project, step


def test_the_workflow_repairs_a_failing_project(checkout, tmp_path):
    project, step = checkout
    assert step("Test").returncode == 1
    assert "test_add" in (project / "failure.txt").read_text()
    done = step("Repair")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").is_file(), done.stderr + done.stdout
    assert "patched=true" in (tmp_path / "output").read_text()
    assert "+    return a + b" in (project / "comment.md").read_text()
    assert (tmp_path / "summary").read_text() == (project / "comment.md").read_text()
    assert '"plausible-patch"' in (project / "emend.sarif").read_text()
    subprocess.run(["git", "checkout", "-q", "--", "calc.py"], cwd=project, check=True)
    subprocess.run(["git", "apply", "emend.patch"], cwd=project, check=True)
    assert step("Test").returncode == 0
