"""Keys and sessions in memory: for tests, and for a service that is to forget them. Safe to use from threads."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

from serve.store.keys import KeyRow


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class MemoryKeys:
    """A `KeyStore`."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._rows: dict[str, KeyRow] = {}
        self._ids: dict[str, str] = {}  # by hash of the token
        self._lock = Lock()

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        expires: int | None = None,
        rate: int | None = None,
        concurrent: int | None = None,
    ) -> tuple[KeyRow, str]:
        """A new key and its token."""
        identity = secrets.token_hex(8)
        token = f"emend_{identity}_{secrets.token_urlsafe(32)}"
        created = int(self._now() * 1e6)
        row = KeyRow(identity, name, tuple(scopes), created, expires, rate=rate, concurrent=concurrent)
        with self._lock:
            self._rows[identity] = row
            self._ids[_hash(token)] = identity
        return row, token

    def find(self, token: str) -> KeyRow | None:
        """The key of a token, also a revoked or expired one."""
        with self._lock:
            return self._rows.get(self._ids.get(_hash(token), ""))

    def get(self, key_id: str) -> KeyRow | None:
        """The key of an id."""
        with self._lock:
            return self._rows.get(key_id)

    def list(self) -> tuple[KeyRow, ...]:
        """All keys, oldest first."""
        with self._lock:
            return tuple(self._rows.values())

    def revoke(self, key_id: str) -> bool:
        """Whether there was such a key that was not revoked."""
        with self._lock:
            row = self._rows.get(key_id)
            if row is None or row.revoked is not None:
                return False
            self._rows[key_id] = replace(row, revoked=int(self._now() * 1e6))
            return True

    def touch(self, key_id: str) -> None:
        """It was used now."""
        with self._lock:
            if key_id in self._rows:
                self._rows[key_id] = replace(self._rows[key_id], last_used=int(self._now() * 1e6))

    def any(self) -> bool:
        """Whether a key was ever made."""
        return bool(self.list())


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

    def find(self, token: str) -> KeyRow | None:
        """The key of a session that has not ended."""
        with self._lock:
            key_id, until = self._sessions.get(_hash(token), ("", 0.0))
        return self._keys.get(key_id) if until > self._now() else None

    def drop(self, token: str) -> None:
        """End it."""
        with self._lock:
            self._sessions.pop(_hash(token), None)
