"""Who calls: a key or a session becomes a Caller. Owns the order of credentials, their cache and failed attempts.

The store of keys and sessions stands behind two Protocols; it blocks, so it is asked in threads. Knows nothing of
routes and limits. Tokens are never kept: the cache knows them by their SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from starlette.requests import HTTPConnection, cookie_parser

from repair.errors import EmendError
from serve.problems import LimitError, UnauthorizedError
from serve.security.attempts import Attempts
from serve.settings import Settings
from serve.store.keys import KeyRow
from serve.wire_jobs import Scope

SESSION_SECONDS = 12 * 3600.0
CACHE_SECONDS = 3.0  # a revoked key works no longer than this
_TOUCH_SECONDS = 60.0  # between two notes that a key was used
_CACHED = 4096  # credentials
_KNOWN_SECONDS = 3600.0  # for so long a key that was valid may be tried in spite of others' failures
_TOKEN = re.compile(r"emend_[A-Za-z0-9]{1,64}_[A-Za-z0-9_\-]{8,200}")
_NOBODY = "emend_0000000000000000_000000000000000000000000000000000000000000"  # asked for in place of malformed keys
_CSRF = b"emend csrf 1"


class KeyStore(Protocol):
    """What we need of the keys in the store (`serve.store`, `serve.security.memory`). All methods block."""

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        expires: int | None = None,
        rate: int | None = None,
        concurrent: int | None = None,
    ) -> tuple[KeyRow, str]:
        """A new key and its token, which is never told again."""
        ...

    def find(self, token: str) -> KeyRow | None:
        """The key of a token, None for a wrong one; a revoked or expired one may be given or not."""
        ...

    def list(self) -> tuple[KeyRow, ...]:
        """All keys, oldest first."""
        ...

    def revoke(self, key_id: str) -> bool:
        """Whether there was such a key that was not revoked."""
        ...

    def touch(self, key_id: str) -> None:
        """It was used now."""
        ...


class SessionStore(Protocol):
    """What we need of the sessions in the store. All methods block."""

    def create(self, key_id: str, seconds: float) -> str:
        """A token that stands for the key for so many seconds."""
        ...

    def find(self, token: str) -> KeyRow | None:
        """The key of a session that has not ended."""
        ...

    def drop(self, token: str) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and how much it may ask for; None: without a limit."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    rate_per_minute: int | None = None
    concurrent: int | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it holds a scope; admin holds all."""
        return scope in self.scopes or "admin" in self.scopes


LOCAL = Caller("local", "local", ("admin",))  # everyone, where auth is off: only on loopback
SCRAPER = Caller("metrics", "metrics", ("metrics",))  # who holds settings.metrics_token


def caller_of(connection: HTTPConnection) -> Caller:
    """Who calls. Raises UnauthorizedError on a route that is open to all."""
    caller = getattr(connection.state, "caller", None)
    if caller is None:
        raise UnauthorizedError
    return cast(Caller, caller)


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, and the session token by which it came ("" where it showed a key)."""

    caller: Caller
    session: str = ""

    @property
    def csrf(self) -> str:
        """What a page must send as X-CSRF-Token; derived from the session token, so it needs no place of its own."""
        return csrf_token(self.session) if self.session else ""


def csrf_token(session: str) -> str:
    """HMAC-SHA256 of a session token, in hexadecimal."""
    return hmac.new(session.encode("utf-8", "replace"), _CSRF, hashlib.sha256).hexdigest()


@dataclass(slots=True)
class _Cached:
    row: KeyRow | None
    until: float
    good_at: float  # when it was last valid, 0 never


class Authority:
    """Resolves credentials to callers."""

    def __init__(
        self,
        store_keys: KeyStore,
        store_sessions: SessionStore,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`clock` counts seconds for caches, `now` gives seconds since 1970 for expiry."""
        self.keys = store_keys
        self.sessions = store_sessions
        self.settings = settings
        self.attempts = Attempts(clock=clock)
        self.clock, self._now = clock, now
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()
        self._touched: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def secure(self) -> bool:
        """Whether pages come by https, so that cookies must."""
        return self.settings.public_url.lower().startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the session cookie. `__Host-` makes browsers refuse one that another host has set."""
        return "__Host-emend_session" if self.secure else "emend_session"

    async def identify(self, headers: Mapping[str, str], address: str) -> Identity | None:
        """Who a request's headers (names in lower case) say it is; None without any credential.

        Raises UnauthorizedError for a credential that is not valid, LimitError after too many of them, StoreError.
        """
        if self.settings.auth == "off":
            return Identity(LOCAL)
        shown = headers.get("authorization")
        if shown is not None:
            scheme, _, token = shown.partition(" ")
            return Identity(await self.check_key(token.strip() if scheme.lower() == "bearer" else "", address))
        session = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        if not session:
            return None
        row = await self._row(b"s", session, address, self.sessions.find)
        return Identity(self._caller(row), session)

    async def check_key(self, token: str, address: str) -> Caller:
        """The caller of a key. Raises UnauthorizedError, LimitError, StoreError."""
        expected = self.settings.metrics_token
        if expected and hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode()):
            return SCRAPER
        formed = token if _TOKEN.fullmatch(token) else _NOBODY  # asks the store as well: nobody learns by the time
        return self._caller(await self._row(b"k", formed, address, self.keys.find))

    async def login(self, token: str, address: str) -> str:
        """A session for a key. Raises as `check_key`; the metrics token opens none."""
        caller = await self.check_key(token, address)
        if caller is SCRAPER:
            raise UnauthorizedError
        return await asyncio.to_thread(self.sessions.create, caller.key_id, SESSION_SECONDS)

    async def logout(self, session: str) -> None:
        """End a session now."""
        await asyncio.to_thread(self.sessions.drop, session)
        self._cache.pop(_digest(b"s", session), None)

    def forget(self) -> None:
        """Ask the store again for every credential, because a key was just revoked."""
        for entry in self._cache.values():
            entry.until = 0.0

    async def _row(self, kind: bytes, token: str, address: str, find: Callable[[str], KeyRow | None]) -> KeyRow:
        digest, clock = _digest(kind, token), self.clock()
        entry = self._cache.get(digest)
        known = entry is not None and 0 < clock - entry.good_at < _KNOWN_SECONDS
        if entry is None or entry.until <= clock:
            if not known and (wait := self.attempts.wait(address)) > 0:
                raise LimitError("too many wrong keys came from this address", retry_after=wait)
            entry = await self._asked(digest, token, find, entry)
        row = entry.row
        if row is None or row.revoked is not None or self._expired(row):
            if wait := self.attempts.failed(address):
                raise LimitError("too many wrong keys came from this address", retry_after=wait)
            raise UnauthorizedError
        entry.good_at = clock
        self._touch(row.id, clock)
        return row

    async def _asked(
        self, digest: bytes, token: str, find: Callable[[str], KeyRow | None], old: _Cached | None
    ) -> _Cached:
        begun = self.clock()
        row = await asyncio.to_thread(find, token)
        entry = _Cached(row, begun + CACHE_SECONDS, old.good_at if old else 0.0)
        self._cache[digest] = entry
        self._cache.move_to_end(digest)
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return entry

    def _expired(self, row: KeyRow) -> bool:
        return row.expires is not None and row.expires <= self._now() * 1e6

    def _caller(self, row: KeyRow) -> Caller:
        settings = self.settings
        scopes = cast("tuple[Scope, ...]", tuple(row.scopes))
        rate = row.rate or settings.rate_per_minute
        return Caller(row.id, row.name, scopes, rate, row.concurrent or settings.concurrent_per_key)

    def _touch(self, key_id: str, clock: float) -> None:
        """Note the use of a key, at most once a minute, without anybody waiting for it."""
        if clock - self._touched.get(key_id, -_TOUCH_SECONDS) < _TOUCH_SECONDS:
            return
        self._touched[key_id] = clock
        task = asyncio.get_running_loop().create_task(self._touch_in_thread(key_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _touch_in_thread(self, key_id: str) -> None:
        try:
            await asyncio.to_thread(self.keys.touch, key_id)
        except EmendError:
            self._touched.pop(key_id, None)  # a store that does not answer fails requests by itself


def _digest(kind: bytes, token: str) -> bytes:
    return hashlib.sha256(kind + token.encode("utf-8", "replace")).digest()
