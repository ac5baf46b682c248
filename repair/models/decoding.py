"""Shared-prefix decoding: many continuations of one prompt in one pass over one key/value cache.

Continuations form a tree over the prompt. Its nodes are query rows of batch 1: a 4-D additive mask lets each see
the prompt and its own ancestors, explicit position ids say how deep it stands. The Hugging Face model is untouched.
Scoring sorted targets as a trie and growing candidates token by token are the same operation, `Tree.extend`.

Knows nothing of prompts, replies or files. Tree attention: Miao et al. 2023 (SpecInfer).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from repair.errors import ModelError

_NODES = 256  # per pass: enough to keep the matrix units busy, few enough for the mask to stay small
_LARGE_VOCABULARY = 32_768
_SOFTMAX_ROWS = 32  # 8,192 logits x 32 rows stay in the second-level cache
_FIRST_CAPACITY = 256
_LOOP = 16  # tokens; shorter repetitions, as in a list of zeros, are code
_COMPLETE = 8  # so many complete replies make one that is
_HOPELESS = 12.0  # nats below their median not worth the time (it can only fall further)


class GrowingLayer(CacheLayerMixin):
    """Keys and values of one layer in a buffer that doubles; `rewind` forgets the newest without a copy."""

    is_sliding = False
    is_croppable = True

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Empty buffers of the shape, type and device of the first states."""
        self._grow(key_states, value_states, _FIRST_CAPACITY)
        self.is_initialized = True

    def _grow(self, key: Tensor, value: Tensor, capacity: int) -> None:
        keys = key.new_empty((*key.shape[:2], capacity, key.shape[3]))
        values = value.new_empty((*value.shape[:2], capacity, value.shape[3]))
        if self.length and self.keys is not None and self.values is not None:
            keys[:, :, : self.length] = self.keys[:, :, : self.length]
            values[:, :, : self.length] = self.values[:, :, : self.length]
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append states (1, heads, n, size) and return all of them."""
        end = self.length + key_states.shape[-2]
        if self.keys is None or self.values is None:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        if end > self.keys.shape[-2]:
            self._grow(key_states, value_states, max(end, 2 * self.keys.shape[-2]))
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` states."""
        self.length = min(self.length, length)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys, as masks of transformers want to know."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """How many states there are."""
        return self.length

    def get_max_length(self) -> int:
        """No limit."""
        return -1


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prompt that was read: its cache, and log-probabilities (vocabulary,) of the token after it."""

    tokens: tuple[int, ...]
    layers: tuple[GrowingLayer, ...]
    cache: Cache  # of these layers
    after: Tensor

    def __len__(self) -> int:
        return len(self.tokens)


class Engine:
    """Reads prompts (keeping the last few) and opens trees over them. Not for two threads at once."""

    def __init__(self, model: PreTrainedModel, *, kept: int = 4) -> None:
        self._model = model
        self._kept = kept
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()
        self._layers = int(model.config.get_text_config().num_hidden_layers)
        self.limit = _readable_tokens(model.config.get_text_config())
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self.nodes = _NODES if self.vocabulary <= _LARGE_VOCABULARY else _NODES // 2
        self.read_tokens = 0
        self.written_tokens = 0

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """In what the model computes."""
        return self._model.dtype

    def read(self, tokens: Sequence[int]) -> Prefix:
        """One prefill, or the kept one. Raises ModelError when the prompt is longer than the model reads."""
        key = tuple(tokens)
        if key in self._prefixes:
            self._prefixes.move_to_end(key)
            return self._prefixes[key]
        if not 0 < len(key) < self.limit:
            raise ModelError(f"a prompt of {len(key)} tokens; this model reads {self.limit}: give it a smaller window")
        layers = tuple(GrowingLayer() for _ in range(self._layers))
        cache = Cache(layers=list(layers))
        with torch.inference_mode():
            ids = torch.tensor([key], device=self.device)
            logits = self._forward(input_ids=ids, past_key_values=cache, logits_to_keep=1)
            prefix = Prefix(key, layers, cache, torch.log_softmax(logits[0, -1].float(), -1))
        self.read_tokens += len(key)
        self._prefixes[key] = prefix
        while len(self._prefixes) > self._kept:
            self._prefixes.popitem(last=False)
        return prefix

    def _forward(self, **inputs: object) -> Tensor:
        try:
            return self._model(use_cache=True, **inputs).logits
        except (RuntimeError, IndexError, ValueError, TypeError) as error:  # out of memory, ids beyond the vocabulary
            raise ModelError(f"the model failed while computing ({error}): try a smaller window or model") from error

    def tree(self, prefix: Prefix) -> Tree:
        """A new tree over a prompt; an older one over the same prompt must not be used any more."""
        return Tree(self, prefix)

    def extend(self, prefix: Prefix, tokens: Sequence[int], mask: Tensor, positions: Sequence[int]) -> Tensor:
        """Logits (n, vocabulary) after each of n new nodes; `mask` is (n, keys), additive."""
        with torch.inference_mode():
            return self._forward(
                input_ids=torch.tensor([tokens], device=self.device),
                attention_mask=mask.to(self.device, self.dtype)[None, None],
                position_ids=torch.tensor([positions], device=self.device),
                past_key_values=prefix.cache,
            )[0]

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


def _readable_tokens(config: PretrainedConfig) -> int:
    """Longest sequence of a model that this decoding can serve; masks are ours, so every layer must attend to all."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds <= {"full_attention", "sliding_attention"}:
        raise ModelError(
            f"models with {', '.join(sorted(kinds))} layers are not supported: use one with full attention"
        )
    window = getattr(config, "sliding_window", None)
    limit = getattr(config, "max_position_embeddings", None) or 4096
    return min(limit, window) if window else limit


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
        for layer in self._prefix.layers:
            layer.rewind(len(self._prefix) + size)

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
    """How rows choose: argmax, or for sampled rows a draw at `temperature`."""

    temperature: float
    generator: torch.Generator
    max_tokens: int
    floor: float = -math.inf  # log-probability below which a row is given up


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
        for index, token in zip(drawn, torch.multinomial(chances, 1, generator=choice.generator), strict=True):
            picked[index] = int(token)
    return picked
