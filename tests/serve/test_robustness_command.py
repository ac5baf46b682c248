"""`emend eval robustness` as users meet it, without a model."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.eval.robustness_cases import PYTHON, RAISING

ROOT = Path(__file__).resolve().parents[2]


def emend(directory, *argv):
    command = [sys.executable, "-m", "serve", "eval", "robustness", *argv]
    command += ["--model", "none", "--sandbox-minimum", "C"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, env=environment, timeout=110, check=False
    )


def write_suite(path, *cases):
    path.write_text("".join(json.dumps(asdict(case)) + "\n" for case in cases))


def test_it_tells_resumes_and_refuses(tmp_path):
    write_suite(tmp_path / "own.jsonl", RAISING, PYTHON)
    options = ("own.jsonl", "-o", "out.jsonl", "--queries", "12", "--candidates", "6", "--seconds", "10")
    done = emend(tmp_path, *options, "--limit", "1")
    assert done.returncode == 0, done.stderr
    assert "own: 1 of 1 cases tried, 12 questions; greedy search, model none, tests given" in done.stdout
    assert "worst case" in done.stdout
    first = (tmp_path / "out.jsonl").read_text()
    done = emend(tmp_path, *options, "--json")
    assert done.returncode == 0, done.stderr
    (summary,) = json.loads(done.stdout)
    assert (summary["total"], summary["tried"]) == (2, 2)
    assert summary["conditions"]["queries"] == 12
    assert summary["worst"]["correct"]["total"] == 2
    assert (tmp_path / "out.jsonl").read_text().startswith(first), "what was tried is not tried again"
    assert json.loads((tmp_path / "out.summary.json").read_text()) == [summary]
    done = emend(tmp_path, *options, "--without-tests")
    assert (done.returncode, done.stdout) == (2, "")
    assert "was measured with tests 'given', now it is 'not given'; name another file" in done.stderr


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
