"""A plain LoRA beside the weights of a network, its scale open to change, without peft (which takes seconds to import).

What it adds is computed as peft does, bit for bit: `output + B(A(x)) * scale` (Hu et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import linear

from repair.errors import ModelError
from repair.models.lean import LORA_A, LORA_B, lora_scale

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Scaling = dict[str, float]
_NAME = "default"


def put_beside(model: PreTrainedModel, adapter: Path) -> tuple[Scaling, ...] | None:
    """Add an adapter to an fp32 model on the CPU; the scale of each of its layers, to be changed in place.

    None, and nothing done, for one that is not plain: peft must read it. Raises ModelError when its weights do not
    fit the model.
    """
    if not (adapter / "adapter_config.json").is_file() or not (scale := lora_scale(adapter)):
        return None
    weights = load_file(adapter / "adapter_model.safetensors")
    if not all(name.endswith((LORA_A, LORA_B)) for name in weights):
        return None
    found = list(_pairs(model, weights, adapter))
    scalings: list[Scaling] = []
    for module, first, second in found:
        scaling = {_NAME: scale}
        module.register_forward_hook(_adding(first.float(), second.float(), scaling))
        scalings.append(scaling)
    return tuple(scalings)


def _pairs(
    model: PreTrainedModel, weights: dict[str, Tensor], adapter: Path
) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    modules = dict(model.named_modules())
    for name in sorted(weights):
        if not name.endswith(LORA_A):
            continue
        target = name.removeprefix("base_model.model.").removesuffix(LORA_A)
        module, first = modules.get(target), weights[name]
        second = weights.get(name.removesuffix(LORA_A) + LORA_B)
        shape = tuple(module.weight.shape) if isinstance(module, nn.Linear) else ()
        fits = second is not None and shape == (second.shape[0], first.shape[1]) and second.shape[1] == first.shape[0]
        if module is None or second is None or not fits:
            raise ModelError(f"the adapter {adapter} does not fit the model ({target}): use the base it was made for")
        yield module, first, second


def _adding(first: Tensor, second: Tensor, scaling: Scaling) -> Callable[..., Tensor]:
    def add(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + linear(linear(given[0], first), second) * scaling[_NAME]

    return add


def peft_scalings(model: nn.Module) -> tuple[Scaling, ...]:
    """The scales of the LoRA layers that peft put into a model."""
    from peft.tuners.lora import LoraLayer

    return tuple(module.scaling for module in model.modules() if isinstance(module, LoraLayer))
