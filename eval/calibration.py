"""Calibration: does a confidence of 0.8 come true in 80 % of the cases? Pure: numbers in, numbers or SVG out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum

from data.charts import WIDTH, escaped
from eval.stats import Share

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of similar confidence: `low`..`high` bounds it, `confidence` is the mean, `hits` of `count` came true."""

    low: float
    high: float
    confidence: float
    hits: int
    count: int

    @property
    def observed(self) -> Share:
        """What came true, with its Wilson interval."""
        return Share(self.hits, self.count)

    @property
    def gap(self) -> float:
        """Confidence less what came true: positive where too sure."""
        return self.confidence - self.hits / self.count


@dataclass(frozen=True, slots=True)
class Brier:
    """Mean squared error of confidences (Brier 1950): score = reliability - resolution + uncertainty + within.

    Reliability (lower is better) is the miscalibration, resolution (higher is better) how far the bins' outcomes
    differ from the base rate, uncertainty that of the base rate itself (Murphy 1973). `within` is what confidences
    that differ within a bin add (Stephenson et al. 2008), 0 where each bin has one confidence.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def reliability_table(
    confidences: Sequence[float], outcomes: Sequence[bool], bins: int = BINS, *, equal_mass: bool = False
) -> tuple[Bin, ...]:
    """Bins that hold something, by rising confidence.

    Of equal width: bin i holds i/bins <= confidence < (i + 1)/bins, the last one 1 too. Of equal mass: cut after
    every n/bins cases, but never between equal confidences, so that the order of the input does not matter. Raises
    ValueError for a confidence outside 0..1, lengths that differ or bins below 1.
    """
    pairs = _pairs(confidences, outcomes)
    if bins < 1:
        raise ValueError(f"at least one bin is needed, not {bins}")
    if equal_mass:
        return tuple(_bin(chunk[0][0], chunk[-1][0], chunk) for chunk in _equal_masses(pairs, bins))
    cut = groupby(pairs, key=lambda pair: min(int(pair[0] * bins), bins - 1))
    return tuple(_bin(number / bins, (number + 1) / bins, list(chunk)) for number, chunk in cut)


def expected_calibration_error(table: Sequence[Bin]) -> float | None:
    """Mean gap between confidence and outcome over cases (Guo et al. 2017, arXiv:1706.04599); None of nothing.

    Depends on the bins, and is above 0 by chance alone where they hold few cases: state both.
    """
    total = sum(b.count for b in table)
    return fsum(b.count * abs(b.gap) for b in table) / total if total else None


def maximum_calibration_error(table: Sequence[Bin]) -> float | None:
    """The largest gap of a bin; None of nothing."""
    return max((abs(b.gap) for b in table), default=None)


def brier(confidences: Sequence[float], outcomes: Sequence[bool], bins: int | None = None) -> Brier | None:
    """Score and decomposition over bins of equal width, or, without `bins`, over each distinct confidence.

    None of nothing. Raises ValueError as `reliability_table` does.
    """
    pairs = _pairs(confidences, outcomes)
    if not pairs:
        return None
    if bins is None:
        table = tuple(_bin(at, at, list(chunk)) for at, chunk in groupby(pairs, key=lambda pair: pair[0]))
    else:
        table = reliability_table(confidences, outcomes, bins)
    total = len(pairs)
    base = sum(hit for _, hit in pairs) / total
    score = fsum((at - hit) ** 2 for at, hit in pairs) / total
    reliability = fsum(b.count * b.gap**2 for b in table) / total
    resolution = fsum(b.count * (b.hits / b.count - base) ** 2 for b in table) / total
    uncertainty = base * (1 - base)
    within = 0.0 if bins is None else score - reliability + resolution - uncertainty
    return Brier(score, reliability, resolution, uncertainty, within)


def _pairs(confidences: Sequence[float], outcomes: Sequence[bool]) -> list[tuple[float, int]]:
    if not all(0 <= c <= 1 for c in confidences):
        raise ValueError("a confidence lies between 0 and 1")
    return sorted((float(c), int(bool(o))) for c, o in zip(confidences, outcomes, strict=True))


def _bin(low: float, high: float, pairs: Sequence[tuple[float, int]]) -> Bin:
    return Bin(low, high, fsum(at for at, _ in pairs) / len(pairs), sum(hit for _, hit in pairs), len(pairs))


def _equal_masses(pairs: Sequence[tuple[float, int]], bins: int) -> Iterator[Sequence[tuple[float, int]]]:
    start = 0
    for number in range(1, bins + 1):
        end = number * len(pairs) // bins
        while start < end < len(pairs) and pairs[end][0] == pairs[end - 1][0]:
            end += 1
        if end > start:
            yield pairs[start:end]
            start = end


_MARGIN, _SIDE = 40, 300  # of the square plot, in units
_STYLE = (
    "fill:var(--soft,currentColor);font-size:12px",
    "stroke:var(--line,currentColor);stroke-opacity:.6;fill:none",
    "stroke:var(--range,currentColor);stroke-width:2;fill:none",
    "fill:var(--accent,currentColor)",
)


def reliability_svg(bins: Sequence[Bin], title: str = "Reliability", ident: str = "reliability") -> str:
    """A reliability plot: observed share over confidence with Wilson bars, points sized by count, the diagonal dashed.

    Colours are the page's CSS variables (`--accent`, `--line`, `--range`, `--soft`), else the colour of its text, so
    that it reads on light and dark. `ident` must be unique in a page.
    """
    text, line, _, _ = _STYLE
    most = max((b.count for b in bins), default=1)
    left, top, right, bottom = _MARGIN, 10, _MARGIN + _SIDE, 10 + _SIDE
    parts = [
        f'<rect x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}" style="{line}"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{top}" style="{line};stroke-dasharray:4 4"/>',
    ]
    for tick in (0.0, 0.5, 1.0):
        x, y = _place(tick, tick)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" style="{text}">{tick:g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" style="{text}">{tick:g}</text>')
    middle = left + _SIDE / 2
    parts.append(f'<text x="{middle}" y="{bottom + 34}" text-anchor="middle" style="{text}">confidence</text>')
    parts.append(
        f'<text transform="translate(12 {top + _SIDE / 2}) rotate(-90)" text-anchor="middle" style="{text}">'
        "came true</text>"
    )
    parts.extend(_point(b, most) for b in bins)
    told = "; ".join(f"confidence {b.confidence:.2f}: {b.hits} of {b.count}" for b in bins) or "nothing to show"
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + 42}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escaped(title)}</title><desc id="{ident}-d">{escaped(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _place(confidence: float, share: float) -> tuple[float, float]:
    return _MARGIN + _SIDE * confidence, 10 + _SIDE * (1 - share)


def _point(b: Bin, most: int) -> str:
    _, _, bar, dot = _STYLE
    low, high = b.observed.interval or (0.0, 1.0)
    x, y = _place(b.confidence, b.hits / b.count)
    (_, lowest), (_, highest) = _place(0, low), _place(0, high)
    size = 3 + 5 * (b.count / most) ** 0.5
    return (
        f"<g><title>confidence {b.confidence:.3f}: {escaped(str(b.observed))}</title>"
        f'<line x1="{x:.1f}" y1="{lowest:.1f}" x2="{x:.1f}" y2="{highest:.1f}" style="{bar}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" style="{dot}"/></g>'
    )
