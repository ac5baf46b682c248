"""The Protocol of a repair model. Implementations: `models/local.py`, `models/chat.py`, `models/scripted.py`.

A model reads a View and answers in three ways; those it cannot give are None or empty, never invented.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from repair.candidates import Completion
from repair.views import Hunk, View


@dataclass(frozen=True, slots=True)
class LineBelief:
    """P(the fault's first line = n) for lines of the view, and P(no fault). Sums to 1."""

    lines: Mapping[int, float]
    no_fault: float = 0.0


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to propose. `lines` are where to look, with the weight of each (sums to 1)."""

    lines: Mapping[int, float] = field(default_factory=dict[int, float])
    candidates: int = 64
    temperature: float = 0.8
    samples: float = 0.25  # share of the candidates drawn by sampling rather than enumeration
    max_tokens: int = 96
    seed: int = 0
    top_p: float = 1.0  # samples are drawn among the likeliest tokens of this mass
    beams: int = 0  # width of a beam search that stands in the place of all else; 0: none


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model has read and written since it was loaded."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Model(Protocol):
    """A repair model. Every method raises ModelError when the model itself fails."""

    @property
    def name(self) -> str:
        """For reports: the directory, hub id or server and model name."""
        ...

    @property
    def usage(self) -> Usage:
        """Tokens so far, monotone."""
        ...

    def locate(self, view: View) -> LineBelief | None:
        """Where the fault is; None when this model gives no probabilities."""
        ...

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """Answers in the reply format of `replies.py`, likeliest first as far as it can tell."""
        ...

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        """Log P(change | view) of each, natural log, location included; None when it cannot."""
        ...
