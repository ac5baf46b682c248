"""LoRA factors of the lean Llama, trained by an engine that only knows whole weights, and left in PEFT's format.

Owns `MergedEngine`, which merges the factors into the weights and projects their gradients (exact, and lets the native
engine do the work), and reading the lean Llama. Any other model is `hub.py`'s.
LoRA: Hu et al. 2021; rank-stabilised scale: Kalajdzievski 2023.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from repair.errors import InputError, ModelError
from training.batches import Batch
from training.config import LoraConfig
from training.loop import Engine
from training.saving import replaced

PREFIX = "base_model.model."
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class MergedEngine:
    """LoRA factors of a lean Llama whose engine only knows whole weights.

    The loss of W + s B A has the gradients dB = s dW A' and dA = s B' dW, so each step merges, asks the inner
    engine for dW and projects. Worth it where merging is cheap against a step, that is for small models.
    """

    def __init__(self, inner: Engine, config: LoraConfig, seed: int, start: Mapping[str, Tensor] | None = None) -> None:
        self._inner = inner
        self._base = {name: p.detach().clone() for name, p in inner.parameters.items()}
        self._scale = config.alpha / (math.sqrt(config.rank) if config.rslora else config.rank)
        targets = config.targets or LINEAR
        names = (name.removesuffix(".weight") for name in self._base if name.split(".")[-2] in LINEAR)
        # as peft matches: by a module's own name, or by its path, as peft itself writes it for all linear layers
        self.modules = [n for n in names if any(f".{n}".endswith(f".{target}") for target in targets)]
        if not self.modules:
            raise InputError(f"no module is called {', '.join(targets)}; there are {', '.join(LINEAR)}", field="lora")
        generator = torch.Generator().manual_seed(seed)
        self._factors: dict[str, nn.Parameter] = {}
        for module in self.modules:
            rows, columns = self._base[f"{module}.weight"].shape
            bound = 1 / math.sqrt(columns)  # peft's: Kaiming uniform with a = sqrt(5)
            low = torch.empty(config.rank, columns).uniform_(-bound, bound, generator=generator)
            self._factors[f"{module}.lora_A.weight"] = nn.Parameter(low)
            self._factors[f"{module}.lora_B.weight"] = nn.Parameter(torch.zeros(rows, config.rank))
        if start is not None:
            self._start(start)

    @torch.no_grad()
    def _start(self, factors: Mapping[str, Tensor]) -> None:
        wrong = set(factors) ^ set(self._factors)
        wrong |= {n for n in set(factors) & set(self._factors) if factors[n].shape != self._factors[n].shape}
        if wrong:
            raise ModelError(f"run.adapter does not fit the base ({min(wrong)}): use the base it was made for")
        for name, tensor in factors.items():
            self._factors[name].copy_(tensor)

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The factors."""
        return self._factors

    def _pair(self, module: str) -> tuple[nn.Parameter, nn.Parameter]:
        return self._factors[f"{module}.lora_A.weight"], self._factors[f"{module}.lora_B.weight"]

    @torch.no_grad()
    def _merge(self) -> None:
        for module in self.modules:
            low, high = self._pair(module)
            name = f"{module}.weight"
            self._inner.parameters[name].copy_(self._base[name] + self._scale * (high @ low))

    @torch.no_grad()
    def _project(self) -> None:
        for module in self.modules:
            low, high = self._pair(module)
            whole = self._inner.parameters[f"{module}.weight"].grad
            if whole is None:
                raise ModelError(f"the engine gave no gradient of {module}")
            _add(low, self._scale * (high.T @ whole))
            _add(high, self._scale * (whole @ low.T))

    @property
    def extras(self) -> Mapping[str, float]:
        """Those of the inner engine."""
        return self._inner.extras

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The whole weights with the factors as they are now."""
        self._merge()
        return self._inner.parameters

    def gradients(self, batch: Batch, denominator: float) -> float:
        """As `Engine.gradients`."""
        self._merge()
        for parameter in self._inner.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()
        loss = self._inner.gradients(batch, denominator)
        self._project()
        return loss

    def loss(self, batch: Batch) -> tuple[float, float]:
        """As `Engine.loss`."""
        self._merge()
        return self._inner.loss(batch)


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def lora_of(adapter: Path, config: LoraConfig) -> LoraConfig:
    """`config` with the rank, scale and targets of an adapter. Raises ModelError when it is none."""
    try:
        raw = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        targets = raw["target_modules"]
        return replace(
            config, rank=int(raw["r"]), alpha=int(raw["lora_alpha"]), rslora=bool(raw.get("use_rslora")),
            dora=bool(raw.get("use_dora")), targets=tuple(targets) if isinstance(targets, list) else (),
        )  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{adapter} is no LoRA adapter: {error}") from error


def read_factors(adapter: Path, config: LoraConfig) -> tuple[dict[str, Tensor], LoraConfig]:
    """The factors of a plain LoRA directory, fp32, and `config` with its rank, scale and targets.

    Raises ModelError when it is none that `MergedEngine` can go on with.
    """
    found = lora_of(adapter, config)
    try:
        tensors = load_file(adapter / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{adapter} is no LoRA adapter: {error}") from error
    if found.dora or not all(name.startswith(PREFIX) for name in tensors):
        raise ModelError(f"{adapter} is more than plain LoRA: set run.engine=torch")
    return {name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()}, found


def write_adapter(factors: Mapping[str, Tensor], config: LoraConfig, base: str, out: Path) -> None:
    """A PEFT directory of factors named `MODULE.lora_A.weight` and `MODULE.lora_B.weight`, whole or not at all.

    Raises ModelError when the disk refuses.
    """
    tensors = {PREFIX + name: t.detach().contiguous() for name, t in factors.items()}
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": config.rank,
        "lora_alpha": config.alpha, "lora_dropout": config.dropout, "use_rslora": config.rslora, "use_dora": False,
        "target_modules": sorted(config.targets or LINEAR), "bias": "none", "inference_mode": True,
        "fan_in_fan_out": False,
    }  # fmt: skip
    with replaced(out) as partial:
        save_file(tensors, partial / "adapter_model.safetensors", metadata={"format": "pt"})
        (partial / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
