"""Attention over packed examples by torch's variable-length flash kernel, whichever version of it is there.

Owns when the kernel can be used and how the versions of `torch.nn.attention.varlen` differ. Must not know models.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

Attend = Callable[[Tensor, Tensor, Tensor, tuple[Tensor, int], float | None], Tensor]
_WIDEST = 256  # channels of a head
_SPEC = importlib.util.find_spec("torch.nn.attention.varlen")
# Read, not imported: importing it loads a compiler, a second that a CPU need not wait for. Grouped queries must be
# asked for where there is such an argument; where there is none (torch 2.11) they cannot be, and keys are repeated.
_SAYS_GROUPS = _SPEC is not None and "enable_gqa" in Path(str(_SPEC.origin)).read_text(encoding="utf-8")


def takes(device: torch.device, dtype: torch.dtype, channels: int) -> bool:
    """Whether the kernel takes such tensors: half precision on CUDA, GPUs of 2020 (Ampere) and later."""
    halves = dtype in (torch.bfloat16, torch.float16)
    if not (_SPEC and device.type == "cuda" and halves and channels % 8 == 0 and channels <= _WIDEST):
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def attend(query: Tensor, key: Tensor, value: Tensor, blocks: tuple[Tensor, int], scale: float | None) -> Tensor:
    """Causal attention within blocks: query (tokens, heads, channels), key and value (tokens, groups, channels).

    `blocks` are the boundaries (blocks + 1,) int32, from 0 to the number of tokens, and the length of the longest
    block or more; empty blocks are allowed. Mixed values have the shape of `query`. On a CPU one call of the usual
    kernel for each block says what is meant.
    """
    bounds, longest = blocks
    if query.device.type == "cpu":
        return _each(query, key, value, bounds, scale)
    from torch.nn.attention.varlen import varlen_attn

    groups = query.shape[1] // key.shape[1]
    more: dict[str, bool] = {}
    if groups > 1 and _SAYS_GROUPS:
        more["enable_gqa"] = True
    elif groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    kernel = cast("Callable[..., Tensor]", varlen_attn)  # which arguments it takes depends on the version
    return kernel(query, key, value, bounds, bounds, longest, longest, scale=scale, window_size=(-1, 0), **more)


def difference(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int], fast: Attend = attend) -> float:
    """How far `fast` is from plain attention in fp32 on random values: the largest of the relative norms.

    `shape` is (heads, groups, channels). Of the mixed values and of the gradients of query, key and value; blocks of 1
    to 700 tokens and an empty one.
    """
    heads, groups, channels = shape
    bounds = torch.tensor([0, 1, 130, 130, 830, 1000], dtype=torch.int32)
    draw = torch.Generator().manual_seed(0)
    values = [torch.randn(1000, n, channels, generator=draw).to(dtype) for n in (heads, groups, groups, heads)]
    found: list[list[Tensor]] = []
    for kernel, where in ((fast, (device, dtype)), (attend, (torch.device("cpu"), torch.float32))):
        q, k, v, slope = (t.to(*where) for t in values)
        inputs = [t.requires_grad_() for t in (q, k, v)]
        mixed = kernel(q, k, v, (bounds.to(q.device), 1000), channels**-0.5)
        gradients = torch.autograd.grad(mixed, inputs, slope)
        found.append([t.detach().float().cpu() for t in (mixed, *gradients)])
    return max(float((a - b).norm() / b.norm()) for a, b in zip(*found, strict=True))


def _each(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, scale: float | None) -> Tensor:
    found: list[Tensor] = []
    lengths = bounds.diff().tolist()
    for q, k, v in zip(*(t.transpose(0, 1).split(lengths, dim=1) for t in (query, key, value)), strict=True):
        grouped = q.shape[0] != k.shape[0]
        mixed = functional.scaled_dot_product_attention(
            q[None], k[None], v[None], is_causal=True, scale=scale, enable_gqa=grouped
        )
        found.append(mixed[0])
    return torch.cat(found, dim=1).transpose(0, 1)
