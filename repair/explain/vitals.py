"""Vital signs: what a network is like inside while it reads one prompt, as few figures that can be compared.

Attention is measured at the ends of lines of code and at the prompt's last token, neurons at every token, states
at the ends of lines of code. All arrays are float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from repair.explain.glass import Watch
from repair.explain.passages import STRUCTURE, Passage, passage
from repair.explain.values import Array, UnitKind

if TYPE_CHECKING:
    from repair.explain.glass import Glass, Seen
    from repair.views import View

ATTENTION = ("entropy", "first-token mass", "same-line mass", "focus")
"""Nats; shares; and the distance from looking evenly at all that came before (Kullback-Leibler, nats; 0 is even)."""

ACTIVATION = ("root mean square", "dead share", "largest deviation")
"""The last one needs a reference: the largest of the neurons' root mean square z-scores."""

REPRESENTATION = ("distance", "attention update", "mlp update")
"""Distance of the mean line state from the centre, and what each block adds, both as shares of a state's length."""

DEAD = 1e-3  # of the layer's largest value


@dataclass(frozen=True, slots=True, eq=False)
class Vitals:
    """One prompt's figures."""

    attention: Array  # (ATTENTION, layers, heads), means over rows
    rms: Array  # (layers,)
    dead: Array  # (layers,), share of neurons
    mean: Array  # (layers, inner), of each neuron over tokens
    square: Array  # (layers, inner), mean square
    updates: Array  # (2, layers): attention's and the mlp's, lengths as shares of the state's before
    line: Array  # (layers + 1, width): mean state at the ends of lines of code
    length: Array  # (layers + 1,): mean length of those states


def line_ends(read: Passage) -> tuple[tuple[int, int], ...]:
    """Lines of code with the position whose state has read them: (line, position) pairs in file order."""
    pairs = zip(read.units, read.ends, strict=True)
    return tuple((unit.number, end) for unit, end in pairs if unit.kind is UnitKind.CODE)


def vitals(glass: Glass, view: View) -> Vitals:
    """Read the prompt of a view once, watched. Raises ModelError when the model fails or the view is too long."""
    read = passage(glass.local().answers, view, None)
    return vitals_of(glass, read, glass.run(read.ids, watching(read)))


def watching(read: Passage) -> Watch:
    """What `vitals_of` needs: rows are the ends of lines of code and the last token."""
    return Watch(rows=_rows(read), attention=True, hidden=True, neurons=True)


def _rows(read: Passage) -> tuple[int, ...]:
    """Lines of code and the last token: what else a prompt holds differs too much from one to the next."""
    return (*(end for _, end in line_ends(read)), len(read.ids) - 1)


def vitals_of(glass: Glass, read: Passage, seen: Seen) -> Vitals:
    """The figures of a run that was watched as `watching` says."""
    ends = torch.tensor([end for _, end in line_ends(read)], device=seen.logits.device)
    states = torch.stack([one[ends] for one in seen.hidden]).float()
    neurons = torch.stack([one.float() for one in seen.neurons])
    size = neurons.abs()
    largest = size.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    dead = (size < DEAD * largest).all(dim=1).float().mean(dim=1)
    lengths = states.norm(dim=-1)
    return Vitals(
        attention=_array(_attention(read, seen)),
        rms=_array(neurons.square().mean(dim=(1, 2)).sqrt()),
        dead=_array(dead),
        mean=_array(neurons.mean(dim=1)),
        square=_array(neurons.square().mean(dim=1)),
        updates=_array(_updates(glass, seen, ends, states, lengths)),
        line=_array(states.mean(dim=1)),
        length=_array(lengths.mean(dim=1)),
    )


def deviations(found: Vitals, mean: Array, deviation: Array) -> Array:
    """Root mean square z-scores (layers, inner) of the neurons against their reference."""
    spread = found.square - 2 * mean * found.mean + mean**2
    floor = np.maximum(deviation, 1e-3 * deviation.mean(axis=1, keepdims=True) + 1e-12)
    return (np.sqrt(np.maximum(spread, 0)) / floor).astype(np.float32)


def distance(found: Vitals, centre: Array) -> Array:
    """How far the mean line states lie from the centre (layers + 1, width), as shares of the centre's own length."""
    scale = np.maximum(np.linalg.norm(centre, axis=1), 1e-12)
    return (np.linalg.norm(found.line - centre, axis=1) / scale).astype(np.float32)


def _attention(read: Passage, seen: Seen) -> Tensor:
    """Means over rows: (ATTENTION, layers, heads)."""
    weight = torch.stack([one.float() for one in seen.attention])  # (layers, heads, rows, n)
    rows = _rows(read)
    entropy = -(weight * weight.clamp(min=1e-12).log()).sum(dim=-1)
    even = torch.tensor([row + 1.0 for row in rows], device=weight.device).log()
    owner = torch.tensor(read.owner, device=weight.device)
    own = owner[torch.tensor(rows, device=weight.device)]
    same = ((owner[None] == own[:, None]) & (own[:, None] != STRUCTURE)).float()
    inside = (weight * same).sum(dim=-1)
    found = (entropy, weight[..., 0], inside, (even - entropy).clamp(min=0))
    return torch.stack([one.mean(dim=-1) for one in found])


def _updates(glass: Glass, seen: Seen, ends: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
    """Length of what attention and the mlp of each layer add at the ends of lines, by the state's length before."""
    found: list[Tensor] = []
    with torch.no_grad():
        for layer, active in enumerate(seen.neurons):
            mlp: Tensor = glass.down_proj(layer)(active[ends]).float()
            attention = states[layer + 1] - states[layer] - mlp
            before = lengths[layer].clamp(min=1e-12)
            found.append(torch.stack([(attention.norm(dim=-1) / before).mean(), (mlp.norm(dim=-1) / before).mean()]))
    return torch.stack(found, dim=1)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float32)
