"""Planted evidence: a fault whose repair can be read off exactly one line of the prompt.

A local name that stands on two lines only is replaced, on the second, by a name from nowhere. The repair must write
the old name again, and the first line is the only place that has it: whoever repairs by reading has read that line.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from data.piece import Piece, piece_of, words
from data.records import Record
from data.renaming import free_names
from data.wording import FOREIGN, PLAIN
from repair.explain.values import Subject, UnitKind
from repair.languages import Node
from repair.views import Hunk, View

MOST_LINES = 60


@dataclass(frozen=True, slots=True)
class Planted:
    """A subject whose evidence is known: the code line `evidence` alone has the name that the repair needs."""

    subject: Subject
    name: str
    evidence: int
    reported: bool  # whether the error names the wrong name and the traceback the line

    @property
    def kind(self) -> UnitKind:
        """Where the evidence stands."""
        return UnitKind.CODE


def planted(records: Iterable[Record], *, seed: int = 0, reported: bool = True) -> Iterator[Planted]:
    """One case of each record that has a name to plant with, in its repaired text; the same for the same seed.

    `reported`: with a NameError and a traceback, as Python would tell; else without any report.
    """
    for record in records:
        if record.language != "python" or record.fixed.count("\n") > MOST_LINES:
            continue
        piece = piece_of(record.language, record.fixed, f"{seed}:{record.id}")
        if piece is not None:
            found = _plant(record, piece, random.Random(f"{seed}:{record.id}"), reported=reported)
            if found is not None:
                yield found


def _plant(record: Record, piece: Piece, draw: random.Random, *, reported: bool) -> Planted | None:
    places = sorted({**free_names(piece, parameters=False), **free_names(piece, parameters=True)}.items())
    beside = words(*record.context)
    usable = [(name, nodes) for name, nodes in places if name not in beside and _twice(piece, name, nodes)]
    pool = [w for w in (*PLAIN, *FOREIGN[0]) if w not in piece.taken | beside]
    if not usable or not pool:
        return None
    name, nodes = draw.choice(usable)
    wrong = draw.choice(pool)
    edit = piece.edit(nodes[-1].start, nodes[-1].end, wrong)
    text = record.fixed[: edit.span.start] + wrong + record.fixed[edit.span.end :]
    first, last = (_line(record.fixed, piece.edit(n.start, n.end, "").span.start) for n in (nodes[0], nodes[-1]))
    shift = record.first_line
    right = record.fixed.split("\n")[last]
    view = View(
        record.path, record.language, shift, tuple(text.removesuffix("\n").split("\n")),
        error=f"NameError: name '{wrong}' is not defined" if reported else "",
        frames=(last + shift,) if reported else (), context=record.context,
    )  # fmt: skip
    return Planted(Subject(view, (Hunk(last + shift, last + shift, right),)), name, first + shift, reported)


def _twice(piece: Piece, name: str, nodes: list[Node]) -> bool:
    """Whether a name is written on two lines, once on the later one, and nowhere else: not in a comment either."""
    written = [m.start() for m in re.finditer(rf"\b{re.escape(name)}\b", piece.text)]
    lines = [_line(piece.text, at) for at in written]
    places = [piece.edit(n.start, n.end, "").span.start for n in nodes]
    return len(name) > 1 and written == places and len(set(lines)) == 2 and lines.count(lines[-1]) == 1


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at)
