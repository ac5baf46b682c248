"""Mutation: one small change with its class; Operator: how to make them. No operator lives here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from repair.edits import Edit, Span
from repair.languages import Language, Node
from repair.mutate.context import Context

Change = tuple[int, int, str]  # start, end (character offsets), new text

# The rows of the injection mix, with their share in percent (inverse of the real fixes in TSSB-3M).
MIX: dict[str, float] = {
    "variable": 16,  # a wrong variable that is in scope
    "name": 11,  # a wrong attribute, method or function
    "unwrap": 11,  # without its call, .method(), attribute, subscript
    "argument": 10,  # argument or keyword dropped, added, swapped
    "operand": 5,  # binary operand dropped or replaced
    "literal": 4,  # bool, None, string, exception class
    "layout": 2,  # indentation level, order of statements
    "condition": 9,  # conjunct dropped, negated, and/or, `not` dropped
    "statement": 8,  # guard, init, update, return or else arm deleted
    "integer": 9,  # +-1, sign, 0/1, scale, slice and range bounds
    "comparison": 7,
    "arithmetic": 5,  # arithmetic and bit operators, += against =
    "element": 3,  # element dropped, wrong value returned
    "syntax": 2,  # does not parse any more
}
BUG_CLASSES: tuple[str, ...] = tuple(MIX)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of a source's text. `weight` is a rough prior that it is the fix (only its order means something)."""

    operator: str
    bug_class: str
    edit: Edit
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Operator:
    """`make` yields the changes at one node of `kinds`, the likelier first; `weight` is that of the first."""

    name: str
    bug_class: str
    kinds: Callable[[Language], frozenset[str]]
    make: Callable[[Context, Node], Iterable[Change]]
    weight: float = 1.0
    applies: Callable[[Context, Node], bool] | None = None  # a quick look: False where `make` has nothing to yield


def as_mutation(operator: Operator, change: Change, weight: float = 1.0) -> Mutation:
    """The mutation that an operator's change is."""
    return Mutation(operator.name, operator.bug_class, Edit(Span(change[0], change[1]), change[2]), weight)
