"""`emend eval report`, `compare` and `leaderboard` as they are typed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.results import open_results
from repair.errors import InputError
from serve.cli import app
from tests.eval.measured import CONDITIONS, mixed

ROOT = Path(__file__).resolve().parents[2]


def write(path, rows, **conditions):
    with open_results(path, replace(CONDITIONS, **conditions)) as file:
        for row in rows:
            file.add("suite", row)
    return path


@pytest.fixture
def weak(tmp_path):
    return write(tmp_path / "weak.jsonl", mixed(40, good=0.2))


@pytest.fixture
def strong(tmp_path):
    return write(tmp_path / "strong.jsonl", mixed(40, good=0.8), model="large", seconds=60.0)


def emend(*words):
    return CliRunner().invoke(app, ["eval", *map(str, words)], catch_exceptions=False, env={"COLUMNS": "100"})


def test_report_lies_beside_the_results(weak):
    assert emend("report", weak).exit_code == 0
    page = weak.with_suffix(".html").read_text()
    assert "8 of 40" in page
    assert "bug type" in page[page.index("-slices") :]


def test_results_are_never_overwritten(weak):
    before = weak.read_bytes()
    with pytest.raises(InputError, match="take the place of results"):
        emend("report", weak, "-o", weak)
    assert weak.read_bytes() == before


def test_json_report_can_be_compared_again(weak, strong, tmp_path):
    path = tmp_path / "weak.json"
    path.write_text(emend("report", weak, "--format", "json").stdout)
    (told,) = json.loads(path.read_text())
    assert told["figures"]["correct"]["count"] == 8
    assert told["weaknesses"][0]["gain"] > 0
    assert sum(c["count"] for c in told["clusters"]) == 32
    direct = emend("compare", weak, strong, "--json").stdout
    assert emend("compare", path, strong, "--json").stdout == direct


def test_compare_tells_settings_figures_and_tasks(weak, strong):
    shown = emend("compare", weak, strong).stdout
    assert "SETTINGS DIFFER: seconds 6.0 before, 60.0 after" in shown
    assert "model" not in [line.split()[2] for line in shown.split("\n") if line.startswith("SETTINGS")]
    (row,) = [line for line in shown.split("\n") if line.startswith("correct  ")]
    assert row.split()[1:6] == ["40", "20.0", "%", "80.0", "%"]
    assert row.endswith("*")
    assert "correct, gained 24: t8, t9" in shown
    assert "correct, lost 0: none" in shown


def test_comparing_says_what_is_wrong_in_one_sentence(weak, tmp_path):
    other = tmp_path / "weak.summary.json"
    other.write_text('[{"suite": "suite", "plausible": {}}]')
    done = subprocess.run(
        [sys.executable, "-m", "serve", "eval", "compare", str(other), str(weak)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "give the .jsonl file beside it" in done.stderr


def test_leaderboard_ranks_files(weak, strong, tmp_path):
    path = tmp_path / "deep" / "LEADERBOARD.md"
    assert emend("leaderboard", weak, strong, "-o", path).exit_code == 0
    rows = [line.split(" | ")[0] for line in path.read_text().split("\n") if line.startswith("| ")]
    assert rows == ["| model", "| ---", "| large", "| small"]
    assert emend("leaderboard", strong, weak).stdout == path.read_text()


def test_harness_files(weak, tmp_path):
    for folder in ("one", "two"):
        assert emend("report", weak, "--format", "harness", "-o", tmp_path / folder).exit_code == 0
    samples, results = sorted((tmp_path / "one" / "small").iterdir(), reverse=True)
    assert results.name.startswith("results_")
    assert samples.name.startswith("samples_suite_")
    assert samples.name.removeprefix("samples_suite_").removesuffix(".jsonl") == results.stem.removeprefix("results_")
    assert json.loads(results.read_text())["results"]["suite"]["plausible,none"] > 0.2
    assert len(samples.read_text().split("\n")) == 41
    for file in (samples, results):
        assert (tmp_path / "two" / "small" / file.name).read_bytes() == file.read_bytes()


def test_markdown_report_says_what_to_train(weak):
    shown = emend("report", weak, "--format", "markdown").stdout
    assert "## Failures of suite, small" in shown
    assert "inject more bugs of the class" in shown
