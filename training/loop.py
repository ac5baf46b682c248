"""The one training loop: batches to gradients to updates, logged, checkpointed, resumable exactly.

Owns the order of things in a step. Knows the model only as an Engine, so that the embedded base, its native
CPU engine and LoRA on a Hugging Face model share it. Token-weighted cross-entropy is the engines' business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import record_function

from repair.errors import InputError, ModelError
from training.batches import Batch, Position
from training.checkpoint import State, latest, read_state, read_weights, restore_optimizers, save
from training.config import Recipe, RunConfig
from training.flops import Cost
from training.optim import build_optimizers, deadline_factor, schedule_factor, set_rate
from training.profiling import DATA, Profiler
from training.spikes import Verdict, judge
from training.watch import Observer
from training.world import Alone, World

Record = Mapping[str, object]
STOP = "stop"  # a file of this name in the directory of a run ends it after the step, saved
BEST = "best"  # folder of the checkpoint with the lowest held-out loss
_LEAST = 1e-6  # weight of a step without any target


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
    """Turns the time that a run has into the share of the learning rate that is left; without a limit always 1."""

    deadline: float | None = None  # seconds since the epoch
    budget: float | None = None  # seconds of training
    decay_seconds: float = 0.0
    final: float = 0.0  # share at the end

    @staticmethod
    def of(run: RunConfig, final: float) -> Clock:
        """Of `run.minutes`, or of the next time that it is `run.deadline` ("HH:MM", local)."""
        if run.minutes:
            return Clock(None, run.minutes * 60, run.decay_minutes * 60, final)
        if not run.deadline:
            return Clock()
        now = datetime.now()
        at = datetime.combine(now.date(), datetime.strptime(run.deadline, "%H:%M").time())
        at = at if at > now else at + timedelta(days=1)
        return Clock(at.timestamp(), None, run.decay_minutes * 60, final)

    def left(self, spent: float) -> float:
        """Seconds until the end, of a run that has trained for `spent` of them."""
        if self.budget is not None:
            return self.budget - spent
        return math.inf if self.deadline is None else self.deadline - time.time()

    def factor(self, left: float) -> float:
        """1 before the decay, `final` at the end."""
        return self.final + (1 - self.final) * deadline_factor(left, self.decay_seconds)


class Stream(Protocol):
    """Batches without end; `position` is that of the next one."""

    position: Position

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True, slots=True)
class Material:
    """What a run learns from and is measured on."""

    batches: Stream
    heldout: Sequence[Batch] = ()
    pairs: Stream | None = None  # preference steps


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run meets beside its model and its data."""

    world: World = field(default_factory=Alone)
    samples: Callable[[], Iterable[Record]] | None = None  # repairs of a few held-out examples as the model is now
    cost: Cost | None = None  # what turns tokens a second into utilisation
    vocabulary: int = 0  # by which a profile recognises the head


def evaluate(engine: Engine, batches: Sequence[Batch], world: World | None = None) -> float:
    """Mean loss (nats a token) over batches, each process measuring its share.

    Every process makes as many passes as the others: where the base is divided among them, each waits for all.
    """
    world, sums = world or Alone(), np.zeros(2)
    for first in range(0, len(batches), world.size):
        at = first + world.rank
        measured = engine.loss(batches[min(at, len(batches) - 1)])
        if at < len(batches):
            sums += measured
    total, count = (world.total(float(value)) for value in sums)
    return total / max(count, _LEAST)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def keep_batches(out: Path, batches: Sequence[Batch], step: int) -> Path:
    """Write the batches of a bad step for looking at. Arrays as in Batch, those of batch n named `NAME.n`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"bad-batch-{step}.npz"
    names = ("ids", "labels", "weights", "segments")
    np.savez(path, **{f"{name}.{n}": getattr(batch, name) for n, batch in enumerate(batches) for name in names})
    return path


class Trainer:
    """A run: everything between two checkpoints. `run()` returns the final state."""

    def __init__(self, engine: Engine, recipe: Recipe, material: Material, around: Surroundings | None = None) -> None:
        self.engine, self.recipe, self.material = engine, recipe, material
        self.around = around or Surroundings()
        self.optimizers = build_optimizers(engine.parameters.items(), recipe.optim)
        self.state = State()
        self.clock = Clock.of(recipe.run, recipe.optim.final)
        self._resume()
        self._observer: Observer | None = None
        self._evaluated = -1
        self._saved = time.monotonic()
        self._batches = iter(material.batches)
        self._pairs = iter(material.pairs) if material.pairs else None

    def _resume(self) -> None:
        found, run = latest(self.recipe.run.out), self.recipe.run
        source = found or (latest(run.init) or run.init if run.init else None)
        if source is None:
            return
        self.take(read_weights(source), source)
        restore_optimizers(source, self.optimizers)
        if found:
            self.state = read_state(found)
            self.material.batches.position = self.state.position
            if self.material.pairs:
                self.material.pairs.position = self.state.pairs

    def take(self, weights: Mapping[str, Tensor], source: Path) -> None:
        """Put weights in the place of the engine's. Raises InputError when they are of another model."""
        with torch.no_grad():
            for name, parameter in self.engine.parameters.items():
                if name not in weights or weights[name].shape != parameter.shape:
                    raise InputError(f"{source} holds other weights than this recipe trains ({name})", field="run.init")
                parameter.copy_(weights[name])

    def _left(self) -> float:
        """Seconds that the run still has, the same in every process: their clocks differ."""
        left, world = self.clock.left(self.state.seconds), self.around.world
        return left if math.isinf(left) else world.total(left) / world.size

    def _rate(self, left: float) -> float:
        config, run = self.recipe.optim, self.recipe.run
        return config.lr * schedule_factor(config, self.state.step, run.steps) * self.clock.factor(left)

    def _save(self, out: Path | None = None) -> None:
        if self.around.world.rank == 0:
            save(out or self.recipe.run.out, self.state, self.engine.parameters, self.optimizers)
        if out is None:
            self._saved = time.monotonic()
        self.around.world.wait()

    def _save_if_due(self) -> None:
        if self.around.world.total(float(time.monotonic() - self._saved > self.recipe.run.save_seconds)) > 0:
            self._save()  # together: the processes' clocks differ

    def _finished(self, left: float) -> bool:
        run = self.recipe.run
        patient = run.patience and self.state.waited >= run.patience
        asked = self.around.world.total(float((run.out / STOP).exists())) > 0
        return asked or bool(patient) or self.state.step >= run.steps or left <= 0.0

    def _tell(self, record: Record) -> None:
        if self._observer and self.around.world.rank == 0:
            self._observer.record(record)

    def run(self, observer: Observer | None = None) -> State:
        """Train to the last step, the end of its time or a file `stop`, saving on the way and at the end.

        Raises ModelError: a loss that stays bad, no room to save. The last checkpoint is whole then.
        """
        self._observer = observer
        fresh = float(latest(self.recipe.run.out) is None)
        if self.around.world.total(fresh) > 0:  # asked together: another process must not see what this one saves
            self._save()  # a disk that refuses is known at once, and what can only get worse can be gone back to
        if self.material.heldout and self.state.step == 0:
            self._evaluate()  # what the run begins from
        with self._profiled() as profiler:
            self._steps(profiler)
        if self.material.heldout and self._evaluated != self.state.step:
            self._evaluate()
        self._save()
        self._keep_best()
        return self.state

    @contextmanager
    def _profiled(self) -> Generator[Profiler | None]:
        """The profiler of the first steps after the start, where the recipe asks for one."""
        if not self.recipe.watch.profile or self.around.world.rank:
            yield None
            return
        with Profiler(self.recipe.run.out / "profile", self.around.vocabulary) as profiler:
            yield profiler

    def _steps(self, profiler: Profiler | None) -> None:
        run = self.recipe.run
        while not self._finished(left := self._left()):
            self._step(self._rate(left))
            if self.material.heldout and self.state.step % run.evaluate_steps == 0:
                self._evaluate()
            self._sample()
            if profiler:
                profiler.step()

    def _evaluate(self) -> None:
        """Measure and tell; of what has been trained, remember the best. The start is no result of training."""
        self._evaluated = self.state.step
        loss = evaluate(self.engine, self.material.heldout, self.around.world)
        self._tell({"step": self.state.step, "heldout": loss})
        if self.state.step == 0:
            return
        better = loss < self.state.best
        waited = 0 if better else self.state.waited + 1
        self.state = replace(self.state, best=min(loss, self.state.best), waited=waited)
        if better and self.recipe.run.keep == "best":
            self._save(self.recipe.run.out / BEST)

    def _keep_best(self) -> None:
        """The weights with the lowest held-out loss are the result, where the recipe says so."""
        best = latest(self.recipe.run.out / BEST) if self.recipe.run.keep == "best" else None
        if best is not None:
            self.take(read_weights(best), best)

    def _sample(self) -> None:
        """Every process asks its model, one tells: where the base is divided among them, none can answer alone."""
        every = self.recipe.watch.samples
        if every and self.around.samples and self.state.step % every == 0:
            for record in self.around.samples():
                self._tell({"step": self.state.step, "sample": record})

    def _draw(self) -> list[Batch]:
        """The batches of one step, of all processes: of preference pairs or of examples, by the seed and the step."""
        config = self.recipe.objective
        dice = np.random.default_rng((self.recipe.run.seed, self.state.step, 2)).random()
        pairs = self._pairs is not None and dice < config.preference_share
        source = self._pairs if pairs and self._pairs is not None else self._batches
        return [next(source) for _ in range(self.recipe.optim.accumulate * self.around.world.size)]

    def _gradients(self, batches: Sequence[Batch]) -> tuple[float, float, dict[str, float]]:
        """(loss, norm of the gradients before clipping, other figures), summed over the processes."""
        world, parameters = self.around.world, list(self.engine.parameters.values())
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=False)
        # dropout and noise depend on the step alone, so that a resumed run draws the same
        torch.manual_seed(_seed(self.recipe.run.seed, self.state.step, world.rank))
        denominator = max(sum(batch.weight for batch in batches), _LEAST)
        loss, extras = 0.0, dict[str, float]()
        for batch in batches[world.rank :: world.size]:
            loss += self.engine.gradients(batch, denominator)
            for name, value in self.engine.extras.items():
                extras[name] = extras.get(name, 0.0) + value / len(batches)
        world.reduce(parameters)
        norm = float(nn.utils.clip_grad_norm_(parameters, self.recipe.optim.clip))
        return world.total(loss), norm, {name: world.total(value) for name, value in sorted(extras.items())}

    def _step(self, rate: float) -> None:
        began = time.monotonic()
        set_rate(self.optimizers, rate)
        with record_function(DATA):
            batches = self._draw()
        loss, norm, extras = self._gradients(batches)
        self._update(batches, loss, norm)
        spent, before = time.monotonic() - began, self.state
        tokens = sum(batch.tokens for batch in batches)
        pairs = self.material.pairs.position if self.material.pairs else before.pairs
        self.state = replace(
            before, step=before.step + 1, tokens=before.tokens + tokens, seconds=before.seconds + spent,
            position=self.material.batches.position, pairs=pairs,
        )  # fmt: skip
        self._tell({
            "step": self.state.step, "loss": loss, "norm": norm, "rate": rate, "tokens": self.state.tokens,
            "seconds": round(self.state.seconds, 2), "tokens_per_second": round(tokens / spent, 1),
            **self._utilisation(tokens / spent), **extras,
        })  # fmt: skip

    def _utilisation(self, speed: float) -> dict[str, float]:
        cost = self.around.cost
        return {"utilisation": round(cost.utilisation(speed / self.around.world.size), 4)} if cost else {}

    def _update(self, batches: Sequence[Batch], loss: float, norm: float) -> None:
        """Move the weights, unless loss or gradients are bad: then the batches are kept for looking at.

        Checkpoints are written here, of weights that have just shown a good loss: what an update has made of them is
        not known before the next one. Raises ModelError after `watch.skip` bad ones in a row, the last checkpoint kept.
        """
        step, judged = self.state.step, judge(self.state.history, loss, norm, self.recipe.watch)
        if judged.verdict is Verdict.KEEP:
            self._save_if_due()
        self.state = replace(self.state, history=judged.history)
        if judged.verdict is Verdict.KEEP:
            for optimizer in self.optimizers:
                optimizer.step()
            return
        path = keep_batches(self.recipe.run.out, batches, step)
        if judged.verdict is Verdict.STOP:
            kept = latest(self.recipe.run.out)
            raise ModelError(
                f"step {step}: {judged.reason}; lower optim.lr. The batch is in {path}, the last good weights in {kept}"
            )
        self._tell({"step": step, "skipped": judged.reason, "batch": str(path)})
