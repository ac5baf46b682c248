"""Attention over packed examples by torch's variable-length flash kernel, whichever version of it is there.

Owns when the kernel can be used and how the versions of `torch.nn.attention.varlen` differ. Must not know models.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import Tensor

_INSTALLED = importlib.util.find_spec("torch.nn.attention.varlen") is not None
_WIDEST = 256  # channels of a head


def takes(device: torch.device, dtype: torch.dtype, channels: int) -> bool:
    """Whether the kernel takes such tensors: half precision on CUDA, GPUs of 2020 (Ampere) and later."""
    halves = dtype in (torch.bfloat16, torch.float16)
    if not (_INSTALLED and device.type == "cuda" and halves and channels % 8 == 0 and channels <= _WIDEST):
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


@cache
def _says_groups() -> bool:
    """Whether grouped queries must be asked for (torch 2.12); before that keys and values are repeated here."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def attend(query: Tensor, key: Tensor, value: Tensor, blocks: tuple[Tensor, int], scale: float | None) -> Tensor:
    """Causal attention within blocks: query (tokens, heads, channels), key and value (tokens, groups, channels).

    `blocks` are the boundaries (blocks + 1,) int32, from 0 to the number of tokens, and the length of the longest
    block or more; empty blocks are allowed. Mixed values have the shape of `query`.
    """
    from torch.nn.attention.varlen import varlen_attn

    bounds, longest = blocks
    groups = query.shape[1] // key.shape[1]
    more: dict[str, bool] = {}
    if groups > 1 and _says_groups():
        more["enable_gqa"] = True
    elif groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    kernel = cast("Callable[..., Tensor]", varlen_attn)  # which arguments there are depends on the version
    return kernel(query, key, value, bounds, bounds, longest, longest, scale=scale, window_size=(-1, 0), **more)
