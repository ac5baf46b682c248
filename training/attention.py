"""Block-diagonal causal attention over packed rows, as an attention implementation of transformers.

Owns the implementation "emend_blocks", which models it is exact for, and the observation of attention for objectives.
Must not know batches, losses or how a model is loaded. Each example of a row attends to itself only: its boundaries
come as `cu_seq_lens_q` through the decoder's keyword arguments, as flash attention gets them, so no mask of
length x length is ever made. On CUDA one variable-length flash kernel does it, elsewhere one kernel call an example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from repair.errors import InputError, ModelError
from training import varlen

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCKS = "emend_blocks"
F = TypeVar("F", bound=Callable[..., object])
_SHORT = 256  # tokens; up to here the CPU's half-precision kernel is slower than that of fp32 (measured: 0.4 to 1)


@dataclass(slots=True)
class Observer:
    """Collects the attention of chosen layers during one forward pass."""

    layers: frozenset[int]
    seen: list[Tensor] = field(default_factory=list[Tensor])  # (heads, n, n) for each layer and example, fp32

    def see(self, query: Tensor, key: Tensor, scale: float) -> None:
        """Recompute softmax(QK) of one example: query (heads, n, channels), key (kv heads, n, channels)."""
        key = key.repeat_interleave(query.shape[0] // key.shape[0], dim=0)
        scores = (query @ key.transpose(1, 2)).float() * scale
        later = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device).triu(1)
        self.seen.append(scores.masked_fill(later, float("-inf")).softmax(dim=-1))

    def see_dense(self, attentions: tuple[Tensor, ...], lengths: tuple[int, ...]) -> None:
        """Cut the blocks of the examples out of whole attention matrices (1, heads, tokens, tokens), one a layer."""
        for layer in sorted(self.layers):
            begin = 0
            for length in lengths:
                end = begin + length
                self.seen.append(attentions[layer][0, :, begin:end, begin:end].float())
                begin = end


def _whole(function: F) -> F:
    """Mark what a compiler calls and does not look into: it waits for the device."""
    return cast("F", torch.compiler.disable(function))


def blocks_attention(  # noqa: PLR0913, PLR0917 - transformers' signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - blocks need no mask
    dropout: float = 0.0,
    scaling: float | None = None,
    **rest: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Transformers' attention interface: (1, heads, tokens, channels) to (1, tokens, heads, channels).

    Raises ModelError where the boundaries did not arrive, or the layer wants what blocks cannot do.
    """
    bounds, longest = rest.get("cu_seq_lens_q"), rest.get("max_length_q")
    if bounds is None or longest is None or query.shape[0] != 1:
        raise ModelError("the model does not hand its arguments to its attention: set run.attention=sdpa")
    window = rest.get("sliding_window")
    if (window is not None and window < longest) or rest.get("softcap") is not None or rest.get("s_aux") is not None:
        raise ModelError("a layer has a window, soft-capping or sinks: set run.attention=eager")
    observer = cast("Observer | None", rest.get("observer"))
    if observer is not None and cast(int, module.layer_idx) in observer.layers:
        _show(observer, query, key, bounds, scaling)
    dropout = dropout if module.training else 0.0
    if dropout == 0.0 and _takes(query):
        return _flash(query, key, value, (bounds, longest), scaling)[None], None
    return _each(query, key, value, bounds, (dropout, scaling)), None


@_whole
def _show(observer: Observer, query: Tensor, key: Tensor, bounds: Tensor, scaling: float | None) -> None:
    lengths = bounds.diff().tolist()
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    for q, k in zip(query[0].split(lengths, dim=1), key[0].split(lengths, dim=1), strict=True):
        observer.see(q, k, scale)


@torch.compiler.assume_constant_result
def _takes(query: Tensor) -> bool:
    """A compiler asks once."""
    return varlen.takes(query.device, query.dtype, query.shape[-1])


def _flash(query: Tensor, key: Tensor, value: Tensor, blocks: tuple[Tensor, int], scaling: float | None) -> Tensor:
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    return varlen.attend(q, k, v, blocks, scaling)


@_whole
def _each(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, how: tuple[float, float | None]) -> Tensor:
    """One kernel call an example. `split` makes the backward pass one concatenation, slices would add whole rows."""
    lengths: list[int] = bounds.diff().tolist()
    dropout, scaling = how
    found: list[Tensor] = []
    for q, k, v in zip(*(t.split(lengths, dim=2) for t in (query, key, value)), strict=True):
        wide = q.shape[2] <= _SHORT and not q.is_cuda
        q, k, v = (t.float() if wide else t for t in (q, k, v))  # noqa: PLW2901 - the same tensors, wider
        mixed = functional.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
        found.append(mixed.to(query.dtype).transpose(1, 2))
    return torch.cat(found, dim=1)


def register() -> None:
    """Make "emend_blocks" known to transformers. It has no mask function: none is built."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(BLOCKS, blocks_attention)


@torch.no_grad()
def arrives(model: PreTrainedModel) -> bool:
    """Whether a model with blocks hands the boundaries on to its attention: some classes drop such arguments."""
    bounds = torch.tensor([0, 2], dtype=torch.int32, device=model.device)
    ids = torch.zeros(1, 2, dtype=torch.int64, device=model.device)
    try:
        model.get_decoder()(
            input_ids=ids, use_cache=False, cu_seq_lens_q=bounds, cu_seq_lens_k=bounds, max_length_q=2, max_length_k=2
        )
    except (ModelError, TypeError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Choice:
    """An attention implementation of transformers and why it was taken."""

    implementation: str
    reason: str


def _obstacles(model: PreTrainedModel, longest: int) -> Iterator[str]:
    """Why blocks would not be exact."""
    settings = model.config.get_text_config()
    if not getattr(type(model), "_supports_attention_backend", False):
        yield "its class has its own attention"
    if getattr(settings, "attn_logit_softcapping", None):
        yield "its attention scores are soft-capped"
    if any(name.endswith("sinks") for name, _ in model.named_parameters()):
        yield "it has attention sinks"
    kinds = getattr(settings, "layer_types", None)
    for name, kind in (("sliding_window", "sliding_attention"), ("attention_chunk_size", "chunked_attention")):
        window = getattr(settings, name, None)
        if window and window < longest and (not kinds or kind in kinds):
            yield f"its attention window of {window} tokens is shorter than examples of {longest}"


def choose(model: PreTrainedModel, longest: int, wanted: str = "auto", *, observed: bool = False) -> Choice:
    """The implementation for a model with examples of up to `longest` tokens; `observed` where attention is measured.

    What blocks are not exact for gets the dense masks that transformers derives from packed position ids.
    Raises InputError: blocks were asked for and are not exact, or the implementation cannot be observed.
    """
    obstacle = next(_obstacles(model, longest), "")
    if wanted == "blocks" and obstacle:
        raise InputError(f"run.attention=blocks is not exact for this model: {obstacle}", field="run.attention")
    if wanted in ("sdpa", "flash_attention_2") and observed:
        raise InputError(f"{wanted} shows no attention to objective.layers: use auto or eager", field="run.attention")
    if wanted not in ("auto", "blocks"):
        return Choice(wanted, "as run.attention says")
    if not obstacle:
        return Choice(BLOCKS, "no padding and no mask is computed")
    soft = bool(getattr(model.config.get_text_config(), "attn_logit_softcapping", None))
    dense = "eager" if observed or soft or not getattr(type(model), "_supports_sdpa", False) else "sdpa"
    return Choice(dense, f"with dense masks, because {obstacle}")
