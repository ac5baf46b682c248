"""Times of the store for the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(microseconds: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    at = _EPOCH + timedelta(microseconds=microseconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
