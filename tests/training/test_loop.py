from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from repair.errors import InputError, ModelError
from training.batches import Batch, Batches, Position, Shards
from training.checkpoint import State, latest, read_state, read_weights, save
from training.config import OptimConfig, Recipe, RunConfig
from training.loop import Clock, Material, Trainer, evaluate
from training.optim import deadline_factor, schedule_factor
from training.pretrain import build_engine
from training.pretrain import train_base as train
from training.watch import JsonLines

ROOT = Path(__file__).parents[2]


def train_base(recipe: Recipe) -> State:
    return train(recipe, lambda known, _start, _cost: JsonLines(known.run.out / "metrics.jsonl"))


def losses(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon", "sgd"])
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


class Given:
    """A stream of the same batch, again and again."""

    def __init__(self, batch: Batch) -> None:
        self._batch, self.position = batch, Position()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self._batch


def not_a_number() -> Batch:
    shape = (1, 4)
    return Batch(
        np.ones(shape, np.int64), np.ones(shape, np.int64), np.full(shape, np.nan, np.float32), np.ones(shape, np.int64)
    )


def test_losses_that_are_not_finite_end_the_run_with_batch_and_weights_kept(tiny_recipe: Recipe):
    engine, out = build_engine(tiny_recipe), tiny_recipe.run.out
    before = {name: p.detach().clone() for name, p in engine.parameters.items()}
    told: list[Mapping[str, object]] = []
    trainer = Trainer(engine, tiny_recipe, Material(Given(not_a_number())))
    with pytest.raises(ModelError, match=r"bad-batch-2\.npz"):
        trainer.run(Told(told))
    assert [(one["step"], one.get("batch")) for one in told if "skipped" in one] == [
        (n, str(out / f"bad-batch-{n}.npz")) for n in (0, 1)
    ]
    assert np.isnan(np.load(out / "bad-batch-2.npz")["weights.0"]).all()
    assert all(torch.equal(p, before[name]) for name, p in engine.parameters.items())
    good = latest(out)
    assert good is not None
    assert all(torch.equal(p, before[name]) for name, p in read_weights(good).items())


class Told:
    def __init__(self, into: list[Mapping[str, object]]) -> None:
        self._into = into

    def record(self, record: Mapping[str, object]) -> None:
        self._into.append(record)

    def close(self) -> None:
        pass


def test_a_spike_is_skipped_and_the_run_goes_on(tiny_recipe: Recipe):
    recipe = replace(tiny_recipe, watch=replace(tiny_recipe.watch, spike=3.0), run=replace(tiny_recipe.run, steps=16))
    batches = Batches(Shards(recipe.data.shards, recipe.data), recipe.data, 0)

    class Spiked(Given):
        def __iter__(self) -> Iterator[Batch]:
            for number, batch in enumerate(batches):
                # loss of a batch is divided by its weight, so it is the labels that make it large
                yield replace(batch, labels=(batch.labels + 23) % 64) if number == 14 else batch

    told: list[Mapping[str, object]] = []
    state = Trainer(build_engine(recipe), recipe, Material(Spiked(not_a_number()))).run(Told(told))
    assert state.step == 16
    assert [one["step"] for one in told if "skipped" in one] == [14]
    assert len(state.history.losses) == 15
    saved = latest(recipe.run.out)
    assert saved is not None
    assert read_state(saved) == state


def test_accumulated_batches_make_the_step_of_one_large_batch(tiny_recipe: Recipe, tmp_path: Path):
    # pools of 24 examples are 8 rows of three each, so that no batch is the short end of a pool
    large = replace(tiny_recipe, data=replace(tiny_recipe.data, rows=8, pool=24), run=replace(tiny_recipe.run, steps=6))
    small = replace(
        tiny_recipe,
        data=replace(tiny_recipe.data, rows=4, pool=24),
        optim=replace(tiny_recipe.optim, accumulate=2),
        run=replace(tiny_recipe.run, steps=6, out=tmp_path / "small"),
    )
    train_base(large)
    train_base(small)
    whole, parts = losses(large.run.out), losses(small.run.out)
    assert parts == pytest.approx(whole, rel=1e-4)


def test_epochs_become_steps_and_patience_ends_a_run_with_the_best_weights(tiny_recipe: Recipe):
    data = replace(tiny_recipe.data, heldout=tiny_recipe.data.shards)
    run = replace(tiny_recipe.run, epochs=50.0, evaluate_steps=2, patience=2, keep="best")
    optim = replace(tiny_recipe.optim, lr=2.0, clip=1e9, warmup=0, schedule="constant")  # soon gets worse
    told: list[Mapping[str, object]] = []
    recipe = replace(tiny_recipe, data=data, run=run, optim=optim)
    state = train(recipe, lambda *_: Told(told))
    found = [cast(float, one["heldout"]) for one in told if "heldout" in one and one["step"]]
    assert state.waited >= 2
    assert state.step < 100
    assert state.best == min(found) < found[-1]
    best = latest(recipe.run.out / "best")
    assert best is not None
    assert read_state(best).step == 2 * (found.index(state.best) + 1)


LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no",
          "--dynamo_backend", "no", "--main_process_port", "0", "--num_processes", "2", "-m"]  # fmt: skip


def test_two_processes_train_as_one_does(tiny_recipe: Recipe, tmp_path: Path):
    recipe = replace(tiny_recipe, optim=replace(tiny_recipe.optim, accumulate=1))
    command = [sys.executable, *LAUNCH, "training.pretrain", str(write_toml(recipe, tmp_path / "r.toml"))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    alone = replace(recipe, optim=replace(recipe.optim, accumulate=2), run=replace(recipe.run, out=tmp_path / "alone"))
    state = train_base(alone)
    assert losses(recipe.run.out) == pytest.approx(losses(alone.run.out), rel=1e-4)
    saved = latest(recipe.run.out)
    assert saved is not None
    assert read_state(saved).tokens == state.tokens
    weights = read_weights(latest(alone.run.out) or tmp_path)
    for name, tensor in read_weights(saved).items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-4, rtol=1e-3)


def test_held_out_loss_is_weighted_by_tokens():
    class Fixed:
        parameters: dict[str, torch.nn.Parameter] = {}  # noqa: RUF012
        extras: dict[str, float] = {}  # noqa: RUF012

        def __init__(self) -> None:
            self.answers = iter([(3.0, 1.0), (1.0, 3.0)])

        def gradients(self, batch: Batch, denominator: float) -> float:
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
    unlimited = Clock.of(RunConfig(), 0.0)
    assert unlimited.factor(unlimited.left(1e9)) == 1.0
    soon = Clock(deadline=time.time() + 50, decay_seconds=100)
    assert 0.45 < soon.factor(soon.left(0)) < 0.51


def test_minutes_are_those_of_training_and_end_at_the_final_rate():
    clock = Clock.of(RunConfig(minutes=2, decay_minutes=1), 0.2)
    assert [clock.left(spent) for spent in (0, 90, 120)] == [120, 30, 0]
    assert [clock.factor(left) for left in (120, 60, 30, 0)] == pytest.approx([1, 1, 0.6, 0.2])


def test_a_run_ends_when_its_minutes_are_over_and_a_rerun_has_none_left(tiny_recipe: Recipe):
    recipe = replace(tiny_recipe, run=replace(tiny_recipe.run, steps=10**6, minutes=0.01))
    state = train_base(recipe)
    assert 0 < state.step < 10**6
    assert state.seconds >= 0.6
    assert train_base(recipe).step == state.step


def test_a_deadline_stops_the_run(tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch):
    @dataclass(frozen=True)
    class Steps(Clock):
        """A clock that steps move: the deadline comes with the eleventh look."""

        looks: list[int] = field(default_factory=list[int])

        def left(self, spent: float) -> float:
            self.looks.append(1)
            return 11.0 - len(self.looks)

    monkeypatch.setattr(Clock, "of", staticmethod(lambda *_: Steps(decay_seconds=5.0)))
    assert train_base(replace(tiny_recipe, run=replace(tiny_recipe.run, steps=10**6))).step == 10
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
