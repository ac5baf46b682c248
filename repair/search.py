"""The search: which changes are worth judging, best first (MODEL.md §4).

Changes come from the inverse mutations of suspicious lines and from the model's own proposals. Lines are
opened a few at a time, most suspicious first, their mutations a block at a time, likeliest first, and only when
no candidate at hand is as good as what could come: a function has thousands of them. Knows nothing of tests:
the pipeline judges what comes out of here.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf, log

from repair.candidates import Candidate, Completion
from repair.edits import Edit, FilePatch, Patch
from repair.errors import PatchError
from repair.model import Decoding, Model
from repair.mutate import repairs
from repair.replies import Change, parse_reply
from repair.sources import Source
from repair.verdicts import Suspect
from repair.views import Hunk, View, edit_hunk, hunks_patch

_FLOOR = 1e-6
_Text = tuple[str, str]  # path and text of a changed file


@dataclass(frozen=True, slots=True)
class Ordering:
    """Weights of what a candidate's score is made of (natural logs)."""

    location: float = 0.3  # log suspiciousness of the lines it changes
    model: float = 0.25  # log P(text | view, line)
    operator: float = 1.7  # log of the mutation's own weight (its operator's, falling with its rank)
    likeliest: float = 2.7  # log weight of the likeliest mutations there are
    unscored: float = -12.0  # in place of the model's term where a change lies in no view
    hope: float = -7.0  # the model's term that a mutation not yet made is expected to reach at best
    proposal: float = -0.5  # in place of the operator's term for what the model alone wrote
    agreed: float = 0.3  # added where the model wrote what a mutation makes


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Bounds and order of a search."""

    order: str = "model"  # "model", "heuristic" (no model in the scores) or "random" (same pool, shuffled)
    seed: int = 0
    lines: int = 48  # most suspicious lines that are opened at all
    group: int = 2  # lines opened at a time
    block: int = 96  # mutations made (and scored by the model) at a time
    proposals: int = 64  # completions asked of the model in all
    ordering: Ordering = field(default_factory=Ordering)


@dataclass(frozen=True, slots=True)
class Field:
    """What is searched: sources, their views and where the fault may be."""

    sources: Mapping[str, Source]
    views: tuple[View, ...]
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True, slots=True)
class _Change:
    """A change before it has a score."""

    path: str
    edits: tuple[Edit, ...]
    hunk: Hunk  # the first one, for its place
    origin: str
    weight: float  # prior of a mutation, 0 for what the model wrote
    completion: Completion | None = None


class _Lines:
    """Suspiciousness of lines, with the neighbours of an insertion counted in."""

    def __init__(self, suspects: Iterable[Suspect]) -> None:
        self.ranked = sorted(suspects, key=lambda s: -s.suspiciousness)
        self._of = {(s.path, s.line): s.suspiciousness for s in self.ranked}

    def log(self, path: str, hunk: Hunk) -> float:
        touched = range(hunk.first - 1, hunk.first + 1) if hunk.inserts else range(hunk.first, hunk.last + 1)
        return log(max((self._of.get((path, n), 0.0) for n in touched), default=0.0) + _FLOOR)


def _view_of(views: Sequence[View], path: str, hunk: Hunk) -> View | None:
    for view in views:
        inside = view.first_line <= hunk.first and max(hunk.first - 1, hunk.last) <= view.last_line
        if view.path == path and inside and not (hunk.inserts and hunk.first > view.last_line):
            return view
    return None


def _mutations(place: Field, group: Sequence[Suspect]) -> Iterator[_Change]:
    by_path: dict[str, set[int]] = {}
    for suspect in group:
        by_path.setdefault(suspect.path, set()).add(suspect.line)
    for path, lines in by_path.items():
        source = place.sources[path]
        for mutation in repairs(source, lines=lines):
            hunk = edit_hunk(source, mutation.edit)
            if hunk is not None:
                yield _Change(path, (mutation.edit,), hunk, f"mutation:{mutation.operator}", mutation.weight)


def _proposals(place: Field, model: Model, options: SearchOptions) -> Iterator[_Change]:
    """Completions for the views that hold the most suspicious lines, two views at most."""
    weight: dict[int, dict[int, float]] = {}
    for suspect in place.suspects[: options.lines]:
        for index, view in enumerate(place.views):
            if view.path == suspect.path and view.first_line <= suspect.line <= view.last_line:
                weight.setdefault(index, {})[suspect.line] = suspect.suspiciousness
                break
    ranked = sorted(weight.items(), key=lambda item: -sum(item[1].values()))[:2]
    for index, lines in ranked:
        view, total = place.views[index], sum(lines.values()) or 1.0
        decoding = Decoding(
            lines={n: w / total for n, w in lines.items()},
            candidates=max(1, options.proposals // len(ranked)),
            seed=options.seed,
        )
        for completion in model.propose(view, decoding):
            yield from _read(place.sources[view.path], view, completion)


def gather(place: Field, model: Model | None, options: SearchOptions) -> tuple[list[_Change], list[_Change]]:
    """All mutations of the lines that would be opened, and the model's proposals, before anything has a score."""
    ranked = _Lines(place.suspects).ranked[: options.lines]
    return list(_mutations(place, ranked)), list(_proposals(place, model, options)) if model else []


def _read(source: Source, view: View, completion: Completion) -> Iterator[_Change]:
    reply = parse_reply(completion.text, view)
    if not isinstance(reply, Change):
        return
    try:
        edits = tuple(edit for file in hunks_patch(source, reply.hunks).files for edit in file.edits)
    except PatchError:
        return
    if edits:
        yield _Change(view.path, edits, reply.hunks[0], "model", 0.0, completion)


@dataclass(slots=True)
class _Unit:
    """Mutations of a group of lines that are not made yet; opened a block at a time."""

    suspects: Sequence[Suspect]
    changes: Iterator[_Change]
    ahead: _Change | None


class Search:
    """One search over one Field. Iterate over it once."""

    def __init__(self, place: Field, model: Model | None, options: SearchOptions) -> None:
        self._place, self._model, self._options = place, model, options
        self._lines = _Lines(place.suspects)
        self._random = random.Random(options.seed)
        self._best: dict[_Text, float] = {}  # the best score that a text was queued with
        self._proposed: set[_Text] = set()
        self._given: set[_Text] = set()
        self._heap: list[tuple[float, int, _Text, Candidate]] = []
        self._units: list[tuple[float, int, _Unit]] = []
        self._count = 0

    def __iter__(self) -> Iterator[Candidate]:
        ranked = self._lines.ranked[: self._options.lines]
        for at in range(0, len(ranked), self._options.group):
            group = ranked[at : at + self._options.group]
            changes = _mutations(self._place, group)
            self._wait(_Unit(group, changes, None))
        if self._model is not None and self._options.proposals:
            self._push(list(_proposals(self._place, self._model, self._options)))
        while self._units or self._heap:
            while self._units and self._must_open(-self._units[0][0]):
                self._open(heapq.heappop(self._units)[2])
            if self._heap:
                _, _, text, candidate = heapq.heappop(self._heap)
                if text not in self._given:  # the same text may have been queued again with a better score
                    self._given.add(text)
                    yield candidate

    def _must_open(self, promise: float) -> bool:
        """Whether what is not made yet could beat the best candidate at hand (always, for a random order)."""
        return not self._heap or self._options.order == "random" or promise > -self._heap[0][0]

    def _wait(self, unit: _Unit) -> None:
        """Queue a unit by the best score that its next mutation could have."""
        ordering = self._options.ordering
        promise = ordering.location * log(unit.suspects[0].suspiciousness + _FLOOR)
        promise += ordering.operator * (log(unit.ahead.weight) if unit.ahead else ordering.likeliest)
        promise += ordering.model * ordering.hope if self._scores else 0.0
        self._count += 1
        heapq.heappush(self._units, (-promise, self._count, unit))

    def _open(self, unit: _Unit) -> None:
        block = [unit.ahead] if unit.ahead else []
        block += islice(unit.changes, self._options.block)
        self._push(block)
        unit.ahead = next(unit.changes, None)
        if unit.ahead is not None:
            self._wait(unit)

    @property
    def _scores(self) -> bool:
        return self._model is not None and self._options.order == "model"

    def features(self, changes: Sequence[_Change]) -> list[tuple[float, float]]:
        """Log suspiciousness of the place and the model's term of each change: what a score is made of."""
        unscored = self._options.ordering.unscored
        terms = self._model_terms(changes)
        places = (self._lines.log(change.path, change.hunk) for change in changes)
        return [(at, unscored if term is None else term) for at, term in zip(places, terms, strict=True)]

    def _push(self, changes: Sequence[_Change]) -> None:
        made = [(change, *made) for change in changes if (made := self._made(change)) is not None]
        terms = self._model_terms([change for change, _, _ in made])
        for (change, patch, text), term in zip(made, terms, strict=True):
            score = self._score(change, text, term)
            if not change.weight:
                self._proposed.add(text)
            if score <= self._best.get(text, -inf):
                continue
            self._best[text] = score
            self._count += 1
            candidate = Candidate(patch, change.origin, score, term, change.completion)
            heapq.heappush(self._heap, (-score, self._count, text, candidate))

    def _made(self, change: _Change) -> tuple[Patch, _Text] | None:
        """The patch and the text that a change makes; None where it makes none, or one that was given already."""
        source = self._place.sources[change.path]
        try:
            patch = Patch((FilePatch(change.path, change.edits),))
            text = patch.files[0].apply(source.text) if patch else source.text
        except PatchError:
            return None
        key = (change.path, text)
        return None if text == source.text or key in self._given else (patch, key)

    def _score(self, change: _Change, text: _Text, term: float | None) -> float:
        ordering = self._options.ordering
        if self._options.order == "random":
            return self._best.get(text) or self._random.random()
        score = ordering.location * self._lines.log(change.path, change.hunk)
        if self._scores:
            score += ordering.model * (ordering.unscored if term is None else term)
        if not change.weight:
            return score + ordering.proposal
        return score + ordering.operator * log(change.weight) + ordering.agreed * (text in self._proposed)

    def _model_terms(self, changes: Sequence[_Change]) -> list[float | None]:
        """Log P(text | view, start line) of each change, None where the model cannot say."""
        terms: list[float | None] = [None] * len(changes)
        if self._model is None or not self._scores:
            return terms
        by_view: dict[int, list[int]] = {}
        for at, change in enumerate(changes):
            view = _view_of(self._place.views, change.path, change.hunk)
            if view is not None:
                by_view.setdefault(self._place.views.index(view), []).append(at)
        for index, members in by_view.items():
            view = self._place.views[index]
            scores = self._model.score(view, [(changes[at].hunk,) for at in members])
            if scores is None:
                return terms
            belief = self._model.locate(view)  # remembered by the model since localization
            for at, score in zip(members, scores, strict=True):
                start = belief.lines.get(changes[at].hunk.first, 0.0) if belief else 0.0
                terms[at] = score - log(start + _FLOOR) if belief else score
        return terms
