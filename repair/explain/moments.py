"""Streaming statistics: moments and quantiles of many passages without keeping their values. Values only, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ACCURACY = 0.01  # relative error of a quantile
_RATIO = (1 + _ACCURACY) / (1 - _ACCURACY)
_SMALLEST, _BINS = 1e-6, 1500  # magnitudes from 1e-6 to 1e7; smaller ones count as zero, larger ones as the largest


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Quantiles within 1 % of their value, the same in whatever order values come (DDSketch: Masson et al. 2019)."""

    counts: NDArray[np.int64]  # (2 * _BINS + 1,): negative values, largest magnitude first; zero; positive ones

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Sketch:
        """Of all values, whatever their shape."""
        flat = np.asarray(values, np.float32).ravel()
        size = np.abs(flat)
        place = np.ceil(np.log(np.maximum(size, _SMALLEST) / _SMALLEST) * (1 / np.log(_RATIO))).astype(np.int64)
        place = np.where(size > _SMALLEST, np.clip(place, 1, _BINS), 0)
        return cls(np.bincount(_BINS + np.sign(flat).astype(np.int64) * place, minlength=2 * _BINS + 1))

    def merge(self, other: Sketch) -> Sketch:
        """Of the values of both."""
        return Sketch(self.counts + other.counts)

    def quantile(self, share: float) -> float:
        """The value with so many of the values at or below it; 0 where there is none."""
        total = int(self.counts.sum())
        if not total:
            return 0.0
        at = int(np.searchsorted(np.cumsum(self.counts), max(1.0, np.ceil(share * total)))) - _BINS
        middle = _SMALLEST * _RATIO ** abs(at) * 2 / (1 + _RATIO)
        return 0.0 if at == 0 else float(np.sign(at) * middle)

    def quantiles(self, shares: Sequence[float]) -> tuple[float, ...]:
        """`quantile` of each."""
        return tuple(self.quantile(share) for share in shares)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Count, mean and squared deviations of each channel (channels,), and a sketch of all values together.

    Batches are merged as Chan, Golub & LeVeque 1983 do it (Welford's method over batches), in double precision.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    sketch: Sketch

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Moments:
        """Of values (n, channels), n at least 1."""
        exact = np.asarray(values, np.float64)
        mean = exact.mean(0)
        return cls(len(exact), mean, ((exact - mean) ** 2).sum(0), Sketch.of(exact))

    def merge(self, other: Moments) -> Moments:
        """Of the values of both, which have the same channels."""
        count = self.count + other.count
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * (other.count / count),
            self.squares + other.squares + apart**2 * (self.count * other.count / count),
            self.sketch.merge(other.sketch),
        )

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each channel, of the values as a population."""
        return np.sqrt(self.squares / self.count)
