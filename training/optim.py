"""Optimizers and learning-rate schedules, by name.

Owns which parameters get which update and the learning rate of a step. Knows no model class and no clock.
Adam: Kingma and Ba 2015. AdamW: Loshchilov and Hutter 2019. Muon: Jordan et al. 2024,
update scaled to AdamW's (Liu et al. 2025), so that one learning rate serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from training.config import OptimConfig

NamedParameters = Iterable[tuple[str, nn.Parameter]]


def _adamw(parameters: list[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=config.lr, betas=(config.beta1, config.beta2), fused=True
    )


def build_optimizers(named: NamedParameters, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """Optimizers that together update every trainable parameter exactly once. No decay on vectors."""
    trainable = [(name, p) for name, p in named if p.requires_grad]
    if config.optimizer == "sgd":
        return [torch.optim.SGD([p for _, p in trainable], lr=config.lr, momentum=config.beta1)]
    if config.optimizer == "adam":
        return [
            torch.optim.Adam([p for _, p in trainable], lr=config.lr, betas=(config.beta1, config.beta2), fused=True)
        ]
    if config.optimizer == "adamw":
        return [_adamw([p for _, p in trainable], config)]
    inner = [p for name, p in trainable if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
    ids = {id(p) for p in inner}
    muon = torch.optim.Muon(
        inner, lr=config.lr, momentum=0.95, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, _adamw([p for _, p in trainable if id(p) not in ids], config)]


def schedule_factor(config: OptimConfig, step: int, steps: int) -> float:
    """Share of the learning rate at `step` (0-based) of `steps`: linear warm-up, then the schedule."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - config.warmup) / max(1, steps - config.warmup))
    if config.schedule == "linear":
        return 1.0 - (1.0 - config.final) * progress
    return config.final + (1.0 - config.final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def deadline_factor(seconds_left: float, decay_seconds: float) -> float:
    """Share of the learning rate when a run must end in `seconds_left`: 1, then linear to 0."""
    return min(1.0, max(0.0, seconds_left / max(decay_seconds, 1e-9)))


def set_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of every group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
