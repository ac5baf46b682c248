"""A frozen linear layer with its LoRA (Hu et al. 2021) as one step of autograd.

Owns the arithmetic y = x W' + b + s (x A') B' and its gradients. peft's layer does the same in single steps: over a
bf16 base it widens x to fp32 for the fp32 factors, autocast narrows it again, and scaling and sum are passes over the
outputs, each with its own in the backward pass. Here scaling and sums are part of the products, and x is kept once for
all layers that read it. Must not know models beyond peft's layer; what it cannot do is left to peft.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.nn import functional


class _Product(torch.autograd.Function):
    """The frozen weight and bias get no gradient; factors are fp32 or as x, products as x."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - what the product is of
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        flat, a, b = x.reshape(-1, x.shape[-1]), down.to(x.dtype), up.to(x.dtype)
        inner = flat @ a.t()
        ctx.save_for_backward(flat, weight, a, b, inner)
        ctx.scale = scale
        found = functional.linear(flat, weight, bias).addmm_(inner, b.t(), alpha=scale)
        return found.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        flat, weight, a, b, inner = ctx.saved_tensors
        slope, scale = above[0].reshape(-1, weight.shape[0]), ctx.scale
        inward = slope @ b
        # with beta=0 the first argument gives nothing but its shape
        down = torch.addmm(a, inward.t(), flat, beta=0, alpha=scale)
        up = torch.addmm(b, slope.t(), inner, beta=0, alpha=scale)
        before = None
        if ctx.needs_input_grad[0]:
            before = (slope @ weight).addmm_(inward, a, alpha=scale).view(*above[0].shape[:-1], flat.shape[1])
        return before, None, None, down, up, None


class FusedLinear(Linear):
    """peft's layer with another `forward`. The class of a layer is changed to this one: its state is the same."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """As peft's, where one plain adapter is active and autocast would leave the base's number type as it is."""
        base = cast(nn.Linear, self.base_layer)
        active = self.active_adapters
        plain = not (args or kwargs or self.disable_adapters or self.merged) and len(active) == 1
        if not plain or x.dtype != base.weight.dtype or not _as_it_is(x):
            return super().forward(x, *args, **kwargs)
        name = active[0]
        down, up = cast(nn.Linear, self.lora_A[name]).weight, cast(nn.Linear, self.lora_B[name]).weight
        return cast(Tensor, _Product.apply(x, base.weight, base.bias, down, up, self.scaling[name]))


def _as_it_is(x: Tensor) -> bool:
    kind = x.device.type
    return not torch.is_autocast_enabled(kind) or torch.get_autocast_dtype(kind) == x.dtype


def fuse(model: nn.Module) -> int:
    """Let every layer of `model` that allows it compute its LoRA in one step; how many do.

    Left to peft: quantised and trained bases, dropout, DoRA and other variants, biases of factors.
    """
    count = 0
    for module in model.modules():
        if type(module) is Linear and _can_be_fused(module):
            module.__class__ = FusedLinear
            count += 1
    return count


def _can_be_fused(module: Linear) -> bool:
    base = module.base_layer
    if type(base) is not nn.Linear or module.fan_in_fan_out or module.lora_variant:
        return False
    if any(parameter.requires_grad for parameter in base.parameters()):
        return False
    still = all(isinstance(dropout, nn.Identity) for dropout in module.lora_dropout.values())
    return still and not any(name.endswith("bias") for name, _ in module.lora_B.named_parameters())
