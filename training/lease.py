"""A base in the minutes of a rented accelerator: rates tried, stages one after another, weights exported on the way.

    python -m training.lease --seconds 480 --export OUT A.toml B.toml C.toml [section.key=value ...]

Owns the division of the time and the order of things. The stages are recipes of `emend train base` for one model whose
`run.minutes` say what share of the time each gets; each begins with the weights of the one before. Started again with
the same folders, a killed lease goes on. Shards may still arrive (`data.arriving`) while it runs.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from repair.errors import EmendError, InputError, ModelError
from training import varlen
from training.batches import Batch
from training.checkpoint import latest, read_state
from training.config import Recipe, read_recipe
from training.engine import TorchEngine
from training.exporter import Exporter
from training.flops import Cost
from training.loop import Engine
from training.model import Llama
from training.pretrain import build_engine, train_base
from training.watch import METRICS, JsonLines, Lines, Observer, Several, figure

TRIALS = (("adamw", 3e-3), ("muon", 3e-3), ("adamw", 1.5e-3), ("muon", 6e-3))
"""Optimizers and rates that are tried, by default; the rates of the stages keep their proportions."""

TRIED, DONE, ACCOUNT = "tried.json", "done", "lease.json"
_SETTLED = 5  # steps after which speed is measured: the first ones compile and fill the queue
_AGREE = 2e-2  # of the norm: what bf16 explains stays below 1 %
_RESERVE = 0.02  # share of the time kept for the last save and export


@dataclass(frozen=True, slots=True)
class Lease:
    """What is done with the time."""

    stages: tuple[Recipe, ...]
    seconds: float  # of wall-clock time, all together
    export: Path  # where the weights go as int8 pieces
    trials: tuple[tuple[str, float], ...] = TRIALS
    trial_seconds: float = 60.0  # all trials together; 0: none, the first stage's own settings
    export_seconds: float = 60.0  # between two exports

    def __post_init__(self) -> None:
        if not self.stages:
            raise InputError("a lease wants at least one recipe", field="recipe")
        for stage in self.stages:
            if stage.model != self.stages[0].model:
                raise InputError(f"{stage.run.out}: all stages are of one model", field="model")
            if not stage.run.minutes:
                raise InputError(f"{stage.run.out}: run.minutes says what share a stage gets", field="run.minutes")


def shares(stages: Sequence[Recipe], seconds: float) -> tuple[Recipe, ...]:
    """The stages with minutes that add up to `seconds`, in the proportions of theirs; decays shrink alike."""
    scale = seconds / 60 / sum(stage.run.minutes for stage in stages)
    return tuple(
        replace(
            s, run=replace(s.run, minutes=s.run.minutes * scale, decay_minutes=max(s.run.decay_minutes * scale, 1e-6))
        )
        for s in stages
    )


def chosen(stage: Recipe, first: Recipe, optimizer: str, rate: float) -> Recipe:
    """A stage with the optimizer that was chosen; its rate keeps its proportion to that of the first stage."""
    return replace(stage, optim=replace(stage.optim, optimizer=optimizer, lr=rate * stage.optim.lr / first.optim.lr))


@dataclass(slots=True)
class Account:
    """An observer that remembers what a run was like."""

    steps: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    heldout: float = float("nan")

    def record(self, record: Mapping[str, object]) -> None:
        """Keep the last held-out loss and all steps."""
        if "heldout" in record:
            self.heldout = figure(record, "heldout")
        elif "loss" in record:
            self.steps.append(record)

    def close(self) -> None:
        """Nothing is held open."""

    def told(self) -> dict[str, object]:
        """Medians over the steps after the first ones, and where the run stood at its end."""
        settled = self.steps[_SETTLED:] or self.steps
        last = self.steps[-1] if self.steps else {}
        names = ("tokens_per_second", "utilisation")
        medians = {n: statistics.median(figure(s, n) for s in settled) if settled else None for n in names}
        return {
            "heldout": self.heldout,
            "steps": len(self.steps),
            "tokens": last.get("tokens"),
            "seconds": last.get("seconds"),
            **medians,
        }


def fresh(engine: Engine, recipe: Recipe) -> None:
    """Put the weights of a new model of the recipe's seed in the place of the engine's."""
    torch.manual_seed(recipe.run.seed)
    values = dict(Llama(recipe.model).named_parameters())
    with torch.no_grad():
        for name, parameter in engine.parameters.items():
            parameter.copy_(values[name])


def trial_batch(recipe: Recipe) -> Batch:
    """A batch of a stage's shape that teaches nothing: what is compiled must not wait for the first shard."""
    rng, shape = np.random.default_rng(0), (recipe.data.rows, recipe.data.row_length)
    lengths = rng.integers(1, max(2, shape[1] // 4), shape)
    segments = 1 + (np.arange(shape[1])[None, :, None] >= lengths[:, :8].cumsum(axis=1)[:, None, :]).sum(axis=2)
    ids, labels = (rng.integers(0, recipe.model.vocabulary, shape) for _ in range(2))
    return Batch(ids, labels, np.ones(shape, np.float32), segments)


def warm(engine: Engine, batch: Batch) -> float:
    """Compile for both directions before any clock runs; the seconds it took."""
    began = time.monotonic()
    engine.gradients(batch, batch.weight)
    engine.loss(batch)
    for parameter in engine.parameters.values():
        parameter.grad = None
    return time.monotonic() - began


def agreement(engine: TorchEngine) -> float:
    """Relative difference of the fast attention from the plain one, before anything rests on it; 0 where there is none.

    Raises ModelError where the two differ by more than half precision explains, or are no numbers.
    """
    if not engine.varlen:
        return 0.0
    model = engine.model.config
    device = engine.model.model.embed_tokens.weight.device
    found = varlen.difference(device, engine.dtype, (model.heads, model.kv_heads, model.head_dim))
    if not found < _AGREE:
        raise ModelError(f"the kernel of torch.nn.attention.varlen is off by {found:.1%}")
    return found


class _Run:
    """One lease under way."""

    def __init__(self, lease: Lease, clock: Callable[[], float], tell: Callable[[str], None]) -> None:
        self.lease, self.tell = lease, tell
        self._clock, self._end = clock, clock() + lease.seconds
        self.account: dict[str, object] = {}
        self.engine = build_engine(lease.stages[0])

    def left(self) -> float:
        """Seconds of the lease."""
        return self._end - self._clock()

    def _trained(self, recipe: Recipe) -> dict[str, object]:
        account = Account()

        def watch(known: Recipe, start: int, cost: Cost | None) -> Observer:
            del start, cost
            return Several((JsonLines(known.run.out / METRICS), Lines(self.tell), account))

        train_base(recipe, watch, self.engine)
        return account.told()

    def prepare(self) -> None:
        """Check and compile."""
        batch = trial_batch(self.lease.stages[0])
        if isinstance(self.engine, TorchEngine):
            self.account["varlen"] = self.engine.varlen
            self.account["difference"] = agreement(self.engine)
        self.account["compiled_seconds"] = round(warm(self.engine, batch), 1)
        self.tell(f"ready: {json.dumps(self.account)}")

    def best(self) -> tuple[str, float]:
        """The optimizer and rate with the lowest held-out loss after equal times; found once."""
        first, lease = self.lease.stages[0], self.lease
        path = first.run.out.parent / TRIED
        if not lease.trial_seconds or not lease.trials:
            return first.optim.optimizer, first.optim.lr
        if not path.exists():
            each = lease.trial_seconds / len(lease.trials) / 60
            rows: list[dict[str, object]] = []
            for number, (optimizer, rate) in enumerate(lease.trials):
                out = path.with_name(f"try-{number}")
                shutil.rmtree(out, ignore_errors=True)
                run = replace(first.run, out=out, minutes=each, steps=10**9, save_seconds=1e9, evaluate_steps=10**9)
                fresh(self.engine, first)
                try:
                    told = self._trained(replace(chosen(first, first, optimizer, rate), run=run))
                except ModelError as error:  # a rate that is too high: the others may still do
                    told = {"heldout": None, "failed": str(error)}
                rows.append({"optimizer": optimizer, "lr": rate, **told})
                shutil.rmtree(out, ignore_errors=True)
            path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        rows = cast("list[dict[str, object]]", json.loads(path.read_text(encoding="utf-8")))
        self.account["trials"] = rows
        losses = [loss if math.isfinite(loss := figure(row, "heldout")) else math.inf for row in rows]
        if math.isinf(min(losses)):
            raise ModelError(f"no trial had a loss at its end: lower the rates, see {path}")
        found = rows[losses.index(min(losses))]
        self.tell(f"chosen: {found['optimizer']} {found['lr']}, held-out loss {min(losses):.4f}")
        return str(found["optimizer"]), figure(found, "lr")

    def stages(self, optimizer: str, rate: float) -> None:
        """Those that are not done, each with its share of the time that is left."""
        first, before = self.lease.stages[0], self.lease.stages[0].run.init
        fresh(self.engine, first)
        for number, stage in enumerate(self.lease.stages):
            if not (stage.run.out / DONE).exists():
                todo = [s for s in self.lease.stages[number:] if not (s.run.out / DONE).exists()]
                mine = shares(todo, max(self.left() - _RESERVE * self.lease.seconds, 1e-3))[0]
                found = latest(stage.run.out)
                spent = read_state(found).seconds if found else 0.0
                minutes = mine.run.minutes + spent / 60
                decay = mine.run.decay_minutes * minutes / mine.run.minutes  # the rate goes on where it was
                run = replace(mine.run, init=before, minutes=minutes, decay_minutes=decay, steps=10**9)
                told = self._trained(replace(chosen(mine, first, optimizer, rate), run=run))
                (stage.run.out / DONE).touch()
                self.account[stage.run.out.name] = told
                self.tell(f"{stage.run.out.name}: {json.dumps(told)}")
            before = stage.run.out


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_lease(
    lease: Lease, *, clock: Callable[[], float] = time.monotonic, tell: Callable[[str], None] = _say
) -> dict[str, object]:
    """Spend the lease; what came of it, also in `lease.json` beside the folders of the stages.

    Raises InputError, ModelError; what was exported before stays.
    """
    run = _Run(lease, clock, tell)
    exporter = Exporter(lease.stages, lease.export, lease.export_seconds, tell)
    try:
        run.prepare()
        run.stages(*run.best())
    finally:
        exporter.close()
        told = {"seconds": lease.seconds, "left": round(run.left(), 1), **run.account}
        place = lease.stages[0].run.out.parent / ACCOUNT
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return told


def main(arguments: Sequence[str]) -> int:
    """See the head of this module; the exit code of an error is its kind's."""
    parser = argparse.ArgumentParser(
        prog="python -m training.lease", description="Train a base in stages within a time."
    )
    parser.add_argument("recipes", nargs="+", help="recipes of the stages, then section.key=value for all of them")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--export", type=Path, required=True)
    parser.add_argument("--trial-seconds", type=float, default=60.0)
    parser.add_argument("--export-seconds", type=float, default=60.0)
    given = parser.parse_args(arguments)
    overrides = [one for one in given.recipes if "=" in one]
    try:
        stages = tuple(read_recipe(Path(one), overrides) for one in given.recipes if "=" not in one)
        run_lease(
            Lease(
                stages, given.seconds, given.export,
                trial_seconds=given.trial_seconds, export_seconds=given.export_seconds,
            )
        )  # fmt: skip
    except EmendError as error:
        _say(f"error: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
