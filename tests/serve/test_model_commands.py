"""`emend model reference`, `check` and `report` as users meet them, with the embedded model."""

import json
from pathlib import Path

from typer.testing import CliRunner

import eval.suites
from serve.cli import app

SUITE = Path(eval.suites.__path__[0]) / "emend_python.jsonl"


def model(*argv, code=0):
    done = CliRunner().invoke(app, ["model", *map(str, argv)], catch_exceptions=False, env={"COLUMNS": "140"})
    assert done.exit_code == code, done.stdout + done.stderr
    return done.stdout


def test_a_reference_is_measured_and_checked_against(tmp_path):
    out = tmp_path / "reference.json"
    assert f"reference of 32 cases in {out}" in model("reference", "--cases", SUITE, "--count", 32, "-o", out)
    told = json.loads(model("check", "--reference", out, "--json"))
    assert told["alarms"] == [] and told["programs"] == 8
    table = json.loads(out.read_text())
    table["representation"][0]["values"] = [0.0] * len(table["representation"][0]["values"])
    out.write_text(json.dumps(table))
    assert "distance" in model("check", "--reference", out, code=1)


def test_the_shipped_model_is_what_it_was():
    assert model("check").startswith("no alarm on 8 programs")


def test_the_page_is_whole_and_needs_no_network(tmp_path):
    out = tmp_path / "model.html"
    told = json.loads(model("report", "--cases", SUITE, "--count", 12, "-o", out, "--json"))
    assert told["cases"] == 12 and len(told["projections"]) == 2
    page = out.read_text()
    for part in ("heads", "charts", "line", "repair", "errors", "location"):
        assert f'id="{part}"' in page
    assert "http" not in page and "<script" not in page and "src=" not in page
