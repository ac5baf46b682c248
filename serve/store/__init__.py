"""The durable store: jobs, keys, sessions, replies, feedback and the journal, on SQLite or PostgreSQL."""

from serve.store.errors import DuplicateError, StoreError
from serve.store.store import Store

__all__ = ["DuplicateError", "Store", "StoreError"]
