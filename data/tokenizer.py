"""The embedded model's vocabulary: trains a byte-level BPE and encodes the pieces of a prompt with it.

Owns the split expression, the order of the ids (special tokens first) and how text is sampled for training.
Knows nothing of prompts beyond their list of special tokens, nor of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repair.errors import InputError
from repair.prompts import SPECIALS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The split of Qwen2 (llama.cpp knows it as "qwen2"): words with the space before them, single digits,
# punctuation, line ends, runs of spaces.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_REMEMBERED = 100_000  # lines
_INDENTS = (2, 4, 8, 12, 16, 20, 24)


class LineEncoder:
    """An Encoder (see `repair.prompts`) over a `tokenizers.Tokenizer`; text is never read as special tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True
        self._known: dict[str, list[int]] = {}  # lines recur: mutants of a function differ in one
        self._tokenizer = tokenizer
        self._specials = {token: number for number, token in enumerate(SPECIALS)}
        if any(tokenizer.token_to_id(token) != number for token, number in self._specials.items()):
            raise InputError("the tokenizer's first ids are not the special tokens of this version", field="tokenizer")

    @classmethod
    def read(cls, path: Path) -> LineEncoder:
        """Load `tokenizer.json`. Raises InputError when it is missing or not one of ours."""
        from tokenizers import Tokenizer

        if not path.is_file():
            raise InputError(f"{path}: no such tokenizer", field="tokenizer")
        return cls(Tokenizer.from_file(str(path)))

    @property
    def size(self) -> int:
        """Number of ids."""
        return self._tokenizer.get_vocab_size()

    def special(self, token: str) -> int:
        """The id of one of SPECIALS."""
        return self._specials[token]

    def encode_lines(self, lines: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of each line, encoded apart from the others."""
        known = self._known
        new = [line for line in dict.fromkeys(lines) if line not in known]
        if len(known) > _REMEMBERED:
            known.clear()
            new = list(dict.fromkeys(lines))
        if new:
            encodings = self._tokenizer.encode_batch_fast(new, add_special_tokens=False)
            known.update(zip(new, (e.ids for e in encodings), strict=True))
        return [known[line] for line in lines]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


def _sequences(texts: Iterable[str]) -> Iterator[list[str]]:
    """Every eighth text whole (for the ends of lines), the others line by line, as prompts encode them."""
    for index, text in enumerate(texts):
        yield [text] if index % 8 == 0 else [line for line in text.split("\n") if line]
    # whole lines of spaces are rare, yet each indentation should be one token
    yield [" " * width for width in _INDENTS for _ in range(2000)]


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE (Sennrich et al. 2016) of `vocabulary` ids: SPECIALS, the 256 bytes, then merges.

    Raises InputError when the vocabulary has no room for merges.
    """
    if vocabulary <= len(SPECIALS) + 256:
        raise InputError(f"a vocabulary of {vocabulary} has no room for merges", field="vocabulary")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(_sequences(texts), trainer=trainer)
    return tokenizer


def bytes_per_token(encoder: LineEncoder, texts: Iterable[str]) -> float:
    """Bytes of text (line ends counted) for each token when lines are encoded apart, each with a line token."""
    size = tokens = 0
    for text in texts:
        lines = text.split("\n")
        size += len(text.encode())
        tokens += len(lines) + sum(map(len, encoder.encode_lines(lines)))
    return size / max(tokens, 1)
