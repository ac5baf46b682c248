"""Any causal code model over the shared-prefix engine: numbered code in, the reply format of replies.py out.

Such a model has no special tokens: a header like `@@ 12-` is text, and its probability is the model's belief.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from repair.candidates import Completion
from repair.model import Decoding, LineBelief
from repair.models.decoding import Choice, Engine, Prefix, Row, Tree, beam_search, grow, nucleus
from repair.prompts import chat_messages, numbered_prompt, truncate
from repair.replies import Change, changes_nothing, check_hunks, parse_reply, render_reply
from repair.views import Hunk, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROWS = 32
# Where a model that was not trained to stop goes on with the next document.
_BEYOND = re.compile(r"\n(?=File: |Code:\n|Fix:\n)|(?<=\n)```[ \t]*\n|(?<=@@ ok)\s*\n|<\|")


class NumberedFormat:
    """Answers about views with a plain causal model; `chat` renders the prompt by the tokenizer's template."""

    def __init__(self, engine: Engine, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int], *, chat: bool) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._ends = frozenset(ends)
        self._chat = chat

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The vocabulary."""
        return self._tokenizer

    @property
    def engine(self) -> Engine:
        """What computes."""
        return self._engine

    def read(self, view: View) -> Prefix:
        """The view's prompt, auxiliary parts cut where it is too long. Raises ModelError when its code is."""
        return self._engine.read(self._prompt(self.fitted(view)))

    def fitted(self, view: View) -> View:
        """The view as it is read: auxiliary parts cut where it is too long."""
        return truncate(view, lambda smaller: len(self._prompt(smaller)) < self._engine.limit)

    def prompt_text(self, view: View) -> tuple[str, bool]:
        """The prompt of a view as text, and whether the tokenizer adds its own special tokens to it."""
        if not self._chat:
            return numbered_prompt(view), True
        messages = list(chat_messages(view))
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)), False

    def _prompt(self, view: View) -> list[int]:
        text, adds = self.prompt_text(view)
        return list(self._tokenizer(text, add_special_tokens=adds).input_ids)

    def _text_tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def target(self, hunks: Sequence[Hunk]) -> list[int]:
        """Token ids of the reply that says a change, and its end."""
        end = self._tokenizer.eos_token_id
        return [*self._text_tokens(render_reply(hunks)), *([end] if isinstance(end, int) else [])]

    def locate(self, view: View) -> LineBelief:
        """The probabilities of the headers `@@ N-` and `@@ N+`, and of `@@ ok`.

        With the end of its line where the header is whole there: vocabularies may have one token for both.
        """
        lines = range(view.first_line, view.last_line + 1)
        headers = [f"@@ {n}{sign}" for n in lines for sign in ("-", "+\n")] + ["@@ ok"]
        scores = self._engine.score(self.read(view), [self._text_tokens(h) for h in headers])
        chances = torch.softmax(torch.tensor(scores, dtype=torch.float64), -1).tolist()
        pairs = zip(lines, chances[:-1:2], chances[1:-1:2], strict=True)
        return LineBelief({n: replaced + inserted for n, replaced, inserted in pairs}, chances[-1])

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> list[float]:
        """Log P of the reply of each change and its end; -inf for one that does not lie in the view."""
        prefix = self.read(view)
        inside = [i for i, c in enumerate(changes) if not c or isinstance(check_hunks(c, view), Change)]
        scores = [-math.inf] * len(changes)
        found = self._engine.score(prefix, [self.target(changes[i]) for i in inside])
        for index, score in zip(inside, found, strict=True):
            scores[index] = score
        return scores

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """One greedy reply, replies whose header is given by the lines' weights, and free samples; no text twice."""
        prefix = self.read(view)
        seen: set[str] = set()
        if decoding.beams:
            found = beam_search(self._engine, prefix, ReplyText(self), decoding.beams, decoding.max_tokens)
            for row in found:
                completion = self._completion(row, view)
                if completion and completion.text not in seen:
                    seen.add(completion.text)
                    yield completion
            return
        rows = self._rows(prefix, view, decoding)[: decoding.candidates]
        generator = torch.Generator().manual_seed(decoding.seed)
        choice = Choice(decoding.temperature, generator, decoding.max_tokens, top_p=decoding.top_p)
        for start in range(0, len(rows), _ROWS):
            tree = self._engine.tree(prefix)
            batch = self._begun(tree, rows[start : start + _ROWS])
            grow(self._engine, tree, batch, choice)
            for row in sorted(batch, key=lambda r: -r.logprob):
                completion = self._completion(row, view)
                if completion and completion.text not in seen:
                    seen.add(completion.text)
                    yield completion

    def _rows(self, prefix: Prefix, view: View, decoding: Decoding) -> list[Row]:
        """Rows with their beginnings, none of it in a tree yet; the greedy one first."""
        generator = torch.Generator().manual_seed(decoding.seed)
        inside = {n: w for n, w in decoding.lines.items() if view.first_line <= n <= view.last_line and w > 0}
        sampled = max(decoding.candidates - 1, 0)
        free = round(sampled * min(max(decoding.samples, 0.0), 1.0)) if inside else sampled
        chances = nucleus(
            torch.softmax(prefix.after.cpu()[None] / max(decoding.temperature, 1e-3), -1), decoding.top_p
        )[0]
        headers = [tuple(self._text_tokens(f"@@ {number}-")) for number in inside]
        starts = [(int(prefix.after.argmax()),), *((token,) for token in _draw(chances, free, generator))]
        weights = torch.tensor(list(inside.values()), dtype=torch.float64)
        starts += [headers[index] for index in _draw(weights, sampled - free, generator)]
        logprobs = self._engine.score(prefix, starts)
        rows = [self._row(list(start), logprob) for start, logprob in zip(starts, logprobs, strict=True)]
        rows[0].sampled = False
        return rows

    def _row(self, start: list[int], logprob: float) -> Row:
        text = ReplyText(self, list(start))
        return Row(start, -1, logprob, text, sampled=True, done=text.complete())

    def _begun(self, tree: Tree, rows: list[Row]) -> list[Row]:
        """The rows, with all but the last token of each in the tree; equal beginnings share their nodes."""
        nodes: dict[tuple[int, ...], int] = {}
        for row in rows:
            start = tuple(row.tokens[:-1])
            if start and start not in nodes:
                base = len(tree)
                tree.extend(start, [-1, *range(base, base + len(start) - 1)])
                nodes[start] = len(tree) - 1
            row.node = nodes.get(start, -1)
        return rows

    def text(self, tokens: Sequence[int]) -> str:
        """The text of ids without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def is_end(self, token: int) -> bool:
        """Whether a token ends every reply."""
        return token in self._ends

    def _completion(self, row: Row, view: View) -> Completion | None:
        """A row as its text up to where the reply ends; None when it leaves the code as it is."""
        text = reply_part(self.text(row.tokens))
        reply = parse_reply(text, view)
        if isinstance(reply, Change) and changes_nothing(reply.hunks, view):
            return None
        return Completion(text, len(row.tokens), row.logprob)


def _draw(weights: torch.Tensor, count: int, generator: torch.Generator) -> list[int]:
    """Indices drawn with these weights; torch does not draw none."""
    return torch.multinomial(weights, count, replacement=True, generator=generator).tolist() if count else []


def reply_part(text: str) -> str:
    """`text` up to where a model that was not trained to stop begins something else."""
    beyond = _BEYOND.search(text)
    return text[: beyond.end() if beyond and beyond[0].startswith("```") else beyond.start()] if beyond else text


@dataclass(slots=True)
class ReplyText:
    """The Grammar of a plain model: anything may come, the reply ends at an end token or where it is whole."""

    format: NumberedFormat
    tokens: list[int] = field(default_factory=list[int])

    def bias(self) -> None:
        """Nothing is ruled out."""
        return

    def accept(self, token: int) -> bool:
        """Take a token; True when the reply is complete."""
        self.tokens.append(token)
        return self.complete()

    def fork(self) -> ReplyText:
        """One in the same state that goes its own way."""
        return ReplyText(self.format, list(self.tokens))

    def complete(self) -> bool:
        """Whether the last token is an end, or the text says something beyond the reply."""
        return self.format.is_end(self.tokens[-1]) or _BEYOND.search(self.format.text(self.tokens)) is not None
