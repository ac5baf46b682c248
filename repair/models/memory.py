"""Memory of a process that computes for long: how little its libraries may keep, and what the allocator gives back."""

from __future__ import annotations

import ctypes
import os

_KERNELS = "64"


def bound_kernels() -> None:
    """Let torch's CPU libraries remember few of the kernels that they make for every new shape.

    Windows and batches have ever other lengths, so the default of 1,024 of each grows a process by half a gigabyte
    over a dozen files, and few are used again. They read the variables at their first use; what the user sets stays.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KERNELS)


def give_back() -> None:
    """Return what was freed to the system, where the C library can (glibc).

    Tensors of ever other sizes, from several threads, leave holes that glibc keeps: a third of the resident set.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
