"""The engine of the lean Llama in plain torch, optionally compiled: one static shape, mixed precision.

Owns mask or boundaries, rotary tables and the weighted loss. Knows no optimizer and no files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import varlen
from training.batches import Batch
from training.model import Llama, block_bounds, block_mask, rotary


class TorchEngine:
    """Weights stay fp32; products run in `dtype`. `z` is the weight of the z-loss in training.

    Where the variable-length kernel runs (`training.varlen`) packed examples cost no mask; elsewhere attention is two
    products under a mask.
    """

    def __init__(
        self, model: Llama, dtype: torch.dtype = torch.float32, *, compiled: bool = False, z: float = 0.0
    ) -> None:
        self.model, self.dtype, self.z = model, dtype, z
        self.varlen = varlen.takes(self._device, dtype, model.config.head_dim)
        # the boundaries of blocks alone change their number (`_blocks` marks them): all else is compiled for one shape
        self._nll = torch.compile(model.nll) if compiled else model.nll
        self._rotary: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def _device(self) -> torch.device:
        return self.model.model.embed_tokens.weight.device

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """All parameters of the model."""
        return dict(self.model.named_parameters())

    def _on_device(self, array: NDArray[np.generic]) -> Tensor:
        """Without waiting for the device: pinned pages are copied while it computes."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else tensor

    def _blocks(self, segments: NDArray[np.int64]) -> Tensor:
        if not self.varlen:
            return block_mask(self._on_device(segments)).to(self.dtype)
        bounds = self._on_device(block_bounds(segments))
        torch._dynamo.mark_dynamic(bounds, 0)  # pyright: ignore[reportPrivateUsage] - torch's own name for it
        return bounds

    def _tables(self, length: int) -> tuple[Tensor, Tensor]:
        if length not in self._rotary:
            cos, sin = rotary(self.model.config, length, self.dtype)
            self._rotary[length] = cos.to(self._device), sin.to(self._device)
        return self._rotary[length]

    def _sums(self, batch: Batch, z: float) -> tuple[Tensor, Tensor]:
        weights, ids, labels = (self._on_device(a) for a in (batch.weights, batch.ids, batch.labels.astype(np.int32)))
        cos, sin = self._tables(ids.shape[1])
        nll = self._nll(ids, cos, sin, self._blocks(batch.segments), labels, z)
        return (nll * weights.flatten()).sum(), weights.sum()

    @property
    def extras(self) -> Mapping[str, float]:
        """Nothing beside the loss."""
        return {}

    def gradients(self, batch: Batch, denominator: float) -> float:
        """As `Engine.gradients`; the loss includes the z-loss."""
        loss = self._sums(batch, self.z)[0] / denominator
        loss.backward()
        return loss.item()

    @torch.no_grad()
    def loss(self, batch: Batch) -> tuple[float, float]:
        """(weighted loss sum, weight sum)."""
        total, count = self._sums(batch, 0.0)
        return total.item(), count.item()
