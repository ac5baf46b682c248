"""Residual patching: which line's state, after which layer, carries what the answer depends on.

Two prompts, the program with the fault ("clean": the change is right there) and the one repaired already ("corrupt").
The corrupt one is run with the state of one line after one layer taken from the clean run; the share of the
difference in log P(change) that comes back is the cell's value. Activation patching: Meng et al. 2022 (ROME),
Zhang & Nanda 2024.

Lines before the first change have the same states in both, so nothing is computed for them, and what stands before a
line is read once: its keys and values are shared by all runs that patch the line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from repair.errors import ModelError
from repair.explain.glass import Watch
from repair.explain.passages import Passage, passage
from repair.explain.values import PatchingGrid, Subject, UnitKind
from repair.views import Hunk, View

if TYPE_CHECKING:
    from repair.explain.glass import Glass

_TOKENS = 4096  # computed together
_NOTHING = 1e-6  # nats; a smaller difference cannot be shared out


@dataclass(frozen=True, slots=True, eq=False)
class Swap:
    """States to put in: after `layer` (0-based), at positions `at` (of the corrupt prompt), `states` (at, width)."""

    layer: int
    at: tuple[int, ...]
    states: Tensor


def patching_grid(glass: Glass, subject: Subject, *, seconds: float | None = 20.0) -> PatchingGrid:
    """Restored share of log P(change) for each layer and line of the view that both programs have.

    Lines nearest to the change come first; those that `seconds` leave no time for are left out, which a note says.
    Lines are aligned by number, shifted by what is inserted or deleted before them. Raises ModelError.
    """
    answers = glass.local().answers
    clean = passage(answers, subject.view, subject.hunks)
    corrupt = _answered(passage(answers, repaired(subject.view, subject.hunks), None), clean)
    if len(corrupt.ids) > glass.limit:
        raise ModelError("the repaired program is too long for the model: explain a smaller window")
    pairs = {n: both for n, both in aligned(subject, clean, corrupt).items() if both[0]}
    run = _Patched(glass, corrupt)
    before, after = glass.run(clean.ids, Watch(rows=_says(clean), hidden=True)), run.seen
    fixed, broken = _value(before.logits, clean), _value(after.logits, corrupt)
    notes, gap = list(glass.notes), fixed - broken
    if abs(gap) < _NOTHING:
        notes.append("the repair makes no difference to the model's answer: there is nothing to restore")
    start = time.perf_counter()
    changed = min(subject.changed, default=subject.view.first_line)
    columns = dict[int, np.ndarray]()
    for line in sorted(pairs, key=lambda n: (abs(n - changed), n)):
        ours, theirs = pairs[line]
        swaps = [
            Swap(layer, theirs, states[list(ours)]) for layer, states in enumerate(before.hidden[1:])
        ]  # fmt: skip
        if abs(gap) < _NOTHING or all(_same(s, after.hidden[s.layer + 1]) for s in swaps):
            columns[line] = np.zeros(len(glass.layers), np.float32)
        elif seconds is None or time.perf_counter() - start < seconds:
            columns[line] = (np.asarray(run.values(swaps)) - broken).astype(np.float32) / gap
    missing = len(pairs) - len(columns)
    if missing:
        notes.append(f"{missing} of {len(pairs)} lines were left out, {seconds:g} s were over")
    if not any(hunk.text for hunk in subject.hunks):
        notes.append("deleted lines stand in one of the prompts only and are not swapped")
    lines = tuple(sorted(columns))
    grid = np.stack([columns[n] for n in lines], 1) if lines else np.zeros((len(glass.layers), 0), np.float32)
    return PatchingGrid(lines, grid.astype(np.float32), fixed, broken, tuple(notes))


def repaired(view: View, hunks: Sequence[Hunk]) -> View:
    """The view of the program after the change; its error, frames, test and context stay as they are."""
    lines = list(view.lines)
    for hunk in sorted(hunks, reverse=True):
        lines[hunk.first - view.first_line : hunk.last + 1 - view.first_line] = (
            hunk.text.split("\n") if hunk.text else ()
        )
    return replace(view, lines=tuple(lines))


def moved(view: View, hunks: Sequence[Hunk]) -> Mapping[int, int]:
    """Number in the repaired program of each line that both have; replaced lines go pairwise."""
    found, shift, next_line = dict[int, int](), 0, view.first_line
    for hunk in sorted(hunks):
        found |= {n: n + shift for n in range(next_line, hunk.first)}
        old, new = hunk.last + 1 - hunk.first, len(hunk.text.split("\n")) if hunk.text else 0
        found |= {n: n + shift for n in range(hunk.first, hunk.first + min(old, new))}
        shift, next_line = shift + new - old, hunk.last + 1
    return found | {n: n + shift for n in range(next_line, view.last_line + 1)}


def aligned(
    subject: Subject, clean: Passage, corrupt: Passage
) -> Mapping[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Positions of each line in both prompts: all its tokens where there are as many, else its end alone."""
    ours, theirs = _places(clean), _places(corrupt)
    return {
        n: both if len(both[0]) == len(both[1]) else (both[0][-1:], both[1][-1:])
        for n, other in moved(subject.view, subject.hunks).items()
        for both in ((ours.get(n, ()), theirs.get(other, ())),)
        if all(both)
    }


def _places(found: Passage) -> dict[int, tuple[int, ...]]:
    """Positions of each line of code."""
    places = dict[int, list[int]]()
    for at, owner in enumerate(found.owner):
        if owner >= 0 and found.units[owner].kind is UnitKind.CODE:
            places.setdefault(found.units[owner].number, []).append(at)
    return {number: tuple(held) for number, held in places.items()}


def _answered(prompt: Passage, other: Passage) -> Passage:
    """A bare prompt with the answer of another passage, token for token."""
    said = len(other.ids) - other.prompt
    return replace(
        prompt, ids=prompt.ids + other.ids[other.prompt :], tokens=prompt.tokens + other.tokens[other.prompt :],
        owner=prompt.owner + (-1,) * said, fixed=prompt.fixed + (True,) * said,
    )  # fmt: skip


def _says(found: Passage) -> tuple[int, ...]:
    return tuple(range(found.prompt - 1, len(found.ids) - 1))


def _value(logits: Tensor, found: Passage) -> float:
    labels = torch.tensor(found.ids[found.prompt :], device=logits.device)[:, None]
    return float(torch.log_softmax(logits.float(), -1).gather(1, labels).double().sum())


def _same(swap: Swap, states: Tensor) -> bool:
    """Whether a swap puts in what is there: equal but for the order of sums."""
    there = states[list(swap.at)]
    return bool(torch.allclose(there, swap.states, rtol=1e-4, atol=1e-5))


class _Patched:
    """The corrupt prompt with its answer, run again with other states in it."""

    def __init__(self, glass: Glass, found: Passage) -> None:
        self._glass, self._found = glass, found
        self.seen = glass.run(found.ids, Watch(rows=_says(found), hidden=True))
        self._cache = self._read(found.ids[:-1])

    def values(self, swaps: Sequence[Swap]) -> list[float]:
        """Target with each of the swaps alone."""
        start = min(min(swap.at) for swap in swaps)
        start = min(start, self._found.prompt - 1)
        size = max(1, _TOKENS // (len(self._found.ids) - start))
        found: list[float] = []
        for at in range(0, len(swaps), size):
            chunk = swaps[at : at + size]
            rows = {n: [(row, s)] for row, s in enumerate(chunk) for n in (s.layer,)}
            if len(rows) < len(chunk):
                rows = {n: [(r, s) for r, s in enumerate(chunk) if s.layer == n] for n in rows}
            found += self._run(start, len(chunk), rows)
        return found

    def together(self, swaps: Sequence[Swap]) -> float:
        """Target with all of the swaps at once."""
        rows: dict[int, list[tuple[int, Swap]]] = {}
        for swap in swaps:
            rows.setdefault(swap.layer, []).append((0, swap))
        start = min((min(swap.at) for swap in swaps), default=0)
        return self._run(min(start, self._found.prompt - 1), 1, rows)[0]

    def _run(self, start: int, count: int, rows: Mapping[int, Sequence[tuple[int, Swap]]]) -> list[float]:
        ids = torch.tensor(self._found.ids[start:-1], device=self._glass.device)
        kept = torch.tensor([at - start for at in _says(self._found)], device=self._glass.device)
        places = torch.arange(start, start + len(ids), device=self._glass.device)
        with _swapped(self._glass, rows, start):
            output = self._forward(
                input_ids=ids.expand(count, -1), position_ids=places[None].expand(count, -1),
                past_key_values=self._before(start, count), use_cache=True, logits_to_keep=kept,
            )  # fmt: skip
        logits: Tensor = output.logits
        logits = logits if logits.shape[1] == len(kept) else logits[:, kept]
        return [_value(one, self._found) for one in logits]

    def _read(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (1, heads, n, size) of each layer."""
        from transformers import DynamicCache

        cache = DynamicCache()
        given = torch.tensor([list(ids)], device=self._glass.device)
        self._forward(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        held: list[Any] = list(cache.layers)
        return [(layer.keys, layer.values) for layer in held]

    def _before(self, start: int, count: int) -> Any:  # noqa: ANN401 - a Cache
        from transformers import DynamicCache

        cache = DynamicCache()
        if start:
            for layer, (keys, values) in enumerate(self._cache):
                cache.update(
                    keys[:, :, :start].expand(count, -1, -1, -1), values[:, :, :start].expand(count, -1, -1, -1), layer
                )
        return cache

    def _forward(self, **given: object) -> Any:  # noqa: ANN401 - a ModelOutput
        try:
            with torch.no_grad():
                return self._glass.model(**given)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise ModelError(f"the model failed while computing ({error}): try a smaller window or model") from error


@contextmanager
def _swapped(glass: Glass, rows: Mapping[int, Sequence[tuple[int, Swap]]], start: int) -> Generator[None]:
    """Inside, the layers' outputs have the swaps' states in these rows of the batch; positions count from `start`."""

    def hook(swaps: Sequence[tuple[int, Swap]]) -> Callable[..., Any]:
        def after(_module: nn.Module, _given: object, output: Any) -> Any:  # noqa: ANN401
            states: Tensor = (output[0] if isinstance(output, tuple) else output).clone()
            for row, swap in swaps:
                states[row, [at - start for at in swap.at]] = swap.states.to(states.dtype)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return after

    hooks = [glass.layers[layer].register_forward_hook(hook(swaps)) for layer, swaps in rows.items()]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()
