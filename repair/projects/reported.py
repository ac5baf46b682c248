"""A CI log or error report against what fails here: which faults it names, and which it alone speaks of (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repair.defects import Diagnostic, Evidence, FailingTest, Frame, Report, Traceback
from repair.projects.grouping import Group, Owners, Place, key_of, title_of
from repair.traces import headline, parse_error
from repair.traces.places import plain_path

_PARAMETERS = re.compile(r"\[.*\]$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Told:
    """What a report says. `named` are groups that fail here too; `alone` is evidence of the rest, by fault."""

    named: tuple[Group, ...]
    others: tuple[Group, ...]
    alone: tuple[tuple[Evidence, ...], ...]


def read_report(text: str, groups: Sequence[Group], owners: Owners) -> Told:
    """Groups that the report names before the others (each in their order), and evidence that fits none of them."""
    evidence = [e for e in parse_error(text).evidence if not (isinstance(e, Diagnostic) and e.severity != "error")]
    named: set[str] = set()
    alone: dict[tuple[str, str], list[Evidence]] = {}
    for one in evidence:
        fitting = [g.key for g in groups if _names(one, g, owners)]
        named.update(fitting)
        if not fitting and not (isinstance(one, Report) and groups):
            place = place_in(one, owners)
            alone.setdefault((_type_of(one), str(place) if place else _test_of(one)), []).append(one)
    return Told(
        tuple(g for g in groups if g.key in named),
        tuple(g for g in groups if g.key not in named),
        tuple(tuple(found) for found in alone.values()),
    )


def _names(one: Evidence, group: Group, owners: Owners) -> bool:
    """By the test's id, else by the error's type and place."""
    if isinstance(one, FailingTest) and any(same_test(one.test_id, test) for test in group.tests):
        return True
    place, kind = place_in(one, owners), _type_of(one)
    if place is None or not place.ours:
        return False
    return any(f.place and f.error_type == kind and _spot(f.place) == _spot(place) for f in group.failures)


def _spot(place: Place) -> tuple[str, int]:
    return place.path, place.line


def same_test(told: str, test: str) -> bool:
    """Whether a log's name means a test of ours: pytest's or unittest's form, with or without folders before it."""
    if told == test:
        return True
    one, other = _parts(told), _parts(test)
    shorter = min(len(one), len(other))
    return shorter > 0 and one[-shorter:] == other[-shorter:] and _case(told) == _case(test)


def _case(test: str) -> str:
    found = _PARAMETERS.search(test)
    return found[0] if found else ""


def _parts(test: str) -> tuple[str, ...]:
    plain = _PARAMETERS.sub("", plain_path(test)).replace(".py::", "::").replace("::", "/").replace(".", "/")
    return tuple(part for part in plain.split("/") if part)


def place_in(one: Evidence, owners: Owners) -> Place | None:
    """Where a piece of evidence says that the error was raised."""
    match one:
        case FailingTest(trace=trace):
            return owners.place(trace)
        case Traceback():
            return owners.place(one)
        case Diagnostic(path=path, line=line):
            ours = owners.path_of(Frame(path, line))
            return Place(ours or path, line, ours=ours is not None)
        case Report():
            return None


def _type_of(one: Evidence) -> str:
    match one:
        case FailingTest(trace=trace):
            return trace.error_type.rpartition(".")[2] if trace else ""
        case Traceback(error_type=error_type):
            return error_type.rpartition(".")[2]
        case Diagnostic(code=code, severity=severity):
            return code or severity
        case Report():
            return ""


def _test_of(one: Evidence) -> str:
    return one.test_id if isinstance(one, FailingTest) else ""


def key_and_title(evidence: Iterable[Evidence], owners: Owners, defect_line: str) -> tuple[str, str]:
    """For a fault that only a report speaks of; `defect_line` is its headline."""
    first = next(iter(evidence))
    place, kind = place_in(first, owners), _type_of(first)
    where = (place.path, place.function) if place else ("", "")
    title = title_of(kind, place, 0) if kind or place else f"{defect_line[:100]}, reported"
    return key_of("report", kind, *where, _test_of(first), defect_line), title


__all__ = ["Told", "headline", "key_and_title", "place_in", "read_report", "same_test"]
