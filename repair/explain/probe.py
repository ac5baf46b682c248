"""A linear probe that tells faulty lines from their states, and the calibration that joins it with the pointer.

The probe is a conditional logit: softmax over the lines of a program (and "no fault") of states @ weight, on the
state at each line's end after one layer (Alain & Bengio 2016, "Understanding intermediate layers using linear
classifier probes"), with a ridge penalty, fitted by L-BFGS. Layer and penalty are chosen, and the calibration
fitted, on cases that the weights were not fitted to; what is reported is from a third part. Parts are whole groups
(packages), so that nothing of one project lies on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repair.explain.reference import LineProbe, LocationCalibration, LocationQuality
from repair.explain.values import Array
from repair.explain.vitals import line_ends

if TYPE_CHECKING:
    from repair.explain.cases import Case
    from repair.explain.glass import Seen
    from repair.explain.passages import Passage
    from repair.model import LineBelief

LEAST = 60  # cases; a probe of fewer would only learn them by heart
LAYERS = 9  # looked at; of a deeper network evenly spread ones
PENALTIES = (1e-4, 1e-3, 1e-2)
PARTS = (0.5, 0.25, 0.25)  # fitted, chosen and calibrated, reported
_LEAST_CHANCE = 1e-9
_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What the probe and the calibration need of one case."""

    id: str
    group: str
    layers: tuple[int, ...]
    states: NDArray[np.float16]  # (layers, lines, width)
    pointer: Array  # (lines + 1,): the model's own log-probabilities, "no fault" last
    answer: int  # index of the fault's line, `lines` for none


@dataclass(frozen=True, slots=True)
class Location:
    """What was fitted, and how good it is."""

    probe: LineProbe
    calibration: LocationCalibration
    pointer: LocationCalibration
    quality: tuple[LocationQuality, ...]


def examined(case: Case, read: Passage, seen: Seen, belief: LineBelief) -> Examined:
    """A case as the probe wants it, from a run that watched hidden states."""
    lines = line_ends(read)
    layers = chosen_layers(len(seen.hidden))
    ends = torch.tensor([end for _, end in lines], device=seen.logits.device)
    states = torch.stack([seen.hidden[layer][ends] for layer in layers]).float().cpu().numpy()
    numbers = [line for line, _ in lines]
    chances = [*(belief.lines.get(line, 0.0) for line in numbers), belief.no_fault]
    pointer = np.log(np.maximum(np.array(chances, dtype=np.float32), _LEAST_CHANCE))
    answer = len(numbers) if case.fault is None else numbers.index(case.fault)
    # A state may be larger than float16 holds; the direction is what a probe reads.
    return Examined(case.id, case.group, layers, np.clip(states, -6e4, 6e4).astype(np.float16), pointer, answer)


def chosen_layers(count: int) -> tuple[int, ...]:
    """Indices of at most LAYERS of `count` states, first and last among them."""
    return tuple(sorted({round(at) for at in np.linspace(0, count - 1, min(count, LAYERS)).tolist()}))


def parts(cases: Sequence[Examined]) -> tuple[tuple[Examined, ...], ...]:
    """The cases in shares of PARTS, by whole groups where there are enough of them, in an order drawn by hash."""
    names = {case.group for case in cases}
    by_group = len(names) >= 4 * len(PARTS)
    units: dict[str, list[Examined]] = {}
    for case in cases:
        units.setdefault(case.group if by_group else f"{case.group}/{case.id}", []).append(case)
    found: list[list[Examined]] = [[] for _ in PARTS]
    for name in sorted(units, key=lambda n: hashlib.sha256(n.encode("utf-8", "surrogatepass")).digest()):
        behind = [share * len(cases) - len(own) for share, own in zip(PARTS, found, strict=True)]
        found[behind.index(max(behind))] += units[name]
    return tuple(tuple(own) for own in found)


def fitted(cases: Sequence[Examined]) -> Location | None:
    """Probe, calibration and their quality; None for fewer than LEAST cases. Deterministic."""
    if len(cases) < LEAST:
        return None
    learn, choose, report = parts(cases)
    best: tuple[float, LineProbe] | None = None
    for index, layer in enumerate(cases[0].layers):
        flat, other = _Flat.of(learn, index), _Flat.of(choose, index)
        for penalty in PENALTIES:
            probe = _probe(flat, layer, penalty)
            loss = float(_loss(other.joined(torch.from_numpy(probe.weight), probe.no_fault), other))
            if best is None or loss < best[0]:
                best = (loss, probe)
    assert best is not None
    probe = best[1]
    index = cases[0].layers.index(probe.layer)
    own = _Flat.of(choose, index)
    calibration, pointer = calibrated(own, probe), calibrated(own, None)
    return Location(probe, calibration, pointer, _qualities(report, index, probe, calibration))


@dataclass(frozen=True, slots=True, eq=False)
class _Flat:
    """Cases end to end; each has its lines and then "no fault"."""

    states: Tensor  # (entries, width), zeros for "no fault"
    pointer: Tensor  # (entries,)
    case: Tensor  # (entries,): which case
    last: Tensor  # (cases,): the entry of "no fault"
    answer: Tensor  # (cases,): the entry that is right

    @classmethod
    def of(cls, cases: Sequence[Examined], index: int) -> _Flat:
        width = cases[0].states.shape[-1]
        states = np.concatenate([np.vstack([c.states[index], np.zeros((1, width), np.float16)]) for c in cases])
        counts = torch.tensor([len(c.pointer) for c in cases])
        first = counts.cumsum(0) - counts
        return cls(
            torch.from_numpy(states).float(),
            torch.from_numpy(np.concatenate([c.pointer for c in cases])),
            torch.repeat_interleave(torch.arange(len(cases)), counts),
            first + counts - 1,
            first + torch.tensor([c.answer for c in cases]),
        )

    def joined(self, weight: Tensor, no_fault: Tensor | float) -> Tensor:
        """The probe's logit of each entry."""
        nothing = torch.zeros(len(self.case), dtype=torch.bool)
        nothing[self.last] = True
        return torch.where(nothing, torch.as_tensor(no_fault, dtype=torch.float32), self.states @ weight)

    def combined(self, found: Tensor, mix: Tensor | float, sharpness: Tensor | float, bias: Tensor | float) -> Tensor:
        """LocationCalibration's logits; `found` are the probe's."""
        shift = torch.zeros(len(self.case)).index_fill(0, self.last, 1.0) * bias
        return self.pointer * sharpness + found * mix + shift


def _logs(logits: Tensor, flat: _Flat) -> Tensor:
    """Log-softmax within each case."""
    top = torch.full((len(flat.last),), -torch.inf).scatter_reduce(0, flat.case, logits.detach(), "amax")
    sums = torch.zeros(len(flat.last)).index_add(0, flat.case, (logits - top[flat.case]).exp())
    return logits - (sums.log() + top)[flat.case]


def _loss(logits: Tensor, flat: _Flat) -> Tensor:
    return -_logs(logits, flat)[flat.answer].mean()


def _probe(flat: _Flat, layer: int, penalty: float) -> LineProbe:
    """Fitted on standardised states; the scale is folded into the weights afterwards."""
    real = torch.ones(len(flat.case), dtype=torch.bool).index_fill(0, flat.last, value=False)
    centre = flat.states[real].mean(dim=0)
    scale = flat.states[real].std(dim=0).clamp(min=1e-6)
    within = _Flat((flat.states - centre) / scale, flat.pointer, flat.case, flat.last, flat.answer)
    start = torch.zeros(within.states.shape[1] + 1)

    def objective(values: Tensor) -> Tensor:
        return _loss(within.joined(values[:-1], values[-1]), within) + penalty * values[:-1].square().sum()

    values = _minimum(objective, start)
    weight = values[:-1] / scale
    return LineProbe(layer, weight.numpy().astype(np.float32), float(values[-1] + centre @ weight))


def calibrated(flat: _Flat, probe: LineProbe | None) -> LocationCalibration:
    """The calibration with the least negative log-likelihood; without a probe its `mix` stays 0."""
    found = torch.zeros(len(flat.case))
    if probe is not None:
        found = flat.joined(torch.from_numpy(probe.weight), probe.no_fault)

    def objective(values: Tensor) -> Tensor:
        return _loss(flat.combined(found, values[1], values[0], values[2]), flat)

    values = _minimum(objective, torch.tensor([1.0, 0.0, 0.0])).tolist()
    return LocationCalibration(values[0], values[1] if probe is not None else 0.0, values[2])


def _minimum(objective: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    values = start.clone().requires_grad_()
    search = torch.optim.LBFGS([values], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = objective(values)
        loss.backward()
        return loss

    search.step(closure)
    return values.detach()


def _qualities(
    cases: Sequence[Examined], index: int, probe: LineProbe, calibration: LocationCalibration
) -> tuple[LocationQuality, ...]:
    flat = _Flat.of(cases, index)
    found = flat.joined(torch.from_numpy(probe.weight), probe.no_fault)
    joined = flat.combined(found, calibration.mix, calibration.sharpness, calibration.bias)
    sources = (("pointer", flat.pointer), ("probe", found), ("calibrated", joined))
    return tuple(_quality(name, _logs(logits, flat), flat) for name, logits in sources)


def _quality(name: str, logs: Tensor, flat: _Flat) -> LocationQuality:
    ranks: list[int] = []
    sure: list[float] = []
    right: list[bool] = []
    for number, (last, answer) in enumerate(zip(flat.last.tolist(), flat.answer.tolist(), strict=True)):
        first = 0 if number == 0 else int(flat.last[number - 1]) + 1
        own = logs[first : last + 1]
        best = int(own.argmax())
        sure.append(float(own[best].exp()))
        right.append(first + best == answer)
        if answer != last:
            ranks.append(1 + int((own[:-1] > logs[answer]).sum()))
    hits = [sum(rank <= k for rank in ranks) / max(len(ranks), 1) for k in (1, 3, 5)]
    return LocationQuality(
        name, len(sure), len(ranks), (hits[0], hits[1], hits[2]),
        calibration_error(sure, right), float(-logs[flat.answer].mean()),
    )  # fmt: skip


def calibration_error(sure: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error over ten bins of equal width (Guo et al. 2017); 0 is perfect."""
    if not sure:
        return 0.0
    place = np.minimum((np.array(sure) * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(place, np.array(sure) - np.array(right, dtype=float), minlength=_BINS)
    return float(np.abs(gaps).sum() / len(sure))
