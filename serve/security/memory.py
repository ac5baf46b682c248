"""Keys and sessions in memory: for tests, and for a service that is to forget them. Safe to use from threads."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """A `KeyRow`; times are microseconds since 1970 in UTC."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created: int
    expires: int | None = None
    revoked: bool = False
    last_used: int | None = None
    rate_per_minute: int | None = None
    concurrent: int | None = None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class MemoryKeys:
    """A `KeyStore`."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._rows: dict[str, MemoryKey] = {}
        self._ids: dict[str, str] = {}  # by hash of the token
        self._lock = Lock()

    def create(
        self, name: str, scopes: tuple[str, ...], expires: int | None, rate: int | None, concurrent: int | None
    ) -> tuple[MemoryKey, str]:
        """A new key and its token."""
        identity = secrets.token_hex(8)
        token = f"emend_{identity}_{secrets.token_urlsafe(32)}"
        created = int(self._now() * 1e6)
        row = MemoryKey(identity, name, tuple(scopes), created, expires, rate_per_minute=rate, concurrent=concurrent)
        with self._lock:
            self._rows[identity] = row
            self._ids[_hash(token)] = identity
        return row, token

    def find(self, token: str) -> MemoryKey | None:
        """The key of a token, also a revoked or expired one."""
        with self._lock:
            return self._rows.get(self._ids.get(_hash(token), ""))

    def get(self, id: str) -> MemoryKey | None:  # noqa: A002 - the store's name
        """The key of an id."""
        with self._lock:
            return self._rows.get(id)

    def list(self) -> tuple[MemoryKey, ...]:
        """All keys, oldest first."""
        with self._lock:
            return tuple(self._rows.values())

    def revoke(self, id: str) -> bool:  # noqa: A002
        """Whether there was such a key."""
        with self._lock:
            if id not in self._rows:
                return False
            self._rows[id] = replace(self._rows[id], revoked=True)
            return True

    def touch(self, id: str) -> None:  # noqa: A002
        """It was used now."""
        with self._lock:
            if id in self._rows:
                self._rows[id] = replace(self._rows[id], last_used=int(self._now() * 1e6))

    def any(self) -> bool:
        """Whether there is a key that works."""
        now = self._now() * 1e6
        return any(not row.revoked and (row.expires is None or row.expires > now) for row in self.list())


class MemorySessions:
    """A `SessionStore` over the keys of a MemoryKeys."""

    def __init__(self, keys: MemoryKeys, *, now: Callable[[], float] = time.time) -> None:
        self._keys, self._now = keys, now
        self._sessions: dict[str, tuple[str, float]] = {}
        self._lock = Lock()

    def create(self, key_id: str, seconds: float) -> str:
        """A token that stands for the key for so many seconds."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_hash(token)] = (key_id, self._now() + seconds)
        return token

    def find(self, token: str) -> MemoryKey | None:
        """The key of a session that has not ended."""
        with self._lock:
            key_id, until = self._sessions.get(_hash(token), ("", 0.0))
        return self._keys.get(key_id) if until > self._now() else None

    def drop(self, token: str) -> None:
        """End it."""
        with self._lock:
            self._sessions.pop(_hash(token), None)
