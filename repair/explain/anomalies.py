"""Alarms: a network's vital signs on a few programs outside of its own quantiles on clean data.

The median over the views is compared, with a margin beyond the outermost quantiles: one odd program is no alarm, a
broken head, layer, neuron or embedding shows in every one of them. First-token mass is normal where it always was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from repair.errors import InputError
from repair.explain.values import Alarm, AlarmKind, Array
from repair.explain.vitals import ACTIVATION, ATTENTION, REPRESENTATION, Vitals, deviations, distance, vitals

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.explain.reference import Bands, Reference
    from repair.views import View

MARGIN = 0.5  # of the distance from the median to the outermost quantile
_FEW = 3  # views; below, the margin is twice as wide
# Shares: where none was ever dead, one neuron on a short program is no alarm; nor is a hundredth of a head's mass.
_ROOM = {ACTIVATION[1]: 0.02, ATTENTION[1]: 0.02, ATTENTION[2]: 0.02}
_TENTH = 0.1  # a positive statistic this far below all that was seen is outside whatever the margin


def alarms(glass: Glass, views: Sequence[View], reference: Reference) -> tuple[Alarm, ...]:
    """What looks unlike the model's past on `views`, the farthest outside first; none for a healthy model.

    Three views or more are advised. The reference may be of other weights of the same shape (a doctored copy is
    checked against the original's). Raises InputError without views, or for a reference of another shape or
    without quantiles, ModelError when the model fails.
    """
    if not views:
        raise InputError("no program to read: give at least one, better three", field="cases")
    if not reference.attention or reference.mean is None or reference.deviation is None or reference.centre is None:
        raise InputError(
            "the reference has no quantiles: make it again with `emend model reference`", field="reference"
        )
    shape = (len(glass.layers), glass.heads)
    if reference.attention[0].values.shape[:2] != shape or reference.centre.shape[1] != glass.width:
        raise InputError(f"the reference is of a model with other layers or heads than {glass.name}", field="reference")
    found = [vitals(glass, view) for view in views]
    return judged(found, reference)


def judged(found: Sequence[Vitals], reference: Reference) -> tuple[Alarm, ...]:
    """The alarms of vital signs that were measured already; see `alarms`."""
    margin = MARGIN if len(found) >= _FEW else 2 * MARGIN
    outside = sorted(_outside(found, reference, margin), key=lambda pair: (-pair[0], str(pair[1])))
    return tuple(alarm for _, alarm in outside)


def limits(bands: Bands, margin: float = MARGIN) -> tuple[Array, Array]:
    """Lower and upper limit of a statistic, each (layers, heads) or (layers,)."""
    low, middle, high = bands.values[..., 0], bands.values[..., 3], bands.values[..., -1]
    lower = low - margin * (middle - low)
    upper = high + margin * (high - middle) + _ROOM.get(bands.name, 0.0)
    lower = np.where(low > 0, np.maximum(lower, _TENTH * low), lower)
    return lower.astype(np.float32), upper.astype(np.float32)


def _outside(found: Sequence[Vitals], reference: Reference, margin: float) -> Iterator[tuple[float, Alarm]]:
    attention = np.median([one.attention for one in found], axis=0)
    for bands in reference.attention:
        values = attention[ATTENTION.index(bands.name)]
        yield from _each(AlarmKind.ATTENTION, bands, values, margin)
    assert reference.mean is not None and reference.deviation is not None and reference.centre is not None
    each = np.stack([deviations(one, reference.mean, reference.deviation) for one in found])
    apart, largest = np.median(each, axis=0), np.median(each.max(axis=2), axis=0)
    activation = (np.median([v.rms for v in found], axis=0), np.median([v.dead for v in found], axis=0), largest)
    for bands in reference.activation:
        values = activation[ACTIVATION.index(bands.name)]
        neurons = apart.argmax(axis=1) if bands.name == ACTIVATION[2] else None
        yield from _each(AlarmKind.ACTIVATION, bands, values, margin, neurons)
    updates = np.median([one.updates for one in found], axis=0)
    away = np.median([distance(one, reference.centre) for one in found], axis=0)
    representation = (away, updates[0], updates[1])
    for bands in reference.representation:
        yield from _each(AlarmKind.REPRESENTATION, bands, representation[REPRESENTATION.index(bands.name)], margin)


def _each(
    kind: AlarmKind, bands: Bands, values: Array, margin: float, neurons: Array | None = None
) -> Iterator[tuple[float, Alarm]]:
    """How far outside, in widths of what is allowed, and the alarm."""
    lower, upper = limits(bands, margin)
    places: list[list[int]] = np.argwhere((values < lower) | (values > upper) | ~np.isfinite(values)).tolist()
    for place in places:
        at = (place[0], *place[1:])
        value, low, high = float(values[at]), float(lower[at]), float(upper[at])
        far = max(low - value, value - high) / max(high - low, 1e-9)
        head = at[1] if len(at) > 1 else None
        neuron = None if neurons is None else int(neurons[at[0]])
        yield far if np.isfinite(far) else np.inf, Alarm(kind, bands.name, at[0], head, neuron, value, low, high)
