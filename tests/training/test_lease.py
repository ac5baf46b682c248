"""A lease: its time divided, rates tried, stages one after another, weights exported while it goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from data.pack import Encoded, write_packed
from repair.errors import InputError, ModelError
from tests.training.tiny import TINY, write_words
from training import lease as leases
from training.checkpoint import latest, read_weights
from training.config import DataConfig, ObjectiveConfig, OptimConfig, Recipe, RunConfig, WatchConfig, read_recipe
from training.export import export_model
from training.exporter import Exporter
from training.lease import Lease, chosen, run_lease, shares

ROOT = Path(__file__).resolve().parents[2]


def write_stream(folder: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    words = [rng.integers(4, 12, 8).astype(np.uint16) for _ in range(80)]
    twice = [Encoded(np.concatenate([[1], w, [2], w]).astype(np.uint16), np.full(18, 10, np.uint8)) for w in words]
    write_packed(folder, f"{name}-00000", twice, 64)
    (folder / f"{name}.end").write_text(json.dumps({"shards": 1}))


@pytest.fixture
def stages(tmp_path: Path) -> tuple[Recipe, ...]:
    """Two stages of a tiny base with their shards and held-out rows."""
    shards = tmp_path / "shards"
    for name in ("a", "b", "valid"):
        write_stream(shards, name)
    write_words(shards / "tokenizer.json")
    data = DataConfig(heldout=(f"{shards}/valid-*.ids.npy",), row_length=64, rows=4)
    a = Recipe(
        TINY,
        replace(data, shards=(f"{shards}/a-*.ids.npy",), arriving=True),
        ObjectiveConfig(z=1e-4),
        OptimConfig(lr=1e-2, warmup=2, schedule="constant", final=1.0),
        run=RunConfig(
            tmp_path / "out" / "a", minutes=2, decay_minutes=2, dtype="float32", engine="torch", device="cpu",
            evaluate_steps=1000, threads=1,
        ),
    )  # fmt: skip
    run = replace(a.run, out=tmp_path / "out" / "b", minutes=1, decay_minutes=1)
    optim = replace(a.optim, lr=1.5e-3, final=0.0)
    return a, replace(a, data=replace(data, shards=(f"{shards}/b-*.ids.npy",), arriving=True), optim=optim, run=run)


def test_stages_share_the_time_in_the_proportion_of_their_minutes(stages: tuple[Recipe, ...]):
    found = shares(stages, 90)
    assert [s.run.minutes for s in found] == pytest.approx([1.0, 0.5])
    assert [s.run.decay_minutes for s in found] == pytest.approx([1.0, 0.5])


def test_a_chosen_rate_keeps_the_proportions_of_the_stages(stages: tuple[Recipe, ...]):
    found = [chosen(s, stages[0], "muon", 2e-2).optim for s in stages]
    assert [(o.optimizer, o.lr) for o in found] == [("muon", 2e-2), ("muon", pytest.approx(3e-3))]


def test_a_lease_tries_rates_runs_its_stages_and_leaves_pieces_that_load(stages: tuple[Recipe, ...], tmp_path: Path):
    told: list[str] = []
    trials = (("adamw", 1e-2), ("adamw", 1e-9))  # the second learns nothing
    lease = Lease(stages, 3.0, tmp_path / "home", trials, trial_seconds=1.0, export_seconds=1e9)
    found = run_lease(lease, tell=told.append)
    rows = json.loads((tmp_path / "out" / "tried.json").read_text())
    assert [row["optimizer"] for row in rows] == ["adamw", "adamw"]
    assert rows[0]["heldout"] < rows[1]["heldout"]
    assert any("chosen: adamw 0.01" in line for line in told)
    assert found == json.loads((tmp_path / "out" / "lease.json").read_text())
    one, two = found["a"], found["b"]
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert one["steps"] > 0
    assert two["steps"] > 0
    assert one["tokens_per_second"] > 0
    last = json.loads((tmp_path / "out" / "b" / "metrics.jsonl").read_text().splitlines()[0])
    assert last["heldout"] == pytest.approx(one["heldout"], abs=1e-4)  # B begins where A ended
    export_model(tmp_path / "home", "plain", tmp_path / "plain")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype=torch.float32)
    weights = read_weights(latest(stages[1].run.out) or tmp_path)["model.embed_tokens.weight"]
    found = model.state_dict()["model.embed_tokens.weight"]
    assert (found - weights).norm() / weights.norm() < 0.02  # int8
    # what is done is not done again
    again = run_lease(replace(lease, seconds=1.0), tell=told.append)
    assert "a" not in again
    assert latest(stages[1].run.out) is not None


def test_a_rate_that_fails_is_one_trial_that_failed(stages: tuple[Recipe, ...], tmp_path: Path):
    told: list[str] = []
    watched = tuple(replace(s, watch=WatchConfig(spike=3.0, skip=1)) for s in stages[:1])
    trials = (("sgd", 1e30), ("adamw", 1e-3))
    lease = Lease(watched, 2.0, tmp_path / "home", trials, trial_seconds=1.0, export_seconds=1e9)
    run_lease(lease, tell=told.append)
    rows = json.loads((tmp_path / "out" / "tried.json").read_text())
    assert rows[0]["heldout"] is None
    assert "lower optim.lr" in rows[0]["failed"]
    assert any("chosen: adamw 0.001" in line for line in told)
    (tmp_path / "out" / "tried.json").write_text(json.dumps(rows[:1]))
    with pytest.raises(ModelError, match="no trial had a loss"):
        run_lease(lease, tell=told.append)


def test_a_stage_that_was_cut_goes_on_with_what_it_had(stages: tuple[Recipe, ...], tmp_path: Path):
    told: list[str] = []
    lease = Lease(stages, 1.0, tmp_path / "home", trial_seconds=0.0, export_seconds=1e9)
    run_lease(replace(lease, stages=stages[:1]), tell=told.append)
    (stages[0].run.out / leases.DONE).unlink()
    before = read_weights(latest(stages[0].run.out) or tmp_path)
    run_lease(replace(lease, stages=stages[:1]), tell=told.append)
    rows = [json.loads(line) for line in (stages[0].run.out / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == list(range(1, len(steps) + 1))  # none twice
    after = read_weights(latest(stages[0].run.out) or tmp_path)
    assert not torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])


def test_an_export_is_whole_and_a_failed_one_leaves_the_last(stages: tuple[Recipe, ...], tmp_path: Path):
    told: list[str] = []
    lease = Lease(stages[:1], 1.0, tmp_path / "home", trial_seconds=0.0, export_seconds=1e9)
    run_lease(lease, tell=told.append)
    files = sorted(path.name for path in (tmp_path / "home").iterdir())
    assert files == ["manifest.json", "piece-00.safetensors", "tokenizer.json"]
    (stages[0].run.out / "tokenizer.json").unlink()
    exporter = Exporter(lease.stages, tmp_path / "home", 1e9, told.append)
    exporter.close()
    assert "export of" in told[-1]
    assert "failed" in told[-1]
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == files


@pytest.mark.parametrize("change", ["model", "minutes"])
def test_a_lease_refuses_stages_that_do_not_belong_together(stages: tuple[Recipe, ...], tmp_path: Path, change: str):
    other = (
        replace(stages[1], model=replace(TINY, layers=1))
        if change == "model"
        else replace(stages[1], run=replace(stages[1].run, minutes=0.0))
    )
    with pytest.raises(InputError, match=change):
        Lease((stages[0], other), 60.0, tmp_path)


def test_the_shipped_stages_are_a_lease_and_their_pieces_fit_a_transfer():
    found = tuple(read_recipe(ROOT / f"training/recipes/base-gpu-{letter}.toml") for letter in "abc")
    lease = Lease(found, 480.0, Path("home"))
    minutes = [s.run.minutes for s in shares(lease.stages, 408)]
    assert sum(minutes) == pytest.approx(6.8)
    model = found[0].model
    matrices = model.vocabulary * model.width + model.layers * (
        model.width * model.head_dim * 2 * (model.heads + model.kv_heads) + 3 * model.width * model.hidden
    )
    assert math.ceil(matrices / (15 << 20)) + 2 <= 7  # files with manifest and tokenizer; 8 come back, one is the log
