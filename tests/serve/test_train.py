"""`emend train` as users meet it: the gate and its words, what is written, and a sentence for each mistake."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from serve.commands.train import trial
from tests.training.commands import emend, few, losses, metrics, refused, write_base, write_recipe, write_rows
from tests.training.pieces import record, records, rejected
from tests.training.tiny import write_copies
from training.checkpoint import latest, read_state, read_weights
from training.config import read_recipe
from training.preference import PreferencePair, write_pairs

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base("llama", tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture
def recipe(base: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "r.toml", base, few(tmp_path / "d.jsonl", heldout=2), tmp_path / "out")


def test_the_gate_lets_pass_refuses_and_is_forced(tmp_path: Path):
    rows = write_rows(tmp_path / "d.jsonl", train=records(12), validation=records(30))
    out = tmp_path / "good"
    recipe = write_recipe(tmp_path / "r.toml", "", rows, out, optim={"lr": 1e-5}, run={"steps": 1})
    first = emend("train", "adapter", recipe)
    assert first.code == 0, first
    assert first.out.endswith(f"passed\nadapter: {out / 'adapter'}\n")
    assert json.loads((out / "adapter" / "gate.json").read_text())["outcome"] == "passed"
    stamp, seen = (out / "adapter" / "adapter_model.safetensors").read_bytes(), losses(out)
    again = emend("train", "adapter", recipe, "--json")  # the run has ended: only the gate is asked
    assert (again.code, again.json["accepted"], again.json["gate"]["outcome"]) == (0, True, "passed")
    assert (out / "adapter" / "adapter_model.safetensors").read_bytes() == stamp
    assert (losses(out), len([m for m in metrics(out) if "loss" in m])) == (seen, 1)

    bad = tmp_path / "bad"
    worse = (f"run.out={bad}", "data.control=shuffled", "optim.lr=0.05", "run.steps=6")
    done = emend("train", "adapter", recipe, *worse)
    assert done.code == 1, done
    assert done.out.startswith("figure ")
    reasons = done.out.partition("refused\n")[2]
    assert "location@1" in reasons
    assert f"candidate, not taken: {bad / 'candidate'}; --force takes it all the same" in done.out
    assert not (bad / "adapter").exists()
    forced = emend("train", "adapter", recipe, *worse, "--force", "--json")
    assert (forced.code, forced.json["adapter"]) == (0, str(bad / "adapter"))
    told = json.loads((bad / "adapter" / "gate.json").read_text())
    assert (told["outcome"], told["forced"]) == ("refused", True)
    assert "`--force`" in (bad / "adapter" / "README.md").read_text()


def test_a_split_that_is_not_there_is_named_with_those_that_are(recipe: Path, tmp_path: Path):
    told = refused("train", "adapter", recipe, "data.heldout_split=exam")
    assert "no record of the split 'exam'" in told
    assert "train (8), validation (2)" in told
    assert "data.heldout_split" in told
    assert "no record of the split 'school'" in refused("train", "adapter", recipe, "data.split=school")
    rows = write_rows(tmp_path / "all.jsonl", train=records(4))
    assert "'validation'" in refused("train", "adapter", recipe, f"data.dataset={rows}")


@pytest.mark.parametrize(
    ("override", "code", "told"),
    [
        ("optim.learning_rate=1", 2, "unknown setting optim.learning_rate"),
        ("optim.lrr=1", 2, "did you mean lr?"),
        ("run.steps=0", 2, "run.steps: must be positive"),
        ("data.dataset=none.jsonl", 2, "none.jsonl: no such folder or file"),
        ('lora.targets=["qkv"]', 2, "no module qkv; there are down_proj, gate_proj, k_proj"),
        ("data.row_length=40", 2, "8 too long; a row has 40 tokens (data.row_length)"),
        ("run.base=none/of/these", 3, "none/of/these is not a directory"),
        ("run.adapter=nowhere", 3, "nowhere has no adapter_config.json"),
        ("objective.preference=none.jsonl", 2, "none.jsonl: No such file or directory"),
        ("gate.suite=none.jsonl", 2, "none.jsonl"),
        ("run.engine=native", 3, "set run.engine=torch"),
    ],
)
def test_mistakes_are_one_sentence(recipe: Path, tmp_path: Path, override: str, code: int, told: str):
    assert told in refused("train", "adapter", recipe, override, code=code)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()  # known before the first step


def test_what_is_no_recipe_or_no_record_is_named(recipe: Path, tmp_path: Path):
    missing = tmp_path / "none.toml"
    assert f"cannot read recipe {missing}: No such file" in refused("train", "adapter", missing)
    assert f"cannot read recipe {missing}" in refused("train", "base", missing)
    rows = tmp_path / "old.jsonl"
    rows.write_text(few(tmp_path / "new.jsonl").read_text().replace('"schema": ', '"schema": 9'))
    told = refused("train", "adapter", recipe, f"data.dataset={rows}")
    assert f"{rows}:1: schema is 9" in told
    assert "build them again" in told
    (tmp_path / "folder").mkdir()
    manifest = {"format": 7, "name": "x", "counts": {"split": {}}, "files": {}}
    (tmp_path / "folder" / "manifest.json").write_text(json.dumps(manifest))
    assert "is a dataset of format 7" in refused("train", "adapter", recipe, f"data.dataset={tmp_path / 'folder'}")


def test_a_base_without_its_own_tokenizer_is_refused(recipe: Path, base: Path, tmp_path: Path):
    bare = shutil.copytree(base, tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    assert f"{bare} has no tokenizer that can be read" in refused(
        "train", "adapter", recipe, f"run.base={bare}", code=3
    )
    foreign = shutil.copytree(base, tmp_path / "foreign")
    config = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(json.dumps(config | {"vocab_size": 300}))
    assert str(foreign) in refused("train", "adapter", recipe, f"run.base={foreign}", code=3)


def test_sequences_over_the_row_are_counted_in_the_card(recipe: Path, tmp_path: Path):
    long = record(0)
    lines = "".join(f"    left = left + {n}\n" for n in range(100))
    grown = [text.replace("    size0 =", f"{lines}    size0 =") for text in (long.buggy, long.fixed)]
    rows = few(tmp_path / "d.jsonl", heldout=2)
    row = json.loads(rows.read_text().split("\n")[0]) | {"buggy": grown[0], "fixed": grown[1]}
    rows.write_text(rows.read_text() + json.dumps(row) + "\n")
    assert emend("train", "adapter", recipe, "--force").code == 0
    card = (tmp_path / "out" / "adapter" / "README.md").read_text().split("\n")
    head = next(n for n, line in enumerate(card) if "left out: too long" in line)
    columns = dict(zip(*([cell.strip() for cell in card[n].split("|")] for n in (head, head + 2)), strict=True))
    assert (columns["data"], columns["left out: too long"]) == ("d.jsonl", "1")


def test_a_loss_that_is_not_finite_keeps_the_batch_and_the_last_good_weights(recipe: Path, tmp_path: Path):
    out = tmp_path / "out"
    told = refused("train", "adapter", recipe, "optim.lr=1e30", "run.steps=9", "run.save_seconds=0", code=3)
    assert "lower optim.lr" in told
    assert "bad-batch-" in told
    batch = next(out.glob("bad-batch-*.npz"))
    assert np.load(batch)["ids.0"].shape[1] == 448
    kept = latest(out)
    assert kept is not None
    assert str(kept) in told
    assert all(torch.isfinite(tensor).all() and tensor.abs().max() < 1e3 for tensor in read_weights(kept).values())
    assert emend("train", "adapter", recipe, "--force").code == 0  # and it goes on from there
    assert losses(out)[3] < 7


@contextmanager
def room(size: int) -> Generator[None]:
    """A disk that takes no file above so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_checkpoint(recipe: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert emend("train", "adapter", recipe, "--force").code == 0
    kept, adapter = latest(out), (out / "adapter" / "adapter_model.safetensors").read_bytes()
    assert kept is not None
    with room(20_000):  # its checkpoints have 40
        told = refused("train", "adapter", recipe, "run.steps=5", "--force", code=3)
    assert "cannot save a checkpoint" in told
    assert "the last one is kept" in told
    assert latest(out) == kept
    assert read_state(kept).step == 3
    assert (out / "adapter" / "adapter_model.safetensors").read_bytes() == adapter
    size = (out / "metrics.jsonl").stat().st_size
    with room(size + 60):
        told = refused("train", "adapter", recipe, "run.steps=5", "--force", code=3)
    assert f"cannot write to {out} (File too large): make room" in told
    assert latest(out) == kept
    assert emend("train", "adapter", recipe, "run.steps=5", "--force").code == 0
    assert max(losses(out)) == 5


def test_preference_attacks_samples_and_watching(recipe: Path, tmp_path: Path):
    from data.records import example

    made = example(record(1))
    hunk = made.hunks[0]
    wrong = hunk.__class__(hunk.first, hunk.last, hunk.text.replace("+", "*"))
    write_pairs(tmp_path / "pairs.jsonl", [PreferencePair(made.view, made.hunks, (wrong,))])
    watched = ("watch.samples=3", "watch.tensorboard=true", "run.steps=6", "--profile", "--force")
    done = emend("train", "adapter", recipe, f"objective.preference={tmp_path / 'pairs.jsonl'}",
                 "objective.attacks=2", *watched)  # fmt: skip
    assert done.code == 0, done
    out = tmp_path / "out"
    rows = metrics(out)
    assert {"preference", "accuracy", "margin"} <= {key for row in rows for key in row}
    steps = [row for row in rows if "loss" in row]
    assert len(steps) == 6
    assert all(0 < row["utilisation"] < 1 for row in steps)
    samples = [row["sample"] for row in rows if "sample" in row]
    assert len(samples) == 4  # of the two held-out examples, twice
    assert {"id", "buggy", "reference", "proposed", "right"} <= set(samples[0])
    assert any((out / "tensorboard").iterdir())
    assert json.loads((out / "profile" / "trace.json").read_text())["traceEvents"]
    assert "matmul" in (out / "profile" / "hotspots.txt").read_text()


def test_the_dataset_itself_may_hold_preferences(recipe: Path, tmp_path: Path):
    one = record(0)
    wrong = rejected(one, one.buggy.replace("left - right", "left * right"))
    rows = write_rows(tmp_path / "d.jsonl", train=[*records(4), wrong], validation=records(1))
    done = emend("train", "adapter", recipe, f"data.dataset={rows}", "objective.preference=dataset",
                 "objective.preference_share=1", "--force")  # fmt: skip
    assert done.code == 0, done
    steps = [row for row in metrics(tmp_path / "out") if "loss" in row]
    assert all("margin" in row for row in steps)
    assert steps[0]["margin"] == pytest.approx(0, abs=1e-3)  # the reference is the model as the run found it
    assert steps[-1]["margin"] > 0


def test_tune(recipe: Path, tmp_path: Path):
    recipe.write_text(
        recipe.read_text() + '[tune]\ngoal = "loss"\ntrials = 2\n[tune.space]\n'
        '"optim.lr" = { low = 1e-4, high = 1e-2, log = true }\n"lora.rank" = { choices = [2, 4] }\n'
    )
    done = emend("train", "tune", recipe, "run.steps=2", "--json")
    assert done.code == 0, done
    assert done.json["trials"] == 2
    assert done.json["best"] > 0
    assert Path(done.json["report"]).is_file()
    again = emend("train", "adapter", done.json["recipe"], f"run.out={tmp_path / 'again'}", "--force")
    assert again.code == 0, again
    assert len(losses(tmp_path / "again")) == 2


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("goal", ["exact@1", "location@1", "fix@2"])
def test_what_a_trial_measures(recipe: Path, tmp_path: Path, method: str, goal: str):
    suite = tmp_path / "suite.jsonl"
    program = {"id": "p", "language": "python", "tests": "assert one(3) == 4\n",
               "buggy_code": "def one(n):\n    return n - 1\n"}  # fmt: skip
    suite.write_text(json.dumps(program) + "\n")
    told: list[tuple[int, float]] = []
    known = read_recipe(recipe, (f"run.method={method}", f"tune.goal={goal}", f"gate.suite={suite}", "gate.jobs=1"))
    assert 0 <= trial(known, lambda step, loss: told.append((step, loss))) <= 1
    assert [step for step, _ in told] == [3]


@pytest.mark.parametrize(
    ("to", "made"), [("gguf", ""), ("merged", "config.json"), ("pieces", "adapter_model.safetensors")]
)
def test_export_of_the_embedded_model(tmp_path: Path, to: str, made: str):
    out = tmp_path / "out"
    done = emend("train", "export", "embedded", "--to", to, "-o", out)
    assert done.code == 0, done
    assert done.out.startswith(f"{out}: ")
    assert (out / made).is_file() if made else out.read_bytes()[:4] == b"GGUF"
    again = emend("train", "export", "embedded", "--to", to, "-o", out)
    assert (again.code, "--force" in again.told) == (2, True)


def test_export_to_an_unknown_form(tmp_path: Path):
    assert "can be exported to merged, gguf, pieces" in refused(
        "train", "export", "embedded", "--to", "onnx", "-o", tmp_path / "x"
    )


def test_pairs_of_programs(tmp_path: Path):
    programs = [
        {"id": f"p{n}", "language": "python", "tests": f"assert {name}(3, 4) == 7\nassert {name}(1, 5) == 6\n",
         "buggy_code": f"def {name}(left, right):\n    size = left - right\n    return size\n"}
        for n, name in enumerate(("join", "total"))
    ]  # fmt: skip
    suite, out = tmp_path / "suite.jsonl", tmp_path / "pairs.jsonl"
    suite.write_text("".join(json.dumps(one) + "\n" for one in programs))
    done = emend("train", "pairs", suite, "-o", out, "--model", "none", "--candidates", 60, "--seconds", 5,
                 "--pairs", 1, "--sandbox-minimum", "C")  # fmt: skip
    assert done.code == 0, done
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert f"pairs: {len(rows)}" in done.out
    assert 1 <= len(rows) <= 2
    assert all(row["better"] != row["worse"] for row in rows)
    assert "2 of 2: p1" in done.told


def test_base_goes_on_where_it_ended(tmp_path: Path):
    write_copies(tmp_path / "shard-0.npy")
    recipe, out = tmp_path / "r.toml", tmp_path / "out"
    recipe.write_text(
        "[model]\nvocabulary = 64\nwidth = 64\nlayers = 2\nheads = 2\nkv_heads = 1\nhidden = 96\npositions = 128\n"
        f'[data]\nshards = ["{tmp_path}/shard-*.npy"]\nrow_length = 64\nrows = 4\npool = 32\n'
        f'[run]\nout = "{out}"\nsteps = 4\nthreads = 1\ndtype = "float32"\n[optim]\nschedule = "constant"\nwarmup = 0\n'
    )
    first = emend("train", "base", recipe, "--json")
    assert (first.code, first.json["step"]) == (0, 4)
    assert emend("train", "base", recipe, "run.steps=7").code == 0
    assert emend("train", "base", recipe, "run.steps=7", f"run.out={tmp_path / 'whole'}").code == 0
    assert losses(out) == losses(tmp_path / "whole")
    assert len(losses(out)) == 7
    assert "model.vocabulary" in refused("train", "base", recipe, "model.vocabulary=8", f"run.out={tmp_path / 'o'}")
    assert "no shard matches none-*.npy" in refused(
        "train", "base", recipe, "data.shards=none-*.npy", f"run.out={tmp_path / 'o'}"
    )
