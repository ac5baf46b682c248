"""Completion and Candidate: what a model (or an operator) proposed, as text and as a patch."""

from __future__ import annotations

from dataclasses import dataclass

from repair.edits import Patch


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's raw answer. `logprob` is the natural log-probability of the text, None when unknown."""

    text: str
    tokens: int = 0
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patch that could repair the defect. `score` orders candidates (higher is judged earlier).

    `origin` says where it came from: "model:divergence", "model:sample", "mutation:OPERATOR", ...
    """

    patch: Patch
    origin: str
    score: float = 0.0
    logprob: float | None = None
    completion: Completion | None = None
