"""`emend eval robustness` as users meet it, without a model."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from repair.errors import InputError
from serve.cli import app
from tests.eval.robustness_cases import PYTHON, RAISING

ROOT = Path(__file__).resolve().parents[2]


def words(*argv):
    return ["eval", "robustness", *argv, "--model", "none", "--sandbox-minimum", "C"]


def here(*argv):
    """What the command prints, in this process."""
    done = CliRunner().invoke(app, words(*argv), catch_exceptions=False, env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.stderr
    return done.stdout


def emend(directory, *argv):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "serve", *words(*argv)], cwd=directory, capture_output=True, text=True, env=environment,
        timeout=300, check=False,
    )  # fmt: skip


def write_suite(path, *cases):
    path.write_text("".join(json.dumps(asdict(case)) + "\n" for case in cases))


def test_it_tells_resumes_and_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path / "own.jsonl", RAISING, PYTHON)
    options = ("own.jsonl", "-o", "out.jsonl", "--queries", "8", "--candidates", "6", "--seconds", "10")
    told = here(*options, "--limit", "1")
    assert "own: 1 of 1 cases tried, 8 questions; greedy search, model none, tests given" in told
    assert "worst case" in told
    first = (tmp_path / "out.jsonl").read_text()
    (summary,) = json.loads(here(*options, "--json"))
    assert (summary["total"], summary["tried"]) == (2, 2)
    assert summary["conditions"]["queries"] == 8
    assert summary["worst"]["correct"]["total"] == 2
    assert (tmp_path / "out.jsonl").read_text().startswith(first), "what was tried is not tried again"
    assert json.loads((tmp_path / "out.summary.json").read_text()) == [summary]
    with pytest.raises(InputError, match="measured with tests 'given', now it is 'not given'; name another file"):
        here(*options, "--without-tests")


def test_every_attack_by_location_alone_in_two_processes(tmp_path):
    write_suite(tmp_path / "own.jsonl", RAISING, PYTHON)
    done = emend(tmp_path, "own.jsonl", "--search", "each", "--locate-only", "--jobs", "2", "--json")
    assert done.returncode == 0, done.stderr
    (summary,) = json.loads(done.stdout)
    rows = {row["attack"]: row for row in summary["attacks"]}
    assert rows["error-lines"]["located"]["1"]["drop"] == 1.0
    assert (rows["error-lines"]["applied"], rows["error-lines"]["not_applicable"]) == (1, 1)
    assert summary["worst"]["plausible"] is None
    assert summary["examples"][0]["id"] == "first"
