"""Residual patching: which line's state, after which layer, carries what the answer depends on.

Two prompts, the program with the fault ("clean": there the change is right) and the one repaired already ("corrupt").
The corrupt one is run with the state of one line after one layer taken from the clean run; the share of the
difference in log P(change) that comes back is the cell's value. Activation patching: Meng et al. 2022 (ROME),
Zhang & Nanda 2024.

Only what a swap can change is computed again: later layers, from the line on. What stands before it is read once,
and lines before the first change have the same states in both prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from repair.errors import ModelError
from repair.explain.glass import Watch
from repair.explain.passages import Passage, passage
from repair.explain.values import Array, PatchingGrid, Subject, UnitKind
from repair.views import Hunk, View

if TYPE_CHECKING:
    from repair.explain.glass import Glass

_NOTHING = 1e-6  # nats; a smaller difference cannot be shared out


_Places = tuple[tuple[int, ...], tuple[int, ...]]  # of a line: positions in the clean prompt and in the corrupt one


@dataclass(frozen=True, slots=True, eq=False)
class Swap:
    """Put `states` (at, width) in after `layer` (-1: the embeddings), at positions `at` of the corrupt prompt."""

    layer: int
    at: tuple[int, ...]
    states: Tensor


def patching_grid(glass: Glass, subject: Subject, *, seconds: float | None = 20.0) -> PatchingGrid:
    """Restored share of log P(change) for each layer and line of the view that both programs have.

    Lines nearest to the change come first; those that `seconds` leave no time for are left out, which a note says.
    Lines are aligned by number, shifted by what is inserted or deleted before them. Raises ModelError.
    """
    clean = passage(glass.answers, subject.view, subject.hunks)
    corrupt = _answered(passage(glass.answers, repaired(subject.view, subject.hunks), None), clean)
    if len(corrupt.ids) > glass.limit:
        raise ModelError("the repaired program is too long for the model: explain a smaller window")
    pairs = aligned(subject, clean, corrupt)
    run = Patched(glass, corrupt)
    before = glass.run(clean.ids, Watch(rows=_says(clean), hidden=True))
    fixed, broken = _value(before.logits, clean), run.value
    gap = fixed - broken if abs(fixed - broken) > _NOTHING else 0.0
    start = time.perf_counter()
    changed = min(subject.changed, default=subject.view.first_line)
    columns = dict[int, Array]()
    for line in sorted(pairs, key=lambda n: (abs(n - changed), n)):
        ours, theirs = pairs[line]
        column = np.zeros(len(glass.layers), np.float32)
        swaps = [Swap(layer, theirs, states[list(ours)]) for layer, states in enumerate(before.hidden[1:])]
        if gap and not all(map(run.has, swaps)):
            if seconds is not None and time.perf_counter() - start > seconds:
                continue
            column[:] = [(run.patched([swap]) - broken) / gap for swap in swaps]
        columns[line] = column
    lines = tuple(sorted(columns))
    grid = np.stack([columns[n] for n in lines], 1) if lines else np.zeros((len(glass.layers), 0), np.float32)
    notes = (*glass.notes, *_remarks(subject, clean, corrupt, pairs, gap))
    if len(lines) < len(pairs):
        notes += (f"{len(pairs) - len(lines)} of {len(pairs)} lines were left out, {seconds:g} s were over",)
    return PatchingGrid(lines, grid, fixed, broken, notes)


def _remarks(
    subject: Subject, clean: Passage, corrupt: Passage, pairs: Mapping[int, _Places], gap: float
) -> Iterator[str]:
    """What a reader of the grid must know."""
    if not gap:
        yield "the repair makes no difference to the answer's chance: there is nothing to restore"
    elif gap < 0:
        yield "the answer is likelier where the repair stands already, for the model copies it: 1 is the lower chance"
    alone = [n for n in range(subject.view.first_line, subject.view.last_line + 1) if n not in pairs]
    if alone:
        yield f"lines that stand in one of the programs only are not swapped: {', '.join(map(str, alone))}"
    ours, theirs = _places(clean), _places(corrupt)
    moves = moved(subject.view, subject.hunks)
    uneven = [n for n in sorted(pairs) if len(ours[n]) != len(theirs[moves[n]])]
    if uneven:
        yield f"lines with more or fewer tokens are swapped at their end alone: {', '.join(map(str, uneven))}"
    if [u for u in clean.units if u.kind is not UnitKind.CODE] != [
        u for u in corrupt.units if u.kind is not UnitKind.CODE
    ]:
        yield "the repaired program leaves less room in the prompt: what stands before the code differs too"


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


def aligned(subject: Subject, clean: Passage, corrupt: Passage) -> Mapping[int, _Places]:
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


class Patched:
    """The corrupt prompt with its answer, run again with other states in it."""

    def __init__(self, glass: Glass, found: Passage) -> None:
        """Run it as it is."""
        self._glass, self._found = glass, found
        seen = glass.run(found.ids, Watch(rows=_says(found), hidden=True))
        self._hidden = seen.hidden
        self.value = _value(seen.logits, found)
        self._kept = self._read(found.ids[:-1])

    def has(self, swap: Swap) -> bool:
        """Whether a swap would put in what is there, but for the order of sums."""
        there = self._hidden[swap.layer + 1][list(swap.at)]
        return bool(torch.allclose(there, swap.states, rtol=1e-4, atol=1e-5))

    def patched(self, swaps: Sequence[Swap]) -> float:
        """Log P(change), nats, with all of these swaps."""
        if not swaps:
            return self.value
        lowest = min(swap.layer for swap in swaps)
        if lowest + 1 == len(self._glass.layers):
            return self.value  # no later layer reads it, and the answer's own positions are not swapped
        start = min(min(swap.at) for swap in swaps)
        ids = torch.tensor([self._found.ids[start:-1]], device=self._glass.device)
        rows = [at - start for at in _says(self._found)]
        entry = self._hidden[lowest + 1][start:-1].clone()
        for swap in swaps:
            if swap.layer == lowest:
                entry[[at - start for at in swap.at]] = swap.states
        with (
            _entered(self._glass, lowest + 1, entry),
            _swapped(self._glass, [s for s in swaps if s.layer > lowest], start),
        ):
            output = self._forward(
                input_ids=ids, position_ids=torch.arange(start, len(self._found.ids) - 1, device=ids.device)[None],
                past_key_values=self._before(start), use_cache=True, logits_to_keep=torch.tensor(rows),
            )  # fmt: skip
        logits: Tensor = output.logits[0]
        return _value(logits if len(logits) == len(rows) else logits[rows], self._found)

    def _read(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (1, heads, n, size) of each layer."""
        from transformers import DynamicCache

        cache = DynamicCache()
        given = torch.tensor([list(ids)], device=self._glass.device)
        self._forward(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        held: list[Any] = list(cache.layers)
        return [(layer.keys, layer.values) for layer in held]

    def _before(self, start: int) -> Any:  # noqa: ANN401 - a Cache
        from transformers import DynamicCache

        cache = DynamicCache()
        if start:
            for layer, (keys, values) in enumerate(self._kept):
                cache.update(keys[:, :, :start], values[:, :, :start], layer)
        return cache

    def _forward(self, **given: object) -> Any:  # noqa: ANN401 - a ModelOutput
        try:
            with torch.no_grad():
                return self._glass.model(**given)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise ModelError(f"the model failed while computing ({error}): try a smaller window or model") from error


@contextmanager
def _entered(glass: Glass, layer: int, states: Tensor) -> Generator[None]:
    """The network from a layer on: those before are left out, and it is given `states` (n, width)."""

    def before(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401
        if given:
            return (states[None], *given[1:]), named
        return given, {**named, "hidden_states": states[None]}

    name = next(n for n, held in glass.decoder.named_children() if isinstance(held, nn.ModuleList))
    whole = getattr(glass.decoder, name)
    hook = glass.layers[layer].register_forward_pre_hook(before, with_kwargs=True)
    setattr(glass.decoder, name, nn.ModuleList(glass.layers[layer:]))
    try:
        yield
    finally:
        setattr(glass.decoder, name, whole)
        hook.remove()


@contextmanager
def _swapped(glass: Glass, swaps: Sequence[Swap], start: int) -> Generator[None]:
    """Inside, the layers put out the swaps' states; positions count from `start`."""

    def after(swap: Swap) -> Callable[..., Any]:
        def put(_module: nn.Module, _given: object, output: Any) -> Any:  # noqa: ANN401
            states: Tensor = (output[0] if isinstance(output, tuple) else output).clone()
            states[0, [at - start for at in swap.at]] = swap.states.to(states.dtype)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return put

    hooks = [glass.layers[swap.layer].register_forward_hook(after(swap)) for swap in swaps]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()
