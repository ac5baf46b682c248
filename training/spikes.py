"""Loss spikes: whether a step's loss and gradient may be used, its batch is left out, or the run must end.

Owns the rule and its memory, a value that a checkpoint keeps so that a resumed run decides alike. Knows no files and
no torch. A spike is measured against the median, which one outlier does not move (the mean would forgive the next).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from training.config import WatchConfig

WINDOW = 50
ENOUGH = 10  # losses before which a median says nothing: the first steps of a run fall steeply


class Verdict(StrEnum):
    """What becomes of a step."""

    KEEP = "keep"
    SKIP = "skip"  # without an update; the batch is saved
    STOP = "stop"  # too many in a row: the run ends with an error


@dataclass(frozen=True, slots=True)
class History:
    """The last good losses, oldest first, and how many bad ones came after them."""

    losses: tuple[float, ...] = ()
    bad: int = 0

    @staticmethod
    def read(saved: Mapping[str, object]) -> History:
        """From what `dataclasses.asdict` and JSON made of one; an empty mapping is a fresh one."""
        losses = cast("Sequence[float]", saved.get("losses", ()))
        return History(tuple(float(loss) for loss in losses), cast(int, saved.get("bad", 0)))


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, why, and the history for the next step."""

    verdict: Verdict
    reason: str
    history: History


def judge(history: History, loss: float, norm: float, watch: WatchConfig) -> Judged:
    """Judge one step by its loss and the norm of its gradients, before it is applied."""
    reason = _fault(history, loss, norm, watch.spike)
    if not reason:
        return Judged(Verdict.KEEP, "", History((*history.losses, loss)[-WINDOW:]))
    bad = history.bad + 1
    verdict = Verdict.STOP if bad >= max(1, watch.skip) else Verdict.SKIP
    return Judged(verdict, reason, History(history.losses, bad))


def _fault(history: History, loss: float, norm: float, factor: float) -> str:
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm):
        return f"the norm of the gradients is {norm}"
    if factor <= 0 or len(history.losses) < ENOUGH:
        return ""
    usual = statistics.median(history.losses)
    if usual > 0 and loss > factor * usual:
        return f"the loss {loss:.4g} is over {factor:g} times the median {usual:.4g} of the last {len(history.losses)}"
    return ""
