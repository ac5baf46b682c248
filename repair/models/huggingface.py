"""A Hugging Face causal model as a Network of `decoding.py`; the model itself is untouched.

Its cache writes into buffers that grow in place and can be rewound, so a tree of candidates costs no copy of the
prompt's keys and values.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from repair.errors import ModelError
from repair.models.decoding import Buffer, State


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, as transformers wants to see them."""

    is_sliding = False
    is_croppable = True

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer()

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the buffer takes the shape of what is first appended."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append states (1, heads, n, size) and return all of them."""
        return self.buffer.append(key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys, as masks of transformers want to know."""
        return self.buffer.length + query_length, 0

    def get_seq_length(self) -> int:
        """How many states there are."""
        return self.buffer.length

    def get_max_length(self) -> int:
        """No limit."""
        return -1


class _State(State):
    """A cache of transformers over rewindable buffers."""

    def __init__(self, layers: int) -> None:
        held = [_Layer() for _ in range(layers)]
        super().__init__(tuple(layer.buffer for layer in held))
        self.cache = Cache(layers=list(held))


class HuggingFaceNetwork:
    """Any causal model of transformers with full attention. Raises ModelError for another kind."""

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        self._model = model
        self._layers = int(getattr(config, "num_hidden_layers", 0))
        self.limit = _readable_tokens(config)
        self.vocabulary = int(cast("Tensor", model.get_input_embeddings().weight).shape[0])
        self.parameters = sum(p.numel() for p in model.parameters())
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype

    def state(self) -> State:
        """An empty cache."""
        return _State(self._layers)

    def read(self, ids: Tensor, state: State) -> Tensor:
        """Logits (vocabulary,) after the last of ids (n,), which become the whole state."""
        return self._logits(state, input_ids=ids[None], logits_to_keep=1)[-1]

    def extend(self, ids: Tensor, positions: Tensor, mask: Tensor, state: State) -> Tensor:
        """Logits (n, vocabulary) after each of ids (n,); `mask` (n, state + n) is additive."""
        mask = mask.to(self.device, self.dtype)[None, None]
        return self._logits(state, input_ids=ids[None], position_ids=positions[None], attention_mask=mask)

    def _logits(self, state: State, **inputs: object) -> Tensor:
        assert isinstance(state, _State)
        output: Any = self._model(use_cache=True, past_key_values=state.cache, **inputs)
        return output.logits[0]


def _readable_tokens(config: PretrainedConfig) -> int:
    """Longest sequence of a model that this decoding can serve; masks are ours, so every layer must attend to all."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds <= {"full_attention", "sliding_attention"}:
        raise ModelError(
            f"models with {', '.join(sorted(kinds))} layers are not supported: use one with full attention"
        )
    window = getattr(config, "sliding_window", None)
    limit = getattr(config, "max_position_embeddings", None) or 4096
    return min(limit, window) if window else limit
