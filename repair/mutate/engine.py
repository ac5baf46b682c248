"""`faults`, `repairs`, `sites`: walk a tree once, ask each operator of the catalogue at each of its nodes.

Owns order, duplicates and the check that injected faults still parse. Knows no operator by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from repair.edits import Span
from repair.languages import Node, Tree, language, parse, parses
from repair.mutate.catalogue import FAULTS, REPAIRS
from repair.mutate.context import Context
from repair.mutate.mutation import BUG_CLASSES, MIX, Change, Mutation, Operator, as_mutation
from repair.mutate.syntax import syntax_repairs
from repair.mutate.validity import Validity
from repair.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A place where an operator can inject faults. Nothing is made before `mutations` is called."""

    operator: Operator
    node: Node
    context: Context
    validity: Validity

    @property
    def span(self) -> Span:
        """The place."""
        return self.node.span

    def mutations(self) -> list[Mutation]:
        """The faults here, not yet checked; some sites turn out to have none."""
        text = self.context.tree.source.text
        changes = self.operator.make(self.context, self.node)
        return [as_mutation(self.operator, c) for c in changes if text[c[0] : c[1]] != c[2]]

    def draw(self, random: Random) -> Mutation | None:
        """A random valid fault of this site, None when there is none."""
        found = self.mutations()
        random.shuffle(found)
        return next((m for m in found[:4] if self.valid(m)), None)

    def valid_mutations(self, seen: set[Change]) -> Iterator[Mutation]:
        """The valid faults whose result is not in `seen` yet; adds them to it."""
        for mutation in self.mutations():
            key = _normal(self.context.tree.source.text, mutation)
            if key not in seen and self.valid(mutation):
                seen.add(key)
                yield mutation

    def valid(self, mutation: Mutation) -> bool:
        """Whether the text still parses afterwards (for the class "syntax": does not), to the language's parser."""
        return self.validity.keeps(mutation.edit) != (mutation.bug_class == "syntax")


Dispatch = Mapping[str, tuple[Operator, ...]]


def _dispatch(name: str, operators: Sequence[Operator]) -> Dispatch:
    table = language(name)
    found: dict[str, list[Operator]] = {}
    for operator in operators:
        for kind in operator.kinds(table):
            found.setdefault(kind, []).append(operator)
    return {kind: tuple(several) for kind, several in found.items()}


@lru_cache(maxsize=16)
def _fault_dispatch(name: str) -> Dispatch:
    return _dispatch(name, FAULTS)


@lru_cache(maxsize=16)
def _repair_dispatch(name: str) -> Dispatch:
    return _dispatch(name, REPAIRS)


def sites(source: Source, span: Span | None = None) -> Mapping[str, Sequence[Site]]:
    """Where faults can be injected, by bug class: choose the class, then `choice(sites).draw(random)`.

    Walks the tree of the source, which is parsed once and remembered; `span` (a function's) limits the walk.
    """
    tree = parse(source)
    context, validity = Context.of(tree), Validity(tree)
    dispatch = _fault_dispatch(tree.language.name)
    found: dict[str, list[Site]] = {}
    for node in tree.within(span):
        if node.named:
            for operator in dispatch.get(node.kind, ()):
                if operator.applies is None or operator.applies(context, node):
                    found.setdefault(operator.bug_class, []).append(Site(operator, node, context, validity))
    return found


def _draw_of(several: Sequence[Site], random: Random, attempts: int) -> Mutation | None:
    """A fault of one class, sites by the weight of their operators; some sites turn out to have nothing."""
    weights = [site.operator.weight for site in several]
    for site in random.choices(several, weights, k=min(attempts, 2 * len(several))):
        found = site.draw(random)
        if found is not None:
            return found
    return None


def draw(
    places: Mapping[str, Sequence[Site]],
    random: Random,
    *,
    mix: Mapping[str, float] = MIX,
    attempts: int = 16,
) -> Mutation | None:
    """A random valid fault of `sites`: the class by `mix` (default: that of real bugs), operator, then site.

    None when no class has any (a function of a few tokens).
    """
    weights = {c: mix.get(c, 0.0) for c in BUG_CLASSES if places.get(c) and mix.get(c, 0.0) > 0}
    while weights:
        chosen = random.choices(list(weights), list(weights.values()))[0]
        found = _draw_of(places[chosen], random, attempts)
        if found is not None:
            return found
        del weights[chosen]
    return None


def faults(source: Source, span: Span | None = None) -> Iterator[Mutation]:
    """Every injected fault, each text once. All parse, but those of the class "syntax", which never do."""
    seen: set[Change] = set()
    for several in sites(source, span).values():
        for site in several:
            yield from site.valid_mutations(seen)


def syntax_faults(source: Source, span: Span | None = None) -> Iterator[Mutation]:
    """Faults of the class "syntax" on the lines of statements that begin in `span`, each text once."""
    tree = parse(source)
    context, validity = Context.of(tree), Validity(tree)
    dispatch = _fault_dispatch(tree.language.name)
    seen: set[Change] = set()
    for node in tree.nodes:
        if node.named and (span is None or span.start <= node.start < span.end):
            for operator in dispatch.get(node.kind, ()):
                if operator.bug_class == "syntax":
                    yield from Site(operator, node, context, validity).valid_mutations(seen)


def _normal(text: str, mutation: Mutation) -> Change:
    """The smallest change that has the same result, so that equal results compare equal (nearly always)."""
    start, end, new = mutation.edit.span.start, mutation.edit.span.end, mutation.edit.text
    while start < end and new and text[end - 1] == new[-1]:
        end -= 1
        new = new[:-1]
    while start < end and new and text[start] == new[0]:
        start += 1
        new = new[1:]
    return _slid(text, start, end, new)


def _slid(text: str, start: int, end: int, new: str) -> Change:
    """A pure insertion or deletion moved to the front as far as the result stays the same."""
    if start == end:
        while start and new and text[start - 1] == new[-1]:
            start, new = start - 1, new[-1] + new[:-1]
        return start, start, new
    while not new and start and text[start - 1] == text[end - 1]:
        start, end = start - 1, end - 1
    return start, end, new


def _by_weight(context: Context, nodes: Sequence[Node]) -> list[Mutation]:
    """All changes at some nodes; an operator's n-th change weighs less than its first."""
    dispatch = _repair_dispatch(context.table.name)
    text = context.tree.source.text
    found: list[Mutation] = []
    for node in nodes:
        for operator in dispatch.get(node.kind, ()) if node.named else ():
            for rank, change in enumerate(operator.make(context, node)):
                if text[change[0] : change[1]] != change[2]:
                    found.append(as_mutation(operator, change, operator.weight / (1 + 0.2 * rank)))
    found.sort(key=lambda m: -m.weight)
    return found


def _touching(tree: Tree, span: Span | None, lines: Collection[int] | None) -> list[Node]:
    """Nodes inside of `span` that share a character with one of the lines, in preorder."""
    if lines is None:
        return list(tree.within(span))
    found: dict[int, Node] = {}
    for number in sorted(lines):
        if 1 <= number <= tree.source.line_count:
            found.update((id(node), node) for node in tree.overlapping(tree.source.line_span(number, terminator=True)))
    return [n for n in found.values() if span is None or (span.start <= n.start and n.end <= span.end)]


def repairs(source: Source, span: Span | None = None, *, lines: Collection[int] | None = None) -> Iterator[Mutation]:
    """Candidate fixes by falling weight; each resulting text once; not checked.

    Text that does not parse to the language's own parser gets syntax repairs alone, text that only the grammar
    cannot read gets them first. `lines` (1-based) keeps edits that touch one of them (an insertion touches the
    line it stands in front of and the one before).
    """
    wanted = None if lines is None else frozenset(lines)
    seen: set[Change] = set()
    tree = parse(source)
    for mutation in _in_order(source, tree, span, wanted, syntax_repairs(source, wanted)):
        key = _normal(source.text, mutation)
        if key not in seen and _touches(source, mutation, span, wanted):
            seen.add(key)
            yield mutation


def _in_order(
    source: Source, tree: Tree, span: Span | None, lines: frozenset[int] | None, first: Iterator[Mutation]
) -> Iterator[Mutation]:
    yield from first
    if tree.language.check is not None and parses(source) is not None:
        return
    nodes = _touching(tree, span, lines)
    context = Context.of(tree)
    yield from _by_weight(context, nodes)


def _touches(source: Source, mutation: Mutation, span: Span | None, lines: frozenset[int] | None) -> bool:
    at = mutation.edit.span
    if span is not None and not (span.start <= at.start and at.end <= span.end + 1):
        return False
    if lines is None:
        return True
    first, last = source.lines_of(at)
    if at.start == at.end and source.text[: at.start].endswith("\n"):
        return first in lines or first - 1 in lines
    return any(first <= line <= last for line in lines)
