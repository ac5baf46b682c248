"""A network whose gradient x input shares out what comes in: values as before, only gradients differ.

Rules, all of them linear shares with the factor taken for a constant:

    norms        the scale (and for LayerNorm the spread) is detached: Ali et al. 2022, the LN rule
    activations  a(x) counts as x * (a(x) / x) with the quotient detached: Achtibat et al. 2024 (AttnLRP), identity rule
    gated MLP    each factor of `act(gate) * up` gets half: AttnLRP, uniform rule for products

Attention keeps its own gradient. Hooks only, taken out again on leaving.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repair.errors import ModelError

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from repair.explain.glass import Glass


@contextmanager
def conserving(glass: Glass) -> Generator[tuple[str, ...]]:
    """Inside: gradients by the rules above; yields notes on modules that were not recognised and keep their own."""
    hooks: dict[nn.Module, RemovableHandle] = {}
    unknown: set[str] = set()
    try:
        for layer in glass.layers:
            _norms(layer, hooks)
            _mlp(layer, hooks, unknown)
        _norms(glass.decoder, hooks)
        notes = [f"{name} is not known to the conservative rules: its plain gradient was taken" for name in unknown]
        if not any(_norm_rule(module) for module in hooks):
            notes.append("no norm of a known kind was found: this is plain gradient x input")
        yield tuple(sorted(notes))
    finally:
        for hook in hooks.values():
            hook.remove()


def _norms(module: nn.Module, hooks: dict[nn.Module, RemovableHandle]) -> None:
    for one in module.modules():
        if one not in hooks and (rule := _norm_rule(one)):
            hooks[one] = one.register_forward_hook(rule)


def _norm_rule(module: nn.Module) -> Callable[..., Tensor] | None:
    if isinstance(module, nn.LayerNorm):
        return _layer_norm
    return _rms_norm if type(module).__name__.endswith("RMSNorm") else None


def _passed(value: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    """`value` bit for bit, with the gradient `slope` (per element) towards x."""
    return value.detach() + (x - x.detach()) * slope.detach()


def _rms_norm(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = given[0]
    epsilon = float(getattr(module, "variance_epsilon", getattr(module, "eps", 1e-6)) or 0.0)
    with torch.no_grad():  # of ones: the weight as it acts (some kinds add 1 to it)
        weight = module.forward(torch.ones_like(x[..., :1, :])) * (1 + epsilon) ** 0.5
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + epsilon)
    return _passed(output, x, (weight * scale).to(x.dtype))


def _layer_norm(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    assert isinstance(module, nn.LayerNorm)
    x = given[0]
    scale = torch.rsqrt(x.var(-1, correction=0, keepdim=True) + module.eps)
    slope = scale * module.weight if module.elementwise_affine else scale
    return _passed(output, x - x.mean(-1, keepdim=True), slope)


def _mlp(layer: nn.Module, hooks: dict[nn.Module, RemovableHandle], unknown: set[str]) -> None:
    for name, module in layer.named_modules():
        if name.rsplit(".", 1)[-1] not in {"mlp", "feed_forward", "ffn"}:
            continue
        act = getattr(module, "act_fn", None) or getattr(module, "act", None)
        gated = isinstance(getattr(module, "gate_proj", None), nn.Module)
        down = getattr(module, "down_proj", None) or getattr(module, "c_proj", None) or getattr(module, "fc2", None)
        if not isinstance(act, nn.Module) or not isinstance(down, nn.Module):
            unknown.add(type(module).__name__)
            continue
        if act not in hooks:
            hooks[act] = act.register_forward_hook(_activation)
        if gated and down not in hooks:
            hooks[down] = down.register_forward_pre_hook(_halved)


def _activation(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = given[0]
    slope = torch.where(x == 0, torch.full_like(x, 0.5), output / torch.where(x == 0, torch.ones_like(x), x))
    return _passed(output, x, slope)


def _halved(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Tensor]:
    half: Tensor = 0.5 * given[0]
    return (half + half.detach(),)


def checked(glass: Glass) -> None:
    """Raises ModelError where no gradient can be had."""
    if not glass.has_gradients:
        raise ModelError(
            "quantised weights give no gradients: ablation, ridge, attention and activations are available; "
            "load the model in full precision for gradients"
        )
