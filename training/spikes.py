"""Bad steps: a loss or gradients that are not finite, or a loss far above the recent ones. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MEMORY = 50  # losses that the next one is measured against
_ENOUGH = 10  # of them before a loss can be called a spike


def judge(losses: Sequence[float], loss: float, norm: float, factor: float) -> str | None:
    """Why the step should not be taken, None when it is sound. `factor` 0 calls no finite loss a spike.

    The median of the recent losses is the measure: one spike that was let through does not hide the next.
    """
    if not (math.isfinite(loss) and math.isfinite(norm)):
        return f"loss {loss:g}, gradient norm {norm:g}"
    if factor > 0 and len(losses) >= _ENOUGH and loss > factor * statistics.median(losses[-MEMORY:]):
        return (
            f"loss {loss:.3g} is more than {factor:g} times the recent median {statistics.median(losses[-MEMORY:]):.3g}"
        )
    return None
