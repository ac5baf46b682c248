"""Pre-training documents: cleaned files cut into windows and written in the form that the repair model reads.

Most documents are windows in the compact format, each line followed by its line token; in a share of them one
to three runs of lines are replaced by a hole and follow as the answer (infilling, Bavarian et al. 2022, in the
format of a repair). A small share is plain text with newlines. Owns windows and holes; the format is `repair.prompts`'.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.condense import condense
from data.dedup import Seen
from data.recipe import Recipe
from data.sources.packages import CodeFile
from data.store import write_array
from data.tokenizer import LineEncoder
from repair.prompts import LINE_TOKENS, Piece, Role, compact_prompt, compact_target, encode
from repair.views import Hunk, View

WINDOW_CHARACTERS = 2800  # about 900 tokens, so that a row holds a whole window
WINDOW_LINES = 200
HOLE_SHARE = 0.5
SHUFFLE_BUFFER = 4000
_HOLE = "\0"  # stands for a hole among the lines of a view; no source file holds it
_OPENERS = ("def ", "async def ", "class ", "@")


@dataclass(frozen=True, slots=True)
class Window:
    """A run of lines of one file."""

    path: str
    lines: tuple[str, ...]


def _is_start(lines: Sequence[str], at: int) -> bool:
    """Whether a function or class of the outer two levels begins at line `at` (decorators counted)."""
    line = lines[at]
    indent = len(line) - len(line.lstrip())
    decorated = at > 0 and lines[at - 1].lstrip().startswith("@")
    return indent <= 4 and not decorated and line.lstrip().startswith(_OPENERS)


def windows(file: CodeFile, characters: int = WINDOW_CHARACTERS) -> Iterator[Window]:
    """Cut a file into runs of at most WINDOW_LINES and about `characters`, at functions where possible."""
    lines = file.text.rstrip("\n").split("\n")
    begin = 0
    while begin < len(lines):
        end, size = begin, 0
        while end < len(lines) and end - begin < WINDOW_LINES and size < characters:
            size += len(lines[end].lstrip()) + 4
            end += 1
        if end < len(lines):
            starts = [at for at in range(end - 1, begin + (end - begin) // 3, -1) if _is_start(lines, at)]
            end = starts[0] if starts else end
        chosen = lines[begin:end]
        while chosen and not chosen[-1].strip():
            chosen.pop()
        if any(line.strip() for line in chosen):
            yield Window(file.path, tuple(chosen))
        begin = end


def _holes(lines: Sequence[str], draw: random.Random) -> list[tuple[int, int]]:
    """One to three disjoint runs (first, last; 0-based) of one to three lines that hold code."""
    code = [n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    chosen: list[tuple[int, int]] = []
    for first in sorted(draw.sample(code, min(len(code), draw.choice((1, 1, 2, 3))))):
        last = min(first + draw.choice((0, 0, 0, 1, 2)), len(lines) - 1)
        if not chosen or first > chosen[-1][1] + 1:
            chosen.append((first, last))
    return chosen


def _with_holes(view: View, draw: random.Random) -> tuple[View, list[Hunk]]:
    lines: list[str] = []
    hunks: list[Hunk] = []
    at = 0
    for first, last in _holes(view.lines, draw):
        lines += view.lines[at:first]
        number = view.first_line + len(lines)
        hunks.append(Hunk(number, number, "\n".join(view.lines[first : last + 1])))
        lines.append(_HOLE)
        at = last + 1
    lines += view.lines[at:]
    return replace(view, lines=tuple(lines)), hunks


def document(window: Window, draw: random.Random, *, plain: bool, holes: float = HOLE_SHARE) -> list[Piece]:
    """The pieces of one document: plain text, a window, or (a share `holes`) a window with holes and its answer."""
    end = Piece("<|eot|>", special=True, role=Role.TARGET)
    if plain:
        return [Piece("<|bos|>", special=True), Piece("\n".join(window.lines) + "\n", role=Role.CODE), end]
    view = View(window.path, "python", draw.randrange(1, LINE_TOKENS + 1), window.lines)
    if draw.random() >= holes:
        return [*compact_prompt(view)[:-1], end]
    view, hunks = _with_holes(view, draw)
    pieces = (*compact_prompt(view), *compact_target(view, hunks))
    return [Piece("<|fim_middle|>", special=True, role=Role.CODE) if p.text == _HOLE else p for p in pieces]


def shuffled_windows(files: Iterable[CodeFile], recipe: Recipe, seen: Seen) -> Iterator[Window]:
    """Windows that are no duplicates, those of algorithmic files several times.

    Files come in an order drawn from the seed, then windows are mixed within a buffer, so that the first ones
    come before everything was read.
    """
    draw = random.Random(f"{recipe.seed}:windows")
    ordered = list(files)
    draw.shuffle(ordered)
    held: list[Window] = []
    for file in ordered:
        new = [w for w in windows(replace(file, text=condense(file.text, draw))) if not seen.reason("\n".join(w.lines))]
        held += new * recipe.weight(file.package, file.path)
        if len(held) > 2 * SHUFFLE_BUFFER:
            draw.shuffle(held)
            yield from held[SHUFFLE_BUFFER:]
            del held[SHUFFLE_BUFFER:]
    draw.shuffle(held)
    yield from held


def token_stream(chosen: Iterable[Window], encoder: LineEncoder, recipe: Recipe) -> Iterator[NDArray[np.uint16]]:
    """Token ids of one document after another."""
    draw = random.Random(f"{recipe.seed}:documents")
    for window in chosen:
        pieces = document(window, draw, plain=draw.random() < recipe.plain_share)
        yield np.array(encode(pieces, encoder), dtype=np.uint16)


def write_shards(
    documents: Iterable[NDArray[np.uint16]], folder: Path, name: str, *, tokens: int, shard: int
) -> list[tuple[str, int]]:
    """Write `NAME-000.npy` …: flat streams of about `shard` tokens, `tokens` in all; names and their lengths."""
    written: list[tuple[str, int]] = []
    held: list[NDArray[np.uint16]] = []
    size = total = 0

    def flush() -> None:
        nonlocal held, size
        path = folder / f"{name}-{len(written):03d}.npy"
        write_array(path, np.concatenate(held))
        written.append((path.name, size))
        held, size = [], 0

    for ids in documents:
        held.append(ids)
        size += len(ids)
        total += len(ids)
        if size >= shard:
            flush()
        if total >= tokens:
            break
    if held:
        flush()
    return written
