from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repair.errors import InputError, ModelError
from training.batches import Batch
from training.checkpoint import latest, read_state, read_weights, save
from training.config import OptimConfig, Recipe, RunConfig
from training.loop import Clock, evaluate, update
from training.optim import build_optimizers, deadline_factor, schedule_factor
from training.pretrain import build_engine, train_base

ROOT = Path(__file__).parents[2]


def losses(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_the_loss_falls(tiny_recipe: Recipe, optimizer: str):
    lr = 0.5 if optimizer == "sgd" else 1e-2
    recipe = replace(tiny_recipe, optim=replace(tiny_recipe.optim, optimizer=optimizer, lr=lr))
    state = train_base(replace(recipe, run=replace(recipe.run, steps=40)))
    seen = losses(recipe.run.out)
    assert state.step == 40
    assert len(seen) == 40
    assert np.mean([seen[s] for s in range(36, 41)]) < seen[1] - 0.15


def write_toml(recipe: Recipe, path: Path) -> Path:
    model = "".join(
        f"{name} = {getattr(recipe.model, name)}\n"
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "hidden", "positions")
    )
    data = f'shards = ["{recipe.data.shards[0]}"]\nrow_length = 64\nrows = 4\npool = 32\n'
    optim = 'optimizer = "adamw"\nlr = 1e-2\nwarmup = 5\n'
    run = f'out = "{recipe.run.out}"\nsteps = {recipe.run.steps}\ndtype = "float32"\nsave_seconds = 0.0\n'
    path.write_text(f"[model]\n{model}[data]\n{data}[optim]\n{optim}[run]\n{run}")
    return path


def test_a_run_killed_at_any_moment_goes_on_with_the_same_losses(tiny_recipe: Recipe, tmp_path: Path):
    recipe = replace(tiny_recipe, run=replace(tiny_recipe.run, steps=200))
    expected = replace(recipe, run=replace(recipe.run, out=tmp_path / "whole"))
    torch.set_num_threads(1)
    train_base(expected)
    command = [sys.executable, "-m", "training.pretrain", str(write_toml(recipe, tmp_path / "r.toml"))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(command, cwd=ROOT, env=environment)
    for _ in range(6000):
        if latest(recipe.run.out) and len(losses(recipe.run.out)) >= 5:
            break
        assert killed.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = losses(recipe.run.out)
    assert 5 <= len(before) < 200
    train_base(recipe)
    assert losses(recipe.run.out) == losses(tmp_path / "whole")


def test_a_run_may_start_from_the_weights_of_another(tiny_recipe: Recipe, tmp_path: Path):
    train_base(tiny_recipe)
    source = tiny_recipe.run.out
    second = replace(tiny_recipe, run=replace(tiny_recipe.run, out=tmp_path / "next", init=source, steps=1))
    train_base(second)
    assert losses(second.run.out)[1] < losses(source)[1] - 0.1


def test_a_loss_that_is_not_finite_stops_with_the_batch_kept_and_the_weights_unharmed(
    tiny_recipe: Recipe, tmp_path: Path
):
    engine = build_engine(tiny_recipe)
    before = {name: p.detach().clone() for name, p in engine.parameters.items()}
    shape = (1, 4)
    weights = np.full(shape, np.nan, np.float32)
    batch = Batch(np.ones(shape, np.int64), np.ones(shape, np.int64), weights, np.ones(shape, np.int64))
    optimizers = build_optimizers(engine.parameters.items(), tiny_recipe.optim)
    with pytest.raises(ModelError, match=r"bad-batch-7\.npz"):
        update(engine, batch, optimizers, tiny_recipe.optim, tmp_path, 7)
    assert np.isnan(np.load(tmp_path / "bad-batch-7.npz")["weights"]).all()
    assert all(torch.equal(p, before[name]) for name, p in engine.parameters.items())


def test_held_out_loss_is_weighted_by_tokens():
    class Fixed:
        parameters: dict[str, torch.nn.Parameter] = {}  # noqa: RUF012

        def __init__(self) -> None:
            self.answers = iter([(3.0, 1.0), (1.0, 3.0)])

        def gradients(self, batch: Batch) -> float:
            raise AssertionError("evaluation takes no gradients")

        def loss(self, batch: Batch) -> tuple[float, float]:
            return next(self.answers)

    empty = np.zeros((1, 1), np.int64)
    batch = Batch(empty, empty, np.zeros((1, 1), np.float32), empty)
    assert evaluate(Fixed(), [batch, batch]) == 1.0


@pytest.mark.parametrize(
    ("schedule", "final", "expected"),
    [("constant", 0.0, [0.5, 1.0, 1.0, 1.0]), ("linear", 0.2, [0.5, 1.0, 0.6, 0.2]), ("cosine", 0.0, [0.5, 1, 0.5, 0])],
)
def test_schedules(schedule: str, final: float, expected: list[float]):
    config = OptimConfig(warmup=2, schedule=schedule, final=final)
    found = [schedule_factor(config, step, 10) for step in (0, 2, 6, 10)]
    assert found == pytest.approx(expected)


def test_a_deadline_ends_the_learning_rate_at_zero():
    assert [deadline_factor(left, 100) for left in (500, 100, 50, 0, -3)] == [1, 1, 0.5, 0, 0]
    assert Clock.of("", 30).factor() == 1.0
    soon = Clock(time.time() + 50, 100).factor()
    assert 0.45 < soon < 0.51


def test_a_deadline_stops_the_run(tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Clock, "of", staticmethod(lambda *_: Clock(time.time() + 1.0, 1.0)))
    state = train_base(replace(tiny_recipe, run=replace(tiny_recipe.run, steps=10**6)))
    assert 0 < state.step < 10**6
    assert latest(tiny_recipe.run.out) is not None


def test_a_stop_file_ends_the_run_saved(tiny_recipe: Recipe):
    tiny_recipe.run.out.mkdir()
    (tiny_recipe.run.out / "stop").touch()
    assert train_base(tiny_recipe).step == 0
    (tiny_recipe.run.out / "stop").unlink()
    assert train_base(tiny_recipe).step == 12


def test_checkpoints_survive_a_refused_save(tmp_path: Path, tiny_recipe: Recipe):
    recipe = tiny_recipe
    state = train_base(recipe)
    good = latest(recipe.run.out)
    assert good is not None
    blocked = recipe.run.out / f".partial-{os.getpid()}"
    blocked.write_text("in the way: no directory can be made here")
    with pytest.raises(ModelError, match="the last one is kept"):
        save(recipe.run.out, replace(state, step=99), {}, [])
    assert latest(recipe.run.out) == good
    assert read_state(good) == state
    assert read_weights(good)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no checkpoint"):
        read_state(tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        read_weights(tmp_path)
    assert latest(tmp_path) is None


def test_run_settings_default_to_a_constant_clock():
    assert RunConfig().deadline == ""
