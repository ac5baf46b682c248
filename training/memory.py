"""Keeps freed memory in the process: page faults are dear in virtual machines (matmul 361 against 1,091 GFLOP/s).

Owns one call of glibc's `mallopt`. Elsewhere than on glibc it does nothing.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Serve large blocks from the heap and never give it back to the kernel; True when the C library obeyed."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**28))
    answers = [library.mallopt(key, value) for key, value in settings]
    return all(answer == 1 for answer in answers)
