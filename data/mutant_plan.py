"""The plan of executable mutants: which functions of a checkout, which faults in which order, by seed alone.

Owns the choice of files and of sites on executed statements. What comes next never depends on how an earlier mutant
ended, so that a plan can be resumed by ids. Must not know how tests are run or what is kept.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.filters import is_test, vendored
from data.mutants import LEAST_LINES, MOST_LINES, Quota, Unit, broken, draw_fault
from data.testbed import Ground
from repair.edits import FilePatch, Span
from repair.errors import InputError, PatchError
from repair.languages import functions, parses, statement_lines
from repair.mutate import Mutation, Site, sites
from repair.oracles.commands import is_test_name
from repair.sources import Source, language_of, read_source
from repair.windows import context_lines
from repair.workspace import LEFT_OUT, LINKED

_IDLE_ROUNDS = 3  # rounds over all functions without a new mutant before the plan ends


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planned fault: the whole file after it, the function's text, the tests that reach it."""

    id: str
    unit: Unit
    fault: Mutation
    source: Source
    text: str
    tests: frozenset[str]


def source_files(project: Path, patterns: Sequence[str]) -> tuple[Source, ...]:
    """Files that may be mutated, by path. Raises InputError when there is none."""
    if not project.is_dir():
        raise InputError(f"{project} is no directory; name the checkout whose tests shall run", field="project")
    found: list[Source] = []
    for name in sorted(_names(project)):
        if not _eligible(name, patterns):
            continue
        try:
            source = read_source(project, name)
        except InputError:  # a binary or a text in an unknown encoding: nothing to break there
            continue
        if "\r" not in source.text and parses(source) is None:
            found.append(source)
    if not found:
        shown = ", ".join(patterns) or "source files that are no tests"
        raise InputError(f"{project} has no {shown}; name the files with sources", field="sources")
    return tuple(found)


def _names(project: Path) -> Iterator[str]:
    """Regular files of a checkout, without its environments and caches."""
    for folder, inside, names in os.walk(project):
        inside[:] = [name for name in inside if name not in LEFT_OUT | LINKED]
        paths = (Path(folder) / name for name in names)
        yield from (p.relative_to(project).as_posix() for p in paths if p.is_file() and not p.is_symlink())


def _eligible(name: str, patterns: Sequence[str]) -> bool:
    parts = Path(name).parts
    if language_of(name) not in ("python", "javascript", "typescript"):
        return False
    if patterns:
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    return not is_test(name) and not is_test_name(name) and not vendored(name) and parts[-1] != "setup.py"


def plan(files: Sequence[Source], ground: Ground, *, package: str, seed: int, each: int) -> Iterator[Mutant]:
    """All mutants in the order of trying: rounds over the covered functions, one of each, class first, then site.

    What comes next never depends on how an earlier one ended.
    """
    draw = random.Random(f"{seed}:executable")
    targets = [t for source in files for t in _targets(package, source, ground)]
    quota, seen, idle = Quota(), set[str](), 0
    left = {id(target): each for target in targets}
    while targets and idle < _IDLE_ROUNDS:
        draw.shuffle(targets)
        idle += 1
        for target in targets:
            mutant = target.draw(quota, ground, draw)
            if mutant is not None and mutant.id not in seen:
                idle = 0
                seen.add(mutant.id)
                quota.drawn[mutant.fault.bug_class] += 1
                left[id(target)] -= 1
                yield mutant
        targets = [t for t in targets if left[id(t)] > 0]


@dataclass(frozen=True, slots=True)
class _Target:
    """A function that passing tests execute, with the sites on executed statements."""

    unit: Unit
    places: Mapping[str, Sequence[Site]]
    starts: frozenset[int]  # lines on which a statement begins

    def draw(self, quota: Quota, ground: Ground, draw: random.Random) -> Mutant | None:
        fault = draw_fault(self.unit, self.places, quota, draw, syntax=False)
        if fault is None:
            return None
        source = self.unit.source
        try:
            changed = FilePatch(source.path, (fault.edit,)).apply(source.text)
            text = broken(self.unit, [fault])
        except PatchError:
            return None
        if not text.strip() or not text.endswith("\n") or text == self.unit.text:
            return None
        parts = "\x1f".join((source.path, source.text, changed))
        name = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        tests = ground.tests_of(source.path, _statement(source, fault.edit.span, self.starts))
        own = range(self.unit.function.first_line, self.unit.function.last_line + 1)
        tests = tests or ground.tests_of(source.path, own)
        return Mutant(name, self.unit, fault, source.with_text(changed), text, tests)


def _statement(source: Source, span: Span, starts: frozenset[int]) -> range:
    """From the line on which the statement around a span begins to the span's last line."""
    first, last = source.lines_of(span)
    while first > 1 and first not in starts:
        first -= 1
    return range(first, last + 1)


def _targets(package: str, source: Source, ground: Ground) -> Iterator[_Target]:
    """Outermost functions of a file with something to break on the lines that passing tests execute."""
    covered = ground.covered(source.path) if ground.lines is not None else None
    found, starts = functions(source), statement_lines(source)
    for function in found:
        own = range(function.first_line, function.last_line + 1)
        if function.nested or not LEAST_LINES <= len(own) <= MOST_LINES:
            continue
        if covered is not None and covered.isdisjoint(own):
            continue
        span = source.line_span(function.first_line, function.last_line, terminator=True)
        text = span.of(source.text)
        if not text.endswith("\n"):
            continue
        unit = Unit(package, source, function, span.start, text, context_lines(source, function, found))
        places = {c: several for c, several in sites(source, span).items() if c != "syntax"}
        if covered is not None:
            places = {c: [s for s in several if _reached(s, source, starts, covered)] for c, several in places.items()}
        if any(places.values()):
            yield _Target(unit, places, starts)


def _reached(site: Site, source: Source, starts: frozenset[int], covered: frozenset[int]) -> bool:
    return not covered.isdisjoint(_statement(source, site.node.span, starts))
