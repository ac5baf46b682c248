"""Neurons (inputs of `mlp.down_proj`): how strongly they fire on each line, which are dead, which unusually strong.

One layer's values are held at a time; what is kept of them are sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from repair.explain.passages import STRUCTURE, Passage, passage
from repair.explain.values import ActivationMap, Array, Outlier, Subject, Unit

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repair.explain.glass import Glass
    from repair.explain.reference import Reference

T = TypeVar("T")

BINS = 41
_DEAD = 1e-3  # of the layer's largest value
_FAR = 6.0  # deviations; below, a value is nothing special
_SHOWN = 24  # outliers
_INNER = 0.99  # share of the values that the histogram's bins resolve; those beyond are in the first and last bin


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One layer of one passage."""

    strength: Array  # (tokens,): mean square over neurons
    dead: float
    span: float  # quantile `_INNER` of magnitudes
    deviations: Array  # (neurons,): largest by magnitude, signed
    values: Array  # (neurons,): the value that deviates so
    at: Array  # (neurons,): its position


def activation_map(glass: Glass, subject: Subject, reference: Reference | None = None) -> ActivationMap:
    """Activations over the change's prompt and answer, outliers against the reference where it knows the neurons.

    Values beyond the histogram's edges are counted in its first and last bins, so that each layer sums to 1.
    Raises ModelError when the model fails or its layers have no such input.
    """
    found = passage(glass.local().answers, subject.view, subject.hunks)
    usual = _usual(glass, reference)
    layers = _by_layer(glass, found.ids, lambda n, values: _layer(values, usual(n)))
    span = max(*(layer.span for layer in layers), 1e-6)
    edges = np.linspace(-span, span, BINS + 1, dtype=np.float32)
    histogram = _by_layer(glass, found.ids, lambda _, values: _shares(values, edges))
    known = usual(0) is not None
    return ActivationMap(
        units=found.units,
        strength=np.stack([_by_unit(layer.strength, found) for layer in layers]),
        histogram=np.stack(histogram),
        edges=edges,
        dead=np.asarray([layer.dead for layer in layers], np.float32),
        outliers=_outliers(layers, found),
        notes=() if known else ("no reference of this checkpoint: outliers are told against their own layer",),
    )


def _by_layer(glass: Glass, ids: Sequence[int], look: Callable[[int, Array], T]) -> tuple[T, ...]:
    """What `look` makes of each layer's values (n, inner) in one run, none of which is kept."""
    seen = dict[int, T]()

    def hook(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def before(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen[layer] = look(layer, given[0][0].detach().float().cpu().numpy())

        return before

    hooks = [glass.down_proj(n).register_forward_pre_hook(hook(n)) for n in range(len(glass.layers))]
    try:
        glass.run(ids)
    finally:
        for one in hooks:
            one.remove()
    return tuple(seen[n] for n in range(len(glass.layers)))


def _usual(glass: Glass, reference: Reference | None) -> Callable[[int], tuple[Array, Array] | None]:
    """Mean and deviation of a layer's neurons on clean data; None where that was not measured."""
    mean, deviation = (reference.mean, reference.deviation) if reference else (None, None)
    if mean is None or deviation is None or mean.shape != (len(glass.layers), glass.neurons()):
        return lambda _: None
    return lambda layer: (mean[layer], deviation[layer])


def _layer(values: Array, usual: tuple[Array, Array] | None) -> _Layer:
    size = np.abs(values)
    largest = size.max(0)
    mean, deviation = usual or (values.mean(), values.std())
    apart = ((values - mean) / np.maximum(deviation, 1e-6)).astype(np.float32)
    at = np.abs(apart).argmax(0)
    neurons = np.arange(values.shape[1])
    return _Layer(
        np.square(values).mean(1), float((largest <= _DEAD * largest.max()).mean()),
        float(np.quantile(size, _INNER)), apart[at, neurons], values[at, neurons], at,
    )  # fmt: skip


def _shares(values: Array, edges: Array) -> Array:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return (counts / values.size).astype(np.float32)


def _by_unit(squares: Array, found: Passage) -> Array:
    """Root of the mean over each unit's tokens; 0 for a unit without any."""
    owner = np.asarray(found.owner)
    means = [squares[owner == unit].mean() if (owner == unit).any() else 0.0 for unit in range(len(found.units))]
    return np.sqrt(np.asarray(means, np.float32))


def _outliers(layers: Sequence[_Layer], found: Passage) -> tuple[Outlier, ...]:
    def unit(at: int) -> Unit | None:
        return None if found.owner[at] == STRUCTURE else found.units[found.owner[at]]

    seen = [
        Outlier(n, int(k), float(one.values[k]), float(one.deviations[k]), unit(int(one.at[k])))
        for n, one in enumerate(layers)
        for k in np.flatnonzero(np.abs(one.deviations) >= _FAR)
    ]
    return tuple(sorted(seen, key=lambda o: (-abs(o.deviations), o.layer, o.neuron))[:_SHOWN])
