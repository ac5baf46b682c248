"""How an example of each prompt format becomes sequences to read, and what is read becomes an answer.

Owns which tokens are code, which the answer, and where a model's belief about lines stands. Must not know networks
or figures. Both formats are those of `training.encoding`, so a model is measured on what it is trained and asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from data.mutants import Example as Pair
from repair.model import LineBelief
from repair.models.tokens import TokenEncoder
from repair.prompts import LINE_TOKENS, Role, line_token
from repair.views import View
from training.encoding import CompactEncoder, ExampleEncoder, NumberedEncoder
from training.reading import Ask, Reading

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths in tokens: beyond `prompt` auxiliary parts are left out, beyond `context` the example."""

    prompt: int
    context: int


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The sequences to read for one example, and what their answers are about."""

    asks: tuple[Ask, ...]
    clean: NDArray[np.bool_]  # (code tokens,): not on a line that the fault is on
    given: int  # tokens of the answer that perfect localization gives


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model makes of one example."""

    belief: LineBelief | None  # None: ask the model itself
    greedy: NDArray[np.bool_]  # (answer tokens,): the reference's token is the likeliest
    code: NDArray[np.float64]  # (code tokens,): log-probabilities, nats


class Probe(Protocol):
    """One format."""

    vocabulary: int
    words: tuple[int, ...]  # tokens whose chances are asked for where the answer begins

    def question(self, pair: Pair) -> Question | None:
        """None for an example that does not fit the context."""
        ...

    def answer(self, view: View, question: Question, readings: Sequence[Reading]) -> Answer:
        """Readings of the question's sequences, taken apart."""
        ...

    def clean_bytes(self, pair: Pair) -> int:
        """UTF-8 bytes of what `Question.clean` marks."""
        ...


def code_bytes(lines: Sequence[str]) -> int:
    """UTF-8 bytes of lines, their ends counted."""
    return sum(len(line.encode("utf-8", "surrogatepass")) + 1 for line in lines)


def _faulty(pair: Pair) -> set[int]:
    return {n for hunk in pair.hunks for n in range(hunk.first, hunk.last + 1)}


def _clean_lines(pair: Pair) -> list[str]:
    faulty = _faulty(pair)
    return [line for n, line in enumerate(pair.view.lines, pair.view.first_line) if n not in faulty]


def _answer_at(prompt: int, length: int) -> NDArray[np.int64]:
    return np.arange(prompt - 1, length - 1, dtype=np.int64)


class CompactProbe:
    """The embedded model's format: one sequence says all, the belief stands after `<|fix|>`."""

    def __init__(self, encoder: TokenEncoder, limits: Limits) -> None:
        self._examples = CompactEncoder(encoder)
        self._limits = limits
        self.vocabulary = self._examples.vocabulary
        self.words = tuple(encoder.special(word) for word in (*map(line_token, range(LINE_TOKENS)), "<|ok|>"))

    def question(self, pair: Pair) -> Question | None:
        """As `Probe.question`; START alone is given by perfect localization, END is the model's own."""
        tokens = self._examples.encode(pair, self._limits.prompt)
        if len(tokens) > self._limits.context or len(pair.view.lines) > LINE_TOKENS:
            return None
        code = np.flatnonzero(tokens.roles[: tokens.prompt] == Role.CODE)
        at = np.concatenate([code - 1, _answer_at(tokens.prompt, len(tokens))])
        ask = Ask(tokens.ids.astype(np.int64), at, words=tokens.prompt - 1)
        return Question((ask,), ~tokens.muted[code], given=1)

    def answer(self, view: View, question: Question, readings: Sequence[Reading]) -> Answer:
        """As `Probe.answer`. START is chosen among the lines shown and `<|ok|>`, as in serving."""
        (reading,) = readings
        numbers = range(view.first_line, view.last_line + 1)
        values = np.append(reading.words[[n % LINE_TOKENS for n in numbers]], reading.words[-1])
        chances = np.exp(values - values.max())
        chances /= chances.sum()
        belief = LineBelief(dict(zip(numbers, chances[:-1].tolist(), strict=True)), float(chances[-1]))
        code = len(question.clean)
        return Answer(belief, reading.greedy[code:], reading.taken[:code])

    def clean_bytes(self, pair: Pair) -> int:
        """As `Probe.clean_bytes`; the ends of faulty lines are line tokens, which are clean."""
        return code_bytes(_clean_lines(pair)) + len(_faulty(pair) & set(_numbers(pair.view)))


def _numbers(view: View) -> range:
    return range(view.first_line, view.last_line + 1)


class NumberedProbe:
    """Any other causal model: the prompt with its answer, and the code alone for the general-code loss."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self._examples: ExampleEncoder = NumberedEncoder(tokenizer)
        self._limits = limits
        self.vocabulary = self._examples.vocabulary
        self.words: tuple[int, ...] = ()

    def question(self, pair: Pair) -> Question | None:
        """As `Probe.question`; perfect localization gives the first header."""
        tokens = self._examples.encode(pair, self._limits.prompt)
        if len(tokens) > self._limits.context:
            return None
        header = np.flatnonzero(tokens.roles[tokens.prompt :] != Role.POINTER)
        answer = Ask(tokens.ids.astype(np.int64), _answer_at(tokens.prompt, len(tokens)))
        code, clean = self._code(pair)
        return Question((answer, code), clean, given=int(header[0]) if len(header) else len(answer.at))

    def _code(self, pair: Pair) -> tuple[Ask, NDArray[np.bool_]]:
        """The code alone; its first token is predicted where the vocabulary has a token that begins a text."""
        text = "\n".join(pair.view.lines) + "\n"
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        faulty, first = _faulty(pair), pair.view.first_line
        begins = [start for start, _ in encoded["offset_mapping"]]
        clean = np.array([first + text.count("\n", 0, start) not in faulty for start in begins], np.bool_)
        begin = self._tokenizer.bos_token_id
        ids = [*([begin] if isinstance(begin, int) else []), *encoded.input_ids][: self._limits.context]
        ask = Ask(np.array(ids, np.int64), np.arange(len(ids) - 1, dtype=np.int64))
        skipped = 0 if isinstance(begin, int) else 1
        return ask, clean[skipped : skipped + len(ask.at)]

    def answer(self, view: View, question: Question, readings: Sequence[Reading]) -> Answer:  # noqa: ARG002
        """As `Probe.answer`; where the headers' chances stand the model's own `locate` knows."""
        answer, code = readings
        return Answer(None, answer.greedy, code.taken)

    def clean_bytes(self, pair: Pair) -> int:
        """As `Probe.clean_bytes`."""
        return code_bytes(_clean_lines(pair))
