"""Doubts about labels: fixes that look cosmetic or mixed, pairs that contradict each other, repeated pairs.

Owns the rough tests on one pair and the comparison of all pairs by hashes: 16 bytes for each and 128
more for each of the first 200,000, so that a million fit into memory. Must not know how doubts are shown.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.dedup import BANDS, signature
from data.records import Origin, Record

NEAR_MOST = 200_000  # pairs among which near duplicates are looked for
MIXED_HUNKS = 4
MIXED_SHARE = 0.5  # of the lines
NATURAL = frozenset({Origin.COMMIT, Origin.RELEASE, Origin.FEEDBACK})
_TOKEN = re.compile(r"[^\W\d]\w*|\d[\w.]*|[^\w\s]")
_WORDLESS = re.compile(
    r"\"{3}.*?\"{3}|'{3}.*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|(?P<hash>#[^\n]*)|//[^\n]*|/\*.*?\*/", re.S
)
_NAME = re.compile(r"[^\W\d]\w*$")


def words(text: str) -> list[str]:
    """Names, numbers and single signs, the profile's own tokens: independent of any model."""
    return _TOKEN.findall(text)


def plain(text: str, language: str) -> list[str]:
    """Tokens without comments and the insides of strings; `//` is no comment in Python, nor is `#` one elsewhere."""

    def kept(found: re.Match[str]) -> str:
        sign = found.group(0)
        comment = sign.startswith("#") if language == "python" else sign.startswith(("//", "/*"))
        if comment or (sign[:1] in "\"'"):
            return " " if comment else '""'
        return sign

    return words(_WORDLESS.sub(kept, text))


def cosmetic(record: Record) -> bool:
    """Whether a fix changes comments, strings, layout within lines or the names of things alone."""
    before, after = plain(record.buggy, record.language), plain(record.fixed, record.language)
    return before == after or _renamed(before, after)


def _renamed(before: Sequence[str], after: Sequence[str]) -> bool:
    """One or more names replaced throughout by names that were not there before."""
    if len(before) != len(after):
        return False
    pairs = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
    old, new = [a for a, _ in pairs], [b for _, b in pairs]
    if not all(_NAME.match(name) for name in (*old, *new)) or len({*old}) < len(old) or len({*new}) < len(new):
        return False
    twice = all(before.count(name) > 1 for name in old)
    return twice and not set(old) & set(after) and not set(new) & set(before)


def mixed(record: Record, hunks: int, lines: int) -> bool:
    """Whether a fix does so much that other changes are likely in it."""
    return hunks >= MIXED_HUNKS or lines > MIXED_SHARE * record.buggy.count("\n")


def weak(record: Record) -> bool:
    """Whether fewer than two reasons speak for a commit's being a fix."""
    return record.origin is Origin.COMMIT and len(record.reasons) < 2


@dataclass(frozen=True, slots=True)
class Clashes:
    """How many pairs: repeat another exactly; are near others (of `near_of` looked at); contradict; undo a fix."""

    exact: int
    near: int
    near_of: int
    contradicting: int
    undoing: int


def _digest(text: str) -> int:
    hashed = hashlib.blake2b(" ".join(words(text)).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(hashed, "little")


@dataclass(slots=True)
class Pairs:
    """Hashes of all pairs met."""

    _buggy: array[int] = field(default_factory=lambda: array("Q"))
    _fixed: array[int] = field(default_factory=lambda: array("Q"))
    _bands: array[int] = field(default_factory=lambda: array("Q"))
    _looked: int = 0

    def add(self, record: Record) -> None:
        """Remember one pair."""
        self._buggy.append(_digest(record.buggy))
        self._fixed.append(_digest(record.fixed))
        if self._looked < NEAR_MOST:
            self._looked += 1
            minima = signature(record.buggy).reshape(BANDS, -1).astype(np.uint64)
            weights = np.arange(1, 2 * minima.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            mixed = ((minima + np.uint64(1)) * weights).sum(axis=1) ^ (minima[:, 0] << np.uint64(17))
            self._bands.extend(mixed.tolist())

    def clashes(self) -> Clashes:
        """Compare them all."""
        buggy, fixed = np.array(self._buggy, dtype=np.uint64), np.array(self._fixed, dtype=np.uint64)
        if not len(buggy):
            return Clashes(0, 0, 0, 0, 0)
        both = np.unique(np.stack((buggy, fixed), axis=1), axis=0)
        heads, fixes = np.unique(both[:, 0], return_counts=True)
        contradicting = int(np.isin(buggy, heads[fixes > 1]).sum())
        faulty = buggy != fixed
        undoing = int(np.isin(fixed[faulty], buggy[faulty]).sum())
        near = _near(np.array(self._bands, dtype=np.uint64).reshape(-1, BANDS), buggy[: self._looked])
        return Clashes(len(buggy) - len(both), near, self._looked, contradicting, undoing)


def _near(bands: NDArray[np.uint64], buggy: NDArray[np.uint64]) -> int:
    """Different texts that share a band with an earlier one; repeated texts are not counted again."""
    _, first = np.unique(buggy, return_index=True)
    own = bands[np.sort(first)]
    near = np.zeros(len(own), dtype=np.bool_)
    for number in range(own.shape[1] if len(own) else 0):
        _, earliest = np.unique(own[:, number], return_index=True)
        later = np.ones(len(own), dtype=np.bool_)
        later[earliest] = False
        near |= later
    return int(near.sum())
