"""Injected faults: functions of real files, broken by the operators of `repair.mutate`, labelled by line differences.

Owns which functions are taken, the class mix (class first, then site), doubled and clean examples. Must not
know tokens or files on disk. An Example is what serving sees too: a View and the Hunks that repair it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from data.condense import condense
from data.failures import Failure, failure, parses_alone, syntax_failure, unrelated
from data.labels import hunks_of
from data.sources.packages import CodeFile
from repair.edits import Edit, FilePatch, Span
from repair.errors import PatchError
from repair.languages import Function, functions
from repair.mutate import MIX, Mutation, Site, sites, syntax_faults
from repair.prompts import LINE_TOKENS
from repair.sources import Source
from repair.views import Hunk, View
from repair.windows import context_lines

LEAST_LINES = 4
MOST_LINES = 60
ATTEMPTS = 6
HEAD_LINES = 60  # where imports are looked for; all lines would be cut again for each function
_DOCTEST = re.compile(r"^[ \t]*>>> (?P<call>[^\n=]+)\n[ \t]*(?P<want>[-\d\[({'\"TFN][^\n]*)$", re.MULTILINE)
_CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Unit:
    """One function that faults can be put into. `text` is its whole lines, with a final newline."""

    package: str
    source: Source
    function: Function
    start: int  # offset of `text` in the source
    text: str
    context: tuple[str, ...]
    test: str = ""  # an assertion made from an example in the docstring

    @property
    def lines(self) -> list[str]:
        """The lines without terminators."""
        return self.text.removesuffix("\n").split("\n")


@dataclass(frozen=True, slots=True)
class Example:
    """A view and the hunks that repair it (none: there is no fault), with where it comes from.

    `bug_classes` has one entry for each fault. `error_made` says that the error text is from a template.
    """

    view: View
    hunks: tuple[Hunk, ...]
    bug_classes: tuple[str, ...]
    operators: tuple[str, ...]
    package: str
    function: str
    error_made: bool = True


@dataclass(slots=True)
class Quota:
    """Steers the classes drawn towards a mix: the class that is furthest behind its share comes first."""

    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    drawn: Counter[str] = field(default_factory=Counter[str])

    def order(self, available: Sequence[str], draw: random.Random) -> list[str]:
        """Classes to try: weighted by the mix, those over their share last."""
        whole = sum(self.mix.values())
        total = self.drawn.total() + 50
        due = {c: self.mix[c] / whole * total - self.drawn[c] for c in available}
        ahead = [c for c in available if due[c] > 0]
        first = draw.choices(ahead, [due[c] for c in ahead])[0] if ahead else None
        rest = sorted((c for c in available if c != first), key=lambda c: -due[c])
        return rest if first is None else [first, *rest]

    def deviation(self) -> float:
        """The largest distance to the mix over all classes, in percent points."""
        whole, total = sum(self.mix.values()), max(1, self.drawn.total())
        return max(abs(100 * self.drawn[c] / total - 100 * share / whole) for c, share in self.mix.items())


def _example_test(text: str, name: str) -> str:
    """`assert call == want` from the first example of a docstring that calls the function, "" when there is none."""
    for found in _DOCTEST.finditer(text):
        if f"{name}(" in found["call"]:
            return f"assert {found['call'].strip()} == {found['want'].strip()}"[:200]
    return ""


def units(file: CodeFile, draw: random.Random) -> Iterator[Unit]:
    """The outermost functions (methods) of a file that have 4 to 60 lines once docstrings are shortened."""
    text = condense(file.text if file.text.endswith("\n") else f"{file.text}\n", draw)
    yield from condensed_units(replace(file, text=text), lambda name: documented_test(file.text, name))


def condensed_units(file: CodeFile, test_of: Callable[[str], str]) -> Iterator[Unit]:
    """The same of a file whose docstrings are short; `test_of` gives an assertion for a function's name, or ""."""
    text = file.text
    source = Source(file.path, text, "python")
    found = functions(source)
    head = Source(file.path, "\n".join(text.split("\n", HEAD_LINES)[:HEAD_LINES]), "python")
    for function in found:
        if function.nested or not LEAST_LINES <= function.last_line - function.first_line + 1 <= MOST_LINES:
            continue
        span = source.line_span(function.first_line, function.last_line, terminator=True)
        own = span.of(text)
        if not own.endswith("\n") or "\r" in own:
            continue
        context = context_lines(head, function, found)
        yield Unit(file.package, source, function, span.start, own, context, test_of(function.name))


def documented_test(text: str, name: str) -> str:
    """An assertion for the function `name` of a file, from an example in its docstring; "" when there is none."""
    at = text.find(f"def {name}(")
    return _example_test(text[at : at + 4000], name) if at >= 0 and ">>>" in text[at : at + 4000] else ""


def _syntax_fault(unit: Unit, draw: random.Random) -> Mutation | None:
    """A fault that does not parse, on a random line; the function is taken alone, so that checking is cheap."""
    lead = "if 1:\n" if unit.text[:1] in " \t" else ""
    alone = Source(unit.source.path, lead + unit.text, "python")
    shift = unit.start - len(lead)
    for _ in range(ATTEMPTS):
        number = draw.randrange(2 if lead else 1, alone.line_count + 1)
        if not alone.line(number).strip():
            continue
        found = list(syntax_faults(alone, alone.line_span(number)))
        if found:
            chosen = draw.choice(found)
            at = chosen.edit.span
            return Mutation(chosen.operator, "syntax", Edit(Span(at.start + shift, at.end + shift), chosen.edit.text))
    return None


def draw_fault(
    unit: Unit, places: Mapping[str, Sequence[Site]], quota: Quota, draw: random.Random, *, syntax: bool = True
) -> Mutation | None:
    """A valid fault of the class that the mix asks for most, of another one where that has no site."""
    available = [c for c in quota.mix if places.get(c) or (syntax and c == "syntax")]
    for bug_class in quota.order(available, draw):
        if bug_class == "syntax":
            found = _syntax_fault(unit, draw)
        else:
            tries = (draw.choice(places[bug_class]).draw(draw) for _ in range(ATTEMPTS))
            found = next((m for m in tries if m is not None and _inside(unit, m)), None)
        if found is not None:
            return found
    return None


def _inside(unit: Unit, mutation: Mutation) -> bool:
    at = mutation.edit.span
    return unit.start <= at.start and at.end <= unit.start + len(unit.text)


def _apart(one: Mutation, other: Mutation) -> bool:
    """Whether two edits leave at least a line's worth of text between them."""
    first, second = sorted((one.edit.span, other.edit.span))
    return second.start - first.end > 20


def broken(unit: Unit, faults: Sequence[Mutation]) -> str:
    """The function's text with the faults in it. Raises PatchError when they overlap."""
    edits = tuple(Edit(Span(m.edit.span.start - unit.start, m.edit.span.end - unit.start), m.edit.text) for m in faults)
    return FilePatch(unit.source.path, edits).apply(unit.text)


def _evidence(text: str, hunks: Sequence[Hunk], faults: Sequence[Mutation], draw: random.Random) -> Failure | None:
    lines = text.removesuffix("\n").split("\n")
    if not hunks:
        return unrelated(lines, draw)
    if any(m.bug_class == "syntax" for m in faults):
        return syntax_failure(text, draw)
    return failure(lines, min(hunks[0].first, len(lines)), faults[0].bug_class, draw)


def _trimmed(context: tuple[str, ...], draw: random.Random) -> tuple[str, ...]:
    """Context is dear: often none, else a part of it."""
    if draw.random() < 0.5:
        return ()
    room = draw.choice((150, 300, 800))
    kept: list[str] = []
    for line in context:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(kept)


def example(unit: Unit, faults: Sequence[Mutation], draw: random.Random) -> Example | None:
    """The labelled example of a function with some faults (none: a clean one). None when it turns out unusable."""
    try:
        text = broken(unit, faults)
        if not text.strip() or not text.endswith("\n"):
            return None
        hunks = hunks_of(text, unit.text)
    except PatchError:
        return None
    if bool(hunks) != bool(faults) or (len(faults) > 1 and not parses_alone(text)):  # one alone was checked when drawn
        return None
    seen = _evidence(text, hunks, faults, draw)
    if seen is None:
        return None
    shift = draw.randrange(LINE_TOKENS)
    view = View(
        path=unit.source.path,
        language="python",
        first_line=1 + shift,
        lines=tuple(text.removesuffix("\n").split("\n")),
        error=seen.error,
        frames=tuple(n + shift for n in seen.frames),
        test=unit.test if unit.test and draw.random() < 0.6 else "",
        context=_trimmed(unit.context, draw),
    )
    moved = tuple(Hunk(h.first + shift, h.last + shift, h.text) for h in hunks)
    classes = tuple(m.bug_class for m in faults) or (_CLEAN,)
    return Example(view, moved, classes, tuple(m.operator for m in faults), unit.package, unit.function.qualified_name)


@dataclass(slots=True)
class Injector:
    """Draws examples; keeps the class mix over all functions it has seen."""

    seed: int
    clean_share: float
    second_share: float
    quota: Quota = field(default_factory=Quota)
    clean: int = 0
    made: int = 0

    def examples(self, unit: Unit, count: int) -> Iterator[Example]:
        """Up to `count` different examples of one function, a clean one where the share of those is behind."""
        draw = random.Random(
            f"{self.seed}:{unit.package}:{unit.source.path}:{unit.function.qualified_name}:{unit.start}"
        )
        places = sites(unit.source, Span(unit.start, unit.start + len(unit.text)))
        texts: set[tuple[str, ...]] = set()
        for _ in range(count):
            made = self._one(unit, places, draw)
            if made is not None and made.view.lines not in texts:
                texts.add(made.view.lines)
                self._count(made)
                yield made

    def _one(self, unit: Unit, places: Mapping[str, Sequence[Site]], draw: random.Random) -> Example | None:
        behind = self.clean_share - self.clean / (self.made + 1)
        if draw.random() < self.clean_share + 4 * behind:
            return example(unit, (), draw)
        fault = draw_fault(unit, places, self.quota, draw)
        if fault is None:
            return None
        faults = [fault]
        if fault.bug_class != "syntax" and draw.random() < self.second_share:
            second = draw_fault(unit, places, self.quota, draw, syntax=False)
            if second is not None and _apart(fault, second):
                faults.append(second)
        return example(unit, faults, draw)

    def _count(self, made: Example) -> None:
        self.made += 1
        self.clean += not made.hunks
        self.quota.drawn.update(c for c in made.bug_classes if c != _CLEAN)
