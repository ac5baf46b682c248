"""Representations laid out: states of lines and of repairs by their principal components, in clusters with error lists.

Principal components by singular values (Pearson 1901), k-means with k-means++ seeds (Arthur & Vassilvitskii 2007),
silhouettes (Rousseeuw 1987), normalised mutual information with arithmetic mean (Strehl & Ghosh 2002). All of it is
deterministic for a seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from repair.errors import InputError, ModelError
from repair.explain.cases import CLEAN, Case
from repair.explain.values import Array

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.model import LineBelief

KEPT = 16  # components that clusters and neighbours are found in
MOST_CLUSTERS = 10
_ROUNDS = 100
_RESTARTS = 4
_LEAST = 4  # points

Labels = NDArray[np.int64]


class StateKind(StrEnum):
    """Which state stands for a case."""

    LINE = "line"  # at the end of the line that the answer begins with; without a fault, the last line's
    REPAIR = "repair"  # at the answer's first token


@dataclass(frozen=True, slots=True)
class Mark:
    """What a point is: a case and what it may be coloured by."""

    case: str
    bug_class: str
    success: bool  # the model's likeliest answer points at the right line (or rightly says "no fault")
    dataset: str
    language: str
    exception: str
    edit: str  # "replace", "insert", "delete", "several", "none"
    sure: float  # probability of the model's likeliest answer


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Hidden states of cases at one layer."""

    kind: StateKind
    layer: int  # index into states: 0 the embeddings, n after layer n - 1
    marks: tuple[Mark, ...]
    values: Array  # (points, width)


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of a projection: how many, what they mostly are, which of them failed."""

    number: int
    size: int
    success: float  # share
    classes: tuple[tuple[str, int], ...]  # bug classes, the most frequent first
    failures: tuple[str, ...]  # ids of cases, those of which the model was surest first


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Points with their clusters."""

    kind: StateKind
    layer: int
    marks: tuple[Mark, ...]
    points: Array  # (points, 3): principal components; the first two are the 2D picture
    kept: Array  # (points, <= KEPT): all components that were kept
    explained: tuple[float, ...]  # share of the variance of each of the three
    cluster: tuple[int, ...]  # of each point
    clusters: tuple[Cluster, ...]
    agreement: float  # normalised mutual information of clusters and bug classes, 0 to 1
    silhouette: float  # -1 to 1; 0 for a single cluster

    def neighbours(self, case: str, count: int = 5) -> tuple[tuple[str, float], ...]:
        """The nearest other cases with their Euclidean distances, nearest first. Raises InputError: no such case."""
        ids = [mark.case for mark in self.marks]
        if case not in ids:
            raise InputError(f"no case {case!r} in this projection", field="case")
        own = ids.index(case)
        apart = np.linalg.norm(self.kept - self.kept[own], axis=1)
        nearest = [int(n) for n in np.argsort(apart, kind="stable") if n != own][:count]
        return tuple((ids[n], float(apart[n])) for n in nearest)


def gather(
    glass: Glass, cases: Iterable[Case], *, layer: int | None = None, report: Callable[[int], None] | None = None
) -> tuple[States, States]:
    """States of lines and of repairs after `layer` (default: two thirds up), one point a case, from one pass each.

    Cases that are too long for the model are left out. Raises InputError for a layer that is not there or fewer
    than 4 readable cases, ModelError when the model fails.
    """
    from repair.explain.glass import Watch
    from repair.explain.passages import passage
    from repair.explain.vitals import line_ends

    top = len(glass.layers)
    at = round(top * 2 / 3) if layer is None else layer
    if not 0 <= at <= top:
        raise InputError(f"there is no state {layer}: 0 is the embeddings, {top} the last layer", field="layer")
    model = glass.local()
    marks: list[Mark] = []
    lines: list[Array] = []
    repairs: list[Array] = []
    for number, case in enumerate(cases, 1):
        try:
            read = passage(model.answers, case.view, case.hunks)
        except (ModelError, InputError):
            continue  # over the model's limit, or no change that it could say
        hidden = glass.run(read.ids, Watch(hidden=True)).hidden[at].float().cpu().numpy()
        ends = dict(line_ends(read))
        lines.append(hidden[ends.get(case.fault or 0, max(ends.values()))])
        repairs.append(hidden[min(read.prompt, len(read.ids) - 1)])
        marks.append(mark_of(case, model.locate(case.view)))
        if report is not None:
            report(number)
    if len(marks) < _LEAST:
        raise InputError(f"{len(marks)} readable cases; a projection needs {_LEAST} or more", field="cases")
    return (
        States(StateKind.LINE, at, tuple(marks), np.stack(lines).astype(np.float32)),
        States(StateKind.REPAIR, at, tuple(marks), np.stack(repairs).astype(np.float32)),
    )


def mark_of(case: Case, belief: LineBelief) -> Mark:
    """The labels of a case whose location the model was asked for."""
    answers: dict[int | None, float] = {None: belief.no_fault, **belief.lines}
    best = max(answers, key=lambda line: (answers[line], -(line or 0)))
    kinds = {"insert" if h.inserts else "replace" if h.text else "delete" for h in case.hunks}
    edit = "none" if not case.hunks else "several" if len(case.hunks) > 1 else next(iter(kinds))
    return Mark(
        case.id, case.bug_class or ("unnamed" if case.hunks else CLEAN), best == case.fault, case.group,
        case.view.language, case.exception, edit, answers[best],
    )  # fmt: skip


def project(states: States, *, count: int | None = None, seed: int = 0) -> Projection:
    """Principal components and clusters; `count` clusters, or as many (2 to 10) as have the best silhouette."""
    kept, shares = components(states.values)
    groups = clustered(kept, count, seed=seed)
    classes = [mark.bug_class for mark in states.marks]
    points = np.zeros((len(kept), 3), dtype=np.float32)
    points[:, : min(3, kept.shape[1])] = kept[:, :3]
    return Projection(
        states.kind, states.layer, states.marks, points, kept, tuple([*shares[:3], 0.0, 0.0, 0.0][:3]),
        tuple(groups.tolist()), _told(states.marks, groups), mutual_information(groups.tolist(), classes),
        silhouette(kept, groups),
    )  # fmt: skip


def components(values: Array, most: int = KEPT) -> tuple[Array, tuple[float, ...]]:
    """Principal components (points, <= most) and the share of the variance of each; largest weight positive."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    left, size, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    found = (left * size * signs)[:, :most]
    whole = float((size**2).sum()) or 1.0
    return found.astype(np.float32), tuple(float(one) for one in (size**2 / whole)[:most])


def clustered(points: Array, count: int | None = None, *, seed: int = 0) -> Labels:
    """A cluster number for each point, the largest cluster 0."""
    if count is not None:
        return _kmeans(points, count, seed)
    tried = [_kmeans(points, k, seed) for k in range(2, min(MOST_CLUSTERS, len(points) - 1) + 1)]
    return max(tried, key=lambda groups: silhouette(points, groups))


def _kmeans(points: Array, count: int, seed: int) -> Labels:
    draw = np.random.default_rng(seed)
    best: tuple[float, Labels] | None = None
    for _ in range(_RESTARTS):
        centres = _seeds(points, count, draw)
        groups = np.zeros(len(points), dtype=np.int64)
        for _ in range(_ROUNDS):
            before, groups = groups, _squares(points, centres).argmin(axis=1)
            own = [points[groups == k] for k in range(count)]
            centres = np.stack([p.mean(axis=0) if len(p) else centres[k] for k, p in enumerate(own)])
            if (groups == before).all():
                break
        loss = float(_squares(points, centres).min(axis=1).sum())
        if best is None or loss < best[0] - 1e-9:
            best = loss, groups
    assert best is not None
    order = [name for name, _ in Counter(best[1].tolist()).most_common()]
    return np.array([order.index(k) for k in best[1].tolist()], dtype=np.int64)


def _seeds(points: Array, count: int, draw: np.random.Generator) -> Array:
    chosen = [int(draw.integers(len(points)))]
    while len(chosen) < count:
        near = _squares(points, points[chosen]).min(axis=1).astype(np.float64)
        total = near.sum()
        chosen.append(int(draw.choice(len(points), p=near / total)) if total > 0 else chosen[0])
    return points[chosen]


def _squares(points: Array, centres: Array) -> Array:
    return np.square(points[:, None] - centres[None]).sum(axis=-1)


def silhouette(points: Array, groups: Labels) -> float:
    """Mean silhouette, -1 to 1; 0 for a single cluster."""
    names = sorted(set(groups.tolist()))
    if len(names) < 2:
        return 0.0
    lengths = np.square(points).sum(axis=1)
    apart = np.sqrt(np.maximum(lengths[:, None] + lengths[None] - 2 * points @ points.T, 0))
    sums = np.stack([apart[:, groups == k].sum(axis=1) for k in names], axis=1)
    sizes = np.array([(groups == k).sum() for k in names])
    place = np.searchsorted(names, groups)
    rows = np.arange(len(points))
    inside = sums[rows, place] / np.maximum(sizes[place] - 1, 1)
    means = sums / sizes
    means[rows, place] = np.inf
    outside = means.min(axis=1)
    found = (outside - inside) / np.maximum(np.maximum(outside, inside), 1e-12)
    return float(np.where(sizes[place] > 1, found, 0.0).mean())


def mutual_information(one: Sequence[object], other: Sequence[object]) -> float:
    """Normalised by the mean entropy: 1 where each tells the other, 0 where neither says anything."""
    total = len(one)
    left, right, both = Counter(one), Counter(other), Counter(zip(one, other, strict=True))
    shared = sum(n / total * np.log(n * total / (left[a] * right[b])) for (a, b), n in both.items())
    entropy = sum(-n / total * np.log(n / total) for part in (left, right) for n in part.values()) / 2
    return float(min(max(shared / entropy, 0.0), 1.0)) if entropy > 0 else 0.0


def _told(marks: Sequence[Mark], groups: Labels) -> tuple[Cluster, ...]:
    found: list[Cluster] = []
    for number in range(int(groups.max()) + 1):
        own = [mark for mark, group in zip(marks, groups.tolist(), strict=True) if group == number]
        failed = sorted((m for m in own if not m.success), key=lambda m: (-m.sure, m.case))
        classes = Counter(mark.bug_class for mark in own).most_common()
        share = (len(own) - len(failed)) / max(len(own), 1)
        found.append(Cluster(number, len(own), share, tuple(classes), tuple(m.case for m in failed)))
    return tuple(found)
