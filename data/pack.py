"""Training rows: examples as token ids with loss weights, packed into rows of one length, ready to be mapped.

A shard `NAME-000` is three arrays of shape (rows, length):
    NAME-000.ids.npy       uint16  token ids, 0 (<|pad|>) where a row ends early
    NAME-000.weights.npy   uint8   loss weight of each token AS A TARGET, in tenths (3, 10, 30), 0 for no loss
    NAME-000.segments.npy  uint8   1, 2, 3 ... for the examples of a row, 0 for padding: attention stays in a segment
Owns the weighing by role and the packing. Knows nothing of how examples are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.mutants import Example
from data.store import write_array
from data.tokenizer import LineEncoder
from repair.prompts import Piece, Role, compact_prompt, compact_target, encode_roles

WEIGHT_UNIT = 10
_WEIGHTS = {Role.AUXILIARY: 0, Role.CODE: 3, Role.TARGET: 10, Role.POINTER: 30}
_OPEN_ROWS = 48


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One example as token ids and loss weights in tenths, of equal length."""

    ids: NDArray[np.uint16]
    weights: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)


def _muted(example: Example) -> frozenset[int]:
    """The lines of the view that hold a fault: the model must not learn to write them."""
    return frozenset(n for hunk in example.hunks for n in range(hunk.first, hunk.last + 1))


def _code_line_roles(pieces: Iterable[Piece], example: Example) -> Iterator[Piece]:
    """The pieces of a prompt, those of faulty lines without loss."""
    muted, number, code = _muted(example), example.view.first_line, False
    for piece in pieces:
        in_code = code and piece.role is Role.CODE
        quiet = in_code and not piece.special and number in muted
        yield Piece(piece.text, piece.special, Role.AUXILIARY) if quiet else piece
        if in_code and piece.special:
            number += 1
        code = code or (piece.special and piece.text == "<|code|>")


def encode_example(example: Example, encoder: LineEncoder) -> Encoded:
    """Prompt and answer in the compact format with the loss weight of each token."""
    prompt = _code_line_roles(compact_prompt(example.view), example)
    return encode_pieces([*prompt, *compact_target(example.view, example.hunks)], encoder)


def encode_pieces(pieces: Iterable[Piece], encoder: LineEncoder) -> Encoded:
    """Token ids with the loss weight of each piece's role."""
    tokens = encode_roles(pieces, encoder)
    ids = np.array([token for token, _ in tokens], dtype=np.uint16)
    return Encoded(ids, np.array([_WEIGHTS[role] for _, role in tokens], dtype=np.uint8))


@dataclass(slots=True, eq=False)
class _Row:
    parts: list[Encoded] = field(default_factory=list[Encoded])
    size: int = 0


def pack(examples: Iterable[Encoded], length: int) -> Iterator[list[Encoded]]:
    """Groups of examples of at most `length` tokens, best fit among a few open rows; longer examples are left out."""
    rows: list[_Row] = []
    for example in examples:
        if len(example) > length:
            continue
        fitting = [row for row in rows if row.size + len(example) <= length and len(row.parts) < 255]
        row = max(fitting, key=lambda r: r.size) if fitting else _Row()
        if not fitting:
            rows.append(row)
        row.parts.append(example)
        row.size += len(example)
        if len(rows) > _OPEN_ROWS:
            fullest = max(rows, key=lambda r: r.size)
            rows.remove(fullest)
            yield fullest.parts
    for row in rows:
        yield row.parts


def _arrays(rows: list[list[Encoded]], length: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]]:
    ids = np.zeros((len(rows), length), dtype=np.uint16)
    weights = np.zeros((len(rows), length), dtype=np.uint8)
    segments = np.zeros((len(rows), length), dtype=np.uint8)
    for at, parts in enumerate(rows):
        begin = 0
        for number, part in enumerate(parts, 1):
            end = begin + len(part)
            ids[at, begin:end], weights[at, begin:end], segments[at, begin:end] = part.ids, part.weights, number
            begin = end
    return ids, weights, segments


def write_packed(folder: Path, name: str, examples: Iterable[Encoded], length: int) -> dict[str, int]:
    """Write one shard; the ids last, so that a shard whose ids exist is whole. Counts of rows, tokens, examples."""
    rows = list(pack(examples, length))
    ids, weights, segments = _arrays(rows, length)
    write_array(folder / f"{name}.weights.npy", weights)
    write_array(folder / f"{name}.segments.npy", segments)
    write_array(folder / f"{name}.ids.npy", ids)
    return {"rows": len(rows), "tokens": int((segments > 0).sum()), "examples": sum(map(len, rows))}
