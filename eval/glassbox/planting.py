"""Planted evidence: a fault whose repair can be read off exactly one line of the prompt.

A local name that stands on two lines only is replaced, on the second, by a name from nowhere. The repair must write
the old name again, and the first line is the only place that has it: whoever repairs by reading has read that line.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence

from data.piece import Piece, piece_of, words
from data.renaming import free_names
from data.wording import FOREIGN, PLAIN
from eval.glassbox.quality import Trial
from repair.errors import PatchError
from repair.explain.cases import Case
from repair.explain.values import Subject
from repair.languages import Node
from repair.sources import Source
from repair.views import Hunk, View, hunks_patch

MOST_LINES = 60


def planted(cases: Iterable[Case], *, seed: int = 0, reported: bool = True) -> Iterator[Trial]:
    """One trial of each Python case that has a name to plant with, in its repaired text; the same for the same seed.

    `reported`: with a NameError and a traceback, as Python would tell; else without any report.
    """
    for case in cases:
        lines = _repaired(case)
        if case.view.language != "python" or lines is None or len(lines) > MOST_LINES:
            continue
        piece = piece_of("python", "\n".join(lines) + "\n", f"{seed}:{case.id}")
        if piece is not None:
            subject = _plant(case.view, piece, random.Random(f"{seed}:{case.id}"), reported=reported)
            if subject is not None:
                yield Trial(case.id, subject[0], subject[1])


def _repaired(case: Case) -> list[str] | None:
    """The lines of the view after its repair."""
    shift = case.view.first_line - 1
    source = Source.from_bytes("code", ("\n".join(case.view.lines) + "\n").encode(), language=case.view.language)
    try:
        hunks = [Hunk(h.first - shift, h.last - shift, h.text) for h in case.hunks]
        text = hunks_patch(source, hunks).files[0].apply(source.text) if hunks else source.text
    except PatchError:
        return None
    return text.removesuffix("\n").split("\n")


def _plant(view: View, piece: Piece, draw: random.Random, *, reported: bool) -> tuple[Subject, int] | None:
    places = sorted({**free_names(piece, parameters=False), **free_names(piece, parameters=True)}.items())
    beside = words(*view.context)
    usable = [(name, nodes) for name, nodes in places if name not in beside and _twice(piece, name, nodes)]
    pool = [w for w in (*PLAIN, *FOREIGN[0]) if w not in piece.taken | beside]
    if not usable or not pool:
        return None
    _, nodes = draw.choice(usable)
    wrong = draw.choice(pool)
    span = piece.edit(nodes[-1].start, nodes[-1].end, wrong).span
    text = piece.text[: span.start] + wrong + piece.text[span.end :]
    first, last = (_line(piece.text, piece.edit(n.start, n.end, "").span.start) for n in (nodes[0], nodes[-1]))
    at = last + view.first_line
    faulty = View(
        view.path, view.language, view.first_line, tuple(text.removesuffix("\n").split("\n")),
        error=f"NameError: name '{wrong}' is not defined" if reported else "", frames=(at,) if reported else (),
        context=view.context,
    )  # fmt: skip
    return Subject(faulty, (Hunk(at, at, piece.text.split("\n")[last]),)), first + view.first_line


def _twice(piece: Piece, name: str, nodes: Sequence[Node]) -> bool:
    """Whether a name is written on two lines, once on the later one, and nowhere else: not in a comment either."""
    written = [m.start() for m in re.finditer(rf"\b{re.escape(name)}\b", piece.text)]
    lines = [_line(piece.text, at) for at in written]
    places = sorted(piece.edit(n.start, n.end, "").span.start for n in nodes)
    return len(name) > 1 and written == places and len(set(lines)) == 2 and lines.count(lines[-1]) == 1


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at)
