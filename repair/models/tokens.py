"""Token ids of compact prompts and back: an Encoder over a `tokenizers.Tokenizer`.

Knows which vocabularies hold the compact format; knows nothing of weights or of what a prompt means.
Text never turns into special tokens, whatever it looks like: source code may well say `<|eot|>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from repair.errors import ModelError
from repair.prompts import SPECIALS, Piece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_REMEMBERED_LINES = 16_384
_MAX_REMEMBERED_CHARACTERS = 200


def is_compact(tokenizer: Tokenizer) -> bool:
    """Whether a vocabulary has the whole compact format: every one of SPECIALS as one token."""
    return all(tokenizer.token_to_id(token) is not None for token in SPECIALS)


def read_tokenizer(directory: Path) -> Tokenizer:
    """The `tokenizer.json` of a checkpoint directory. Raises ModelError when it is missing or unreadable."""
    from tokenizers import Tokenizer

    file = directory / "tokenizer.json"
    if not file.is_file():
        raise ModelError(f"{directory} has no tokenizer.json: give the directory of a complete checkpoint")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:
        raise ModelError(f"{file} is not a readable tokenizer ({error}): copy the checkpoint again") from error


class TokenEncoder:
    """An `Encoder` of prompts.py; lines that come again (every window shares most of its own) are remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())  # a copy: the next line changes its behaviour
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special = {token: i for token in SPECIALS if (i := tokenizer.token_to_id(token)) is not None}
        self._names = {i: token for token, i in self._special.items()}
        self._line = lru_cache(_REMEMBERED_LINES)(self._encode_line)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are, special ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def special(self, token: str) -> int:
        """The id of one of SPECIALS. Raises ModelError when this vocabulary lacks it."""
        try:
            return self._special[token]
        except KeyError:
            raise ModelError(f"the model's vocabulary has no token {token}: it is not one of Emend's") from None

    def name(self, token: int) -> str | None:
        """The special token that an id stands for, None for plain text."""
        return self._names.get(token)

    def encode_lines(self, lines: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of each line, encoded apart; text that looks special stays text."""
        return [
            self._line(line) if len(line) <= _MAX_REMEMBERED_CHARACTERS else self._encode_line(line) for line in lines
        ]

    def _encode_line(self, line: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(line, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> tuple[Piece, ...]:
        """Ids as pieces: special tokens alone, the text between them joined."""
        return tuple(self._decode(tokens))

    def _decode(self, tokens: Sequence[int]) -> Iterator[Piece]:
        text: list[int] = []
        for token in tokens:
            if (name := self._names.get(token)) is None:
                text.append(token)
                continue
            if text:
                yield Piece(self._text(text))
            yield Piece(name, special=True)
            text = []
        if text:
            yield Piece(self._text(text))

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=False)
