"""Checkpoints: safetensors and JSON only, written whole or not at all.

    OUT/latest               name of the newest complete checkpoint (replaced atomically)
    OUT/step-00001200/       model.safetensors, optimizer.safetensors, state.json

Owns the layout on disk. Must not know the model's class or what the numbers mean. A full disk while saving
raises and leaves the last good checkpoint in place.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from repair.errors import InputError, ModelError
from training.batches import Position
from training.spikes import History


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands after `step` optimizer steps."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0  # of training, over all restarts
    position: Position = field(default_factory=Position)
    pairs: Position = field(default_factory=Position)  # in the stream of preference pairs
    best: float = math.inf  # lowest held-out loss so far
    waited: int = 0  # evaluations since then
    history: History = field(default_factory=History)  # what a spike of the loss is measured against


def _flatten(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    return {
        f"{index}.{parameter}.{key}": torch.as_tensor(value).detach().contiguous()
        for index, optimizer in enumerate(optimizers)
        for parameter, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def _restore(optimizers: Sequence[torch.optim.Optimizer], flat: Mapping[str, torch.Tensor]) -> None:
    for index, optimizer in enumerate(optimizers):
        inner: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in flat.items():
            owner, parameter, key = name.split(".", 2)
            if int(owner) == index:
                inner.setdefault(int(parameter), {})[key] = tensor
        optimizer.load_state_dict({"state": inner, "param_groups": optimizer.state_dict()["param_groups"]})


def save(
    out: Path, state: State, weights: Mapping[str, torch.Tensor], optimizers: Sequence[torch.optim.Optimizer]
) -> Path:
    """Write a checkpoint and make it the latest; older ones are removed after that.

    Raises ModelError when the disk refuses; the previous checkpoint is then still the latest.
    """
    target = out / f"step-{state.step:08d}"
    if target == latest(out):  # the same step again: what is there is the latest until the new one is whole
        target = target.with_name(f"{target.name}-again")
    partial = out / f".partial-{os.getpid()}"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({k: v.detach().contiguous() for k, v in weights.items()}, partial / "model.safetensors")
        save_file(_flatten(optimizers), partial / "optimizer.safetensors")
        (partial / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        pointer = out / f".latest-{os.getpid()}"
        pointer.write_text(target.name, encoding="utf-8")
        pointer.replace(out / "latest")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ModelError(f"cannot save a checkpoint in {out}: {error}; the last one is kept") from error
    for old in out.glob("step-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def latest(out: Path) -> Path | None:
    """Directory of the newest complete checkpoint under `out`, or None."""
    try:
        found = out / (out / "latest").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return found if found.is_dir() else None


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Weights of a checkpoint. Raises InputError when it is none."""
    try:
        return load_file(checkpoint / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{checkpoint} is no checkpoint: {error}", field="run.init") from error


def read_state(checkpoint: Path) -> State:
    """State of a checkpoint. Raises InputError when it is none."""
    try:
        raw = cast("dict[str, object]", json.loads((checkpoint / "state.json").read_text(encoding="utf-8")))
        position, pairs = (Position(**cast("dict[str, int]", raw.pop(name, {}))) for name in ("position", "pairs"))
        history = History.read(cast("dict[str, object]", raw.pop("history", {})))
        numbers = cast("dict[str, int]", raw)
        return State(**numbers, position=position, pairs=pairs, history=history)  # pyright: ignore[reportArgumentType] - numbers has no such key
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{checkpoint} is no checkpoint: {error}", field="run.init") from error


def restore_optimizers(checkpoint: Path, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Load the moments, where the checkpoint has some. Raises InputError when they are of other parameters."""
    if not (checkpoint / "optimizer.safetensors").exists():
        return  # plain weights
    try:
        _restore(optimizers, load_file(checkpoint / "optimizer.safetensors"))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{checkpoint}: optimizer state does not fit: {error}", field="run.init") from error
