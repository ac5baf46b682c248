"""Cautions: what to know of a dataset before training on it, in plain sentences, each with its threshold.

Owns the thresholds. Reads a Profile alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from data.figures import Profile
from data.gather import BINS
from data.measures import CHI_SQUARE_9

_PERCENT = re.compile(r"(\d) ?%")
EXPECTED_LANGUAGES = ("python", "javascript", "typescript", "java")


def cautions(made: Profile) -> Iterator[str]:
    """What a reader should know before training on it, each with its threshold."""
    if not made.records:
        yield "The dataset is empty."
        return
    for told in (_imbalance(made), _bias(made), _noise(made)):
        yield from (_PERCENT.sub(r"\1 %", sentence) for sentence in told)


def _imbalance(made: Profile) -> Iterator[str]:
    project, most = made.projects[0]
    if most > 0.25 * made.records:
        yield f"{project} alone gives {most / made.records:.0%} of the records (more than 25 %)."
    faults = sum(count for _, count in made.classes)
    rare = [name for name, count in made.classes if count < 0.01 * faults]
    if rare:
        yield f"Rare classes, each below 1 % of the faults: {_listed(rare)}."
    present = {name for name, _ in made.languages}
    absent = [name for name in EXPECTED_LANGUAGES if name not in present]
    if absent:
        yield f"No record in {_listed(absent)}; nothing of the kind can be learned from here."
    if made.faulty and made.faulty == made.records:
        yield "There is no clean record: a model cannot learn to answer that there is no fault."
    unknown = dict(made.licences).get("(unknown)", 0)
    if unknown:
        yield f"{unknown} records ({unknown / made.records:.1%}) have no known licence; they may not be redistributed."


def _bias(made: Profile) -> Iterator[str]:
    texts = {name: count for name, count in made.error_origins if name != "none"}
    told = sum(texts.values())
    if told and texts.get("template", 0) > 0.5 * told:
        part = texts["template"] / told
        yield f"{part:.0%} of the error texts are made from templates (more than 50 %): real ones will look different."
    dated = [(year, count) for year, count in made.years if year.isdigit()]
    gaps = _gaps([int(year) for year, _ in dated])
    if gaps:
        yield f"Time gap: no record from {_listed([str(year) for year in gaps])}."
    undated = made.records - sum(count for _, count in dated)
    if dated and undated > 0.5 * made.records:
        part = undated / made.records
        yield f"{part:.0%} of the records carry no date (more than 50 %): a split by time cannot place them."
    place = made.position
    if place.chi_square > CHI_SQUARE_9 and place.effect > 0.2:
        tenth = max(range(BINS), key=lambda n: place.observed[n] - place.even[n])
        yield (
            f"Faults are not spread evenly over their functions: tenth {tenth + 1} has {place.observed[tenth]}, chance "
            f"would give {place.even[tenth]:.0f} (chi-square {place.chi_square:.0f} with 9 degrees of freedom, "
            f"effect {place.effect:.2f} above 0.2). A model can guess places without reading."
        )
    if made.english_words.whole >= 200 and made.foreign_names.value < 0.001:
        yield "Fewer than 0.1 % of the identifiers are not ASCII: names in other languages are all but absent."


def _gaps(years: Sequence[int]) -> list[int]:
    return [year for year in range(min(years), max(years)) if year not in years] if years else []


def _noise(made: Profile) -> Iterator[str]:
    if made.exact_duplicates.value > 0.01:
        yield f"{made.exact_duplicates.value:.1%} of the pairs repeat another one exactly (more than 1 %)."
    for doubt in made.doubts:
        limit = 0.25 if doubt.name == "rests on one reason" else 0.05
        if doubt.share.whole and doubt.share.value > limit:
            yield f"Label noise: {doubt.share.value:.1%} of the pairs {_plural(doubt.name)} (more than {limit:.0%})."


def _plural(name: str) -> str:
    verb, _, rest = name.partition(" ")
    return f"{verb.removesuffix('s') if verb != 'undoes' else 'undo'} {rest}"


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:8]) + ([f"{len(names) - 8} more"] if len(names) > 8 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
