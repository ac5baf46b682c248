"""Duplicates: exact ones by hash, near ones by MinHash over runs of five tokens.

MinHash (Broder 1997) with 128 multiply-shift hash functions (Dietzfelbinger et al. 1997), candidates by
banding (16 bands of 8), accepted at an estimated Jaccard similarity of 0.8 (Lee et al. 2022 use the same
scheme for training texts). Only the first text of a family is kept. Knows nothing of what the texts are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
PERMUTATIONS = 128
BANDS = 16
THRESHOLD = 0.8
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MIX = np.uint64(0x9E3779B97F4A7C15)


def _multipliers(seed: int) -> NDArray[np.uint64]:
    drawn = np.random.default_rng(seed).integers(0, 2**63, size=(2, PERMUTATIONS), dtype=np.uint64)
    drawn[0] = drawn[0] * np.uint64(2) + np.uint64(1)  # multiply-shift needs odd factors
    return drawn[:, :, None]


_FUNCTIONS = _multipliers(7)


def shingles(text: str) -> NDArray[np.uint64]:
    """A number for each distinct run of five tokens; a shorter text is one run."""
    codes = np.array([zlib.crc32(token.encode()) for token in _TOKEN.findall(text)], dtype=np.uint64)
    count = max(1, len(codes) - SHINGLE + 1)
    mixed = np.zeros(count, dtype=np.uint64)
    for offset in range(min(SHINGLE, len(codes))):
        mixed = mixed * _MIX + codes[offset : offset + count]
    return np.unique(mixed)


def signature(text: str) -> NDArray[np.uint32]:
    """128 minima; the share in which two signatures agree estimates the Jaccard similarity of their shingles."""
    hashed = shingles(text) * _FUNCTIONS[0]  # (permutations, runs): a row's minimum is taken along the memory
    hashed += _FUNCTIONS[1]
    return (hashed.min(axis=1) >> np.uint64(32)).astype(np.uint32)


def similarity(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> float:
    """The estimated Jaccard similarity of two texts from their signatures."""
    return float(np.mean(left == right))


@dataclass(frozen=True, slots=True, eq=False)
class Print:
    """What two texts are compared by. `exact` is equal for texts of equal tokens; `minima` is their `signature`."""

    exact: bytes
    minima: NDArray[np.uint32]


def fingerprint(text: str) -> Print:
    """The print of a text: what costs time, so that several processes can take it."""
    return Print(_exact(text), signature(text))


def _exact(text: str) -> bytes:
    return hashlib.blake2b(" ".join(_TOKEN.findall(text)).encode(), digest_size=16).digest()


@dataclass(slots=True)
class Seen:
    """Texts met so far. `left_out` counts why texts were refused."""

    left_out: Counter[str] = field(default_factory=Counter[str])
    _exact: set[bytes] = field(default_factory=set[bytes])
    _bands: dict[bytes, int] = field(default_factory=dict[bytes, int])
    _signatures: list[NDArray[np.uint32]] = field(default_factory=list[NDArray[np.uint32]])

    def reason(self, text: str) -> str:
        """Why a text is left out ("exact duplicate", "near duplicate"), "" when it is new; remembers it then."""
        digest = _exact(text)
        # a signature costs much, an exact duplicate needs none
        return self._counted("exact duplicate" if digest in self._exact else self._new(digest, signature(text)))

    def reason_of(self, own: Print) -> str:
        """The same of a text whose print was taken before."""
        return self._counted("exact duplicate" if own.exact in self._exact else self._new(own.exact, own.minima))

    def _counted(self, reason: str) -> str:
        if reason:
            self.left_out[reason] += 1
        return reason

    def _new(self, digest: bytes, own: NDArray[np.uint32]) -> str:
        self._exact.add(digest)
        keys = [bytes([n]) + band.tobytes() for n, band in enumerate(np.split(own, BANDS))]
        for other in {self._bands[key] for key in keys if key in self._bands}:
            if similarity(own, self._signatures[other]) >= THRESHOLD:
                return "near duplicate"
        self._signatures.append(own)
        for key in keys:
            self._bands.setdefault(key, len(self._signatures) - 1)
        return ""
