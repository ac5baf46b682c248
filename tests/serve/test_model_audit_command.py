"""`emend model audit` and `emend model heads` as users meet them: an adapter that learned canaries gives them away."""

import json

import pytest
from typer.testing import CliRunner

from data.mutants import Example
from data.records import example, to_row
from eval.glassbox.canaries import CANARIES, RECORDS, made, read_canaries
from repair.errors import InputError
from serve.cli import app
from training.adapter import train_adapter
from training.config import DataConfig, LoraConfig, ObjectiveConfig, OptimConfig, Recipe, RunConfig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def emend(*argv):
    done = CliRunner().invoke(app, ["model", *map(str, argv)], catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A folder with canaries and the embedded adapter, trained further on them."""
    folder = tmp_path_factory.mktemp("canaries")
    emend("audit", "--plant", 8, "-o", folder, "--seed", 1)
    train_adapter(
        Recipe(
            data=DataConfig(
                dataset=(str(folder / RECORDS),), heldout_split="train", row_length=512, rows=1, pool=32,
            ),
            objective=ObjectiveConfig(code=0.0),
            optim=OptimConfig(optimizer="adamw", lr=3e-3, warmup=2, schedule="linear", weight_decay=0.0),
            lora=LoraConfig(rank=16, alpha=32),
            run=RunConfig(out=folder / "run", adapter="embedded", steps=28, dtype="float32", evaluate_steps=1000),
        )
    )  # fmt: skip
    return folder


def test_canaries_that_were_learned_are_exposed_and_others_are_not(learned, tmp_path):
    audits = {}
    for name, options in (("with", ["--adapter", learned / "run" / "candidate"]), ("without", [])):
        out = tmp_path / f"{name}.json"
        told = emend(
            "audit", *options, "--canaries", learned / CANARIES, "--alternatives", 63, "-o", out, "--html",
            tmp_path / "card.html",
        )  # fmt: skip
        assert ("EXPOSED" in told) == (name == "with")
        audits[name] = {group["repeated"]: group for group in json.loads(out.read_text())["canaries"]}
    assert audits["with"][16]["alarming"]
    assert audits["with"][16]["bits"] > 4
    assert not audits["with"][0]["alarming"], "controls of the same form were never there"
    assert not any(group["alarming"] for group in audits["without"].values())
    assert "as if never seen" in (tmp_path / "card.html").read_text()


def test_members_and_others_are_compared(learned, tmp_path):
    rows = {"members": [], "others": []}
    for canary in read_canaries(learned / CANARIES):
        rows["members" if canary.repeated > 1 else "others"].append(to_row(canary.record))
    for name, group in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in group))
    files = ["--members", tmp_path / "members.jsonl", "--others", tmp_path / "others.jsonl"]
    emend("audit", "--adapter", learned / "run" / "candidate", *files, "-o", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["calibrated"]["auc"] > 0.8
    assert found["calibrated"]["alarming"]
    assert any("only 4 members" in note for note in found["notes"])
    with pytest.raises(InputError, match="go together"):
        emend("audit", *files[:2], "-o", tmp_path / "b.json")
    with pytest.raises(InputError, match="nothing to audit"):
        emend("audit", "-o", tmp_path / "b.json")
    with pytest.raises(InputError, match="model server"):
        emend("audit", "http://localhost:1/v1", *files, "-o", tmp_path / "b.json")


def test_heads_of_an_adapter_are_compared_with_those_before(learned, tmp_path):
    cases = tmp_path / "cases.jsonl"
    records = [canary.record for canary in made(2)]
    assert all(isinstance(example(record), Example) for record in records)
    cases.write_text("".join(json.dumps(to_row(record)) + "\n" for record in records))
    told = emend(
        "heads", "embedded", learned / "run" / "candidate", "--cases", cases, "-o", tmp_path / "h.html", "--json"
    )
    found = json.loads(told)
    assert (found["cases"], len(found["statistics"])) == (2, 4)
    assert all(one["rms"] > 0 for one in found["statistics"])
    assert "Heads before and after" in (tmp_path / "h.html").read_text()
