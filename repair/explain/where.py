"""Where: the lines that a model suspects, by its own pointer, by the probe on line states, and calibrated together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repair.errors import ModelError
from repair.explain.values import Array, LineProbability, LocationMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repair.explain.glass import Glass
    from repair.explain.reference import LineProbe, LocationCalibration, Reference
    from repair.model import LineBelief, Model
    from repair.views import View

_LEAST = 1e-9  # as `probe.examined`: what was fitted must be computed likewise


def location_map(
    model: Model, view: View, *, glass: Glass | None = None, reference: Reference | None = None
) -> LocationMap:
    """Where the fault is believed to be, line by line; everything sums to 1 with `no_fault`.

    With a glass of the same weights and a reference that has a probe, the probe is asked too. Calibrated where the
    reference can do it: jointly with the probe, else the pointer alone; without one the pointer is shown as it is.
    A model that gives no probabilities is answered by the probe alone, not calibrated, if there is one. Raises
    ModelError when the model fails, or when neither it nor a probe can say anything.
    """
    belief = model.locate(view)
    lines = tuple(range(view.first_line, view.last_line + 1))
    probe = reference.probe if reference is not None else None
    logits = _probe_logits(glass, view, probe) if glass is not None and probe is not None else None
    if belief is None and logits is None:
        raise ModelError(f"{model.name} gives no probabilities of lines: ask a model that does")
    pointer = None if belief is None else _chances(belief, lines)
    own = (
        None if logits is None else np.array([*(logits[0].get(n, -np.inf) for n in lines), logits[1]], dtype=np.float32)
    )
    found, calibrated = _combined(pointer, own, reference)
    guesses = None if own is None else _softmax(own)
    return LocationMap(
        tuple(
            LineProbability(
                line,
                None if pointer is None else float(pointer[at]),
                None if guesses is None else float(guesses[at]),
                float(found[at]),
            )
            for at, line in enumerate(lines)
        ),
        float(found[-1]),
        calibrated,
    )


def _probe_logits(glass: Glass, view: View, probe: LineProbe) -> tuple[Mapping[int, float], float]:
    """The probe's logit of each line that the prompt shows, and that of "no fault"."""
    import torch

    from repair.explain.glass import Watch
    from repair.explain.passages import passage
    from repair.explain.vitals import line_ends

    read = passage(glass.local().answers, view, None)
    hidden = glass.run(read.ids, Watch(hidden=True)).hidden
    ends = line_ends(read)
    states = hidden[probe.layer][torch.tensor([end for _, end in ends], device=glass.device)]
    scores: list[float] = (states.float().cpu() @ torch.from_numpy(probe.weight)).tolist()
    return dict(zip((line for line, _ in ends), scores, strict=True)), probe.no_fault


def _chances(belief: LineBelief, lines: tuple[int, ...]) -> Array:
    return np.array([*(belief.lines.get(n, 0.0) for n in lines), belief.no_fault], dtype=np.float32)


def _combined(pointer: Array | None, probe: Array | None, reference: Reference | None) -> tuple[Array, bool]:
    """Probabilities of lines and "no fault", and whether they are calibrated."""
    if pointer is None:
        assert probe is not None
        return _softmax(probe), False
    joint = reference.calibration if reference is not None and probe is not None else None
    alone = reference.pointer if reference is not None else None
    if joint is not None and probe is not None:
        return _softmax(_logits(pointer, joint) + (probe * joint.mix).astype(np.float32)), True
    if alone is not None:
        return _softmax(_logits(pointer, alone)), True
    return pointer, False


def _logits(pointer: Array, calibration: LocationCalibration) -> Array:
    found = calibration.sharpness * np.log(np.maximum(pointer, _LEAST))
    found[-1] += calibration.bias
    return found.astype(np.float32)


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return (shifted / shifted.sum()).astype(np.float32)
