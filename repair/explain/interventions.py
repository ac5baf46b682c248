"""Interventions on an opened network: hooks that turn layers, heads and neurons off, and the scale of an adapter."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from repair.errors import InputError
from repair.explain.values import Interventions, NeuronScale

if TYPE_CHECKING:
    from repair.explain.glass import Glass


@contextmanager
def applied(glass: Glass, interventions: Interventions) -> Generator[None]:
    """Inside: the network as the interventions say. Afterwards: as before, also after an error.

    A neutral setting installs nothing. Raises InputError for what the network does not have, ModelError for a part
    of it that cannot be found.
    """
    _check(glass, interventions)
    with ExitStack() as undone:  # one by one: a later part that cannot be found must not leave the earlier ones in
        for hook in _hooks(glass, interventions):
            undone.callback(hook.remove)
        for scaling, before in _scaled(glass, interventions.adapter_scale):
            undone.callback(scaling.update, before)
        yield


def _check(glass: Glass, interventions: Interventions) -> None:
    layers, heads = len(glass.layers), glass.heads
    for layer in interventions.layers_off:
        _inside(layer, layers, "layer", "interventions.layers_off")
    for layer, head in interventions.heads_off:
        _inside(layer, layers, "layer", "interventions.heads_off")
        _inside(head, heads, "head", "interventions.heads_off")
    for one in interventions.neurons:
        _inside(one.layer, layers, "layer", "interventions.neurons")
        _inside(one.neuron, glass.neurons(), "neuron", "interventions.neurons")
    if interventions.adapter_scale != 1.0 and not glass.scalable:
        raise InputError("this model has no adapter whose scale could change", field="interventions.adapter_scale")


def _inside(number: int, count: int, what: str, field: str) -> None:
    if not 0 <= number < count:
        raise InputError(f"there is no {what} {number}: the model has {what}s 0 to {count - 1}", field=field)


def _hooks(glass: Glass, interventions: Interventions) -> Iterator[Any]:
    for layer in set(interventions.layers_off):
        yield glass.layers[layer].register_forward_hook(_skip, with_kwargs=True)
    heads: dict[int, set[int]] = {}
    for layer, head in interventions.heads_off:
        heads.setdefault(layer, set()).add(head)
    for layer, off in heads.items():
        yield glass.o_proj(layer).register_forward_pre_hook(_without_heads(off, glass.heads))
    neurons: dict[int, list[NeuronScale]] = {}
    for one in interventions.neurons:
        if one.scale != 1.0:
            neurons.setdefault(one.layer, []).append(one)
    for layer, scales in neurons.items():
        yield glass.down_proj(layer).register_forward_pre_hook(_with_scales(scales))


def _skip(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:  # noqa: ANN401
    states = given[0] if given else named["hidden_states"]
    return (states, *output[1:]) if isinstance(output, tuple) else states


def _without_heads(off: set[int], heads: int) -> Callable[..., tuple[Tensor]]:
    def before(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        mixed = given[0].clone()
        size = mixed.shape[-1] // heads
        for head in off:
            mixed[..., head * size : (head + 1) * size] = 0
        return (mixed,)

    return before


def _with_scales(scales: list[NeuronScale]) -> Callable[..., tuple[Tensor]]:
    def before(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        active = given[0].clone()
        for one in scales:
            active[..., one.neuron] *= one.scale
        return (active,)

    return before


def _scaled(glass: Glass, scale: float) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Scale each LoRA layer; the dictionary that holds the scale, and what it held."""
    if scale == 1.0:
        return
    for held in glass.scalings:
        before = dict(held)
        held.update({name: value * scale for name, value in before.items()})
        yield held, before
