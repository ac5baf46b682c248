"""Difference of two syntax trees: the smallest pairs of subtrees, or runs of siblings, that are not alike.

Owns which children count (comments, brackets and commas do not), when two subtrees are equal and how children
are aligned. Must not know bug classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.alignment import between, gaps, matches
from data.prefix import common_prefix
from repair.languages import Language, Node, Tree

_MARKS = frozenset({",", "(", ")", "[", "]", "{", "}", ";", ":"})
_WRAP_DEPTH = 2  # f(x), x.m(), x.a, x[i]: how far below the inner expression lies


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """What stands before and after in one place: one subtree each, or runs of children of `owners`."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    owners: tuple[Node | None, Node | None]

    @property
    def owner(self) -> Node | None:
        """What the place belongs to, on the side after."""
        return self.owners[1] or self.owners[0]


def bare(table: Language, node: Node) -> Node:
    """The expression inside of parentheses."""
    while node.kind in table.parentheses:
        inner = [c for c in node.children if c.named and c.kind not in table.comments]
        if len(inner) != 1:
            break
        node = inner[0]
    return node


def atomic(table: Language, node: Node) -> bool:
    """Whether a node is compared as a whole: leaves, strings without code inside, operators of several words."""
    if not node.children or node.kind in table.comparisons:
        return True
    return node.kind in table.strings and not any(n.kind in table.interpolations for n in node.walk())


def kids(table: Language, node: Node) -> list[Node]:
    """The children that mean something."""
    if atomic(table, node):
        return []
    colons = node.kind in table.slices
    kept = (c for c in node.children if c.kind not in table.comments and (colons or c.kind not in _MARKS))
    return [bare(table, c) for c in kept if c.end > c.start]


def place(table: Language, node: Node) -> tuple[Node | None, str]:
    """Parent and field of a node, parentheses around it left out."""
    while node.parent is not None and node.parent.kind in table.parentheses:
        node = node.parent
    return node.parent, node.field


class Signatures:
    """A number for each node, equal for subtrees that differ in comments and layout only; made when asked for."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[int, int] = {}

    def __getitem__(self, node: Node) -> int:
        known = self._known.get(id(node))
        return self._make(node) if known is None else known

    def _make(self, top: Node) -> int:
        table, text, known = self._tree.language, self._tree.source.text, self._known
        for node in reversed(list(top.walk())):  # children come before their parents
            if id(node) in known:
                continue
            if atomic(table, node):
                own = text[node.start : node.end]
                known[id(node)] = hash(" ".join(own.split()) if node.kind in table.comparisons else own)
            else:
                inner = [known[id(c)] for c in kids(table, node)]
                whole = node.kind in table.parentheses and len(inner) == 1
                known[id(node)] = inner[0] if whole else hash((node.kind, *inner))
        return known[id(top)]


def _signatures(tree: Tree) -> Signatures:
    known = tree.memory.get("signatures")
    if not isinstance(known, Signatures):
        known = Signatures(tree)
        tree.memory["signatures"] = known
    return known


def leaves(tree: Tree, node: Node) -> Iterator[str]:
    """The tokens of a subtree, without comments."""
    stack = [node]
    while stack:
        at = stack.pop()
        if atomic(tree.language, at):
            if at.end > at.start and at.kind not in tree.language.comments:
                yield " ".join(tree.text(at).split())
        else:
            stack.extend(reversed(at.children))


def below(table: Language, node: Node, depth: int = _WRAP_DEPTH) -> Iterator[Node]:
    """Descendants down to a depth, the nearer first."""
    level = [node]
    for _ in range(depth):
        level = [c for n in level for c in kids(table, n)]
        yield from level


class Comparison:
    """Two trees of one language, compared."""

    def __init__(self, before: Tree, after: Tree) -> None:
        self.before, self.after = before, after
        self.table = before.language
        self.left, self.right = _signatures(before), _signatures(after)
        self._head, self._tail = _alike(before.source.text, after.source.text)
        table = self.table
        self._unwrapped = table.blocks | table.functions | table.classes | table.wrappers | table.statements

    def inside(self, inner: Node, outer: Node, *, fixed: bool) -> Node | None:
        """The part of `outer` (after when `fixed`) just below it that is equal to `inner` of the other side."""
        mine, theirs = (self.left, self.right) if fixed else (self.right, self.left)
        return next((n for n in below(self.table, outer) if theirs[n] == mine[inner]), None)

    def _wrapped(self, a: Node, b: Node) -> bool:
        if a.kind in self._unwrapped:
            return False
        return self.inside(a, b, fixed=True) is not None or self.inside(b, a, fixed=False) is not None

    def permuted(self, region: Region) -> bool:
        """Whether the same siblings stand in another order."""
        mine, theirs = [self.left[n] for n in region.before], [self.right[n] for n in region.after]
        return len(mine) > 1 and sorted(mine) == sorted(theirs)

    def _near(self, left: list[Node], right: list[Node]) -> tuple[list[Node], list[Node]]:
        """Without the first and last children that stand where the texts are alike; saves their signatures."""
        most, head, tail = min(len(left), len(right)), 0, 0
        while head < most and left[head].end < self._head and _twins(left[head], right[head], 0):
            head += 1
        shift = len(self.after.source.text) - len(self.before.source.text)
        edge = len(self.before.source.text) - self._tail
        while tail < most - head and left[-1 - tail].start > edge and _twins(left[-1 - tail], right[-1 - tail], shift):
            tail += 1
        return left[head : len(left) - tail], right[head : len(right) - tail]

    def _split(self, a: Node, b: Node) -> Iterator[tuple[tuple[Node, ...], tuple[Node, ...]]]:
        left, right = self._near(kids(self.table, a), kids(self.table, b))
        if len(left) == len(right) == 1:  # the difference lies there, if anywhere: no signature is needed
            yield tuple(left), tuple(right)
            return
        for one, two in gaps([self.left[n] for n in left], [self.right[n] for n in right]):
            xs, ys = tuple(left[one]), tuple(right[two])
            if a.kind in self.table.blocks and xs and ys and len(xs) != len(ys):
                yield from self._paired(xs, ys)
            else:
                yield xs, ys

    def _paired(
        self, xs: tuple[Node, ...], ys: tuple[Node, ...]
    ) -> Iterator[tuple[tuple[Node, ...], tuple[Node, ...]]]:
        """Statements that only changed apart from those that came or went."""
        old = [Counter(leaves(self.before, n)) for n in xs]
        new = [Counter(leaves(self.after, n)) for n in ys]

        def similar(i: int, j: int) -> bool:
            common = (old[i] & new[j]).total()
            return xs[i].kind == ys[j].kind and 2 * common > max(old[i].total(), new[j].total())

        found = matches(len(xs), len(ys), similar)
        yield from (((xs[i],), (ys[j],)) for i, j in found)
        yield from ((xs[one], ys[two]) for one, two in between(found, len(xs), len(ys)))

    def _reshaped(self, a: Node, b: Node) -> bool:
        """Whether one operator was exchanged for one that binds otherwise."""
        changed = [
            self.left[x] != self.right[y] for x, y in zip(kids(self.table, a), kids(self.table, b), strict=False)
        ]
        if a.kind not in self.table.binaries or sum(changed) < 2:
            return False
        old, new = list(leaves(self.before, a)), list(leaves(self.after, b))
        return len(old) == len(new) and sum(x != y for x, y in zip(old, new, strict=True)) == 1

    def regions(self) -> tuple[Region, ...]:
        """All differing places, in the order of the text before."""
        if self.before.root is None or self.after.root is None:
            return ()
        found: list[Region] = []
        stack = [(self.before.root, self.after.root)]
        while stack:
            a, b = stack.pop()
            leaf = not kids(self.table, a) and not kids(self.table, b)
            if leaf and self.left[a] == self.right[b]:
                continue
            if a.kind != b.kind or leaf or self._wrapped(a, b) or self._reshaped(a, b):
                found.append(Region((a,), (b,), (place(self.table, a)[0], place(self.table, b)[0])))
                continue
            for xs, ys in self._split(a, b):
                region = Region(xs, ys, (a, b))
                if len(xs) == len(ys) and not self.permuted(region) and _pairs(xs, ys):
                    stack.extend(zip(xs, ys, strict=True))
                else:
                    found.append(region)
        return tuple(sorted(found, key=_start))


def _twins(a: Node, b: Node, shift: int) -> bool:
    return a.kind == b.kind and a.start + shift == b.start and a.end + shift == b.end


def _alike(left: str, right: str) -> tuple[int, int]:
    """How many characters the two texts share at the front and, of what is left, at the end."""
    head = common_prefix(left, right, min(len(left), len(right)))
    return head, common_prefix(left[::-1], right[::-1], min(len(left), len(right)) - head)


def _pairs(xs: Sequence[Node], ys: Sequence[Node]) -> bool:
    return len(xs) == 1 or all(x.kind == y.kind for x, y in zip(xs, ys, strict=True))


def _start(region: Region) -> int:
    first = region.before or region.after
    return region.before[0].start if region.before else (region.owners[0] or first[0]).start
