"""The name of one expression put in place of another: literal, token, name, operator, wrapping.

Owns these rules, in the order in which they are asked; everything a rule knows of a language stands in its table.
Must not know of statements or runs of siblings (`naming.py`).
"""

from __future__ import annotations

from data.difference import Comparison, Region, kids, leaves, place
from repair.languages import Language, Node, Tree
from repair.mutate.vocabulary import vocabulary

Name = tuple[str, str]  # fine, coarse

_EXCEPTION = ("Error", "Exception", "Warning", "Interrupt", "Exit", "StopIteration")


class Replacement:
    """Names one subtree in place of another, in one comparison."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.table: Language = comparison.table
        self.words = vocabulary(self.table.name)
        table = self.table
        self.names = table.identifiers | table.member_names | {"type_identifier"}
        self.numbers = table.integers | table.floats
        self.booleans = table.trues | table.falses
        self.constants = self.numbers | self.booleans | table.nulls | table.strings

    def old(self, node: Node) -> str:
        """Text before."""
        return self.comparison.before.text(node)

    def new(self, node: Node) -> str:
        """Text after."""
        return self.comparison.after.text(node)

    def operator(self, node: Node) -> str:
        """The (first) operator of a binary expression, "" where there is none."""
        parts = [c for c in node.children if c.kind not in self.table.comments]
        *_, root = node.ancestors()
        tree = self.comparison.after if root is self.comparison.after.root else self.comparison.before
        return " ".join(tree.text(parts[1]).split()) if len(parts) > 2 else ""

    def name(self, region: Region, a: Node, b: Node) -> Name | None:
        """One subtree in place of another; None: only its place names it."""
        found = (
            self._literals(region, a, b)
            or self._tokens(region, a, b)
            or self._identifiers(a, b)
            or self._operators(a, b)
            or self._wrapping(region, a, b)
        )
        if found is None and self._called(b) and {a.kind, b.kind} <= self.names | self.table.members:
            return "WRONG_FUNCTION_NAME", "name"
        return found

    def _number(self, node: Node) -> bool:
        if node.kind in self.table.negations and len(node.children) == 2:
            node = node.children[1]
        return node.kind in self.numbers

    def _constant(self, tree: Tree, node: Node) -> bool:
        empty = node.kind in self.table.collections and not kids(self.table, node)
        return empty or node.kind in self.constants or self._number(node) or tree.text(node) in self.words.collections

    def _literals(self, region: Region, a: Node, b: Node) -> Name | None:
        table = self.table
        if self._number(a) and self._number(b):
            return "CHANGE_NUMERAL", "integer"
        if a.kind in self.booleans and b.kind in self.booleans:
            return "CHANGE_BOOLEAN_LITERAL", "literal"
        inside = (region.owner.kind if region.owner is not None else "") in table.strings
        if (a.kind in table.strings and b.kind in table.strings) or (inside and not a.children and not b.children):
            return "CHANGE_STRING_LITERAL", "literal"
        if self._constant(self.comparison.before, a) and self._constant(self.comparison.after, b):
            return "CHANGE_CONSTANT_TYPE", "literal"
        return None

    def _tokens(self, region: Region, a: Node, b: Node) -> Name | None:
        """Operator or keyword for another one."""
        if a.named and b.named:
            return None
        owner = region.owner
        kind = owner.kind if owner is not None else ""
        if kind in self.table.binaries:
            return self._sign(" ".join(self.old(a).split()), " ".join(self.new(b).split()))
        if kind in self.table.negations:
            return "CHANGE_UNARY_OPERATOR", "integer"
        if kind in self.table.augmented | self.table.assignments:
            return "CHANGE_BINARY_OPERATOR", "arithmetic"
        return None

    def _sign(self, old: str, new: str) -> Name:
        """The class of a binary operator: that of the fixed one."""
        for sign in (new, old):
            if sign in self.table.conjunctions:
                return "CHANGE_BINARY_OPERATOR", "arithmetic" if old in self.table.arithmetic else "condition"
            if sign in self.table.arithmetic:
                return "CHANGE_BINARY_OPERATOR", "arithmetic"
        return "CHANGE_BINARY_OPERATOR", "comparison"

    def _identifiers(self, a: Node, b: Node) -> Name | None:
        """One name for another, by the role that it plays."""
        if a.kind not in self.names or b.kind not in self.names:
            return None
        both = (self.old(a), self.new(b))
        if all(name in self.words.exceptions or name.endswith(_EXCEPTION) for name in both):
            return "CHANGE_EXCEPTION_TYPE", "literal"
        owner, field = place(self.table, b)
        if owner is not None and owner.kind in self.table.keyword_arguments and field == "name":
            return "CHANGE_KEYWORD_ARGUMENT_USED", "argument"
        if self._called(b):
            return "WRONG_FUNCTION_NAME", "name"
        member = owner is not None and owner.kind in self.table.members
        called = member and owner is not None and self._called(owner)
        if member and owner is not None and owner.children[-1] is b:
            return ("WRONG_FUNCTION_NAME" if called else "CHANGE_ATTRIBUTE_USED"), "name"
        receiver = owner is not None and owner.kind in self.table.calls and field == "object"
        return ("SAME_FUNCTION_WRONG_CALLER" if called or receiver else "CHANGE_IDENTIFIER"), "variable"

    def _called(self, node: Node) -> bool:
        owner, field = place(self.table, node)
        return owner is not None and owner.kind in self.table.calls and field in {"function", "constructor", "name"}

    def _operators(self, a: Node, b: Node) -> Name | None:
        """Another operator that binds otherwise, so that the tree changes its shape: one token differs."""
        table = self.table
        kinds = table.binaries | table.assignments | table.augmented | table.negations
        if a.kind not in kinds or b.kind not in kinds:
            return None
        old, new = list(leaves(self.comparison.before, a)), list(leaves(self.comparison.after, b))
        if len(old) != len(new):
            return None
        pairs = [(x, y) for x, y in zip(old, new, strict=True) if x != y]
        if len(pairs) != 1:
            return None
        if a.kind in table.augmented or b.kind in table.augmented:
            return "CHANGE_BINARY_OPERATOR", "arithmetic"
        signs = table.arithmetic | table.comparisons | {*table.conjunctions}
        return self._sign(*pairs[0]) if pairs[0][0] in signs and pairs[0][1] in signs else None

    def _wrapping(self, region: Region, a: Node, b: Node) -> Name | None:
        """One side stands inside of the other."""
        if (inner := self._within(a, b, fixed=True)) is not None:
            return self._around(region, b, inner, added=True)
        if (inner := self._within(b, a, fixed=False)) is not None:
            return self._around(region, a, inner, added=False)
        return None

    def _within(self, inner: Node, outer: Node, *, fixed: bool) -> Node | None:
        found = self.comparison.inside(inner, outer, fixed=fixed)
        if found is None and inner.kind in self.names and outer.kind in self.table.members:
            own, last = (self.old, self.new) if fixed else (self.new, self.old)
            found = outer.children[-1] if own(inner) == last(outer.children[-1]) else None
        return found

    def _around(self, region: Region, outer: Node, inner: Node, *, added: bool) -> Name | None:
        table, kind = self.table, outer.kind
        if kind in table.negations:
            text = (self.new if added else self.old)(outer.children[0])
            return "CHANGE_UNARY_OPERATOR", "condition" if text == table.negation.strip() else "integer"
        if kind in table.binaries:
            return self._joined(region, outer, inner, added=added)
        if kind in table.ternaries:
            return "CHANGE_CONDITION", "condition"
        if kind in table.collections:
            return ("ADD_ELEMENTS_TO_ITERABLE" if added else "CHANGE_ELEMENTS"), "element"
        if kind in table.calls | table.members | table.subscripts or kind in self.words.tight:
            return (self._access(outer, inner) if added else "REMOVE_ACCESS"), "unwrap"
        return None

    def _access(self, outer: Node, inner: Node) -> str:
        if outer.kind in self.table.members:
            return "ADD_ATTRIBUTE_ACCESS"
        if outer.kind in self.table.subscripts:
            return "ADD_SUBSCRIPT"
        parent = place(self.table, inner)[0]
        if parent is not None and parent.kind in self.table.arguments:
            return "ADD_FUNCTION_AROUND_EXPRESSION"
        return "ADD_CALL" if parent is outer and inner.field != "object" else "ADD_METHOD_CALL"

    def _joined(self, region: Region, outer: Node, inner: Node, *, added: bool) -> Name:
        sign, table = self.operator(outer), self.table
        if sign in table.conjunctions:
            narrow = (sign == table.conjunctions[0]) == added
            return ("MORE_SPECIFIC_IF" if narrow else "LESS_SPECIFIC_IF"), "condition"
        if sign in table.comparisons:
            return "CHANGE_CONDITION", "condition"
        text = self.new if added else self.old
        others = [text(n) for n in kids(table, outer) if n is not inner and n.named]
        step = others == ["1"] and sign in {"+", "-"}
        if step and (not added or self._bound(region)):
            return "CHANGE_NUMERAL", "integer"
        return "CHANGE_BINARY_OPERAND", "operand"

    def _bound(self, region: Region) -> bool:
        """Whether the place is an index, a slice bound or an argument of range and the like."""
        owner = place(self.table, region.after[0])[0]
        if owner is None:
            return False
        return owner.kind in self.table.slices | self.table.subscripts
