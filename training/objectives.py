"""What is minimised, as functions of tensors: no model, no batch, no state.

Owns the arithmetic of every objective and names its source. Losses are natural logarithms, computed in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from repair.errors import InputError

CHUNK = 1 << 22  # logits that exist at once (16 MB in fp32): more gains nothing, less makes products slow
# On GPUs a chunk must hold some 400 tokens, or reading the head's weights takes longer than the products: 882 of a
# vocabulary of 152,000, 1 GB with the bf16 logits and their gradients.
CHUNK_GPU = 1 << 27
_TINY = 1e-30


class _FrozenHead(torch.autograd.Function):
    """Loss of each token under a head that is not trained, and at once its gradient by the state.

    The loss of a token depends on its own state only, so the gradient is known before what comes from above: the
    logits of a chunk die with it, and nothing is computed twice (the idea of Hsu et al. 2024, Liger Kernel).
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: nn.Linear, labels: Tensor, chunk: int) -> Tensor:  # noqa: ANN401
        losses = torch.empty(len(states), dtype=torch.float32, device=states.device)
        slope = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        for begin in range(0, len(states), chunk):
            part = slice(begin, begin + chunk)
            logits = functional.linear(states[part], head.weight, head.bias).float()
            at, normaliser = labels[part, None], logits.logsumexp(dim=1, keepdim=True)
            losses[part] = (normaliser - logits.gather(1, at)).squeeze(1)
            if slope is not None:
                share = logits.sub_(normaliser).exp_()
                share.scatter_add_(1, at, share.new_full((1, 1), -1.0).expand_as(at))
                slope[part] = (share.to(head.weight.dtype) @ head.weight).to(slope.dtype)
        ctx.save_for_backward(slope)
        return losses

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        (slope,) = ctx.saved_tensors
        return (slope * above[0][:, None]).to(slope.dtype), None, None, None


def token_losses(states: Tensor, labels: Tensor, head: nn.Module, *, logits: int = 0) -> Tensor:
    """Negative log-likelihood (n,) of `labels` (n,) after `states` (n, width).

    At most `logits` exist at once; 0: what suits the device.
    """
    logits = logits or (CHUNK_GPU if states.is_cuda else CHUNK)
    vocabulary = int(getattr(head, "out_features", 0)) or 1
    chunk = max(16, logits // vocabulary)
    if type(head) is nn.Linear and not head.weight.requires_grad:
        return _FrozenHead.apply(states, head, labels, chunk)
    if len(states) <= chunk:
        return _plain(states, labels, head)
    parts = zip(states.split(chunk), labels.split(chunk), strict=True)
    return torch.cat([checkpoint(_plain, s, at, head, use_reentrant=False) for s, at in parts])


def _plain(states: Tensor, labels: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    return functional.cross_entropy(head(states).float(), labels, reduction="none")


def attention_entropy(attention: Sequence[Tensor]) -> Tensor:
    """Mean entropy, nats, of the attention (heads, n, n) of some examples, over heads and queries."""
    sums = [-(p * p.clamp_min(_TINY).log()).sum() / p.shape[0] for p in attention]
    return torch.stack(sums).sum() / sum(p.shape[1] for p in attention)


def attention_distance(attention: Sequence[Tensor]) -> Tensor:
    """Mean of |i - j| / n under the attention (heads, n, n): 0 looks at the token itself, 1 at the far end."""
    sums: list[Tensor] = []
    for p in attention:
        at = torch.arange(p.shape[1], device=p.device, dtype=p.dtype)
        sums.append((p * (at[:, None] - at).abs()).sum() / (p.shape[0] * p.shape[1]))
    return torch.stack(sums).sum() / sum(p.shape[1] for p in attention)


def observed_layers(layers: Sequence[int], count: int) -> frozenset[int]:
    """Layers by number, negative ones from the end. Raises InputError: there is no such layer."""
    wrong = [layer for layer in layers if not -count <= layer < count]
    if wrong:
        raise InputError(f"objective.layers: {wrong[0]} is none of the {count} layers", field="objective.layers")
    return frozenset(layer % count for layer in layers)


def adversarial_noise(gradient: Tensor, embeddings: Tensor, lengths: Sequence[int], share: float) -> Tensor:
    """The step on embeddings (tokens, width) that raises the loss most to first order, within a ball.

    One ascent step as in FGM (Miyato et al. 2017; FreeLB with one step, Zhu et al. 2020). In each example the token
    with the steepest gradient moves by `share` of the mean embedding norm, the others in proportion, so that the
    step does not depend on the length of the example or on the scale of its loss.
    """
    radius = share * embeddings.detach().float().norm(dim=-1).mean()
    norms = gradient.float().norm(dim=-1)
    steepest = torch.cat([part.max().expand(len(part)) for part in norms.split(list(lengths))])
    return (gradient.float() * (radius / steepest.clamp_min(_TINY))[:, None]).to(gradient.dtype)


def log_margins(losses: Tensor, pair: Tensor, side: Tensor, pairs: int) -> Tensor:
    """Sums of log P(better) - log P(worse) (pairs,) from losses of target tokens (n,), their pairs and sides."""
    mine = pair >= 0
    return losses.new_zeros(pairs).index_add(0, pair[mine], -(side * losses)[mine])


def preference_loss(margins: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Mean loss of direct preference optimisation (Rafailov et al. 2023) over pairs."""
    return -functional.logsigmoid(beta * (margins - reference)).mean()
