"""Context: what operators ask of the place they work at. Owns the questions, makes no changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from repair.languages import Language, Node, Tree
from repair.languages.scopes import (
    called_members,
    called_names,
    is_variable,
    local_names,
    members_near,
    receiver_members,
    unbound_names,
    visible_in,
)
from repair.mutate.vocabulary import Vocabulary, vocabulary

_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Context:
    """A tree with its language's tables. All names and texts come from here."""

    tree: Tree
    table: Language
    words: Vocabulary

    @classmethod
    def of(cls, tree: Tree) -> Context:
        """The context of a parsed source."""
        return cls(tree, tree.language, vocabulary(tree.language.name))

    def text(self, node: Node) -> str:
        """The characters of a node."""
        return self.tree.source.text[node.start : node.end]

    def between(self, start: int, end: int) -> str:
        """The characters of a range."""
        return self.tree.source.text[start:end]

    def locals(self, node: Node) -> tuple[str, ...]:
        """Variables of the functions around a node (of the module outside of any).

        First those that are used there and bound nowhere: their binding may be the fault.
        """
        return self._remembered("locals", node, _locals)

    def visible(self, node: Node) -> tuple[str, ...]:
        """All names that a node sees, the closest scope first."""
        return self._remembered("visible", node, visible_in)

    def _remembered(self, what: str, node: Node, ask: Callable[[Tree, int], tuple[str, ...]]) -> tuple[str, ...]:
        scope = self.scope(node)
        key = (what, scope.start if scope else -1, scope.end if scope else -1, scope.kind if scope else "")
        known = self.tree.memory.get(key)
        if not isinstance(known, tuple):
            known = ask(self.tree, node.start)
            self.tree.memory[key] = known
        return known

    def scope(self, node: Node) -> Node | None:
        """The function or comprehension around a node."""
        table = self.table
        return next((a for a in node.ancestors() if a.kind in table.functions or a.kind in table.comprehensions), None)

    def function(self, node: Node) -> Node | None:
        """The function around a node."""
        return next((a for a in node.ancestors() if a.kind in self.table.functions), None)

    def members(self, node: Node, limit: int = 30) -> tuple[str, ...]:
        """Names behind dots, nearest first."""
        return members_near(self.tree, node.start, limit)

    def siblings(self, receiver: str) -> tuple[str, ...]:
        """Names that the file uses behind the dot of this very receiver, the commonest first."""
        return receiver_members(self.tree).get(receiver, ())

    def callees(self) -> tuple[str, ...]:
        """Plain functions that the file calls or defines."""
        return called_names(self.tree)

    def member_callees(self, node: Node, limit: int = 16) -> tuple[str, ...]:
        """Dotted functions (`self.f`, `math.floor`) that the file calls, those of the function first."""
        return called_members(self.tree, node.start)[:limit]

    def is_variable(self, node: Node) -> bool:
        """Whether an identifier is a variable."""
        return is_variable(self.tree, node)

    def is_callee(self, node: Node) -> bool:
        """Whether a node is what a call calls."""
        parent = node.parent
        return parent is not None and parent.kind in self.table.calls and node.field in {"function", "constructor"}

    def is_target(self, node: Node) -> bool:
        """Whether a node is bound, not read: assigned to, a parameter, a loop variable."""
        table, at = self.table, node
        while at.parent is not None and (at.parent.kind in table.patterns or at.parent.kind in table.parameters):
            if at.parent.kind in table.parameters:
                return True
            at = at.parent
        parent = at.parent
        if parent is None:
            return False
        fields = table.bindings.get(parent.kind, ())
        bound = at.field in fields or ("" in fields and (parent.kind, at.field) not in table.unbound)
        return bound or (at.kind in table.patterns and at.field not in {"value"})

    def is_value(self, node: Node) -> bool:
        """Whether a node is an expression whose value is read, so that another expression may stand there."""
        if node.kind not in self.words.expressions or node.parent is None:
            return False
        parent = node.parent
        if parent.kind in self.words.no_values or (parent.kind, node.field) in self.table.name_roles:
            return False
        if self.is_callee(node) or self.is_target(node):
            return False
        return not (node.kind in self.table.strings and parent.kind == "expression_statement")

    def operand(self, node: Node) -> bool:
        """Whether an expression put here in place of `node` needs parentheses."""
        parent = node.parent
        if parent is None:
            return False
        table = self.table
        if parent.kind in table.binaries or parent.kind in table.negations or parent.kind in self.words.tight:
            return True
        first = parent.children[0] is node
        return first and (parent.kind in table.members or parent.kind in table.subscripts or parent.kind in table.calls)

    def in_loop(self, node: Node) -> bool:
        """Whether a node stands in a loop of its own function."""
        for above in node.ancestors():
            if above.kind in self.table.functions or above.kind in self.table.classes:
                return False
            if above.kind in self.table.loops:
                return True
        return False

    def arguments(self, node: Node) -> list[Node]:
        """The arguments of an argument list (elements of a literal), without comments."""
        return [c for c in node.children if c.named and c.kind not in self.table.comments]

    def statements(self, block: Node) -> list[Node]:
        """The statements of a block, in order."""
        return [c for c in block.children if c.kind in self.table.statements]

    def statement(self, node: Node) -> Node | None:
        """The statement that a node belongs to (itself if it is one)."""
        at: Node | None = node
        while at is not None and not (at.kind in self.table.statements and self.in_block(at)):
            at = at.parent
        return at

    def in_block(self, node: Node) -> bool:
        """Whether a node is a statement of a block."""
        return node.parent is not None and node.parent.kind in self.words.blocks

    def line_start(self, offset: int) -> int:
        """Where the line of an offset begins."""
        return self.tree.source.text.rfind("\n", 0, offset) + 1

    def line_end(self, offset: int) -> int:
        """Where the line of an offset ends, its terminator included."""
        at = self.tree.source.text.find("\n", offset)
        return len(self.tree.source.text) if at < 0 else at + 1

    def owns_lines(self, node: Node) -> bool:
        """Whether nothing else stands on the lines of a node (but a comment behind it)."""
        if self.between(self.line_start(node.start), node.start).strip():
            return False
        rest = self.between(node.end, self.line_end(node.end)).strip()
        return not rest or rest.startswith(self.table.comment)

    def indentation(self, node: Node) -> str:
        """White space in front of a node's line."""
        start = self.line_start(node.start)
        line = self.between(start, node.start)
        return line[: len(line) - len(line.lstrip())]

    def unit(self) -> str:
        """One level of the file's indentation."""
        known = self.tree.memory.get("unit")
        if not isinstance(known, str):
            known = _unit(self.tree.source.text)
            self.tree.memory["unit"] = known
        return known


def _locals(tree: Tree, offset: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*unbound_names(tree, offset), *local_names(tree, offset))))


def split_lines(text: str) -> list[str]:
    """Lines with their terminators; only a line feed ends a line."""
    return _LINES.findall(text)


def _unit(text: str) -> str:
    best = ""
    for line in text.split("\n")[:400]:
        stripped = line.lstrip(" \t")
        lead = line[: len(line) - len(stripped)]
        if lead.startswith("\t"):
            return "\t"
        if lead and stripped and stripped[0] not in "#*" and (not best or len(lead) < len(best)) and len(lead) > 1:
            best = lead
    return best or "    "
