"""Where heads look (not why): statistics per head, lines x lines, and the flow from the answer over all layers.

Rows watched are the units' ends (the state that has read the unit) and, for each token of the answer, the position
that says it. Attention of long prompts is computed for some rows at a time, so memory stays bounded.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from repair.errors import InputError, ModelError
from repair.explain.glass import GLASS, Watch
from repair.explain.passages import STRUCTURE, Passage, passage, unchanged
from repair.explain.values import (
    Array,
    AttentionMap,
    Badge,
    EvidenceMap,
    Method,
    Subject,
    Target,
    Trust,
    UnitScore,
)

if TYPE_CHECKING:
    from repair.explain.glass import Glass

MEMORY = 128 * 2**20  # bytes of attention and logits held at once
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True, slots=True, eq=False)
class HeadStatistics:
    """Means over rows, each (layers, heads); `same` over the units' rows alone, for an answer is no line."""

    entropy: Array
    sink: Array
    same: Array
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """What was gathered in one walk over the rows: means over rows, in the order of `rows`."""

    rows: tuple[int, ...]
    entropy: Array  # (layers, heads, rows)
    sink: Array  # (layers, heads, rows)
    units: Array  # (layers, heads, rows, units)
    flow: Array  # (units,); zeros where it was not asked for
    notes: tuple[str, ...]


def attention_map(
    glass: Glass, subject: Subject, *, layer: int | None = None, head: int | None = None, memory: int = MEMORY
) -> AttentionMap:
    """Attention of the change's prompt and answer; `lines` of one layer and head, None: the mean over them.

    `flow` is attention rollout (Abnar & Zuidema 2020): each layer passes on half by attention (mean of heads) and
    half by the residual. At most `memory` bytes of attention are held at once. Raises InputError for a layer or head
    that is not there, ModelError when the model fails.
    """
    _check(glass, layer, head)
    found = passage(glass.local().answers, subject.view, subject.hunks)
    ends, says = _rows(found)
    looked = _look(glass, found, (*ends.values(), *says), memory, flow=True)
    if layer is not None and layer >= len(looked.units):
        raise ModelError(f"layer {layer} does not fit in memory: {'; '.join(looked.notes)}")
    lines = looked.units.mean(0) if layer is None else looked.units[layer]
    lines = lines.mean(0) if head is None else lines[head]
    statistics = _statistics(looked, tuple(ends))
    return AttentionMap(
        units=found.units,
        entropy=statistics.entropy,
        sink=statistics.sink,
        same=statistics.same,
        layer=layer,
        head=head,
        lines=lines.astype(np.float32),
        rows=(*(found.units[n].label for n in ends), *(f"answer: {found.tokens[at + 1]}" for at in says)),
        flow=looked.flow,
        notes=(*glass.notes, *looked.notes),
    )


def attention_statistics(glass: Glass, found: Passage) -> HeadStatistics:
    """Those of a passage without the rest of the map: one pass over the rows watched."""
    ends, says = _rows(found)
    return _statistics(_look(glass, found, (*ends.values(), *says), MEMORY, flow=False), tuple(ends))


def attention_evidence(glass: Glass, subject: Subject, method: Method = Method.ROLLOUT) -> EvidenceMap:
    """Attention of the answer onto units (last layer, or rolled out) as if it were evidence: the baseline to beat.

    Scores are shares of attention, no nats; they know no contrast. Raises InputError for another method.
    """
    if method not in (Method.ATTENTION, Method.ROLLOUT):
        raise InputError(f"{method} is no attention: take attention-last or attention-rollout", field="method")
    begun = time.perf_counter()
    local = glass.local()
    found = passage(local.answers, subject.view, subject.hunks)
    _, says = _rows(found)
    looked = _look(glass, found, says, MEMORY, flow=method is Method.ROLLOUT)
    scores = looked.flow if method is Method.ROLLOUT else looked.units[-1].mean((0, 1))
    new, old = local.score(subject.view, [subject.hunks, unchanged(subject.view, subject.hunks)])
    return EvidenceMap(
        method=method,
        target=Target(),
        scores=tuple(UnitScore(unit, float(score)) for unit, score in zip(found.units, scores, strict=True)),
        value=new - old,
        badge=Badge(Trust.UNMEASURED, "attention tells where the model looked, not why"),
        seconds=time.perf_counter() - begun,
        notes=("scores are shares of attention, not nats", *glass.notes, *looked.notes),
    )


def _check(glass: Glass, layer: int | None, head: int | None) -> None:
    for number, count, name in ((layer, len(glass.layers), "layer"), (head, glass.heads, "head")):
        if number is not None and not 0 <= number < count:
            raise InputError(f"there is no {name} {number}: the model has {name}s 0 to {count - 1}", field=name)


def _rows(found: Passage) -> tuple[dict[int, int], tuple[int, ...]]:
    """End of each unit that has tokens, and the positions that say the answer's tokens."""
    seen = frozenset(found.owner)
    ends = {unit: at for unit, at in enumerate(found.ends) if unit in seen}
    return ends, tuple(range(found.prompt - 1, len(found.ids) - 1))


def _statistics(looked: _Looked, ends: Sequence[int]) -> HeadStatistics:
    own = looked.units[:, :, np.arange(len(ends)), list(ends)] if ends else np.zeros((*looked.units.shape[:2], 1))
    return HeadStatistics(looked.entropy.mean(-1), looked.sink.mean(-1), own.mean(-1).astype(np.float32), looked.notes)


def _look(glass: Glass, found: Passage, rows: Sequence[int], memory: int, *, flow: bool) -> _Looked:
    """Walk over the rows, all of them for the flow. Fewer rows at a time, then fewer layers, while memory runs out."""
    wanted = tuple(rows) or (len(found.ids) - 1,)
    walk = tuple(range(max(wanted) + 1)) if flow else tuple(sorted(set(wanted)))
    per_row = 4 * (len(glass.layers) * glass.heads * len(found.ids) + _vocabulary(glass))
    whole = getattr(glass.model.config, "_attn_implementation", GLASS) != GLASS  # eager: all rows or none
    size, depth = len(walk) if whole else max(1, memory // per_row), len(glass.layers)
    while True:
        try:
            with _shallow(glass, depth):
                looked = _walk(glass, found, wanted, walk, size, flow=flow)
            break
        except ModelError as error:
            if not _out_of_memory(error) or (depth == 1 and (whole or size == 1)):
                raise
            if size > 1 and not whole:
                size = max(1, min(size, len(walk)) // 4)
            else:
                depth //= 2
    if depth == len(glass.layers):
        return looked
    note = f"out of memory: attention of layers 0 to {depth - 1} alone (of {len(glass.layers)})"
    return _Looked(looked.rows, looked.entropy, looked.sink, looked.units, looked.flow, (note,))


def _walk(
    glass: Glass, found: Passage, wanted: Sequence[int], walk: Sequence[int], size: int, *, flow: bool
) -> _Looked:
    """Attention of `size` rows at a time. A row flows to earlier ones only, so the flow is known up to each chunk."""
    ids, said = found.ids[: max(walk) + 1], frozenset(range(found.prompt - 1, len(found.ids) - 1))
    onto = _onto(found, len(ids)).to(glass.device)
    flowed = onto.repeat(len(glass.layers) + 1, 1, 1) if flow else None
    entropy, sink, units = dict[int, Tensor](), dict[int, Tensor](), dict[int, Tensor]()
    for chunk in _chunks(walk, size):
        seen = glass.run(ids, Watch(rows=chunk, attention=True)).attention
        if flowed is not None:
            for n, one in enumerate(seen):
                passed = one.mean(0) @ flowed[n]
                flowed[n + 1, list(chunk)] = 0.5 * (passed + flowed[n, list(chunk)])
        kept = [at for at, row in enumerate(chunk) if row in set(wanted)]
        if not kept:
            continue
        picked = torch.stack([one[:, kept] for one in seen])  # (layers, heads, kept, n)
        chances = torch.special.entr(picked).sum(-1)
        mass = picked @ onto
        for at, index in enumerate(kept):
            row = chunk[index]
            entropy[row], sink[row], units[row] = chances[..., at], picked[..., at, 0], mass[..., at, :]
    answer = [row for row in wanted if row in said]
    shares = flowed[-1, answer].mean(0) if flowed is not None and answer else onto.new_zeros(onto.shape[1])
    return _Looked(
        tuple(wanted),
        _array(torch.stack([entropy[row] for row in wanted], -1)),
        _array(torch.stack([sink[row] for row in wanted], -1)),
        _array(torch.stack([units[row] for row in wanted], -2)),
        _array(shares),
        (),
    )


def _onto(found: Passage, length: int) -> Tensor:
    """(length, units): 1 where a token belongs to a unit."""
    onto = torch.zeros(length, len(found.units))
    for at, unit in enumerate(found.owner[:length]):
        if unit != STRUCTURE:
            onto[at, unit] = 1
    return onto


def _chunks(rows: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(rows), size):
        yield tuple(rows[start : start + size])


def _array(values: Tensor) -> Array:
    return values.detach().cpu().float().numpy()


def _vocabulary(glass: Glass) -> int:
    return int(cast(Tensor, glass.model.get_input_embeddings().weight).shape[0])


def _out_of_memory(error: ModelError) -> bool:
    return any(words in str(error).lower() for words in _NO_MEMORY)


@contextmanager
def _shallow(glass: Glass, depth: int) -> Generator[None]:
    """The network cut after its first `depth` layers: their attention does not depend on those above."""
    layers = glass.layers
    name = next(name for name, held in glass.decoder.named_children() if isinstance(held, nn.ModuleList))
    held = cast(nn.ModuleList, getattr(glass.decoder, name))
    if depth == len(layers):
        yield
        return
    glass.layers = layers[:depth]
    setattr(glass.decoder, name, nn.ModuleList(layers[:depth]))
    try:
        yield
    finally:
        glass.layers = layers
        setattr(glass.decoder, name, held)
