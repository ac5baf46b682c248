"""Examples as token ids with the role of each, in the format that a base is served with.

Owns the choice of format for training: a vocabulary with the tokens of `repair.prompts` gets the compact format, every
other one the numbered prompt with the reply format of `repair.replies` and the end-of-text token. Must not know
weights, batches or files of examples. What is encoded here is what `repair.models` asks and expects at serving time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from data.mutants import Example as Pair
from data.shards import digest
from repair.errors import ModelError
from repair.models.tokens import TokenEncoder, is_compact
from repair.prompts import Role, compact_prompt, compact_target, encode_roles, numbered_prompt, truncate
from repair.replies import render_reply
from repair.views import View
from training.batches import Example
from training.config import ObjectiveConfig

if TYPE_CHECKING:
    from typing import Any

    from transformers import PreTrainedTokenizerBase

_HEADER = re.compile(r"^@@ .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One example: ids (n,), roles (n,) of `repair.prompts.Role`, and where the answer begins."""

    ids: NDArray[np.uint32]
    roles: NDArray[np.uint8]
    muted: NDArray[np.bool_]  # code that holds the fault: read, never learned
    prompt: int  # tokens before the answer

    def __len__(self) -> int:
        return len(self.ids)


class ExampleEncoder(Protocol):
    """How a base reads examples."""

    vocabulary: int  # ids are below
    pad: int
    fingerprint: str  # of the format and of everything in the tokenizer: what was encoded under it may be kept

    def encode(self, pair: Pair, limit: int) -> Tokens:
        """Prompt and answer; auxiliary parts of the prompt are left out where it exceeds `limit` tokens."""
        ...


def weigh(tokens: Tokens, objective: ObjectiveConfig, *, clean: bool) -> Example:
    """Loss weight of each token as a target, by its role; `clean` examples have their own factor on the pointer."""
    pointer = objective.pointer * (objective.clean if clean else 1.0)
    table = np.zeros(4, np.float32)
    table[[Role.CODE, Role.POINTER, Role.TARGET]] = objective.code, pointer, objective.target
    return Example(tokens.ids, np.where(tokens.muted, np.float32(0), table[tokens.roles]))


class CompactEncoder:
    """The embedded model's format (`repair.prompts.compact_prompt`)."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self._encoder = encoder
        self.vocabulary = encoder.vocabulary
        self.pad = encoder.special("<|pad|>")
        texts = ["".join(p.text for p in encoder.decode([n])) for n in range(encoder.vocabulary)]
        self.fingerprint = digest("compact", texts, encoder.encode_lines(texts))

    def encode(self, pair: Pair, limit: int) -> Tokens:
        """As `ExampleEncoder.encode`."""
        target = encode_roles(compact_target(pair.view, pair.hunks), self._encoder)
        view = truncate(pair.view, lambda v: self._length(v) + len(target) <= limit)
        prompt = encode_roles(compact_prompt(view), self._encoder)
        both = [*prompt, *target]
        roles = np.array([role for _, role in both], np.uint8)
        return Tokens(
            np.array([t for t, _ in both], np.uint32), roles, self._muted(pair, prompt, len(both)), len(prompt)
        )

    def _length(self, view: View) -> int:
        return len(encode_roles(compact_prompt(view), self._encoder))

    def _muted(self, pair: Pair, prompt: list[tuple[int, Role]], length: int) -> NDArray[np.bool_]:
        """Tokens of faulty lines; their line tokens are learned as any other."""
        faulty = {n for hunk in pair.hunks for n in range(hunk.first, hunk.last + 1)}
        muted = np.zeros(length, np.bool_)
        number = pair.view.first_line
        for at, (token, role) in enumerate(prompt):
            if role is Role.CODE and self._encoder.name(token) is not None:
                number += 1
            elif role is Role.CODE:
                muted[at] = number in faulty
        return muted


class NumberedEncoder:
    """Any other causal code model: `37|code` lines, the answer as hunks with `@@ 37-37` headers, end of text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        end = tokenizer.eos_token_id
        if not isinstance(end, int):
            raise ModelError("the base's tokenizer has no end-of-text token: set eos_token in tokenizer_config.json")
        if not tokenizer.is_fast:  # it alone says which characters a token covers
            raise ModelError("the base's tokenizer has no tokenizer.json: convert it with AutoTokenizer, then save it")
        self._tokenizer, self._end = tokenizer, end
        self.vocabulary = len(tokenizer)
        self.pad = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else end
        self.fingerprint = digest("numbered", cast("Any", tokenizer).backend_tokenizer.to_str(), end)

    def encode(self, pair: Pair, limit: int) -> Tokens:
        """As `ExampleEncoder.encode`."""
        answer = self._text(render_reply(pair.hunks))
        view = truncate(pair.view, lambda v: len(self._prompt(v)) + len(answer) + 1 <= limit)
        prompt = self._prompt(view)
        ids = [*prompt, *(token for token, _ in answer), self._end]
        roles = [*self._prompt_roles(view, len(prompt)), *(role for _, role in answer), Role.TARGET]
        return Tokens(
            np.array(ids, np.uint32), np.array(roles, np.uint8), np.zeros(len(ids), np.bool_), len(prompt)
        )  # fmt: skip

    def _prompt(self, view: View) -> list[int]:
        return list(self._tokenizer(numbered_prompt(view)).input_ids)

    def _prompt_roles(self, _view: View, length: int) -> list[Role]:
        """A large base has read code enough: its prompt carries no loss."""
        return [Role.AUXILIARY] * length

    def _text(self, reply: str) -> list[tuple[int, Role]]:
        """Tokens of a reply; those that overlap a header are pointers."""
        encoded = self._tokenizer(reply, add_special_tokens=False, return_offsets_mapping=True)
        headers = [match.span() for match in _HEADER.finditer(reply)]
        pairs = zip(encoded.input_ids, encoded["offset_mapping"], strict=True)
        return [
            (token, Role.POINTER if any(a < end and start < b for a, b in headers) else Role.TARGET)
            for token, (start, end) in pairs
        ]


def encoder_of(base: str | Path) -> ExampleEncoder:
    """How the checkpoint `base` (a directory or hub id) reads examples. Raises ModelError: no readable tokenizer."""
    from transformers import AutoTokenizer

    try:
        plain = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, json.JSONDecodeError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"{base} has no tokenizer that can be read ({first}): copy the whole checkpoint") from error
    backend = getattr(plain, "backend_tokenizer", None)
    if backend is not None and is_compact(backend):
        return CompactEncoder(TokenEncoder(backend))
    return NumberedEncoder(plain)
