"""Injected faults as Records: the operators of `repair.mutate` on the functions of a lot, with their classes.

Python goes through `data.mutants`, with error text by template; other languages get the same class mix without
evidence. Must not know how records are cleaned or stored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from data.checks import parses_as_piece
from data.dedup import Seen
from data.mutants import Example, Injector, Quota, Unit, broken, draw_fault
from data.records import CLEAN, ErrorOrigin, Origin, Record
from data.sources.lots import Cut, Lot, lot_units
from data.steps import Outcome, Rejection
from repair.edits import Span
from repair.errors import PatchError
from repair.mutate import Mutation, Site, sites

_TYPE = re.compile(r"([A-Za-z_][\w.]*): ")
_APART = 20  # characters between two faults


@dataclass(frozen=True, slots=True)
class Injection:
    """How many faults of one function, and the shares of clean records and of second faults."""

    each: int
    clean_share: float
    second_share: float
    seed: int


def unit_record(unit: Unit, buggy: str, licence: str, revision: str) -> Record:
    """What a record of a unit has in common, whatever is done to it: fixed is the text as it stands."""
    return Record(
        language=unit.source.language,
        buggy=buggy,
        fixed=unit.text,
        origin=Origin.MUTANT,
        path=unit.source.path,
        first_line=unit.function.first_line,
        function=unit.function.qualified_name,
        context=unit.context,
        repository=unit.package,
        revision=revision,
        licence=licence,
    )


def _of_example(unit: Unit, made: Example, lot: Lot) -> Record:
    view = made.view
    base = unit_record(unit, "\n".join(view.lines) + "\n", lot.package.decision.licence, lot.package.version)
    named = _TYPE.match(view.error)
    real = "syntax" in made.bug_classes  # the parser's own words, see `data.failures`
    told = ErrorOrigin.EXECUTED if real else ErrorOrigin.TEMPLATE
    return replace(
        base,
        context=view.context,
        bug_classes=made.bug_classes,
        operators=made.operators,
        error=view.error,
        error_type=named[1] if named else "",
        error_origin=told if view.error else ErrorOrigin.NONE,
        frames=tuple(n - view.first_line + 1 for n in view.frames),
        test=view.test,
    )


@dataclass(slots=True)
class _OtherInjector:
    """Draws faults of languages other than Python, keeping to the mix of classes."""

    chosen: Injection
    quota: Quota = field(default_factory=Quota)

    def records(self, unit: Unit, lot: Lot) -> Iterator[Record]:
        """Up to `each` different records of one function."""
        draw = random.Random(f"{self.chosen.seed}:{unit.package}:{unit.source.path}:{unit.start}")
        found = sites(unit.source, Span(unit.start, unit.start + len(unit.text)))
        places = {name: several for name, several in found.items() if name != "syntax"}
        texts: set[str] = set()
        for _ in range(self.chosen.each):
            faults = () if draw.random() < self.chosen.clean_share else self._faults(unit, places, draw)
            made = None if faults is None else _of_faults(unit, faults, lot)
            if made is not None and made.buggy not in texts:
                texts.add(made.buggy)
                self.quota.drawn.update(m.bug_class for m in faults or ())
                yield made

    def _faults(
        self, unit: Unit, places: Mapping[str, Sequence[Site]], draw: random.Random
    ) -> tuple[Mutation, ...] | None:
        first = draw_fault(unit, places, self.quota, draw, syntax=False)
        if first is None:
            return None
        if draw.random() < self.chosen.second_share:
            second = draw_fault(unit, places, self.quota, draw, syntax=False)
            if second is not None and _far(first, second):
                return first, second
        return (first,)


def _far(one: Mutation, other: Mutation) -> bool:
    first, second = sorted((one.edit.span, other.edit.span))
    return second.start - first.end > _APART


def _of_faults(unit: Unit, faults: Sequence[Mutation], lot: Lot) -> Record | None:
    try:
        text = broken(unit, faults)
    except PatchError:
        return None
    if not text.strip() or not text.endswith("\n") or (text == unit.text) == bool(faults):
        return None
    if len(faults) > 1 and not parses_as_piece(text, unit.source.language):
        return None
    base = unit_record(unit, text, lot.package.decision.licence, lot.package.version)
    classes = tuple(m.bug_class for m in faults) or (CLEAN,)
    return replace(base, bug_classes=classes, operators=tuple(m.operator for m in faults))


def injected(lot: Lot, cut: Cut, chosen: Injection) -> Iterator[Outcome]:
    """The records of a lot, and why files and functions were left out. The same for the same lot and choices."""
    python = Injector(chosen.seed, chosen.clean_share, chosen.second_share)
    other = _OtherInjector(chosen)
    seen = Seen()
    for unit in lot_units(lot, cut):
        if isinstance(unit, Rejection):
            yield unit
        elif reason := seen.reason(unit.text):
            yield Rejection("read", f"function: {reason}", f"{unit.package}/{unit.source.path}:{unit.function.name}")
        elif unit.source.language == "python":
            yield from (_of_example(unit, made, lot) for made in python.examples(unit, chosen.each))
        else:
            yield from other.records(unit, lot)
