"""API keys: made, found, revoked. Only the hash of a key's secret is kept, so a stolen database opens nothing.

The secret has 256 random bits, so one SHA-256 without salt is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, RowMapping, exists, or_, select, update

from serve.store.database import Database
from serve.store.tables import SECOND, keys

_PREFIX = "emend"
_TOUCH = 60 * SECOND
_NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key without its secret. Times are microseconds since 1970; `rate` is requests per minute (None: default)."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created: int
    expires: int | None = None
    revoked: int | None = None
    last_used: int | None = None
    rate: int | None = None
    concurrent: int | None = None


class Keys:
    """The keys of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        expires: int | None = None,
        rate: int | None = None,
        concurrent: int | None = None,
    ) -> tuple[KeyRow, str]:  # fmt: skip
        """A new key and its token `emend_<id>_<secret>`, which cannot be had again. `expires`: microseconds."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        values: dict[str, Any] = {
            "id": key_id, "hash": digest(secret), "name": name, "scopes": " ".join(scopes),
            "expires": expires, "rate": rate, "concurrent": concurrent,
        }  # fmt: skip
        insert = self._database.insert(keys).on_conflict_do_nothing()
        created = self._database.write(lambda c, now: (c.execute(insert, {**values, "created": now}), now)[1])
        row = KeyRow(key_id, name, tuple(scopes), created, expires, rate=rate, concurrent=concurrent)
        return row, f"{_PREFIX}_{key_id}_{secret}"

    def find(self, token: str) -> KeyRow | None:
        """The key of a token; None for one that is wrong, revoked or expired."""
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        query = select(keys).where(keys.c.id == key_id)
        row, now = self._database.read(lambda c: (c.execute(query).mappings().one_or_none(), self._database.now(c)))
        known = _NO_HASH if row is None else str(row["hash"])
        right = hmac.compare_digest(digest(secret), known)
        if row is None or not right or prefix != _PREFIX or not secret:
            return None
        return valid(key_row(row), now)

    def list(self) -> tuple[KeyRow, ...]:
        """All keys, revoked ones too, oldest first."""
        query = select(keys).order_by(keys.c.created, keys.c.id)
        return tuple(key_row(row) for row in self._database.read(lambda c: c.execute(query).mappings().all()))

    def revoke(self, key_id: str) -> bool:
        """End a key, at once and for good. False where there is no such key that is not revoked."""
        change = update(keys).where(keys.c.id == key_id, keys.c.revoked.is_(None)).returning(keys.c.id)
        done: Row[Any] | None = self._database.write(
            lambda c, now: c.execute(change.values(revoked=now)).one_or_none(), durable=True
        )
        return done is not None

    def touch(self, key_id: str) -> None:
        """Note that a key was used; written once a minute at most."""
        query = select(keys.c.last_used).where(keys.c.id == key_id)
        last, now = self._database.read(lambda c: (c.execute(query).scalar_one_or_none(), self._database.now(c)))
        if last is not None and now - int(last) < _TOUCH:
            return
        stale = or_(keys.c.last_used.is_(None), keys.c.last_used <= now - _TOUCH)
        change = update(keys).where(keys.c.id == key_id, stale).values(last_used=now)
        self._database.write(lambda c, _: c.execute(change))

    def any(self) -> bool:
        """Whether a key was ever made."""
        return bool(self._database.read(lambda c: c.execute(select(exists(select(keys.c.id)))).scalar_one()))


def digest(secret: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def key_row(row: RowMapping) -> KeyRow:
    """A row of `keys`."""
    fields = {name: row[name] for name in KeyRow.__dataclass_fields__ if name != "scopes"}
    return KeyRow(scopes=tuple(str(row["scopes"]).split()), **fields)


def valid(key: KeyRow, now: int) -> KeyRow | None:
    """The key, if it may still be used."""
    return None if key.revoked is not None or (key.expires is not None and key.expires <= now) else key
