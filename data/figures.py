"""Profile: the figures of a dataset as frozen values. Owns the fields; knows nothing of counting, files or pictures."""

from __future__ import annotations

from dataclasses import dataclass

from data.measures import Distribution, Share
from data.records import Record

Counts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """One estimate of label noise and how it was come to."""

    name: str
    share: Share
    method: str


@dataclass(frozen=True, slots=True)
class Position:
    """In which tenth of its function the first change begins; `even` is what chance alone would give."""

    observed: tuple[int, ...]
    even: tuple[float, ...]
    chi_square: float
    effect: float  # Cohen's w: sqrt(chi-square / n), 0.1 small, 0.3 medium, 0.5 large


@dataclass(frozen=True, slots=True)
class Profile:
    """All figures of a dataset. Counts are of records, most frequent first, unless the field says otherwise."""

    name: str
    records: int
    faulty: int
    splits: tuple[tuple[str, str, int], ...]  # split, origin, count
    languages: Counts
    classes: Counts  # of faults
    projects: Counts  # the first 20
    project_count: int
    project_gini: float
    project_evenness: float
    licences: Counts
    error_types: Counts
    error_origins: Counts
    years: Counts  # in order
    missing_months: int  # between the first and the last one with a record
    lines: Distribution
    tokens: Distribution
    hunks: Distribution
    touched: Distribution
    difficulty: tuple[int, ...]  # tenths
    position: Position
    exact_duplicates: Share
    near_duplicates: Share
    doubts: tuple[Doubt, ...]
    foreign_names: Share  # of identifiers
    foreign_texts: Share
    english_words: Share  # of words in identifiers
    dropped: tuple[tuple[str, str, int], ...] = ()  # stage, reason, count
    manifest: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    examples: tuple[tuple[str, tuple[Record, ...]], ...] = ()  # by class
