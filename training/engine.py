"""The engine of the lean Llama in plain torch, optionally compiled: one static shape, mixed precision.

Owns mask, rotary tables and the weighted loss. Knows no optimizer and no files.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.batches import Batch
from training.model import Llama, block_mask, rotary


class TorchEngine:
    """Weights stay fp32; products run in `dtype`."""

    def __init__(self, model: Llama, dtype: torch.dtype = torch.float32, *, compiled: bool = False) -> None:
        self.model, self.dtype = model, dtype
        self._nll = torch.compile(model.nll, dynamic=False) if compiled else model.nll

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """All parameters of the model."""
        return dict(self.model.named_parameters())

    def _sums(self, batch: Batch) -> tuple[Tensor, Tensor]:
        config, device = self.model.config, self.model.model.embed_tokens.weight.device
        segments, weights, ids, labels = (
            torch.from_numpy(array).to(device) for array in (batch.segments, batch.weights, batch.ids, batch.labels)
        )
        cos, sin = (table.to(device) for table in rotary(config, segments.shape[1], self.dtype))
        bias = block_mask(segments).to(self.dtype)
        nll = self._nll(ids, cos, sin, bias, labels.int())
        return (nll * weights.flatten()).sum(), weights.sum()

    @property
    def extras(self) -> Mapping[str, float]:
        """Nothing beside the loss."""
        return {}

    def gradients(self, batch: Batch, denominator: float) -> float:
        """As `Engine.gradients`."""
        loss = self._sums(batch)[0] / denominator
        loss.backward()
        return loss.item()

    @torch.no_grad()
    def loss(self, batch: Batch) -> tuple[float, float]:
        """(weighted loss sum, weight sum)."""
        total, count = self._sums(batch)
        return total.item(), count.item()
