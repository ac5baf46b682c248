"""What a checkpoint is like on clean data: its own quantiles, its location probe and calibration, measured methods.

Stored beside the checkpoint (or its adapter) as `explain_reference.json`; figures only, no code and no text.
"""

from __future__ import annotations

from dataclasses import dataclass

from repair.explain.values import Array, MethodQuality

FILE = "explain_reference.json"
QUANTILES = (0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """A statistic's quantiles over the reference examples; the last axis of `values` is QUANTILES."""

    name: str
    values: Array  # (layers, heads, QUANTILES) for attention, (layers, QUANTILES) for the others


@dataclass(frozen=True, slots=True, eq=False)
class LineProbe:
    """A logistic probe on the state of a line's last token after `layer`: softmax over lines of states @ weight."""

    layer: int
    weight: Array  # (width,)
    no_fault: float  # logit of "no fault"


@dataclass(frozen=True, slots=True)
class LocationCalibration:
    """P = softmax(log pointer * sharpness + probe logit * mix) over lines and "no fault" (shifted by `bias`)."""

    sharpness: float = 1.0
    mix: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Everything measured once for a checkpoint."""

    digest: str  # SHA-256 of weights and adapter: a reference of other weights is refused
    examples: int
    attention: tuple[Bands, ...] = ()  # entropy, first-token mass, same-line mass
    activation: tuple[Bands, ...] = ()  # root mean square, dead share, largest deviation
    mean: Array | None = None  # (layers, inner): of each neuron
    deviation: Array | None = None  # (layers, inner)
    representation: tuple[Bands, ...] = ()  # distance of mean line states from the reference's
    centre: Array | None = None  # (layers + 1, width)
    probe: LineProbe | None = None
    calibration: LocationCalibration | None = None
    quality: tuple[MethodQuality, ...] = ()
