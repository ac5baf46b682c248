"""`emend model attack` as users meet it, with the embedded model."""

import json
from dataclasses import asdict, replace

import pytest
from typer.testing import CliRunner

from data.records import Origin, from_row, to_row
from eval.robustness.flips import read_flips
from repair.errors import InputError
from serve.cli import app
from tests.eval.robustness_cases import PYTHON
from tests.eval.test_smallest import CLAMP


def attack(*argv):
    words = ["model", "attack", *map(str, argv), "--sandbox-minimum", "C"]
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "140"})
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.jsonl"
    rows = [to_row(CLAMP) | {"split": "train"}, to_row(replace(CLAMP, buggy=CLAMP.fixed)) | {"split": "train"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_flips_of_a_dataset_are_told_drawn_and_trained_on(records, tmp_path):
    out, html, train = tmp_path / "flips.jsonl", tmp_path / "flips.html", tmp_path / "train"
    told = attack(records, "-o", out, "--html", html, "--train-set", train, "--queries", "60")
    assert told.startswith("1 cases, location, model embedded: flipped 1\n")
    assert "right as it was 1 of 1" in told
    assert "right under the smallest edit 0 of 1" in told
    assert "not attacked: 1 no fault" in told
    (flip,) = read_flips(out)
    assert flip.id == CLAMP.id
    assert flip.attacks[0] in told
    assert flip.attacks[0] in html.read_text()
    (row,) = map(json.loads, (train / "adversarial.jsonl").read_text().split("\n")[:-1])
    made = from_row(row)
    assert (row["split"], made.origin, made.licence) == ("train", Origin.ADVERSARIAL, CLAMP.licence)
    assert made.buggy in flip.buggy + "\n"
    assert "BSD-3-Clause 1" in (train / "README.md").read_text()
    again = tmp_path / "again.jsonl"
    attack(records, "-o", again, "--queries", "60")
    assert again.read_text() == out.read_text(), "the same seed, the same flips"


def test_a_suite_is_measured_and_never_exported(records, tmp_path):
    suite, out = tmp_path / "suite.jsonl", tmp_path / "flips.jsonl"
    suite.write_text(json.dumps(asdict(PYTHON)) + "\n")
    told = attack(suite, "-o", out, "--model", "none", "--queries", "5")
    assert told.startswith("1 cases, location, model none: ")
    train = tmp_path / "train"
    with pytest.raises(InputError, match="a suite measures and may not be trained on"):
        attack(suite, "-o", out, "--train-set", train)
    with pytest.raises(InputError, match="'validation' measures what was trained"):
        attack(records, "-o", out, "--split", "validation", "--train-set", train)
    with pytest.raises(InputError, match="no record of the split 'test'"):
        attack(records, "-o", out, "--split", "test")
    assert not train.exists()
