"""What goes wrong with the store, in sentences that say what to do. A URL's password is in none of them."""

from __future__ import annotations

from repair.errors import BoundaryError, InputError


class StoreError(BoundaryError):
    """The database is missing, unreachable, full, locked, damaged or of a newer Emend."""


class DuplicateError(InputError):
    """An idempotency key that was used for another body."""

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: it was used for another job; take a new key, or send the same body",
            field="Idempotency-Key",
        )
