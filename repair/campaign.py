"""Survey a request, and lead one or several searches over it.

Most faults need one change. Where a candidate repairs a part (the text parses again, some failing tests
pass, none regress) a further search starts from it, so that several faults are found one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from repair.admission import Admission
from repair.candidates import Candidate
from repair.defects import Defect, FailingTest, RepairRequest, Report
from repair.edits import patch_between
from repair.languages import parses
from repair.localize import localize
from repair.model import LineBelief, Model
from repair.oracle import Baseline
from repair.search import Field, Search, SearchOptions
from repair.sources import Source
from repair.spectrum import Spectrum
from repair.traces import frames_in, headline
from repair.verdicts import Judgement, Outcome, Suspect, Verdict
from repair.views import View
from repair.windows import Clues, views

MAX_VIEWS = 12
_MAX_FRONTS = 4
_PATIENCE = 48  # candidates of the first search before others get their turn


def request_views(request: RepairRequest) -> tuple[View, ...]:
    """The views of all sources, with what the evidence says."""
    error = headline(request.defect)
    cut: list[View] = []
    for source in request.sources:
        clues = Clues(error, frames_in(request.defect, source.path), request.tests)
        cut += views(source, clues)
    return tuple(cut)


def survey(
    request: RepairRequest,
    model: Model | None,
    spectrum: Spectrum | None,
    prior: Mapping[tuple[str, int], float] | None = None,
) -> tuple[Field, float | None]:
    """Views and suspects of a request, and P(no fault); the model reads at most MAX_VIEWS views.

    `prior` multiplies the suspiciousness of the lines (path, number) that it names, before the model reads and after.
    """
    cut = request_views(request)
    suspects = _weighed(localize(request, beliefs=None, spectrum=spectrum), prior)
    if model is None:
        return Field({s.path: s for s in request.sources}, cut, suspects), None
    weights = _weights(cut, {(s.path, s.line): s.suspiciousness for s in suspects})
    read = sorted(range(len(cut)), key=lambda i: -weights[i])[:MAX_VIEWS]
    seen = {i: belief for i in read if (belief := model.locate(cut[i])) is not None}
    if not seen:
        return Field({s.path: s for s in request.sources}, cut, suspects), None
    beliefs, no_fault = _merged(cut, seen, weights)
    suspects = _weighed(localize(request, beliefs=beliefs, spectrum=spectrum), prior)
    return Field({s.path: s for s in request.sources}, cut, suspects), no_fault


def _weighed(suspects: tuple[Suspect, ...], prior: Mapping[tuple[str, int], float] | None) -> tuple[Suspect, ...]:
    """Suspiciousness times the prior's weight (1 where it says nothing), summing to what it did; ties keep order."""
    if not prior:
        return suspects
    masses = [s.suspiciousness * prior.get((s.path, s.line), 1.0) for s in suspects]
    scale = sum(s.suspiciousness for s in suspects) / (sum(masses) or 1.0)
    weighed = [replace(s, suspiciousness=mass * scale) for s, mass in zip(suspects, masses, strict=True)]
    return tuple(sorted(weighed, key=lambda s: -s.suspiciousness))


def _weights(cut: tuple[View, ...], suspiciousness: Mapping[tuple[str, int], float]) -> list[float]:
    """How much of the suspiciousness that is known without the model lies in each view."""
    weights = [
        sum(suspiciousness.get((v.path, n), 0.0) for n in range(v.first_line, v.last_line + 1)) + 1e-6 for v in cut
    ]
    return [w / sum(weights) for w in weights]


def _merged(
    cut: tuple[View, ...], seen: Mapping[int, LineBelief], weights: list[float]
) -> tuple[dict[str, LineBelief], float]:
    """One belief a file: each view's, weighed by how suspicious the view is; P(no fault) likewise."""
    total = sum(weights[i] for i in seen)
    lines: dict[str, dict[int, float]] = {}
    no_fault = 0.0
    for i, belief in seen.items():
        share = weights[i] / total
        no_fault += share * belief.no_fault
        of_file = lines.setdefault(cut[i].path, {})
        for number, probability in belief.lines.items():
            of_file[number] = of_file.get(number, 0.0) + share * probability
    return {path: LineBelief(found, no_fault) for path, found in lines.items()}, no_fault


@dataclass(slots=True)
class _Front:
    """A search from one state of the sources."""

    texts: Mapping[str, str]
    candidates: Iterator[Candidate]
    faults_fixed: int


class Campaign:
    """Yields candidates (patches of the ORIGINAL sources) and learns from their judgements."""

    def __init__(
        self,
        request: RepairRequest,
        model: Model | None,
        place: Field,
        baseline: Baseline,
        options: SearchOptions,
        *,
        branch: bool,
    ) -> None:
        self._request, self._model, self._baseline, self._options = request, model, baseline, options
        self._branch = branch
        self._original = {path: source.text for path, source in place.sources.items()}
        self._admission = Admission(place.sources)
        self._fronts = [_Front(self._original, iter(Search(place, model, options)), 0)]
        self._broken = any(parses(source) is not None for source in place.sources.values())
        self._best = 0

    def __iter__(self) -> Iterator[Candidate]:
        yield from islice(self._admitted(self._fronts[0]), 1 if self._broken else _PATIENCE)
        while self._fronts:
            for front in tuple(self._fronts):
                given = list[None]()
                for candidate in islice(self._admitted(front), 8 if front.faults_fixed else 4):
                    given.append(None)
                    yield candidate
                if not given:
                    self._fronts.remove(front)

    def _admitted(self, front: _Front) -> Iterator[Candidate]:
        for candidate in front.candidates:
            whole = candidate
            if front.texts is not self._original:
                patched = candidate.patch.apply(front.texts)
                whole = replace(candidate, patch=patch_between(self._original, patched))
            if self._admission.admits(whole):
                yield whole

    def learn(self, judgement: Judgement) -> None:
        """Start another search where a candidate has repaired a part."""
        if not self._branch or judgement.verdict is not Verdict.UNFIXED or len(self._fronts) >= _MAX_FRONTS:
            return
        progress = self._progress(judgement)
        if progress <= self._best:
            return
        self._best = progress
        sources = self._patched(judgement)
        request = replace(self._request, sources=sources, defect=self._defect(judgement), location=None)
        place, _ = survey(request, self._model, None if self._broken else self._baseline.spectrum)
        texts = {source.path: source.text for source in sources}
        self._fronts.append(_Front(texts, iter(Search(place, self._model, self._options)), progress))

    def _patched(self, judgement: Judgement) -> tuple[Source, ...]:
        texts = judgement.candidate.patch.apply(self._original)
        return tuple(source.with_text(texts[source.path]) for source in self._request.sources)

    def _progress(self, judgement: Judgement) -> int:
        """How many failing tests a candidate repairs, one more when it makes broken text parse again."""
        observation = judgement.observations[0] if judgement.observations else None
        fixed = len(observation.ids(Outcome.PASSED) & self._baseline.failing) if observation else 0
        return fixed + self._broken

    def _defect(self, judgement: Judgement) -> Defect:
        """What still fails once a part is repaired."""
        messages = [t for o in judgement.observations[:1] for t in o.tests if t.outcome is not Outcome.PASSED]
        evidence = tuple(FailingTest(t.test_id, t.message) for t in messages[:3])
        return Defect(evidence or tuple(Report(o.output[-2000:]) for o in judgement.observations[:1]))
