"""The name of one differing place of two syntax trees: its fine and its coarse class.

Owns the rules for statements, for runs of siblings and for places. Which places differ is `difference.py`'s, one
expression for another is `replacement.py`'s; everything a rule knows of a language stands in its table.
"""

from __future__ import annotations

from data.difference import Comparison, Region, kids, place
from data.replacement import Name, Replacement
from repair.languages import Node

_ARMS = frozenset({"except_clause", "catch_clause", "case_clause", "switch_case", "switch_default"})


class Judge:
    """Names the differing places of one comparison."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.table = comparison.table
        self._one = Replacement(comparison)
        self._empty = self._one.words.empty
        self._filters = self._one.words.filters
        self._statement_kinds = self.table.statements | self.table.else_clauses | self.table.wrappers | _ARMS

    def of_statements(self, region: Region) -> bool:
        """Whether whole statements or arms differ."""
        owner = region.owner
        some = any(n.kind in self._statement_kinds for n in (*region.before, *region.after))
        return some or (owner is not None and owner.kind in self.table.blocks)

    def name(self, region: Region) -> Name:
        """Fine and coarse class of a place."""
        single = len(region.before) == 1 and len(region.after) == 1
        if self.of_statements(region) and not (single and self._both_assign(region)):
            return self._statements(region)
        if single:
            return self._one.name(region, region.before[0], region.after[0]) or self._by_place(region)
        return self._run(region) or self._by_place(region)

    def _both_assign(self, region: Region) -> bool:
        kinds = self.table.assignments | self.table.augmented
        return region.before[0].kind in kinds and region.after[0].kind in kinds

    def _statements(self, region: Region) -> Name:
        before = [n for n in region.before if not self._empty or self._one.old(n) != self._empty]
        after = [n for n in region.after if not self._empty or self._one.new(n) != self._empty]
        if self._guards(before, after, fixed=True):
            return "ADD_GUARD", "statement"
        if self._guards(after, before, fixed=False):
            return "REMOVE_GUARD", "statement"
        if not before or not after:
            return ("MISSING_STATEMENT" if after else "EXTRA_STATEMENT"), "statement"
        one = len(before) == 1 and len(after) == 1
        return ("SINGLE_STMT" if one else "MULTIPLE_STMTS"), "statement"

    def _guards(self, inner: list[Node], outer: list[Node], *, fixed: bool) -> bool:
        """Whether the statements `inner` are the block of the one statement `outer` of the other side."""
        if len(outer) != 1 or not inner or outer[0].kind not in self.table.conditionals | self.table.loops:
            return False
        mine, theirs = self.comparison.left, self.comparison.right
        if not fixed:
            mine, theirs = theirs, mine
        wanted = [mine[n] for n in inner]
        bodies = [outer[0].child("consequence"), outer[0].child("body")]
        return any([theirs[n] for n in kids(self.table, b)] == wanted for b in bodies if b is not None)

    def _run(self, region: Region) -> Name | None:
        """Children added, taken away, or in another order."""
        table, more = self.table, len(region.after) - len(region.before)
        order = self.comparison.permuted(region)
        arguments = ("SAME_FUNCTION_LESS_ARGS", "CHANGE_ARGUMENT", "SAME_FUNCTION_MORE_ARGS")[
            (more > 0) - (more < 0) + 1
        ]
        elements = "ADD_ELEMENTS_TO_ITERABLE" if more > 0 else "CHANGE_ELEMENTS"
        names = (
            (table.arguments, ("SAME_FUNCTION_SWAP_ARGS" if order else arguments, "argument")),
            (table.slices, ("CHANGE_SLICE_BOUND", "integer")),
            (table.strings, ("CHANGE_STRING_LITERAL", "literal")),
            (table.collections | table.patterns, (elements, "element")),
            (table.parameters, ("CHANGE_PARAMETERS", "argument")),
            (table.ternaries, ("CHANGE_CONDITION", "condition")),
        )
        kind = region.owner.kind if region.owner is not None else ""
        return next((name for kinds, name in names if kind in kinds), None)

    def _by_place(self, region: Region) -> Name:
        """A rewritten expression is named by where it stands."""
        table = self.table
        owner, field = place(table, region.after[0]) if region.after else (region.owner, "")
        kind = owner.kind if owner is not None else ""
        logical = owner is not None and kind in table.binaries and self._one.operator(owner) in table.conjunctions
        condition = ("CHANGE_CONDITION", "condition")
        names = (
            (table.returns, ("CHANGE_RETURN_VALUE", "element")),
            (table.slices, ("CHANGE_SLICE_BOUND", "integer")),
            (table.binaries, condition if logical else ("CHANGE_BINARY_OPERAND", "operand")),
            (table.arguments | table.keyword_arguments, ("CHANGE_ARGUMENT", "argument")),
            (table.collections, ("CHANGE_ELEMENTS", "element")),
            (self._filters, condition),
        )
        found = next((name for kinds, name in names if kind in kinds), None)
        return found or (condition if field == "condition" else ("SINGLE_STMT", "statement"))
