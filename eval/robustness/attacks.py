"""Attacks: a case becomes another case with the same fault and the same meaning.

Owns their list, their order when several are made, and what each draws. Whether the result still measures anything is
decided by running it (`soundness`). Deterministic for a seed, a case and the names of the attacks.
"""

from __future__ import annotations

import random as chance
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from data.augment import TRANSFORMATIONS, Transformation, transformed
from data.piece import Group, Piece, words
from data.records import ErrorOrigin, Origin, Record
from eval.correctness import source_of
from eval.robustness import noise
from eval.robustness.reported import Reported, code_lines, renumbered, reported
from eval.robustness.surroundings import longer
from eval.suites.rows import Case
from repair.errors import InputError
from repair.languages import parses
from repair.traces.text import split_error


class Kind(StrEnum):
    """What an attack changes."""

    REWRITING = "rewriting"  # the program's text, on both sides
    CONTEXT = "context"  # what stands around it
    LINES = "lines"  # the numbers that the error gives
    ERROR = "error"  # the error's text


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to change a case; `apply` gives None where there is nothing to change."""

    name: str
    kind: Kind
    apply: Callable[[Case, chance.Random], Case | None]


def rewritten(case: Case, kind: Transformation, random: chance.Random) -> Case | None:
    """Both sides transformed alike. Names that the tests (or the entry point) use are neither changed nor taken."""
    if "\r" in case.buggy_code + (case.fixed_code or ""):
        return None
    seen = "\n".join(filter(None, (case.tests, case.held_out_tests, case.entry_point)))
    report = reported(case)
    record = _record(case, report, seen)
    careful = replace(kind, groups=partial(_unprotected, kind, words(seen)))
    new = transformed(record, careful, random)
    if new is None:
        return None
    error = renumbered(case, new.buggy, dict(zip(record.frames, new.frames, strict=True)))
    if error and report and report.headline is not None and new.error != record.error:
        error = "\n".join(new.error if line == record.error else line for line in error.split("\n"))
    return replace(
        case,
        buggy_code=_ended(new.buggy, case.buggy_code),
        fixed_code=None if case.fixed_code is None else _ended(new.fixed, case.fixed_code),
        error=error,
    )


def _unprotected(kind: Transformation, protected: frozenset[str], piece: Piece) -> Iterator[Group]:
    return (group for group in kind.groups(piece) if group.name.partition(">")[0] not in protected)


def _record(case: Case, report: Reported | None, seen: str) -> Record:
    """The case as a record; frames are all lines of the program that the report names."""
    said = report.lines[report.headline] if report and report.headline is not None else ""
    error_type = (split_error(said.strip()) or ("", ""))[0]
    lines = tuple(n for n in report.numbers if n <= code_lines(case)) if report else ()
    return Record(
        language=case.language,
        buggy=_whole(case.buggy_code),
        fixed=_whole(case.fixed_code if case.fixed_code is not None else case.buggy_code),
        origin=Origin.SUITE,
        error=said,
        error_type=error_type,
        error_origin=ErrorOrigin.EXECUTED if said else ErrorOrigin.NONE,
        frames=lines,
        test=seen,
    )


def _whole(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _ended(text: str, as_in: str) -> str:
    """The text with a final newline only where the other had one."""
    return text if as_in.endswith("\n") else text.removesuffix("\n")


def _rewriting(kind: Transformation) -> Attack:
    return Attack(kind.name, Kind.REWRITING, lambda case, random: rewritten(case, kind, random))


ATTACKS: tuple[Attack, ...] = (
    *(_rewriting(kind) for kind in TRANSFORMATIONS),
    Attack("longer", Kind.CONTEXT, longer),
    Attack("error-lines", Kind.LINES, noise.wrong_lines),
    Attack("error-stale", Kind.LINES, noise.stale_lines),
    Attack("error-typo", Kind.ERROR, noise.typo),
    Attack("error-truncated", Kind.ERROR, noise.truncated),
    Attack("error-unrelated-warnings", Kind.ERROR, noise.unrelated_warnings),
    Attack("error-wrapped", Kind.ERROR, noise.wrapped),
    Attack("error-missing", Kind.ERROR, noise.missing),
)
"""In the order in which several are made: the program first, then what is said of it."""

NAMES: tuple[str, ...] = tuple(attack.name for attack in ATTACKS)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order in which their attacks are made, each once. Raises InputError for an unknown one."""
    wanted = set(names)
    if unknown := sorted(wanted - set(NAMES)):
        raise InputError(f"there is no attack {unknown[0]!r}; known are {', '.join(NAMES)}", field="attack")
    return tuple(name for name in NAMES if name in wanted)


def attacked(case: Case, names: Collection[str], seed: int) -> Case | None:
    """The case after all these attacks; None where one finds nothing to change or a text no longer parses alike."""
    result = case
    wanted = ordered(names)
    for attack in ATTACKS:
        if attack.name in wanted:
            made = attack.apply(result, chance.Random(f"{seed}:{case.id}:{attack.name}"))
            if made is None:
                return None
            result = made
    return result if result != case and _parse_alike(case, result) else None


def _parse_alike(case: Case, other: Case) -> bool:
    pairs = ((case.buggy_code, other.buggy_code), (case.fixed_code, other.fixed_code))
    return all(
        one is None or two is None or (parses(source_of(case, one)) is None) == (parses(source_of(case, two)) is None)
        for one, two in pairs
    )
