"""The one training loop: batches to gradients to updates, logged, checkpointed, resumable exactly.

Owns the order of things in a step. Knows the model only as an Engine, so that the embedded base, its native
CPU engine and LoRA on a Hugging Face model share it. Token-weighted cross-entropy is the engines' business.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from repair.errors import ModelError
from training.batches import Batch, Batches
from training.checkpoint import State, latest, read_state, read_weights, restore_optimizers, save
from training.config import OptimConfig, Recipe
from training.optim import build_optimizers, deadline_factor, schedule_factor, set_rate

Metrics = Mapping[str, float]
STOP = "stop"  # a file of this name in the directory of a run ends it after the step, saved


class Engine(Protocol):
    """A model with its loss: weight x negative log-likelihood (natural log) of tokens, and what objectives add."""

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """What is trained and saved, by name."""
        ...

    @property
    def extras(self) -> Mapping[str, float]:
        """Figures of the last `gradients` beside the loss (attention entropy, preference accuracy, ...), by name."""
        ...

    def gradients(self, batch: Batch, denominator: float) -> float:
        """Sum of weight x loss over `denominator` (what a step's batches weigh together); ADDS gradients to `.grad`."""
        ...

    def loss(self, batch: Batch) -> tuple[float, float]:
        """(sum of weight x loss, sum of weights), without gradients."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns a deadline into the share of the learning rate that is left; without one always 1."""

    deadline: float | None  # seconds since the epoch
    decay_seconds: float

    @staticmethod
    def of(deadline: str, decay_minutes: float) -> Clock:
        """The next time that it is `deadline` ("HH:MM", local)."""
        if not deadline:
            return Clock(None, 0.0)
        now = datetime.now()
        at = datetime.combine(now.date(), datetime.strptime(deadline, "%H:%M").time())
        return Clock((at if at > now else at + timedelta(days=1)).timestamp(), decay_minutes * 60)

    def factor(self) -> float:
        """1 before the decay, 0 at the deadline."""
        if self.deadline is None:
            return 1.0
        return deadline_factor(self.deadline - time.time(), self.decay_seconds)


class Log:
    """JSON lines, one a record, flushed at once."""

    def __init__(self, path: Path, echo: Callable[[str], None] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._echo = echo

    def write(self, record: Metrics) -> None:
        """Append one record."""
        line = json.dumps(dict(record))
        self._file.write(line + "\n")
        self._file.flush()
        if self._echo:
            self._echo(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def evaluate(engine: Engine, batches: Sequence[Batch]) -> float:
    """Mean loss (nats a token) over batches."""
    sums = np.array([engine.loss(batch) for batch in batches])
    return float(sums[:, 0].sum() / sums[:, 1].sum())


def _keep_batch(out: Path, batch: Batch, step: int) -> Path:
    path = out / f"bad-batch-{step}.npz"
    np.savez(path, ids=batch.ids, labels=batch.labels, weights=batch.weights, segments=batch.segments)
    return path


def update(
    engine: Engine, batch: Batch, optimizers: Sequence[torch.optim.Optimizer], config: OptimConfig, out: Path, step: int
) -> tuple[float, float]:
    """One step: (loss, norm of the gradients before clipping).

    Raises ModelError when either is not finite: the batch is saved, the weights are those before the step.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=False)
    loss = engine.gradients(batch)
    norm = float(nn.utils.clip_grad_norm_(engine.parameters.values(), config.clip))
    if not (np.isfinite(loss) and np.isfinite(norm)):
        path = _keep_batch(out, batch, step)
        raise ModelError(f"step {step}: loss {loss}, gradient norm {norm}; lower optim.lr. The batch is in {path}")
    for optimizer in optimizers:
        optimizer.step()
    return loss, norm


class Trainer:
    """A run: everything between two checkpoints. `run()` returns the final state."""

    def __init__(self, engine: Engine, recipe: Recipe, batches: Batches, heldout: Sequence[Batch], log: Log) -> None:
        self.engine, self.recipe, self.batches, self.heldout, self.log = engine, recipe, batches, heldout, log
        self.optimizers = build_optimizers(engine.parameters.items(), recipe.optim)
        self.state = State()
        self.clock = Clock.of(recipe.run.deadline, recipe.run.decay_minutes)
        self._resume()

    def _resume(self) -> None:
        found, run = latest(self.recipe.run.out), self.recipe.run
        source = found or (latest(run.init) or run.init if run.init else None)
        if source is None:
            return
        weights = read_weights(source)
        with torch.no_grad():
            for name, parameter in self.engine.parameters.items():
                parameter.copy_(weights[name])
        restore_optimizers(source, self.optimizers)
        if found:
            self.state = read_state(found)
            self.batches.position = self.state.position

    def _rate(self) -> float:
        config, run = self.recipe.optim, self.recipe.run
        return config.lr * schedule_factor(config, self.state.step, run.steps) * self.clock.factor()

    def _save(self) -> None:
        save(self.recipe.run.out, self.state, self.engine.parameters, self.optimizers)

    def _finished(self, rate: float) -> bool:
        asked = (self.recipe.run.out / STOP).exists()
        return asked or self.state.step >= self.recipe.run.steps or rate <= 0.0

    def run(self) -> State:
        """Train to the last step, the deadline or a file `stop`, saving on the way and at the end."""
        run, saved = self.recipe.run, time.monotonic()
        for batch in self.batches:
            rate = self._rate()
            if self._finished(rate):
                break
            self._step(batch, rate)
            if self.heldout and self.state.step % run.evaluate_steps == 0:
                self.log.write({"step": self.state.step, "heldout": evaluate(self.engine, self.heldout)})
            if time.monotonic() - saved > run.save_seconds:
                self._save()
                saved = time.monotonic()
        if self.heldout:
            self.log.write({"step": self.state.step, "heldout": evaluate(self.engine, self.heldout)})
        self._save()
        return self.state

    def _step(self, batch: Batch, rate: float) -> None:
        began = time.monotonic()
        set_rate(self.optimizers, rate)
        loss, norm = update(
            self.engine, batch, self.optimizers, self.recipe.optim, self.recipe.run.out, self.state.step
        )
        spent, before = time.monotonic() - began, self.state
        self.state = State(before.step + 1, before.tokens + batch.tokens, before.seconds + spent, self.batches.position)
        self.log.write({
            "step": self.state.step, "loss": loss, "norm": norm, "rate": rate, "tokens": self.state.tokens,
            "seconds": round(self.state.seconds, 2), "tokens_per_second": round(batch.tokens / spent, 1),
        })  # fmt: skip
