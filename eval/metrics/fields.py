"""Results of the metric modules as flat fields: NAME, NAME_low, NAME_high (95 %). Knows no metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.stats import RESAMPLES, Estimate, Share, bootstrap, estimate, median, quantile

Fields = dict[str, float | int | None]

LICENSE = "Apache-2.0"


def share_fields(name: str, share: Share) -> Fields:
    """A share with its Wilson interval."""
    low, high = share.interval or (None, None)
    return {name: share.value, f"{name}_low": low, f"{name}_high": high}


def estimate_fields(name: str, found: Estimate) -> Fields:
    """A mean with its bootstrap interval."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def spread_fields(name: str, values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Fields:
    """Median and mean, each with a bootstrap interval, and the sum."""
    low, high = bootstrap(values, median, resamples, seed=seed) if values else (None, None)
    return {
        f"{name}_median": quantile(values, 0.5),
        f"{name}_median_low": low,
        f"{name}_median_high": high,
        **estimate_fields(f"{name}_mean", estimate(values, seed, resamples)),
        f"{name}_sum": float(sum(values)),
    }


def whole_numbers(k: int | Sequence[int]) -> tuple[int, ...]:
    """One k or several. Raises ValueError for one below 1, or none at all."""
    ks = (k,) if isinstance(k, int) else tuple(k)
    if not ks or min(ks) < 1:
        raise ValueError(f"k must be one or more whole numbers from 1 on, not {k!r}")
    return ks


def prefixed(prefix: str, values: Mapping[str, float | int | None]) -> Fields:
    """The same fields under longer names."""
    return {f"{prefix}_{name}": value for name, value in values.items()}
