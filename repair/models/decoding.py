"""Shared-prefix decoding: many continuations of one prompt in one pass over one key/value cache.

Continuations form a tree over the prompt. Its nodes are query rows of batch 1: a 4-D additive mask lets each see
the prompt and its own ancestors, explicit position ids say how deep it stands. The network itself is untouched.
Scoring sorted targets as a trie and growing candidates token by token are the same operation, `Tree.extend`.

Knows nothing of prompts, replies or files. Tree attention: Miao et al. 2023 (SpecInfer).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from repair.errors import ModelError

_NODES = 256  # per pass: enough to keep the matrix units busy, few enough for the mask to stay small
_LARGE_VOCABULARY = 32_768
_SOFTMAX_ROWS = 32  # 8,192 logits x 32 rows stay in the second-level cache
_FIRST_CAPACITY = 256
_LOOP = 16  # tokens; shorter repetitions, as in a list of zeros, are code
_COMPLETE = 8  # so many complete replies make one that is
_HOPELESS = 12.0  # nats below their median not worth the time (it can only fall further)


class Buffer:
    """Keys and values of one layer in memory that doubles; `length` may be set back to forget the newest."""

    def __init__(self) -> None:
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add states (1, heads, n, size); views of all of them."""
        end = self.length + keys.shape[-2]
        self._keys = _room(self._keys, keys, self.length, end)
        self._values = _room(self._values, values, self.length, end)
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def shrink(self) -> None:
        """Give back memory where less than half of it is needed."""
        if self._keys is not None and self._values is not None and self._keys.shape[-2] > 2 * self.length:
            self._keys = self._keys[:, :, : self.length].clone()
            self._values = self._values[:, :, : self.length].clone()


def _room(held: Tensor | None, new: Tensor, length: int, end: int) -> Tensor:
    if held is not None and end <= held.shape[-2]:
        return held
    capacity = max(end, _FIRST_CAPACITY if held is None else 2 * held.shape[-2])
    larger = new.new_empty((*new.shape[:2], capacity, new.shape[3]))
    if held is not None:
        larger[:, :, :length] = held[:, :, :length]
    return larger


class State:
    """What a network remembers of the tokens that it has read: a buffer for each layer."""

    def __init__(self, buffers: tuple[Buffer, ...]) -> None:
        self.buffers = buffers

    @classmethod
    def of(cls, layers: int) -> State:
        """An empty one."""
        return cls(tuple(Buffer() for _ in range(layers)))

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        for buffer in self.buffers:
            buffer.length = min(buffer.length, length)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """What one caller wants computed: an `extend`, or a `read` where there is no mask."""

    ids: Tensor  # (n,)
    state: State
    positions: Tensor | None = None  # (n,)
    mask: Tensor | None = None  # (n, state + n), additive


class Network(Protocol):
    """Weights that compute logits; `huggingface.py` and `lean.py`."""

    limit: int  # tokens of the longest sequence
    vocabulary: int
    parameters: int
    device: torch.device
    dtype: torch.dtype

    def state(self) -> State:
        """An empty state."""
        ...

    def read(self, ids: Tensor, state: State) -> Tensor:
        """Logits (vocabulary,) after the last of ids (n,), which become the whole state."""
        ...

    def extend(self, ids: Tensor, positions: Tensor, mask: Tensor, state: State) -> Tensor:
        """Logits (n, vocabulary) after each of ids (n,), appended to the state; `mask` (n, state + n) is additive."""
        ...


@runtime_checkable
class PackingNetwork(Network, Protocol):
    """One that computes the segments of several callers in one pass."""

    def packed(self, segments: Sequence[Segment]) -> list[Tensor]:
        """What `read` or `extend` of each would return; the states must be distinct."""
        ...


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prompt that was read: its state, and log-probabilities (vocabulary,) of the token after it."""

    tokens: tuple[int, ...]
    state: State
    after: Tensor

    def __len__(self) -> int:
        return len(self.tokens)


class Engine:
    """Reads prompts (keeping the last few) and opens trees over them. Not for two threads at once."""

    def __init__(self, network: Network, *, kept: int = 8) -> None:
        self._network = network
        self._kept = kept
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()
        self.limit, self.vocabulary = network.limit, network.vocabulary
        self.device, self.dtype = network.device, network.dtype
        self.nodes = _NODES if self.vocabulary <= _LARGE_VOCABULARY else _NODES // 2
        self.read_tokens = 0
        self.written_tokens = 0

    @property
    def network(self) -> Network:
        """What computes."""
        return self._network

    def read(self, tokens: Sequence[int]) -> Prefix:
        """One prefill, or the kept one. Raises ModelError when the prompt is longer than the model reads."""
        key = tuple(tokens)
        if key in self._prefixes:
            self._prefixes.move_to_end(key)
            return self._prefixes[key]
        if not 0 < len(key) < self.limit:
            raise ModelError(f"a prompt of {len(key)} tokens; this model reads {self.limit}: give it a smaller window")
        state = self._network.state()
        with _computing():
            logits = self._network.read(torch.tensor(key, device=self.device), state)
        prefix = Prefix(key, state, torch.log_softmax(logits.float(), -1))
        self.read_tokens += len(key)
        self._prefixes[key] = prefix
        while len(self._prefixes) > self._kept:
            self._prefixes.popitem(last=False)
        return prefix

    def tidy(self) -> None:
        """Keep of the remembered prompts only what a new tree needs; older trees must not be used any more."""
        with _computing():
            for prefix in self._prefixes.values():
                prefix.state.rewind(len(prefix))
                for buffer in prefix.state.buffers:
                    buffer.shrink()

    def tree(self, prefix: Prefix) -> Tree:
        """A new tree over a prompt; an older one over the same prompt must not be used any more."""
        return Tree(self, prefix)

    def extend(self, prefix: Prefix, tokens: Sequence[int], mask: Tensor, positions: Sequence[int]) -> Tensor:
        """Logits (n, vocabulary) after each of n new nodes; `mask` is (n, keys), additive."""
        ids, depth = torch.tensor(tokens, device=self.device), torch.tensor(positions, device=self.device)
        with _computing():
            return self._network.extend(ids, depth, mask, prefix.state)

    def score(self, prefix: Prefix, targets: Sequence[Sequence[int]]) -> list[float]:
        """Log P(target | prompt) of each, natural log; -inf for one that does not fit the model.

        Sorted targets share their common beginnings, so a neighbourhood of edits of one line costs little
        more than the tokens in which its members differ.
        """
        scores: dict[tuple[int, ...], float] = {}
        unique = sorted({tuple(t) for t in targets})
        short = [t for t in unique if len(prefix) + len(t) <= self.limit]
        for chunk in _chunks(short, self.nodes):
            scores |= zip(chunk, self._score_chunk(prefix, chunk), strict=True)
        return [scores.get(tuple(t), -math.inf) for t in targets]

    def _score_chunk(self, prefix: Prefix, targets: Sequence[tuple[int, ...]]) -> list[float]:
        trie = Trie.of(targets)
        after = prefix.after[torch.tensor(trie.labels_of_root or [0], device=self.device)].tolist()
        picked: list[float] = []
        if trie.tokens:
            logits = self.tree(prefix).extend(trie.tokens, trie.parents)
            self.read_tokens += len(trie.tokens)
            picked = _pick(logits, trie.label_nodes, trie.labels)
        return trie.sum(after, picked)


@contextmanager
def _computing() -> Generator[None, None, None]:
    """Without gradients; what goes wrong inside is the model's fault."""
    try:
        with torch.inference_mode():
            yield
    except (RuntimeError, IndexError, ValueError, TypeError) as error:  # out of memory, ids beyond the vocabulary
        raise ModelError(f"the model failed while computing ({error}): try a smaller window or model") from error


def _chunks(targets: Sequence[tuple[int, ...]], nodes: int) -> Iterator[list[tuple[int, ...]]]:
    """Sorted targets in runs whose tries have at most `nodes` nodes (a longer single one stands alone)."""
    chunk: list[tuple[int, ...]] = []
    size = 0
    for target in targets:
        new = len(target) - (_common(chunk[-1], target) if chunk else 0)
        if chunk and size + new > nodes:
            yield chunk
            chunk, size, new = [], 0, len(target)
        chunk.append(target)
        size += new
    if chunk:
        yield chunk


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


@dataclass(slots=True)
class Trie:
    """Targets as nodes to compute (parents first) and as labels: (node, token) pairs whose log-probability counts.

    A label stands for an edge. The last token of a target is a label only: nothing comes after it.
    """

    tokens: list[int]
    parents: list[int]
    labels: list[int]
    label_nodes: list[int]
    labels_of_root: list[int]
    paths: list[list[int]]  # label numbers of each target; n >= 0 in `labels`, n < 0 is ~n in `labels_of_root`

    @classmethod
    def of(cls, targets: Sequence[tuple[int, ...]]) -> Trie:
        """The trie of sorted, distinct targets."""
        trie = cls([], [], [], [], [], [])
        edges: dict[tuple[int, int], int] = {}
        nodes: dict[tuple[int, int], int] = {}
        for target in targets:
            node, path = -1, list[int]()
            for index, token in enumerate(target):
                edge = (node, token)
                if edge not in edges:
                    edges[edge] = trie._label(node, token)
                path.append(edges[edge])
                if index + 1 < len(target):
                    if edge not in nodes:
                        nodes[edge] = trie._node(node, token)
                    node = nodes[edge]
            trie.paths.append(path)
        return trie

    def _label(self, node: int, token: int) -> int:
        if node < 0:
            self.labels_of_root.append(token)
            return -len(self.labels_of_root)
        self.labels.append(token)
        self.label_nodes.append(node)
        return len(self.labels) - 1

    def _node(self, parent: int, token: int) -> int:
        self.tokens.append(token)
        self.parents.append(parent)
        return len(self.tokens) - 1

    def sum(self, after: Sequence[float], picked: Sequence[float]) -> list[float]:
        """Log-probability of each target, from those of the labels of the root and of the others."""
        return [math.fsum(picked[n] if n >= 0 else after[~n] for n in path) for path in self.paths]


def _pick(logits: Tensor, rows: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """Log-probabilities of tokens at rows without ever holding those of the whole vocabulary."""
    row, token = torch.tensor(rows), torch.tensor(tokens)
    order = torch.argsort(row, stable=True)
    values = torch.empty(len(rows))
    bounds = torch.searchsorted(row[order], torch.arange(0, len(logits) + _SOFTMAX_ROWS, _SOFTMAX_ROWS))
    for block, (low, high) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        at = order[low:high]
        start = block * _SOFTMAX_ROWS
        likely = torch.log_softmax(logits[start : start + _SOFTMAX_ROWS], -1, dtype=torch.float32)
        values[at] = likely[(row[at] - start).to(likely.device), token[at].to(likely.device)].cpu()
    return values.tolist()


class Tree:
    """Continuations of one prompt. Node -1 is the prompt itself; others are numbered as they are added."""

    def __init__(self, engine: Engine, prefix: Prefix) -> None:
        self._engine = engine
        self._prefix = prefix
        self._paths: list[list[int]] = []
        self.rewind(0)

    def __len__(self) -> int:
        return len(self._paths)

    def rewind(self, size: int) -> None:
        """Forget all nodes from number `size` on."""
        del self._paths[size:]
        self._prefix.state.rewind(len(self._prefix) + size)

    def room(self) -> int:
        """How many more tokens the deepest continuation may have."""
        return self._engine.limit - len(self._prefix)

    def extend(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Add nodes and return logits (n, vocabulary) of what follows each; a parent may be among the new nodes."""
        base = len(self._paths)
        for index, parent in enumerate(parents):
            above = self._paths[parent] if parent >= 0 else []
            self._paths.append([*above, base + index])
        new = self._paths[base:]
        prompt = len(self._prefix)
        mask = torch.full((len(new), prompt + len(self._paths)), -math.inf)
        mask[:, :prompt] = 0
        rows = torch.tensor([row for row, path in enumerate(new) for _ in path])
        mask[rows, torch.tensor([prompt + node for path in new for node in path])] = 0
        return self._engine.extend(self._prefix, tokens, mask, [prompt + len(path) - 1 for path in new])


class Grammar(Protocol):
    """What a continuation may say next; one for each row, it changes as tokens are accepted."""

    def bias(self) -> Tensor | None:
        """Added to the log-probabilities (vocabulary,) before a token is chosen; None leaves them."""
        ...

    def accept(self, token: int) -> bool:
        """Take the chosen token; True when the reply is complete."""
        ...

    def fork(self) -> Grammar:
        """One in the same state that goes its own way."""
        ...


@dataclass(slots=True)
class Row:
    """A continuation that grows: `tokens` from the root, the last one not yet in the tree below `node`."""

    tokens: list[int]
    node: int
    logprob: float
    grammar: Grammar
    sampled: bool = False
    done: bool = False
    longest: int = 1 << 30  # tokens; it is given up beyond


@dataclass(frozen=True, slots=True)
class Choice:
    """How rows choose: argmax, or for sampled rows a draw at `temperature` among the likeliest of mass `top_p`."""

    temperature: float
    generator: torch.Generator
    max_tokens: int
    floor: float = -math.inf  # log-probability below which a row is given up
    top_p: float = 1.0


def grow(engine: Engine, tree: Tree, rows: Sequence[Row], choice: Choice) -> None:
    """Continue rows until each is complete or given up: too long, in a loop, hopeless beside complete ones."""
    limit = min(choice.max_tokens, tree.room())
    while active := _growing(rows, limit, choice.floor):
        base = len(tree)
        logits = tree.extend([row.tokens[-1] for row in active], [row.node for row in active])
        likely = torch.log_softmax(logits, -1, dtype=torch.float32)
        picked = _choose(likely, active, choice)
        engine.written_tokens += len(picked)
        gained = likely.gather(1, torch.tensor(picked, device=likely.device)[:, None]).squeeze(1).tolist()
        for index, (row, token, gain) in enumerate(zip(active, picked, gained, strict=True)):
            row.node = base + index
            row.tokens.append(token)
            row.logprob += gain
            row.done = row.grammar.accept(token)


def _growing(rows: Sequence[Row], limit: int, floor: float) -> list[Row]:
    complete = sorted(row.logprob for row in rows if row.done)
    if len(complete) >= _COMPLETE:
        floor = max(floor, complete[len(complete) // 2] - _HOPELESS)
    growing = (r for r in rows if not r.done and len(r.tokens) < min(limit, r.longest) and r.logprob > floor)
    return [row for row in growing if not loops(row.tokens)]


def loops(tokens: Sequence[int]) -> bool:
    """Whether the end says the same up to 8 tokens over and over: a small model does not get out of that again."""
    for period in range(1, 9):
        length = period * max(4, -(-_LOOP // period))
        if len(tokens) > length and tokens[-length:-period] == tokens[period - length :]:
            return True
    return False


def _choose(likely: Tensor, rows: Sequence[Row], choice: Choice) -> list[int]:
    biases = [row.grammar.bias() for row in rows]
    if any(b is not None for b in biases):
        neutral = torch.zeros(likely.shape[1], device=likely.device)
        likely = likely + torch.stack([neutral if b is None else b for b in biases])
    picked = likely.argmax(-1).tolist()
    drawn = [index for index, row in enumerate(rows) if row.sampled]
    if drawn and choice.temperature > 0:
        chances = torch.softmax(likely[drawn].cpu() / choice.temperature, -1)  # drawn on the CPU: same seed, same draw
        chances = nucleus(chances, choice.top_p)
        for index, token in zip(drawn, torch.multinomial(chances, 1, generator=choice.generator), strict=True):
            picked[index] = int(token)
    return picked


def nucleus(chances: Tensor, mass: float) -> Tensor:
    """Chances (n, vocabulary) of the fewest likeliest tokens that reach `mass`, the rest 0 (Holtzman et al. 2020)."""
    if mass >= 1.0:
        return chances
    ordered, at = chances.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    return torch.zeros_like(chances).scatter(-1, at, ordered.masked_fill(before >= mass, 0.0))


def beam_search(engine: Engine, prefix: Prefix, grammar: Grammar, width: int, max_tokens: int) -> list[Row]:
    """The likeliest complete continuations that a beam of `width` finds, likeliest first; the same every time.

    Ends when no open one can still beat the worst of `width` complete ones: log-probabilities only fall.
    """
    tree = engine.tree(prefix)
    active, complete = [Row([], -1, 0.0, grammar)], list[Row]()
    likely = prefix.after[None]
    for _ in range(min(max_tokens, tree.room())):
        grown = _grown(likely, active, width)
        complete = sorted([*complete, *(row for row in grown if row.done)], key=lambda row: -row.logprob)[:width]
        active = [row for row in grown if not row.done][:width]
        if not active or (len(complete) == width and complete[-1].logprob >= active[0].logprob):
            break
        base = len(tree)
        logits = tree.extend([row.tokens[-1] for row in active], [row.node for row in active])
        likely = torch.log_softmax(logits, -1, dtype=torch.float32)
        engine.written_tokens += len(active)
        for index, row in enumerate(active):
            row.node = base + index
    return complete


def _grown(likely: Tensor, rows: Sequence[Row], width: int) -> list[Row]:
    """The likeliest continuations of rows by one token, twice as many as are kept: some of them are complete."""
    biases = [row.grammar.bias() for row in rows]
    neutral = torch.zeros(likely.shape[1], device=likely.device)
    allowed = likely + torch.stack([neutral if b is None else b for b in biases])
    totals = (allowed + torch.tensor([row.logprob for row in rows], device=likely.device)[:, None]).flatten()
    values, places = (t.tolist() for t in totals.topk(min(2 * width, len(totals))))
    grown: list[Row] = []
    for value, place in zip(values, places, strict=True):
        if value == -math.inf:
            break
        row, token = rows[place // likely.shape[1]], place % likely.shape[1]
        fork = row.grammar.fork()
        grown.append(Row([*row.tokens, token], row.node, value, fork, done=fork.accept(token)))
    return grown
