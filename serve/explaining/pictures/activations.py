"""Neurons: how strongly each layer fires at each line, how values are spread, which neurons stand out or are dead."""

from __future__ import annotations

import math

import numpy as np

from repair.explain.values import ActivationMap
from serve.explaining.pictures.marks import (
    figure,
    grid,
    label,
    listed,
    number,
    percent,
    rect,
    share_bar,
    signed,
    size,
    svg,
    table,
    tag,
    text,
)


def strips(found: ActivationMap) -> str:
    """A strip a layer over the units, each in shares of the layer's own peak."""
    peaks = found.strength.max(axis=1, keepdims=True) if found.strength.size else found.strength
    values = (found.strength / (peaks + 1e-12)).astype(np.float32)
    rows = [f"layer {n}" for n in range(values.shape[0])]
    many = len(found.units) > 60
    strongest = (
        f"{name}: most at {found.units[int(found.strength[n].argmax())].label} ({number(float(peaks[n, 0]))})"
        for n, name in enumerate(rows)
    )
    told = list(strongest) if found.strength.size else []
    return figure(
        "How strongly each layer fires at each unit",
        grid(
            "strips", values, rows, [tag(u) for u in found.units], ("Strength by layer and unit", "; ".join(told[:6])),
            cell=(6, 16) if many else (15, 16), largest=1.0,
        ),
        "Root mean square of the inputs of `mlp.down_proj`, each layer in shares of its own largest. Strong does not "
        "mean important, and layers differ in scale.",
        listed(text(one) for one in told),
    )  # fmt: skip


def histogram(found: ActivationMap) -> str:
    """All values of all layers, logarithmic, with the outliers where they lie."""
    share = found.histogram.mean(axis=0) if found.histogram.size else found.histogram.reshape(-1)
    bins = len(share)
    low, high = (float(found.edges[0]), float(found.edges[-1])) if len(found.edges) else (0.0, 1.0)
    wide, tall, left, floor = max(320, 8 * bins), 120, 10, 1e-6
    step = wide / max(bins, 1)
    parts: list[str] = []
    for n, one in enumerate(float(v) for v in share):
        height = tall * max(math.log10(max(one, floor) / floor), 0.0) / 6 if math.isfinite(one) else 0.0
        said = f"{number(float(found.edges[n]))} to {number(float(found.edges[n + 1]))}: {number(one)} of all values"
        parts.append(rect(left + n * step, 20 + tall - height, (step - 1, height), "f", 1.0, said))
    for one in found.outliers[:30]:
        if not math.isfinite(one.value):
            continue
        x = left + wide * min(max((one.value - low) / ((high - low) or 1.0), 0.0), 1.0)
        said = f"layer {one.layer}, neuron {one.neuron}: {number(one.value)}, {signed(one.deviations)} deviations"
        parts.append(f'<circle class="a" cx="{x:g}" cy="12" r="5"><title>{text(said)}</title></circle>')
    parts += [
        f'<path class="axis" d="M{left} {20 + tall}H{left + wide:g}"/>',
        label(left, tall + 36, number(low)), label(left + wide, tall + 36, number(high), end=True),
    ]  # fmt: skip
    box = wide + 2 * left, tall + 42
    said = f"{bins} bins from {number(low)} to {number(high)}, {len(found.outliers)} outliers"
    rows = [
        (
            str(one.layer), str(one.neuron), number(one.value), signed(one.deviations),
            text(one.unit.label) if one.unit else "–",
        )
        for one in found.outliers[:30]
    ]  # fmt: skip
    head = ("layer", "neuron", "#value", "#deviations", "fires at")
    told = table(head, rows, "Outliers") if rows else "<p>No neuron stands out.</p>"
    return figure(
        "How activations are spread, and which neurons stand out",
        svg("histogram", box, ("Histogram of activations with outliers", said), "".join(parts)),
        "Bars: share of values on a logarithmic scale, all layers together. Dots: neurons far from what they usually "
        "do, those beyond the scale at its ends. An outlier is unusual, which is not the same as wrong.",
        told,
    )


def dead_share(found: ActivationMap) -> str:
    """How many neurons of each layer never fire here."""
    most = size(float(v) for v in found.dead)
    rows = [
        (f"layer {n}", share_bar(float(one), 160, "a"), percent(float(one)))
        for n, one in enumerate(float(v) for v in found.dead)
    ]
    return figure(
        "Neurons that stay silent",
        table(("layer", "share", "#silent"), rows),
        "Share of neurons below a thousandth of their layer's largest value on every token of this prompt. Silent here "
        f"does not mean useless elsewhere. Largest: {percent(most)}.",
    )
