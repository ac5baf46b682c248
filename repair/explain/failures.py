"""Which failures of a part leave the rest of an explanation standing. Knows nothing of torch."""

from __future__ import annotations


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or the CPU, also as the cause of a ModelError."""
    said = str(error).lower()
    named = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
    if named or "out of memory" in said or "t allocate memory" in said:
        return True
    return error.__cause__ is not None and out_of_memory(error.__cause__)
