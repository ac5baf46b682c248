"""Asks a model what it may be given: no list of classes would be complete.

Owns two questions. Recurrent layers carry over from one packed example to the next, and some classes that look like
attention do too; some models scale or cap the logits after their head. Must not know training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from training.batches import Batch
from training.packed import alone, flatten

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def probe(base: PreTrainedModel) -> tuple[bool, bool]:
    """Whether packed examples are what they are alone, and whether logits are the head of the last states.

    Costs four passes over at most nine tokens.
    """
    decoder, head = cast("nn.Module", base.get_decoder()), cast("nn.Module", base.get_output_embeddings())
    was = base.training
    base.eval()
    shape, length = (1, 9), 9
    ids = (np.arange(length) * 7 % min(97, base.config.get_text_config().vocab_size)).reshape(shape)
    batch = Batch(ids, ids, np.ones(shape, np.float32), np.array([[1] * 5 + [2] * 4]))
    packed = flatten(batch, base.device)
    together = decoder(input_ids=packed.ids, use_cache=False, **packed.arguments).last_hidden_state
    apart = [
        decoder(input_ids=p.ids, use_cache=False, **p.arguments).last_hidden_state for p in alone(packed)
    ]  # fmt: skip
    packs = _close(together, torch.cat(apart, dim=1))
    logits = base(input_ids=packed.ids, use_cache=False, **packed.arguments).logits
    capped = getattr(base.config.get_text_config(), "final_logit_softcapping", None)  # small logits hide it
    plain = not capped and _close(head(together), logits)
    base.train(was)
    return packs, plain


def _close(left: Tensor, right: Tensor) -> bool:
    """Equal but for rounding."""
    allowed = 1e-3 if left.dtype == torch.float32 else 0.05
    return bool((left.float() - right.float()).abs().max() <= allowed * right.float().abs().max())
