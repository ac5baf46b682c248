"""How much a key may ask for: a token bucket for the rate, a count for what runs at a time. Knows no requests.

The bucket holds a minute's worth and is refilled evenly (the leaky bucket as a meter, ITU-T I.371); the headers follow
draft-ietf-httpapi-ratelimit-headers-03.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from serve.problems import LimitError
from serve.security.callers import Caller

_KEYS = 100_000  # buckets kept; a full one may be forgotten
_CONCURRENT_RETRY = 1.0  # seconds; when a place gets free cannot be known


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a key: requests of the minute, and seconds until its bucket is full."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """As RateLimit-* headers."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class RateError(LimitError):
    """A key's bucket is empty."""

    def __init__(self, message: str, *, retry_after: float, allowance: Allowance) -> None:
        super().__init__(message, retry_after=retry_after)
        self.allowance = allowance


class Quotas:
    """Rates and counts of all keys. Used from the event loop only."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._running: dict[str, int] = {}

    def running(self, key_id: str) -> int:
        """How many requests of a key are in work."""
        return self._running.get(key_id, 0)

    def take(self, caller: Caller) -> Allowance | None:
        """Count a request; None for a caller without a rate. Raises RateError."""
        rate = caller.rate_per_minute
        if rate is None:
            return None
        bucket, clock = self._bucket(caller.key_id, rate), self._clock()
        bucket.tokens = min(float(rate), bucket.tokens + (clock - bucket.at) * rate / 60)
        bucket.at = clock
        if bucket.tokens < 1:
            wait = (1 - bucket.tokens) * 60 / rate
            raise RateError(
                f"this key may ask {rate} times a minute", retry_after=wait, allowance=_allowance(rate, bucket)
            )
        bucket.tokens -= 1
        return _allowance(rate, bucket)

    def enter(self, caller: Caller) -> None:
        """Take a place; each must be given back by `leave`. Raises LimitError when the key has all of its own."""
        running = self.running(caller.key_id)
        if caller.concurrent is not None and running >= caller.concurrent:
            raise LimitError(
                f"this key may have {caller.concurrent} requests in work at a time", retry_after=_CONCURRENT_RETRY
            )
        self._running[caller.key_id] = running + 1

    def leave(self, caller: Caller) -> None:
        """Give a place back."""
        left = self.running(caller.key_id) - 1
        if left > 0:
            self._running[caller.key_id] = left
        else:
            self._running.pop(caller.key_id, None)

    def _bucket(self, key_id: str, rate: int) -> _Bucket:
        bucket = self._buckets.setdefault(key_id, _Bucket(float(rate), self._clock()))
        self._buckets.move_to_end(key_id)
        while len(self._buckets) > _KEYS:
            self._buckets.popitem(last=False)
        return bucket


def _allowance(rate: int, bucket: _Bucket) -> Allowance:
    return Allowance(rate, int(bucket.tokens), math.ceil((rate - bucket.tokens) * 60 / rate))
