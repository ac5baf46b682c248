"""The opened network: a causal model of transformers run once, with what is inside told beside the logits.

Owns loading for explanations (fp32 on the CPU, the adapter beside the weights so that its scale can be changed),
the attention implementation "emend_glass", and hooks, which are always taken out again. What is watched is only
read: the outputs stay those of an unwatched run, bit for bit. One sequence at a time, without padding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from repair.errors import InputError, ModelError
from repair.explain.adapters import Scaling, peft_scalings, put_beside
from repair.explain.values import Interventions
from repair.models.local import Format, LocalModel, add_adapter, answering, checked_source, read_adapted, torch_device
from repair.models.memory import bound_kernels

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

GLASS = "emend_glass"


@dataclass(frozen=True, slots=True)
class Watch:
    """What to tell of a run. `rows`: positions whose logits (and attention) are wanted; none: the last one."""

    rows: tuple[int, ...] = ()
    attention: bool = False
    hidden: bool = False
    neurons: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was inside. Tensors are fp32; empty tuples where nothing was asked for."""

    logits: Tensor  # (rows, vocabulary)
    attention: tuple[Tensor, ...] = ()  # a layer: (heads, rows, n), rows sum to 1
    hidden: tuple[Tensor, ...] = ()  # (n, width): embeddings, then after each layer; none of them normed
    neurons: tuple[Tensor, ...] = ()  # a layer: (n, inner), the input of `mlp.down_proj`


@dataclass(slots=True)
class _Rows:
    """Collects attention rows during one run."""

    rows: Tensor
    seen: dict[int, Tensor] = field(default_factory=dict[int, Tensor])

    def see(self, layer: int, query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> None:
        """Softmax of the wanted rows: query (heads, n, channels), key (groups, n, channels)."""
        key = key.repeat_interleave(query.shape[0] // key.shape[0], dim=0)
        scores = (query[:, self.rows] @ key.transpose(1, 2)).float() * scale
        if mask is None:
            later = torch.arange(scores.shape[-1], device=scores.device)[None] > self.rows[:, None]
            scores = scores.masked_fill(later, float("-inf"))
        elif mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask[0, :, self.rows], float("-inf"))
        else:
            scores = scores + mask[0, :, self.rows]
        self.seen[layer] = scores.softmax(dim=-1)


_WATCHED: ContextVar[_Rows | None] = ContextVar("_WATCHED", default=None)


def _glass_attention(  # noqa: PLR0913, PLR0917 - transformers' signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **rest: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """What "sdpa" computes, and the wanted rows of the softmax beside it."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    watched = _WATCHED.get()
    if watched is not None:
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        watched.see(cast(int, module.layer_idx), query[0], key[0], attention_mask, scale)
    found: Any = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
    )
    return found


def _register() -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(GLASS, _glass_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(GLASS, sdpa_mask)


class Glass:
    """A network with its parts at hand. Not for two threads at once."""

    def __init__(
        self,
        model: PreTrainedModel,
        source: str | Path,
        name: str,
        *,
        adapted: bool,
        adapter: Path | None = None,
        scalings: tuple[Scaling, ...] | None = None,
    ) -> None:
        """Open a model; `adapter`: where that lies, `scalings`: its own (None: peft's).

        Raises ModelError for one whose layers cannot be found.
        """
        from repair.models.huggingface import HuggingFaceNetwork

        self.model = model.eval().requires_grad_(requires_grad=False)
        self.name = name
        self.notes: tuple[str, ...] = ()
        self._adapted = adapted
        self.scalings = scalings if scalings is not None else peft_scalings(model) if adapted else ()
        self._answers: Format | None = None
        self.source, self.adapter = source, adapter
        self.decoder: nn.Module = model.get_decoder()
        self.layers = _layers(self.decoder)
        config = model.config.get_text_config()
        self.heads = int(config.num_attention_heads)
        self.width = int(config.hidden_size)
        self._eager = not _takes_glass(model)
        if self._eager:
            model.set_attn_implementation("eager")
            self.notes = ("this model's attention cannot be watched in place: it was switched to the eager one",)
        else:
            _register()
            model.set_attn_implementation(GLASS)
        self._network = HuggingFaceNetwork(model)
        self.limit = self._network.limit

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.device

    @property
    def has_gradients(self) -> bool:
        """Whether gradients can be had for its inputs: not through quantised weights."""
        return getattr(self.model, "hf_quantizer", None) is None

    @property
    def answers(self) -> Format:
        """How it is asked, for the tokens of prompts: made once. To ask, take `local`."""
        if self._answers is None:
            self._answers = self.local().answers
        return self._answers

    @property
    def scalable(self) -> bool:
        """Whether there is an adapter whose scale can be changed."""
        return self._adapted

    def norm(self, states: Tensor) -> Tensor:
        """States (n, width) after the last norm, for the head."""
        found: Tensor = cast(nn.Module, self.decoder.norm)(states)
        return found

    def head(self, states: Tensor) -> Tensor:
        """Logits (n, vocabulary) of normed states."""
        found: Tensor = cast(nn.Module, self.model.get_output_embeddings())(states)
        return found

    def down_proj(self, layer: int) -> nn.Module:
        """The module whose input are the neurons of a layer. Raises ModelError where a layer has none of this kind."""
        for name, module in self.layers[layer].named_modules():
            if name.endswith(("mlp.down_proj", "mlp.c_proj", "mlp.fc2", "mlp.dense_4h_to_h")):
                return module
        raise ModelError(f"layer {layer} has no `mlp.down_proj` or the like: its neurons cannot be watched")

    def o_proj(self, layer: int) -> nn.Module:
        """The module whose input are the heads' outputs, one after the other. Raises ModelError."""
        for name, module in self.layers[layer].named_modules():
            if name.endswith(
                ("self_attn.o_proj", "attn.c_proj", "attention.dense", "attn.out_proj", "self_attn.dense")
            ):
                return module
        raise ModelError(f"layer {layer} has no `self_attn.o_proj` or the like: its heads cannot be turned off")

    def neurons(self) -> int:
        """How many neurons a layer has."""
        return int(getattr(self.down_proj(0), "in_features", 0) or cast(Tensor, self.down_proj(0).weight).shape[0])

    def run(self, ids: Sequence[int], watch: Watch | None = None, *, embeds: Tensor | None = None) -> Seen:
        """One forward pass over ids (n,), or over `embeds` (n, width) in their place, which may ask for gradients.

        Raises ModelError when it fails, out of memory included.
        """
        watch = watch or Watch()
        rows = torch.tensor(watch.rows or (len(ids) - 1,), device=self.device)
        hidden, neurons = dict[int, Tensor](), dict[int, Tensor]()
        gathered = _Rows(rows) if watch.attention and not self._eager else None
        with ExitStack() as stack:
            if embeds is None:
                stack.enter_context(torch.no_grad())
            if watch.hidden:
                stack.enter_context(self._hidden(hidden))
            if watch.neurons:
                stack.enter_context(self._neurons(neurons))
            output = self._forward(ids, rows, embeds, gathered, eager=watch.attention and self._eager)
        attention: tuple[Tensor, ...] = ()
        if gathered is not None:
            attention = tuple(gathered.seen[n] for n in range(len(self.layers)))
        elif watch.attention:
            attention = tuple(one[0, :, rows].float() for one in output.attentions or ())
        if watch.attention and len(attention) != len(self.layers):
            raise ModelError("this model's attention gives no weights, not even when asked for the eager one")
        logits: Tensor = output.logits[0]
        logits = logits if logits.shape[0] == len(rows) else logits[rows]
        return Seen(
            logits.float(), attention, tuple(hidden[n] for n in sorted(hidden)),
            tuple(neurons[n] for n in sorted(neurons)),
        )  # fmt: skip

    def _forward(
        self, ids: Sequence[int], rows: Tensor, embeds: Tensor | None, gathered: _Rows | None, *, eager: bool
    ) -> Any:  # noqa: ANN401 - a ModelOutput
        given: dict[str, Any] = {"inputs_embeds": embeds[None]} if embeds is not None else {
            "input_ids": torch.tensor([list(ids)], device=self.device)
        }  # fmt: skip
        token = _WATCHED.set(gathered)
        try:
            return self.model(**given, use_cache=False, logits_to_keep=rows, output_attentions=eager)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise ModelError(f"the model failed while computing ({error}): try a smaller window or model") from error
        finally:
            _WATCHED.reset(token)

    @contextmanager
    def _hidden(self, into: dict[int, Tensor]) -> Generator[None]:
        def before(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            states = given[0] if given else named["hidden_states"]
            into[0] = states[0]

        def after(layer: int) -> Callable[..., None]:
            def keep(_module: nn.Module, _given: object, output: Any) -> None:  # noqa: ANN401
                into[layer + 1] = (output[0] if isinstance(output, tuple) else output)[0]

            return keep

        first = self.layers[0].register_forward_pre_hook(before, with_kwargs=True)
        with _removed([first, *(one.register_forward_hook(after(n)) for n, one in enumerate(self.layers))]):
            yield

    @contextmanager
    def _neurons(self, into: dict[int, Tensor]) -> Generator[None]:
        def keep(layer: int) -> Callable[..., None]:
            def before(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
                into[layer] = given[0][0]

            return before

        hooks = [self.down_proj(n).register_forward_pre_hook(keep(n)) for n in range(len(self.layers))]
        with _removed(hooks):
            yield

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Input embeddings (n, width) of ids, without a gradient, as `run(embeds=...)` takes them."""
        with torch.no_grad():
            found: Tensor = self.model.get_input_embeddings()(torch.tensor(list(ids), device=self.device))
        return found

    @contextmanager
    def changed(self, interventions: Interventions) -> Generator[None]:
        """The network with layers, heads or neurons off and the adapter scaled, as it was again afterwards.

        Raises InputError for a layer, head or neuron that is not there, or a scale where there is no adapter.
        """
        from repair.explain.interventions import applied

        with applied(self, interventions):
            yield

    def local(self) -> LocalModel:
        """It as a repair model (locate, propose, score) that remembers no prompt: make one inside of `changed`."""
        return answering(self.source, self._network, adapted=self._adapted)

    def blank(self, seed: int = 0) -> Glass:
        """A network of the same shape with random weights, for sanity checks (Adebayo et al. 2018)."""
        from transformers import AutoModelForCausalLM

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model: PreTrainedModel = AutoModelForCausalLM.from_config(self.model.config)
        nn.Module.to(model, self.device, torch.float32)
        return Glass(model, self.source, f"{self.name} with random weights", adapted=self._adapted, scalings=())


@contextmanager
def _removed(hooks: Sequence[RemovableHandle]) -> Generator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _layers(decoder: nn.Module) -> tuple[nn.Module, ...]:
    for name in ("layers", "h", "blocks"):
        found = getattr(decoder, name, None)
        if isinstance(found, nn.ModuleList) and len(found):
            return tuple(found)
    raise ModelError("the layers of this model cannot be found: it can be explained by perturbation only")


def _takes_glass(model: PreTrainedModel) -> bool:
    """Whether the class asks for its attention by name, without soft-capping or sinks, which sdpa does not have."""
    settings = model.config.get_text_config()
    plain = not getattr(settings, "attn_logit_softcapping", None)
    sinks = any(name.endswith("sinks") for name, _ in model.named_parameters())
    return bool(getattr(type(model), "_supports_attention_backend", False)) and plain and not sinks


def open_glass(
    source: str | Path | None = None, *, adapter: str | Path | None = None, device: str | None = None
) -> Glass:
    """Open a checkpoint directory or hub id (None: the embedded model with its own adapter), fp32 on the CPU.

    The adapter stays beside the weights. Raises ModelError when anything is missing or does not fit together,
    InputError for a model server, which shows nothing of its inside.
    """
    if source is None:
        from repair.embedded.expander import embedded_adapter, embedded_directory

        source, own = embedded_directory(), embedded_adapter()
        adapter = adapter or own
    if str(source).startswith(("http://", "https://")):
        raise InputError(
            "a model server shows nothing of its inside: log-probabilities and perturbation are available",
            field="model",
        )
    bound_kernels()
    source, where = checked_source(source), torch_device(device)
    name = str(source) if adapter is None else f"{source}+{adapter}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, scalings = _read(source, None if adapter is None else Path(adapter), where)
    where_from = None if adapter is None else Path(adapter)
    return Glass(model, source, name, adapted=adapter is not None, adapter=where_from, scalings=scalings)


def _read(source: str | Path, adapter: Path | None, where: torch.device) -> tuple[PreTrainedModel, tuple[Scaling, ...]]:
    """The model where it shall compute, and the scales of its adapter's layers."""
    plain = read_adapted(source, None)
    quantised = getattr(plain, "hf_quantizer", None) is not None
    if not quantised:
        nn.Module.to(plain, where, torch.float32 if where.type == "cpu" else None)
    if adapter is None:
        return plain, ()
    if where.type == "cpu" and not quantised and (scalings := put_beside(plain, adapter)):
        return plain, scalings
    model = add_adapter(plain, adapter)
    if not quantised:
        nn.Module.to(model, where, torch.float32 if where.type == "cpu" else None)
    return model, peft_scalings(model)
