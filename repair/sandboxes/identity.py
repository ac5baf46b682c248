"""A user id for one sandbox alone, for when we are root. Knows nothing of how it is put on."""

from __future__ import annotations

import random
from pathlib import Path

from repair.errors import SandboxError

_RESERVED_BELOW = 61_184  # people, services, and the range that systemd hands out dynamically


def throwaway_uid() -> int:
    """A uid nobody else has, so that RLIMIT_NPROC, which counts by uid, counts one sandbox only.

    Drawn from the upper half of what our own user namespace maps. Raises SandboxError where that is too little.
    """
    first, count = 0, 0
    for line in Path("/proc/self/uid_map").read_text("ascii").splitlines():
        start, _, length = (int(word) for word in line.split())
        if length > count:
            first, count = start, length
    high = min(first + count, 2**31) - 2
    low = max(first, high // 2, _RESERVED_BELOW)
    if high <= low:
        raise SandboxError("this container maps too few user ids to drop privileges; run Emend as an ordinary user")
    return random.SystemRandom().randrange(low, high)
