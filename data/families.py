"""Duplicate records: equal pairs, the same change of the same function again, copies of functions elsewhere.

A family is one function of one repository: it may have several faults, and versions over time, which is no
duplication. Owns that rule; what is alike is `data.dedup`'s.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from data.dedup import Seen
from data.records import Origin, Record
from repair.errors import PatchError

_TOKEN = re.compile(r"\w+|[^\w\s]")
_MADE = (Origin.MUTANT, Origin.REWRITE, Origin.ADVERSARIAL)  # several faults of one function may well be alike


def _digest(*texts: str) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for text in texts:
        whole.update(" ".join(_TOKEN.findall(text)).encode("utf-8", "surrogatepass") + b"\0")
    return whole.digest()


def _change(record: Record) -> bytes:
    """Equal for the same change on another version of the function (a backport)."""
    lines = record.buggy.split("\n")
    try:
        hunks = record.hunks
    except PatchError:
        return _digest(record.buggy, record.fixed)
    parts = [part for h in hunks for part in ("\n".join(lines[h.first - 1 : h.last]), h.text)]
    return _digest(record.repository, record.path, record.function, str(record.accepted), *parts)


@dataclass(slots=True)
class Families:
    """Records met so far, in order."""

    _pairs: set[bytes] = field(default_factory=set[bytes])
    _changes: set[bytes] = field(default_factory=set[bytes])
    _first: dict[tuple[str, str, str], str] = field(default_factory=dict[tuple[str, str, str], str])
    _seen: Seen = field(default_factory=Seen)

    def reason(self, record: Record) -> str:
        """Why a record is left out, "" when it is new; remembers it."""
        pair = _digest(record.language, record.buggy, record.fixed, str(record.accepted))
        if pair in self._pairs:
            return "exact duplicate"
        self._pairs.add(pair)
        if record.origin is Origin.SUITE:
            return ""
        if record.origin not in _MADE and record.buggy != record.fixed:
            change = _change(record)
            if change in self._changes:
                return "the same change of the same function"
            self._changes.add(change)
        return self._of_family(record)

    def _of_family(self, record: Record) -> str:
        key = (record.repository, record.path, record.function)
        alike = self._seen.reason(record.fixed)
        if key not in self._first:
            self._first[key] = f"{alike.removesuffix(' duplicate')} duplicate of another function" if alike else ""
        return self._first[key]
