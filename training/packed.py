"""A batch as one row of all its real tokens, on the device of a model: nothing that is padding is ever computed.

Owns the way from `Batch` (rows with padding) to flat tensors and back. Must not know models or losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.batches import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The tokens whose prediction counts, in the order of the row. All tensors are (n,)."""

    at: Tensor  # position in the row of the state that predicts it
    labels: Tensor
    weights: Tensor
    owner: Tensor  # number of the example
    pair: Tensor  # of a preference batch, as in `Preference`; -1 elsewhere
    side: Tensor

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Examples one after the other in a row without padding."""

    ids: Tensor  # (1, tokens)
    positions: Tensor  # (1, tokens), from 0 in each example
    lengths: tuple[int, ...]  # of the examples
    bounds: Tensor  # (examples + 1,) int32: where they begin, and the end; flash attention's cu_seqlens
    targets: Targets
    places: NDArray[np.int64]  # (targets,): where they lie in the flattened batch
    cells: NDArray[np.int64]  # (examples, 2): row and segment number - 1

    @property
    def arguments(self) -> dict[str, Any]:
        """What a transformers decoder hands to its attention, under the names that flash attention reads."""
        longest = max(self.lengths)
        return {
            "position_ids": self.positions, "cu_seq_lens_q": self.bounds, "cu_seq_lens_k": self.bounds,
            "max_length_q": longest, "max_length_k": longest,
        }  # fmt: skip


def _moved(values: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def flatten(batch: Batch, device: torch.device) -> Packed:
    """The real tokens of a batch, row by row; the batch must hold at least one."""
    length = batch.ids.shape[1]
    real = np.flatnonzero(batch.segments)
    rows, numbers = real // length, batch.segments.reshape(-1)[real]
    begins = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(numbers, prepend=0))
    lengths = np.diff(begins, append=len(real))
    return Packed(
        _moved(batch.ids.reshape(-1)[real][None], device),
        _moved((np.arange(len(real)) - np.repeat(begins, lengths))[None], device),
        tuple(int(n) for n in lengths),
        _moved(np.append(begins, len(real)).astype(np.int32), device),
        *_targets(batch, real, np.repeat(np.arange(len(begins)), lengths), device),
        np.stack([rows[begins], numbers[begins] - 1], axis=1),
    )


def _targets(
    batch: Batch, real: NDArray[np.int64], owner: NDArray[np.int64], device: torch.device
) -> tuple[Targets, NDArray[np.int64]]:
    weights, preference = batch.weights.reshape(-1)[real], batch.preference
    side = preference.side.reshape(-1)[real] if preference else np.zeros_like(weights)
    pair = preference.pair.reshape(-1)[real] if preference else np.full(len(real), -1)
    at = np.flatnonzero((weights != 0) | (side != 0))
    labels = batch.labels.reshape(-1)[real]
    columns = (at, labels[at], weights[at], owner[at], pair[at], side[at])
    return Targets(*(_moved(column, device) for column in columns)), real[at]


def alone(packed: Packed) -> Iterator[Packed]:
    """Each example as a row of its own: for models whose tokens see each other in other ways than by attention."""
    begin, targets = 0, packed.targets
    for number, length in enumerate(packed.lengths):
        mine = targets.owner == number
        at = torch.arange(length, device=packed.ids.device)[None]
        yield Packed(
            packed.ids[:, begin : begin + length], at, (length,),
            torch.tensor([0, length], dtype=torch.int32, device=packed.ids.device),
            Targets(
                targets.at[mine] - begin, targets.labels[mine], targets.weights[mine],
                torch.zeros_like(targets.owner[mine]), targets.pair[mine], targets.side[mine],
            ),
            packed.places[mine.cpu().numpy()], packed.cells[number : number + 1],
        )  # fmt: skip
        begin += length
