"""A lean Llama for training on CPU: same parameter names, layout and values as Hugging Face's LlamaForCausalLM.

Owns the forward pass and the loss. Must not know shards, schedules or files. Why not the Hugging Face class:
its CPU attention has a slow backward pass and it computes all logits at once (measured 1.8k tokens/s against
more than twice that here). `tests/training/test_model.py` holds the two to the same logits.

Architecture: Touvron et al. 2023 (Llama), rotary embeddings (Su et al. 2021), grouped queries (Ainslie et al. 2023).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training import varlen
from training.config import ModelConfig


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last dimension, in fp32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`x` over its root mean square, times the weight."""
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale).to(x.dtype) * self.weight.to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x (..., head_dim); cos and sin broadcast against it, pairs are (i, i + head_dim / 2)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def linear(x: Tensor, *layers: nn.Linear) -> Tensor:
    """One matrix product with the weights of several layers stacked, in the type of x (weights stay fp32)."""
    weight = layers[0].weight if len(layers) == 1 else torch.cat([layer.weight for layer in layers])
    return functional.linear(x, weight.to(x.dtype))


class Attention(nn.Module):
    """Grouped-query self-attention as two explicit batched products, which AMX runs fast in both directions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.groups, self.size = config.heads, config.kv_heads, config.head_dim
        self.q_proj = nn.Linear(config.width, self.heads * self.size, bias=False)
        self.k_proj = nn.Linear(config.width, self.groups * self.size, bias=False)
        self.v_proj = nn.Linear(config.width, self.groups * self.size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.size, config.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, blocks: Tensor) -> Tensor:
        """Mixed values (rows, length, width) of states of that shape; see `block_mask` and `block_bounds`."""
        rows, length, _ = x.shape
        joined = linear(x, self.q_proj, self.k_proj, self.v_proj)
        joined = joined.view(rows, length, self.heads + 2 * self.groups, self.size).transpose(1, 2)
        q, k, v = joined.split((self.heads, self.groups, self.groups), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if blocks.ndim == 1:
            q, k, v = (t.transpose(1, 2).reshape(rows * length, -1, self.size) for t in (q, k, v))
            mixed = varlen.attend(q, k, v, (blocks, length), 1.0)  # the tables of `rotary` hold the scale
            return linear(mixed.reshape(rows, length, self.heads * self.size), self.o_proj)
        per_group = self.heads // self.groups
        # queries of one group stand under each other, so keys and values need no copy per head
        q = q.reshape(rows * self.groups, per_group * length, self.size)
        k = k.reshape(rows * self.groups, length, self.size)
        v = v.reshape(rows * self.groups, length, self.size)
        scores = torch.bmm(q, k.transpose(1, 2)).view(rows, self.heads, length, length)
        weights = torch.softmax(scores.float() + blocks, dim=-1).to(x.dtype)
        mixed = torch.bmm(weights.view(rows * self.groups, per_group * length, length), v)
        mixed = mixed.view(rows, self.heads, length, self.size).transpose(1, 2)
        return linear(mixed.reshape(rows, length, self.heads * self.size), self.o_proj)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """States (rows, length, width) to the same shape."""
        gate, up = linear(x, self.gate_proj, self.up_proj).chunk(2, dim=-1)
        return linear(functional.silu(gate) * up, self.down_proj)


class Block(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, blocks: Tensor) -> Tensor:
        """States (rows, length, width) to the same shape."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, blocks)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Embedding, blocks, final norm: token ids to hidden states."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)

    def forward(self, ids: Tensor, cos: Tensor, sin: Tensor, blocks: Tensor) -> Tensor:
        """Normed hidden states (rows, length, width) of token ids (rows, length), in the type of `cos`."""
        x = functional.embedding(ids, self.embed_tokens.weight).to(cos.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin, blocks)
        return self.norm(x)


def rotary(config: ModelConfig, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cos and sin (length, head_dim) for positions 0...; only differences count, so packed rows share them.

    Both carry head_dim**-0.25: queries times keys then have the 1 / sqrt(head_dim) of attention.
    """
    size = config.head_dim
    frequencies = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float32) / size)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * frequencies
    doubled, scale = torch.cat((angles, angles), dim=-1), size**-0.25
    return (doubled.cos() * scale).to(dtype), (doubled.sin() * scale).to(dtype)


def block_mask(segments: Tensor) -> Tensor:
    """Additive mask (rows, 1, length, length): each token sees earlier tokens of its own segment.

    `segments` (rows, length) numbers the examples packed in a row. A large finite negative instead of
    -inf keeps rows of padding free of NaN.
    """
    length = segments.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    seen = (segments[:, :, None] == segments[:, None, :]) & causal
    return torch.where(seen, 0.0, -1e9).unsqueeze(1)


def block_bounds(segments: NDArray[np.int64]) -> NDArray[np.int32]:
    """Boundaries (blocks + 1,) of the runs of one segment number within one row, over all rows end to end.

    What `varlen.attend` takes in the place of `block_mask`, where it runs. The padding of a row is a block of its own.
    """
    length = segments.shape[1]
    flat = segments.reshape(-1)
    changes = np.flatnonzero(np.diff(flat)) + 1
    return np.union1d(changes, np.arange(0, len(flat) + 1, length)).astype(np.int32)


class Llama(nn.Module):
    """The whole model. Parameters are fp32 master copies, computation runs in `dtype`; embeddings are tied."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.apply(self._initialise)
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.layers))

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor, cos: Tensor, sin: Tensor, blocks: Tensor) -> Tensor:
        """Logits (rows, length, vocabulary) of token ids (rows, length); see `rotary`, `block_mask`, `block_bounds`."""
        hidden = self.model(ids, cos, sin, blocks)
        return functional.linear(hidden, self.model.embed_tokens.weight.to(cos.dtype))

    def nll(self, ids: Tensor, cos: Tensor, sin: Tensor, blocks: Tensor, labels: Tensor, z: float = 0.0) -> Tensor:
        """Negative log-likelihood (rows x length,) of each label (int32, shape of ids), fp32; `z` as in z-loss."""
        logits = self(ids, cos, sin, blocks)
        return NegativeLogLikelihood.apply(logits.flatten(0, 1), labels.flatten(), z)  # pyright: ignore[reportReturnType]


class NegativeLogLikelihood(torch.autograd.Function):
    """-log softmax(logits)[label] per row. Keeps the half-precision logits only; its backward needs no scatter.

    `z` x (log of the sum of exponentials)^2 is added: it keeps logits near 0, where half precision is fine
    (z-loss of PaLM, Chowdhery et al. 2022, section 5).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, z: float) -> Tensor:  # noqa: ANN401 - torch's type is private
        """Losses (n,) of logits (n, vocabulary) and int32 labels (n,)."""
        wide = logits.float()
        normaliser = torch.logsumexp(wide, dim=-1)
        ctx.save_for_backward(logits, labels, normaliser)
        ctx.z = z
        nll = normaliser - wide.gather(-1, labels[:, None].long()).squeeze(-1)
        return nll + z * normaliser.square() if z else nll

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """(softmax - one-hot) times the incoming gradient; with z-loss softmax weighs 1 + 2 z log-sum."""
        (grad,) = grad_outputs
        logits, labels, normaliser = ctx.saved_tensors
        probability = torch.exp(logits.float() - normaliser[:, None])
        if ctx.z:
            probability = probability * (1.0 + 2.0 * ctx.z * normaliser)[:, None]
        chosen = torch.arange(logits.shape[-1], dtype=torch.int32, device=logits.device) == labels[:, None]
        return ((probability - chosen.float()) * grad[:, None]).to(logits.dtype), None, None
