"""The engine that tunes a base: the native one where it can, else torch on transformers' own class.

Owns the choice and what both must offer beside gradients: saving the result, and a `Model` of the state they are in.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from repair.errors import ModelError
from repair.model import Model
from training.batches import Batch
from training.config import LoraConfig, ModelConfig, ObjectiveConfig, Recipe
from training.engine import TorchEngine
from training.flops import HubConfig
from training.llamas import load_lean
from training.loop import Engine
from training.merged import MergedEngine, lora_of, read_factors, write_adapter
from training.model import Llama
from training.places import EMBEDDED, base_directory, start_adapter
from training.world import World


class Tuned(Engine, Protocol):
    """An engine whose result can be written and asked."""

    @property
    def vocabulary(self) -> int:
        """Token ids lie below."""
        ...

    @property
    def config(self) -> ModelConfig | HubConfig:
        """The shape of the base."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the base is."""
        ...

    def save(self, out: Path) -> None:
        """A PEFT directory, or a whole checkpoint after full fine-tuning."""
        ...

    def asked(self) -> AbstractContextManager[Model]:
        """The base with what it has learned so far, to be asked for repairs."""
        ...


def _lean_engine(llama: Llama, recipe: Recipe) -> Engine:
    """`lean`: plain torch, which also runs without AMX and can be compiled; else the native engine."""
    if recipe.run.engine == "lean":
        return TorchEngine(llama, getattr(torch, recipe.run.dtype), compiled=recipe.run.compile)
    from training.native import NativeEngine

    return NativeEngine(llama)


class LeanTuned:
    """LoRA on the lean Llama, on the CPU."""

    def __init__(self, recipe: Recipe, start: Path | None) -> None:
        directory, lora, seed = Path(base_directory(recipe)), recipe.lora, recipe.run.seed
        llama = load_lean(directory)
        factors, self._lora = read_factors(start, lora) if start else (None, lora)
        self._engine = MergedEngine(_lean_engine(llama, recipe), self._lora, seed, factors)
        self._directory, self._name = directory, recipe.run.base or EMBEDDED
        self.config = llama.config
        self.vocabulary = llama.config.vocabulary
        self.device = torch.device("cpu")

    @property
    def lora(self) -> LoraConfig:
        """That of the start adapter, where there is one."""
        return self._lora

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The factors."""
        return self._engine.parameters

    @property
    def extras(self) -> Mapping[str, float]:
        """Nothing beside the loss."""
        return self._engine.extras

    def gradients(self, batch: Batch, denominator: float) -> float:
        """As `Engine.gradients`."""
        return self._engine.gradients(batch, denominator)

    def loss(self, batch: Batch) -> tuple[float, float]:
        """As `Engine.loss`."""
        return self._engine.loss(batch)

    def save(self, out: Path) -> None:
        """As `Tuned.save`."""
        write_adapter(self.parameters, self._lora, self._name, out)

    @contextmanager
    def asked(self) -> Generator[Model]:
        """As `Tuned.asked`; a copy of the weights."""
        from repair.models.lean import LeanLlama, LlamaShape
        from repair.models.local import answering

        shape = LlamaShape.read(self._directory)
        if shape is None:
            raise ModelError(f"{self._directory} is no plain Llama")
        weights: dict[str, Tensor] = {n: t.detach().clone() for n, t in self._engine.weights.items()}
        network = LeanLlama(shape, weights, torch.float32)
        yield answering(str(self._directory), network, adapted=True)


def only_cross_entropy(objective: ObjectiveConfig) -> bool:
    """Whether nothing is minimised but what every engine can: weighted tokens."""
    extra = objective.entropy, objective.locality, objective.perturb, objective.attacks
    return not any(extra) and not objective.preference


def why_not_native(recipe: Recipe) -> str:
    """What the native engine (or the lean one, which can be compiled) lacks for a recipe; empty when nothing."""
    run, lora = recipe.run, recipe.lora
    compiled = run.compile and run.engine != "lean"
    reasons = (
        (run.method != "lora", "run.method=full"),
        (bool(run.quantise), "run.quantise"),
        (run.checkpointing or compiled or run.shard, "run.checkpointing, run.compile or run.shard"),
        (run.device not in ("auto", "cpu") or (run.device == "auto" and torch.cuda.is_available()), "a GPU"),
        (lora.dora, "lora.dora"),
        (lora.dropout > 0, "lora.dropout"),
        (not only_cross_entropy(recipe.objective), "objectives beside cross-entropy"),
        (not Path(base_directory(recipe)).is_dir(), "a base that is no local directory"),
    )
    return ", ".join(reason for holds, reason in reasons if holds)


def tuned_engine(recipe: Recipe, processes: World) -> tuple[Tuned, Recipe]:
    """The engine of a recipe, and the recipe with what "auto" came to. Raises InputError, ModelError."""
    start = start_adapter(recipe)
    wanted = recipe.run.engine
    if wanted != "torch":
        lacks = why_not_native(recipe)
        try:
            if lacks:
                name = "native" if wanted == "auto" else wanted
                raise ModelError(f"the {name} engine cannot do {lacks}; set run.engine=torch")
            lean = LeanTuned(recipe, start)
            engine = "lean" if wanted == "lean" else "native"
            return lean, replace(recipe, lora=lean.lora, run=replace(recipe.run, engine=engine))
        except ModelError:
            if wanted != "auto":
                raise
    from training.loading import load_hub

    engine = load_hub(recipe)
    if start:
        recipe = replace(recipe, lora=lora_of(start, recipe.lora))
    if recipe.run.shard:
        processes.shard(engine.blocks, engine.parameters.values())
    return engine, replace(recipe, run=replace(recipe.run, engine="torch"))
