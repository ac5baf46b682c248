"""One explanation, composed: what is asked for is computed part by part, what fails is said and left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repair.explain.values import Explanation, Interventions, Method, Part, Subject, Target

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.explain.reference import Reference
    from repair.model import Model

DEFAULT = frozenset({Part.WHERE, Part.EVIDENCE, Part.TOKENS, Part.ATTENTION, Part.ACTIVATIONS, Part.LENS})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to explain and how. `seconds` bounds the perturbations, which are many; the rest is a few passes."""

    parts: frozenset[Part] = DEFAULT
    methods: tuple[Method, ...] = (Method.ABLATION, Method.GRADIENT)
    target: Target = field(default_factory=Target)
    layer: int | None = None  # of the attention matrix; None: mean
    head: int | None = None
    interventions: Interventions = field(default_factory=Interventions)
    seconds: float = 20.0
    proposals: int = 5  # candidates of a live comparison
    seed: int = 0


def explain(
    subject: Subject,
    *,
    model: Model,
    glass: Glass | None = None,
    reference: Reference | None = None,
    wanted: Wanted | None = None,
) -> Explanation:
    """Explain a change. Without a glass (a model server) only what log-probabilities and perturbation give.

    Raises ModelError when the model itself fails, InputError for a change or intervention that does not fit.
    """
    raise NotImplementedError(subject, model, glass, reference, wanted)
