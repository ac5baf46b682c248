"""Forward passes over many sequences at once, length-sorted, keeping only what is asked of each.

Owns batching and the reduction of logits. Must not know prompts, examples or figures. Sequences are padded at their
end and read without a mask: a causal model's tokens never see what comes after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

    from training.model import Llama

_TOKENS = 2048  # of a batch; more gained nothing on a CPU (measured: 512 to 8,192)
_LOGITS = 2**26  # values of a batch: 256 MB in fp32, whatever the vocabulary

Logits = Callable[[Tensor, Tensor], Tensor]
"""ids (rows, length), positions (n,) -> logits (rows, n, vocabulary) of what follows each of these positions."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A sequence ids (n,), and the positions (m,), ascending, whose next token is asked about."""

    ids: NDArray[np.int64]
    at: NDArray[np.int64]
    words: int = -1  # position at which the chances of certain tokens are asked for as well; one of `at`


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Answers (m,): log-probability of the token that follows, in nats, and whether it is the likeliest one."""

    taken: NDArray[np.float64]
    greedy: NDArray[np.bool_]
    words: NDArray[np.float64]  # log-probabilities of the words given to `read`, empty where not asked for


def hub_logits(network: nn.Module) -> Logits:
    """Of a Hugging Face causal model, or of peft's wrapper around one."""
    device = next(network.parameters()).device

    def logits(ids: Tensor, at: Tensor) -> Tensor:
        output = cast("Any", network)(input_ids=ids.to(device), logits_to_keep=at.to(device), use_cache=False)
        return output.logits.float().cpu()

    return logits


def lean_logits(network: Llama) -> Logits:
    """Of the lean Llama that the native engine trains."""
    from training.model import block_mask, rotary

    def logits(ids: Tensor, at: Tensor) -> Tensor:
        cos, sin = rotary(network.config, ids.shape[1], torch.float32)
        return network(ids, cos, sin, block_mask(torch.ones_like(ids)))[:, at]

    return logits


def read(logits: Logits, asks: Sequence[Ask], vocabulary: int, words: Sequence[int] = ()) -> list[Reading]:
    """A reading of each sequence, in their order."""
    readings: dict[int, Reading] = {}
    chosen = torch.tensor(words, dtype=torch.long)
    with torch.inference_mode():
        for group in _groups(asks, vocabulary):
            longest = max(len(asks[i].ids) for i in group)
            ids = torch.zeros(len(group), longest, dtype=torch.long)
            for row, i in enumerate(group):
                ids[row, : len(asks[i].ids)] = torch.from_numpy(asks[i].ids)
            at = _union([asks[i].at for i in group])
            found = logits(ids, torch.from_numpy(at))
            for row, i in enumerate(group):
                readings[i] = _reading(found[row], at, asks[i], chosen)
    return [readings[i] for i in range(len(asks))]


def _union(positions: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(positions))


def _groups(asks: Sequence[Ask], vocabulary: int) -> Iterator[list[int]]:
    """Numbers of sequences that are read together, similar lengths beside each other."""
    group: list[int] = []
    union = np.empty(0, np.int64)
    for i in sorted(range(len(asks)), key=lambda i: len(asks[i].ids)):
        wider = np.union1d(union, asks[i].at)
        rows = len(group) + 1
        if group and (rows * len(asks[i].ids) > _TOKENS or rows * len(wider) * vocabulary > _LOGITS):
            yield group
            group, wider = [], asks[i].at
        group.append(i)
        union = wider
    if group:
        yield group


def _reading(found: Tensor, at: NDArray[np.int64], ask: Ask, words: Tensor) -> Reading:
    """One row of a batch: logits (n, vocabulary) after the positions `at` (n,)."""
    rows = found[torch.from_numpy(np.searchsorted(at, ask.at))].float()
    labels = torch.from_numpy(ask.ids[ask.at + 1])
    sums = torch.logsumexp(rows, dim=-1)
    taken = rows.gather(1, labels[:, None]).squeeze(1) - sums
    greedy = rows.argmax(dim=-1) == labels
    chances = torch.empty(0)
    if ask.words >= 0:
        row = int(np.searchsorted(ask.at, ask.words))
        chances = rows[row, words] - sums[row]
    return Reading(taken.double().numpy(), greedy.numpy(), chances.double().numpy())
