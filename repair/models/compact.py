"""The embedded model's format over the shared-prefix engine: locate, score, propose.

Owns how candidates are enumerated; knows nothing of files, devices or how weights are loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from heapq import nlargest

import torch
from torch import Tensor

from repair.candidates import Completion
from repair.errors import ModelError
from repair.model import Decoding, LineBelief
from repair.models.decoding import Choice, Engine, Prefix, Row, Tree, beam_search, grow
from repair.models.tokens import TokenEncoder
from repair.prompts import LINE_TOKENS, SPECIALS, compact_prompt, compact_target, encode, line_token, truncate
from repair.replies import Change, Unreadable, changes_nothing, check_hunks, parse_compact, render_reply
from repair.views import Hunk, View

_LINES = 12  # where to enumerate; more lines than that are beyond what a failing test leaves open
_ALTERNATIVES = 12  # per position
_ROWS = 96  # decoded together
_LONGER = 32  # tokens that one divergence may add to a line; a small model that loops would never stop
_IMPOSSIBLE = -40.0  # log-probability of a reply that nobody will try before the budget is spent
_REJOIN = 0.7  # nats for a token that leads back to the original line: half as likely is likely enough
_SPARE = 1.3  # seeds for each candidate wanted: some end in the same text, or in the original


class CompactFormat:
    """Answers about views with a model whose vocabulary has the special tokens of prompts.py."""

    def __init__(self, engine: Engine, encoder: TokenEncoder) -> None:
        self._engine = engine
        self._encoder = encoder
        self._words = Words.of(encoder, engine)

    def over(self, engine: Engine) -> CompactFormat:
        """The same vocabulary over another engine of the same weights."""
        other = copy(self)
        other._engine = engine
        return other

    @property
    def encoder(self) -> TokenEncoder:
        """The vocabulary."""
        return self._encoder

    @property
    def engine(self) -> Engine:
        """What computes."""
        return self._engine

    def read(self, view: View) -> Prefix:
        """The view's prompt, auxiliary parts cut where it is too long. Raises ModelError when its code is."""
        return self._engine.read(encode(compact_prompt(self.fitted(view)), self._encoder))

    def fitted(self, view: View) -> View:
        """The view as it is read: auxiliary parts cut where it is too long. Raises ModelError for too many lines."""
        if len(view.lines) > LINE_TOKENS:
            raise ModelError(f"a window of {len(view.lines)} lines; the model tells at most {LINE_TOKENS} apart")

        def fits(smaller: View) -> bool:
            return len(encode(compact_prompt(smaller), self._encoder)) < self._engine.limit

        return truncate(view, fits)

    def locate(self, view: View) -> LineBelief:
        """The distribution after `<|fix|>` over the lines shown and `<|ok|>`."""
        likely = self.read(view).after
        lines = range(view.first_line, view.last_line + 1)
        tokens = [*(self._words.line(n) for n in lines), self._words.ok]
        chances = torch.softmax(likely[torch.tensor(tokens, device=likely.device)].double(), -1).tolist()
        return LineBelief(dict(zip(lines, chances, strict=False)), chances[-1])

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> list[float]:
        """Log P of each change; -inf for one that does not lie in the view."""
        prefix = self.read(view)
        inside = [i for i, c in enumerate(changes) if not c or isinstance(check_hunks(c, view), Change)]
        targets = [encode(compact_target(view, changes[i]), self._encoder) for i in inside]
        scores = [-math.inf] * len(changes)
        for index, score in zip(inside, self._engine.score(prefix, targets), strict=True):
            scores[index] = score
        return scores

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """Single divergences from the lines as they are, each continued greedily, and samples; no text twice."""
        prefix = self.read(view)
        if decoding.beams:
            grammar = ReplyGrammar(self._words, view)
            rows = beam_search(self._engine, prefix, grammar, decoding.beams, decoding.max_tokens)
            found = (self._completion(row, view, decoding.max_tokens) for row in rows)
            yield from (one for one in found if one)
            return
        tree = self._engine.tree(prefix)
        lines = _likeliest(decoding.lines, view) or _likeliest(self.locate(view).lines, view)
        trunks = [self._trunk(view, number, weight) for number, weight in lines.items()]
        seeds = self._seeds(prefix, tree, trunks, view, decoding)
        trunk_nodes = len(tree)
        draw = torch.Generator().manual_seed(decoding.seed)
        choice = Choice(decoding.temperature, draw, decoding.max_tokens, _IMPOSSIBLE, decoding.top_p)
        seen: set[str] = set()
        for start in range(0, len(seeds), _ROWS):
            tree.rewind(trunk_nodes)
            rows = seeds[start : start + _ROWS]
            grow(self._engine, tree, rows, choice)
            for row in sorted(rows, key=lambda r: -r.logprob):
                completion = self._completion(row, view, decoding.max_tokens)
                if completion and completion.text not in seen and len(seen) < decoding.candidates:
                    seen.add(completion.text)
                    yield completion

    def _trunk(self, view: View, number: int, weight: float) -> Trunk:
        text = view.lines[number - view.first_line]
        words = self._words
        (original,) = self._encoder.encode_lines([text])
        return Trunk(
            number, math.log(weight), (words.line(number), words.line(number), words.txt, *original, words.eot)
        )

    def _seeds(self, prefix: Prefix, tree: Tree, trunks: Sequence[Trunk], view: View, decoding: Decoding) -> list[Row]:
        """Rows to grow: the likeliest divergences from the trunks, then samples begun at their lines."""
        sampled = round(decoding.candidates * min(max(decoding.samples, 0.0), 1.0))
        wanted = math.ceil((decoding.candidates - sampled) * _SPARE)
        found = nlargest(wanted, self._divergences(tree, trunks, view), key=lambda d: d.priority)
        rows = [self._seed(divergence, float(prefix.after[divergence.trunk.tokens[0]]), view) for divergence in found]
        return rows + self._samples(prefix, trunks, view, sampled, decoding.seed)

    def _divergences(self, tree: Tree, trunks: Sequence[Trunk], view: View) -> Iterator[Divergence]:
        """The likeliest legal alternatives at each position of each trunk; all trunks are read in one pass."""
        tokens, parents, begins = list[int](), list[int](), list[int]()
        for trunk in trunks:
            begins.append(len(tokens))
            parents += [-1, *range(len(tokens), len(tokens) + len(trunk.tokens) - 2)]
            tokens += trunk.tokens[:-1]
        if not tokens:
            return
        likely = torch.log_softmax(tree.extend(tokens, parents), -1, dtype=torch.float32)
        self._engine.read_tokens += len(tokens)
        for trunk, begin in zip(trunks, begins, strict=True):
            yield from self._beside(trunk, begin, likely[begin : begin + len(trunk.tokens) - 1], view)

    def _beside(self, trunk: Trunk, node: int, likely: Tensor, view: View) -> Iterator[Divergence]:
        """Alternatives to each token of one trunk; `likely` (tokens - 1, vocabulary) is after its node `node` on."""
        allowed = torch.stack([self._grammar(view, trunk, at).legal() for at in range(len(likely))]) + likely
        values, tokens = (t.tolist() for t in allowed.topk(_ALTERNATIVES))
        taken = likely.gather(1, torch.tensor(trunk.tokens[1:], device=likely.device)[:, None]).squeeze(1).tolist()
        before = 0.0
        for at, gain in enumerate(taken):
            for value, token in zip(values[at], tokens[at], strict=True):
                if token != trunk.tokens[at + 1] and value > -math.inf:
                    yield Divergence(trunk, at, node + at, token, before, value)
            before += gain

    def _grammar(self, view: View, trunk: Trunk, at: int) -> ReplyGrammar:
        grammar = ReplyGrammar(self._words, view)
        for token in trunk.tokens[: at + 1]:
            grammar.accept(token)
        return grammar

    def _seed(self, divergence: Divergence, start: float, view: View) -> Row:
        trunk, at = divergence.trunk, divergence.at
        grammar = self._grammar(view, trunk, at)
        grammar.original, grammar.pointer = trunk.tokens, at + 2
        done = grammar.accept(divergence.token)
        tokens = [*trunk.tokens[: at + 1], divergence.token]
        longest = len(trunk.tokens) + _LONGER
        return Row(tokens, divergence.node, start + divergence.before + divergence.gain, grammar, False, done, longest)

    def _samples(self, prefix: Prefix, trunks: Sequence[Trunk], view: View, count: int, seed: int) -> list[Row]:
        if not count or not trunks:
            return []
        weights = torch.tensor([trunk.weight for trunk in trunks], dtype=torch.float64).exp()
        drawn = torch.multinomial(weights, count, replacement=True, generator=torch.Generator().manual_seed(seed))
        rows: list[Row] = []
        for index in drawn.tolist():
            token = trunks[index].tokens[0]
            grammar = ReplyGrammar(self._words, view)
            grammar.accept(token)
            rows.append(Row([token], -1, float(prefix.after[token]), grammar, sampled=True))
        return rows

    def _completion(self, row: Row, view: View, longest: int) -> Completion | None:
        """A row as text in the format of replies.py; None when it was given up or leaves the code as it is."""
        if not row.done and len(row.tokens) < min(row.longest, longest):
            return None
        pieces = self._encoder.decode(row.tokens)
        reply = parse_compact(pieces, view)
        if isinstance(reply, Unreadable):
            return Completion("".join(p.text for p in pieces), len(row.tokens), row.logprob)
        if not isinstance(reply, Change) or changes_nothing(reply.hunks, view):
            return None
        return Completion(render_reply(reply.hunks), len(row.tokens), row.logprob)


@dataclass(frozen=True, slots=True)
class Words:
    """Ids of the special tokens, and what may stand in a text (0 or -inf over the vocabulary)."""

    lines: tuple[int, ...]
    ok: int
    ins: int
    txt: int
    fix: int
    eot: int
    text: Tensor
    final: Tensor  # as `text`, where no line is left for another hunk
    inserted: Tensor  # as `text`, at the beginning of an insertion: it cannot be empty

    @classmethod
    def of(cls, encoder: TokenEncoder, engine: Engine) -> Words:
        """Those of a vocabulary."""
        ok, ins, txt, fix, eot = map(encoder.special, ("<|ok|>", "<|ins|>", "<|txt|>", "<|fix|>", "<|eot|>"))
        lines = tuple(encoder.special(line_token(n)) for n in range(LINE_TOKENS))
        text = torch.zeros(engine.vocabulary, device=engine.device)
        text[[encoder.special(token) for token in SPECIALS]] = -math.inf
        text[encoder.vocabulary :] = -math.inf  # rows of the matrix that pad the vocabulary
        inserted = text.clone()
        final = text.clone()
        final[eot] = 0.0
        text[[eot, fix]] = 0.0
        return cls(lines, ok, ins, txt, fix, eot, text, final, inserted)

    def line(self, number: int) -> int:
        """The id of a line number."""
        return self.lines[number % LINE_TOKENS]


@dataclass(frozen=True, slots=True)
class Trunk:
    """The reply that would leave line `number` as it is: START END <|txt|> text <|eot|>; `weight` is a log."""

    number: int
    weight: float
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Another `token` after position `at` of a trunk (node `node`); log-probabilities before it and of it."""

    trunk: Trunk
    at: int
    node: int
    token: int
    before: float
    gain: float

    @property
    def priority(self) -> float:
        """Log of the line's weight times the probability of the divergence given the line."""
        return self.trunk.weight + self.before + self.gain


@dataclass(slots=True)
class ReplyGrammar:
    """Which token may come next in a reply, so that every complete reply can be read.

    `original` and `pointer`: the trunk that the row left and where it may rejoin it. A replaced token is
    followed by the one after it, an inserted one by the one at it, a dropped one by the one after the next.
    """

    words: Words
    view: View
    original: tuple[int, ...] = ()
    pointer: int = 0
    _state: str = "start"
    _first: int = 0  # first line of the hunk being said
    _reached: int = 0  # last line of the hunks said so far
    _numbers: dict[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        lines = range(self.view.first_line, self.view.last_line + 1)
        self._numbers = {self.words.line(n): n for n in lines}

    def legal(self) -> Tensor:
        """0 for what may come next, -inf for the rest."""
        if self._state == "text":
            return self.words.text if self._reached < self.view.last_line else self.words.final
        if self._state == "inserted":
            return self.words.inserted
        bias = torch.full_like(self.words.text, -math.inf)
        bias[self._pointers()] = 0.0
        return bias

    def fork(self) -> ReplyGrammar:
        """One in the same state that goes its own way."""
        return copy(self)

    def _pointers(self) -> list[int]:
        if self._state == "txt":
            return [self.words.txt]
        if self._state == "end":
            return [*(t for t, n in self._numbers.items() if n >= self._first), self.words.ins]
        return [token for token, n in self._numbers.items() if n > self._reached]

    def bias(self) -> Tensor:
        """What is legal, with a little weight on leading back to the original."""
        legal = self.legal()
        near = self.original[max(self.pointer - 1, 3) : self.pointer + 2] if self._state == "text" else ()
        if not near:
            return legal
        bias = legal.clone()
        bias[list(set(near))] += _REJOIN
        return bias

    def accept(self, token: int) -> bool:
        """Take a token; True at the end of the reply."""
        if token == self.words.eot:
            return True
        if self._state == "start":
            self._first, self._state = self._numbers[token], "end"
        elif self._state == "end":
            inserts = token == self.words.ins
            self._reached = max(self._reached, self._first if inserts else self._numbers[token])
            self._state = "inserted" if inserts else "txt"
        elif token == self.words.fix:
            self._state, self.original = "start", ()
        else:
            self._state = "text"
            self._follow(token)
        return False

    def _follow(self, token: int) -> None:
        near = range(max(self.pointer - 1, 3), min(self.pointer + 2, len(self.original)))
        at = next((i for i in sorted(near, key=lambda i: abs(i - self.pointer)) if self.original[i] == token), None)
        if at is not None:
            self.pointer = at + 1


def _likeliest(lines: Mapping[int, float], view: View) -> dict[int, float]:
    """The heaviest lines that the view shows, weights summing to 1."""
    inside = [(w, -n) for n, w in lines.items() if view.first_line <= n <= view.last_line and w > 0]
    chosen = nlargest(_LINES, inside)
    total = math.fsum(weight for weight, _ in chosen)
    return {-n: weight / total for weight, n in chosen}
