"""What a model reads: a View rendered for each kind of model. Serving and training both come here.

Three renderings of the same View:

    compact    the embedded model: special tokens and one line token at the END of each line, so that the
               state there has read the line, and the distribution after `<|fix|>` points at lines
    numbered   any causal code model: `37|code`, answered in the reply format of `replies.py`
    chat       instruct models: the numbered text inside messages

Knows nothing of weights: an Encoder turns pieces into token ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

from repair.views import Hunk, View

LINE_TOKENS = 256
_NAMED = (
    "<|pad|>", "<|bos|>", "<|eot|>", "<|err|>", "<|none|>", "<|tb|>", "<|test|>", "<|ctx|>", "<|code|>",
    "<|fix|>", "<|ins|>", "<|txt|>", "<|ok|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file|>",
    "<|lang|>",
)  # fmt: skip
SPECIALS: tuple[str, ...] = (
    *_NAMED,
    *(f"<|spare{n}|>" for n in range(24 - len(_NAMED))),
    *(f"<|L{n}|>" for n in range(LINE_TOKENS)),
)
"""Special tokens of the embedded vocabulary, in order of their ids (0..279)."""

MAX_WINDOW_LINES = 200
MAX_ERROR_CHARACTERS = 300
MAX_TEST_CHARACTERS = 240
MAX_CONTEXT_CHARACTERS = 800


class Role(IntEnum):
    """What a token is for; training weighs the loss by it."""

    AUXILIARY = 0  # error, frames, test, context
    CODE = 1
    POINTER = 2  # START, END, <|ins|>, <|ok|>
    TARGET = 3  # replacement text and its end


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a compact prompt: one special token, or plain text (never read as special tokens)."""

    text: str
    special: bool = False
    role: Role = Role.AUXILIARY


class Encoder(Protocol):
    """Token ids of special tokens and of lines of plain text."""

    def special(self, token: str) -> int:
        """The id of one of SPECIALS."""
        ...

    def encode_lines(self, lines: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of each line, encoded apart from the others; text that looks special stays text."""
        ...


def line_token(number: int) -> str:
    """The token of a line number."""
    return f"<|L{number % LINE_TOKENS}|>"


def _special(token: str, role: Role = Role.AUXILIARY) -> Piece:
    return Piece(token, special=True, role=role)


def one_line(text: str, limit: int) -> str:
    """`text` with runs of white space folded, cut to `limit` characters."""
    return " ".join(text.split())[:limit]


def compact_prompt(view: View) -> tuple[Piece, ...]:
    """The view in the format of the embedded model, up to and with `<|fix|>`."""
    pieces = [_special("<|bos|>"), _special("<|err|>")]
    error = one_line(view.error, MAX_ERROR_CHARACTERS)
    pieces.append(Piece(error) if error else _special("<|none|>"))
    if view.frames:
        pieces.append(_special("<|tb|>"))
        pieces += [_special(line_token(n)) for n in view.frames[:3]]
    if view.test:
        pieces += [_special("<|test|>"), Piece(view.test[:MAX_TEST_CHARACTERS])]
    if view.context:
        pieces += [_special("<|ctx|>"), Piece("\n".join(view.context)[:MAX_CONTEXT_CHARACTERS])]
    pieces.append(_special("<|code|>"))
    for number, line in enumerate(view.lines, view.first_line):
        if line:
            pieces.append(Piece(line, role=Role.CODE))
        pieces.append(_special(line_token(number), Role.CODE))
    pieces.append(_special("<|fix|>"))
    return tuple(pieces)


def shown_hunks(view: View, hunks: Sequence[Hunk]) -> tuple[Hunk, ...]:
    """The same change, in order, each start a line of the view: lines added after the last one go with it."""
    ordered = sorted(hunks)
    if not (ordered and ordered[-1].inserts and ordered[-1].first == view.last_line + 1):
        return tuple(ordered)
    added = ordered.pop()
    last = Hunk(view.last_line, view.last_line, view.lines[-1])
    if ordered and ordered[-1].last == view.last_line:
        last = ordered.pop()
    return (*ordered, Hunk(last.first, last.last, f"{last.text}\n{added.text}" if last.text else added.text))


def compact_target(view: View, hunks: Sequence[Hunk]) -> tuple[Piece, ...]:
    """What the embedded model answers (after `<|fix|>`); no hunks say that there is no fault."""
    if not hunks:
        return (_special("<|ok|>", Role.POINTER), _special("<|eot|>", Role.TARGET))
    pieces: list[Piece] = []
    for index, hunk in enumerate(shown_hunks(view, hunks)):
        if index:
            pieces.append(_special("<|fix|>", Role.TARGET))
        pieces.append(_special(line_token(hunk.first), Role.POINTER))
        if hunk.inserts:
            pieces.append(_special("<|ins|>", Role.POINTER))
        else:
            pieces.append(_special(line_token(hunk.last), Role.POINTER))
            pieces.append(_special("<|txt|>", Role.TARGET))
        if hunk.text:
            pieces.append(Piece(hunk.text, role=Role.TARGET))
    pieces.append(_special("<|eot|>", Role.TARGET))
    return tuple(pieces)


def encode(pieces: Iterable[Piece], encoder: Encoder) -> list[int]:
    """Token ids of pieces: special tokens by name, each line of a text apart, newlines between them."""
    return [token for token, _ in encode_roles(pieces, encoder)]


def encode_roles(pieces: Iterable[Piece], encoder: Encoder) -> list[tuple[int, Role]]:
    """Token ids with the role of each; one call of the encoder for all the text."""
    pieces = tuple(pieces)
    lines = [line for p in pieces if not p.special for line in p.text.split("\n")]
    encoded = iter(encoder.encode_lines([*lines, "\n"]))
    tokens: list[tuple[int, Role]] = []
    texts = [next(encoded) for _ in lines]
    (newline,) = next(encoded)
    at = 0
    for piece in pieces:
        if piece.special:
            tokens.append((encoder.special(piece.text), piece.role))
            continue
        for index in range(piece.text.count("\n") + 1):
            if index:
                tokens.append((newline, piece.role))
            tokens += [(token, piece.role) for token in texts[at]]
            at += 1
    return tokens


def truncate(view: View, fits: Callable[[View], bool]) -> View:
    """The view with auxiliary parts left out, least telling first, until it fits; code is never cut here."""
    for smaller in (view, replace(view, context=()), replace(view, context=(), test="")):
        if fits(smaller):
            return smaller
    return replace(view, context=(), test="", error=view.error[:80])


_FORMAT = """Answer only with the changed lines, as hunks:
@@ 12-13
the new text of lines 12 to 13 (nothing here deletes them)
@@ 20+
lines to insert before line 20
or with the single line `@@ ok` if the code has no fault. Keep indentation. Change as little as possible.
Change only the numbered code, never the test."""


def _facts(view: View) -> list[str]:
    facts: list[str] = []
    if view.error:
        facts.append(f"Error: {one_line(view.error, MAX_ERROR_CHARACTERS)}")
    if view.frames:
        facts.append("Lines in the traceback, innermost first: " + ", ".join(map(str, view.frames)))
    if view.test:
        facts.append("Failing test:\n" + view.test[: 8 * MAX_TEST_CHARACTERS])
    if view.context:
        facts.append("Context:\n" + "\n".join(view.context)[: 4 * MAX_CONTEXT_CHARACTERS])
    return facts


def numbered_code(view: View) -> str:
    """Each line with its number: `37|    return x`."""
    return "\n".join(f"{number}|{line}" for number, line in enumerate(view.lines, view.first_line))


def numbered_prompt(view: View) -> str:
    """The view for a causal code model without special tokens; the reply follows directly."""
    head = "\n".join([f"File: {view.path} ({view.language})", *_facts(view)])
    return f"{head}\nCode:\n{numbered_code(view)}\nFix:\n"


def chat_messages(view: View) -> tuple[dict[str, str], ...]:
    """The view as messages of an OpenAI-compatible chat."""
    body = "\n\n".join([f"File {view.path} ({view.language}) has a fault.", *_facts(view)])
    return (
        {"role": "system", "content": f"You repair programs. {_FORMAT}"},
        {"role": "user", "content": f"{body}\n\nCode, each line with its number:\n{numbered_code(view)}"},
    )
