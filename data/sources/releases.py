"""Consecutive releases of packages in a local folder as Records: the small changes of functions between them.

Owns which releases are compared. How archives are read is `archives`, what a pair is `data.pairs`. Nothing is
imported, executed or written to disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from data.labels import hunks_of
from data.pairs import Pair, PairLimits, file_pairs
from data.records import Origin, Record
from data.sources.archives import ENDINGS, Archive, ArchiveLimits, Release, read_name, read_release
from data.sources.fixes import program
from repair.errors import InputError

_ALIKE = 2  # functions of one release with the same edit
LEVELS = {"patch": 2, "minor": 1}  # how many leading numbers of the version must be equal
_PAIR, _ARCHIVE = replace(PairLimits(), functions=8), ArchiveLimits()  # fixes add up in a release


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """`level` "patch" compares 1.2.3 with 1.2.4 only, "minor" also 1.2.3 with 1.3.0."""

    level: str = "patch"
    pair: PairLimits = _PAIR
    archive: ArchiveLimits = _ARCHIVE

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InputError(f"level {self.level!r}: one of {', '.join(LEVELS)} is needed", field="level")


@dataclass(slots=True)
class ReleaseTally:
    """Counts of a run; `skipped` by reason: archives, files or functions."""

    compared: int = 0
    pairs: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    refused: dict[str, str] = field(default_factory=dict[str, str])  # archive's file name -> why


def archives(folder: Path, tally: ReleaseTally) -> tuple[Archive, ...]:
    """One archive for each final version, a wheel where there is one. Raises InputError when the folder has none."""
    paths = sorted(p for p in folder.glob("*") if p.name.endswith(ENDINGS)) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder}: holds no wheel or sdist ({', '.join(ENDINGS)})", field="archives")
    found: dict[tuple[str, str], Archive] = {}
    for path in paths:
        try:
            archive = read_name(path)
        except InputError as error:
            tally.refused[path.name] = str(error)
            tally.skipped["not a release's name"] += 1
            continue
        key = (archive.name, str(archive.version))
        if archive.version.is_prerelease:
            tally.skipped["pre-release"] += 1
        elif key not in found or (archive.wheel and not found[key].wheel):
            found[key] = archive
    return tuple(sorted(found.values(), key=lambda a: (a.name, a.version)))


def consecutive(found: Sequence[Archive], level: str) -> Iterator[tuple[Archive, Archive]]:
    """Neighbours of one package that differ in their last numbers only."""
    same = LEVELS[level]
    for old, new in pairwise(found):
        first, second = (*old.version.release, 0, 0)[:same], (*new.version.release, 0, 0)[:same]
        if old.name == new.name and old.version.epoch == new.version.epoch and first == second:
            yield old, new


def _found(sides: tuple[Release, Release], options: ReleaseOptions, tally: ReleaseTally) -> list[Pair]:
    """The changed functions of two neighbours; what is left out is counted."""
    before, after = sides
    pairs: list[Pair] = []
    for path in sorted(before.files.keys() & after.files.keys()):
        if before.files[path] != after.files[path]:
            found = file_pairs(path, before.files[path], after.files[path], options.pair)
            tally.skipped.update(found.reasons)
            pairs += found.pairs
    return pairs


def _edit(pair: Pair) -> tuple[tuple[str, str], ...]:
    """What is changed, wherever it stands: lines taken and given of each hunk without their blanks."""
    lines = pair.buggy.split("\n")
    taken = ("".join("".join(lines[h.first - 1 : h.last]).split()) for h in hunks_of(pair.buggy, pair.fixed))
    given = ("".join(h.text.split()) for h in hunks_of(pair.buggy, pair.fixed))
    return tuple(zip(taken, given, strict=True))


def _kept(pairs: Sequence[Pair], tally: ReleaseTally) -> Iterator[Pair]:
    """Without words of messages, and without sweeps: an edit made in many functions alike is seldom a fix."""
    counts = Counter(_edit(pair) for pair in pairs)
    for pair in pairs:
        if pair.prose:
            tally.skipped["only words of messages"] += 1
        elif counts[_edit(pair)] > _ALIKE:
            tally.skipped["the same edit in many functions"] += 1
        else:
            yield pair


def _record(pair: Pair, old: Archive, new: Archive, licence: str, level: str) -> Record:
    return Record(
        language=pair.language,
        buggy=pair.buggy,
        fixed=pair.fixed,
        origin=Origin.RELEASE,
        path=pair.path,
        first_line=pair.first_line,
        function=pair.function,
        context=pair.context,
        repository=new.name,
        revision=f"{old.version}..{new.version}",
        licence=licence,
        reasons=(f"{level} release", f"small: {pair.changed} line{'s' if pair.changed != 1 else ''}"),
    )


def _side(archive: Archive, options: ReleaseOptions, tally: ReleaseTally) -> Release | None:
    try:
        release = read_release(archive, options.archive, program)
    except InputError as error:
        tally.refused[archive.path.name] = str(error)
        tally.skipped["unreadable archive"] += 1
        return None
    if not release.decision.accepted:
        tally.refused[archive.path.name] = release.decision.reason
        tally.skipped["licence"] += 1
        return None
    if release.left_out:
        tally.skipped["too large"] += release.left_out
    return release


def releases(
    folder: Path, options: ReleaseOptions | None = None, tally: ReleaseTally | None = None
) -> Iterator[Record]:
    """Records of all neighbouring releases in a folder, in order of name, version, path and line.

    Raises InputError for a folder without archives; an archive that cannot be read or used is counted.
    """
    options, tally = options or ReleaseOptions(), tally if tally is not None else ReleaseTally()
    last: tuple[Archive, Release | None] | None = None
    for old, new in consecutive(archives(folder, tally), options.level):
        before = last[1] if last is not None and last[0] == old else _side(old, options, tally)
        after = _side(new, options, tally)
        last = (new, after)
        if before is None or after is None:
            continue
        tally.compared += 1
        for pair in _kept(_found((before, after), options, tally), tally):
            tally.pairs += 1
            yield _record(pair, old, new, after.decision.licence, options.level)
