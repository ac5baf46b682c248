"""Seconds by stage of the repair that is under way in this task: metrics measure them, the journal keeps them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Literal

Stage = Literal["queue", "suspects", "first_candidate", "repair"]
STAGES: tuple[Stage, ...] = ("queue", "suspects", "first_candidate", "repair")

_current: ContextVar[dict[Stage, float] | None] = ContextVar("emend_stages", default=None)


def followed() -> dict[Stage, float]:
    """What is measured from now on in this task and in those that it starts, as it comes: seconds since the arrival."""
    found: dict[Stage, float] = {}
    _current.set(found)
    return found


def ended(stage: Stage, seconds: float) -> None:
    """A stage has ended so long after the arrival; where a repair begins anew, the last time counts."""
    found = _current.get()
    if found is not None:
        found[stage] = round(seconds, 4)
