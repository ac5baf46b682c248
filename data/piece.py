"""Piece: a text to be transformed, parsed within its frame; Group: edits of it that only make sense together.

Owns the change between offsets of the framed text and of the bare one, and the choice of edits that do not collide.
Must not know any transformation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.framing import Frame, frame_of
from repair.edits import Edit, FilePatch, Span
from repair.languages import Node
from repair.mutate.context import Context

_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Group:
    """Edits (offsets in the bare text) that are made together. Equal names mean the same change of another text."""

    edits: tuple[Edit, ...]
    name: str = ""  # "" for edits of a few lines, which are told by where they stand


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A function, parsed. `seed` decides wordings: equal lines get equal ones; `taken` words are not used as names."""

    frame: Frame
    text: str
    context: Context
    seed: str
    taken: frozenset[str]

    @property
    def root(self) -> Node | None:
        """The tree's root, frame included."""
        return self.context.tree.root

    def edit(self, start: int, end: int, text: str) -> Edit:
        """An edit of the bare text, from offsets of the framed one."""
        shift = len(self.frame.lead)
        return Edit(Span(start - shift, end - shift), text)

    def inside(self, node: Node) -> bool:
        """Whether a node belongs to the text and not to the frame around it."""
        shift = len(self.frame.lead)
        return node.start >= shift and node.end <= shift + len(self.text)

    def draw(self, about: str) -> random.Random:
        """Chance that depends on the seed and on what it is about alone."""
        return random.Random(f"{self.seed}:{about}")

    def nodes(self, kinds: frozenset[str]) -> list[Node]:
        """All nodes of these kinds, in the order of the text."""
        return [n for n in self.context.tree.nodes if n.kind in kinds and n.named and self.inside(n)]


def single(piece: Piece, start: int, end: int, text: str) -> Group:
    """A group of one edit, from offsets of the framed text."""
    return Group((piece.edit(start, end, text),))


def words(*texts: str) -> frozenset[str]:
    """Everything that could be a name in some texts."""
    return frozenset(w for text in texts for w in _WORD.findall(text))


def piece_of(language: str, text: str, seed: str, taken: frozenset[str] = frozenset()) -> Piece | None:
    """A text as a piece, None where no parser reads it."""
    frame = frame_of(language, text)
    return None if frame is None else framed_piece(frame, text, seed, taken)


def framed_piece(frame: Frame, text: str, seed: str, taken: frozenset[str]) -> Piece:
    """A text within a frame that is known already (the text itself may not parse)."""
    return Piece(frame, text, Context.of(frame.tree(text)), seed, taken | words(text))


def apart(chosen: Sequence[Group], group: Group) -> bool:
    """Whether a group's edits neither overlap nor touch those already chosen."""
    spans = [e.span for g in chosen for e in g.edits]
    return all(e.span.end < s.start or s.end < e.span.start for e in group.edits for s in spans)


def made(text: str, groups: Iterable[Group]) -> str:
    """The text with all edits of some groups made."""
    return FilePatch("piece", tuple(e for g in groups for e in g.edits)).apply(text)
