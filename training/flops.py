"""Floating-point operations of a training step against what the device could do: model-FLOP utilisation (MFU).

Owns the arithmetic of Kaplan et al. 2020 (§2.1: 2 a parameter forward, 4 backward) and of PaLM's appendix B
(Chowdhery et al. 2022: attention 12 L d s a token, masked entries counted, recomputed activations not), and the peaks
of devices. Knows no engine: a step is tokens a second, whoever made them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from training.config import ModelConfig

# Dense bf16, FLOP/s, of the vendors' data sheets (2:4 sparsity, twice as much, is not used). The first match counts.
PEAKS = (
    ("H200 NVL", 835e12),
    ("GH200", 989.4e12),
    ("H200", 989.4e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989.4e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("RTX 4090", 165.2e12),
    ("MI300A", 980.6e12),
    ("MI300", 1307.4e12),
)
_TWO_MATRICES = ("starcoder2", "gpt_bigcode", "gpt_neox", "gpt2", "phi", "codegen")  # whose feed-forward has no gate
_MEASURED = 0.3  # seconds of products, of which the fastest counts


class HubConfig(Protocol):
    """What every transformers configuration of a decoder has; the rest is looked up with a default."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The matrices of a decoder: (rows, columns) of those of one layer, and what surrounds the layers."""

    layers: int
    matrices: tuple[tuple[int, int], ...]
    attended: int  # channels of all heads together
    width: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """Of all layers' matrices; embeddings are looked up, not multiplied."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices)

    def adapter(self, rank: int) -> int:
        """Parameters of low-rank factors on every matrix of the layers."""
        return self.layers * rank * sum(rows + columns for rows, columns in self.matrices)


def _shape(dims: tuple[int, int, int, int], layers: int, vocabulary: int, feed: int) -> Shape:
    width, queries, keys, hidden = dims
    attention = ((queries, width), (keys, width), (keys, width), (width, queries))
    return Shape(layers, (*attention, *(((hidden, width),) * feed)), queries, width, vocabulary)


def shape_of(config: ModelConfig | HubConfig) -> Shape:
    """The shape of our own configuration, or of one of transformers."""
    if isinstance(config, ModelConfig):
        dims = (config.width, config.heads * config.head_dim, config.kv_heads * config.head_dim, config.hidden)
        return _shape(dims, config.layers, config.vocabulary, 3)
    width, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or width // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    hidden = getattr(config, "intermediate_size", None) or 4 * width
    feed = 2 if getattr(config, "model_type", "") in _TWO_MATRICES else 3
    return _shape((width, heads * head, groups * head, hidden), config.num_hidden_layers, config.vocab_size, feed)


def flops_per_token(shape: Shape, context: float, *, rank: int = 0, labelled: float = 1.0) -> float:
    """Forward and backward of one token that attends over `context` others (mean length of the packed examples).

    `rank` above 0: low-rank factors on every matrix are trained, whose frozen weights need no gradient (2 forward,
    2 for the gradient of their input). `labelled` is the share of tokens that reach the head.
    """
    whole, head = shape.parameters, labelled * shape.width * shape.vocabulary
    attention = 12.0 * shape.layers * shape.attended * context
    if rank:
        return 4.0 * (whole + head) + 6.0 * shape.adapter(rank) + attention
    return 6.0 * (whole + head) + attention


@functools.cache
def peak_flops(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> float:
    """FLOP/s of a device: of the table for a known accelerator, else the best of products that are timed once."""
    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        known = listed_peak(name)
        if known:
            return known
    return measured_peak(device, dtype)


def listed_peak(name: str) -> float:
    """The peak of an accelerator by the name that its driver gives, 0 where it is not listed."""
    return next((peak for part, peak in PEAKS if part.lower() in name.lower()), 0.0)


def measured_peak(device: torch.device, dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter) -> float:
    """FLOP/s of square products: what can be had with this build and these threads, not what is printed on the box."""
    size = 1024 if device.type == "cpu" else 8192
    left, right = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    best, end = float("inf"), clock() + _MEASURED
    while clock() < end or best == float("inf"):
        began = clock()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, clock() - began)
    return 2.0 * size**3 / best


@dataclass(frozen=True, slots=True)
class Cost:
    """What turns tokens a second into utilisation."""

    per_token: float
    peak: float

    def utilisation(self, tokens_per_second: float) -> float:
        """Share of the peak, between 0 and about 1."""
        return tokens_per_second * self.per_token / self.peak
