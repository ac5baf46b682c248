"""What evidence a change rests on, measured by taking lines out of the prompt: any model, no view of its inside.

Line ablation takes one unit out at a time. Subset ridge keeps random halves and fits a linear model of what each unit
adds (Cohen-Wang et al. 2024, ContextCite; with a ridge in place of its lasso). A model that scores nothing is asked
again instead, seldom, since each question is a whole answer.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np

from repair.errors import InputError, ModelError
from repair.explain.passages import edited, shown, unchanged, units_of
from repair.explain.values import (
    Badge,
    EvidenceMap,
    Method,
    Subject,
    Target,
    TargetKind,
    Trust,
    Unit,
    UnitEdit,
    UnitKind,
    UnitScore,
)
from repair.model import Decoding, Model
from repair.replies import Change, NoFault, Unreadable, check_hunks, parse_reply
from repair.views import Hunk, View

if TYPE_CHECKING:
    from repair.models.local import Format

UNMEASURED = Badge(Trust.UNMEASURED, "its quality was not measured")
GONE = 5.0  # nats that a change which does not come back any more is counted as having lost
AGAIN = (
    "the model scores nothing: it was asked again without each unit, and a change that does not come back is counted "
    f"as {GONE:g} nats less likely"
)
_QUESTIONS = 13  # to a model that scores nothing: one with everything in place, twelve units
_FEWEST = 8  # runs below which a ridge says nothing
_TOGETHER = 8  # questions, of a model that takes two at a time
_KEPT = 0.5  # chance of each unit to stay in a run
_STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # of the ridge, chosen by leave-one-out
_RANKS = {UnitKind.ERROR: 0, UnitKind.FRAME: 0, UnitKind.TEST: 1, UnitKind.CODE: 2, UnitKind.CONTEXT: 3}


@runtime_checkable
class Reads(Protocol):
    """A model that says how it is asked (`LocalModel`, `BatchedModel`)."""

    @property
    def answers(self) -> Format:
        """How it is asked."""
        ...


@runtime_checkable
class Doubles(Protocol):
    """A model that another may compute beside (`LocalModel`)."""

    def beside(self) -> Model | None:
        """The other one; None where it would gain nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A target as a function of what the prompt still says. `most`: questions that may be asked, None: any number."""

    view: View  # cut to what the prompt says, so that truncation stays as it is
    value: Callable[[View], float]  # nats
    notes: tuple[str, ...] = ()
    most: int | None = None
    beside: Callable[[View], float] | None = None  # the same, by a model that may compute at the same time

    @property
    def units(self) -> tuple[Unit, ...]:
        """What can be taken out; blank lines say nothing."""
        return units_of(self.view)

    @property
    def together(self) -> int:
        """How many to ask for at once, between two looks at the clock."""
        return 1 if self.beside is None else _TOGETHER

    def without(self, units: Sequence[Unit]) -> float:
        """The target where the text of these units is taken out."""
        return self.value(self._left(units))

    def each_without(self, groups: Sequence[Sequence[Unit]]) -> list[float]:
        """The target without each group of units; two at a time where the model can."""
        beside = self.beside
        if beside is None:
            return [self.without(units) for units in groups]
        views = [self._left(units) for units in groups]
        with ThreadPoolExecutor(1) as pool:  # of Python: torch's own threads wait for each other
            others = pool.submit(lambda: [beside(view) for view in views[1::2]])
            own = [self.value(view) for view in views[::2]]
            pairs = zip_longest(own, others.result())
        return [value for pair in pairs for value in pair if value is not None]

    def _left(self, units: Sequence[Unit]) -> View:
        return edited(self.view, [UnitEdit(unit.kind, unit.number) for unit in units])


def asked(model: Model, subject: Subject, target: Target) -> Question:
    """The question whose answer is the target.

    Raises InputError for a change outside of its view or a line that it does not have, ModelError when the view is
    too long for the model or the model cannot be asked.
    """
    if subject.hunks and isinstance(check_hunks(subject.hunks, subject.view), Unreadable):
        raise InputError("the change does not lie in the lines that the model was shown", field="candidate")
    view = shown(subject.view, model.answers if isinstance(model, Reads) else None)
    new, old = alternatives(subject, target)
    if target.kind is TargetKind.LOCATION:
        line = place(subject, target)
        if model.locate(view) is not None:
            return Question(view, lambda changed: _believed(model, changed, line))
    elif (scores := model.score(view, (new,))) is not None:
        if not math.isfinite(scores[0]):
            raise ModelError("the model gives this change no probability in this view: explain a smaller window")
        other = model.beside() if isinstance(model, Doubles) else None
        if other is None:
            return Question(view, lambda changed: _scored(model, changed, new, old))
        return Question(
            view, lambda changed: _scored(model, changed, new, old),
            beside=lambda changed: _scored(other, changed, new, old),
        )  # fmt: skip
    return _again(model, view, subject, target)


def alternatives(subject: Subject, target: Target) -> tuple[tuple[Hunk, ...], tuple[Hunk, ...] | None]:
    """The change that a target speaks of and the one that it is held against, if any.

    One line of a change is always explained by contrast with the same change that has this line as it was (an added
    line: without it): the score of a change cannot be cut into the shares of its lines from outside.
    Raises InputError for a line that the change does not have.
    """
    if target.line is not None:
        return subject.hunks, _with_line_as_it_was(subject, target.line)
    if target.kind is TargetKind.CONTRAST and subject.hunks:
        return subject.hunks, unchanged(subject.view, subject.hunks)
    return subject.hunks, None


def place(subject: Subject, target: Target) -> int | None:
    """The line whose probability a LOCATION target is; None: that there is no fault."""
    if not subject.hunks:
        return None
    hunk = min(subject.hunks) if target.line is None else _owner(subject, target.line)[0]
    return min(hunk.first, subject.view.last_line)


def _owner(subject: Subject, line: int) -> tuple[Hunk, int]:
    """The hunk that holds a line of the new text, and the line's index in it."""
    left = line - 1
    for hunk in sorted(subject.hunks):
        count = len(hunk.text.split("\n")) if hunk.text else 0
        if 0 <= left < count:
            return hunk, left
        left -= count
    raise InputError(f"the change has no line {line} in its new text", field="target.line")


def _with_line_as_it_was(subject: Subject, line: int) -> tuple[Hunk, ...]:
    owner, index = _owner(subject, line)
    first = subject.view.first_line
    old = [] if owner.inserts else list(subject.view.lines[owner.first - first : owner.last - first + 1])
    new = owner.text.split("\n")
    put: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "replace" and c <= index < d and a + index - c < b:
            put = [old[a + index - c]]
    text = "\n".join([*new[:index], *put, *new[index + 1 :]])
    kept = [replace(h, text=text) if h is owner else h for h in sorted(subject.hunks)]
    return tuple(h for h in kept if h.text or not h.inserts) or unchanged(subject.view, (owner,))


def _believed(model: Model, view: View, line: int | None) -> float:
    belief = model.locate(view)
    if belief is None:
        raise ModelError("the model gives probabilities of lines for one view and none for another")
    return math.log(max(belief.no_fault if line is None else belief.lines.get(line, 0.0), 1e-30))


def _scored(model: Model, view: View, new: tuple[Hunk, ...], old: tuple[Hunk, ...] | None) -> float:
    scores = model.score(view, (new,) if old is None else (new, old))
    if scores is None:
        raise ModelError("the model scores changes of one view and none of another")
    return scores[0] if old is None else scores[0] - scores[1]


def _again(model: Model, view: View, subject: Subject, target: Target) -> Question:
    """Ask for the change again: its log-probability where the model gives it, else 0 where it comes back, -GONE if not.

    Raises ModelError when it does not come back with everything in place.
    """
    wanted = subject.hunks

    def same(changed: View, text: str) -> bool:
        reply = parse_reply(text, changed)
        if isinstance(reply, NoFault):
            return not wanted
        if not isinstance(reply, Change) or not wanted:
            return False
        if target.kind is TargetKind.LOCATION:
            return min(reply.hunks).first == min(wanted).first
        return _result(changed, reply.hunks) == _result(changed, wanted)

    def ask(changed: View) -> float | None:
        for answer in model.propose(changed, Decoding(candidates=1, temperature=0.0, samples=0.0)):
            if same(changed, answer.text):
                return answer.logprob or 0.0
        return None

    start = ask(view)
    if start is None:
        raise ModelError(
            "the model scores nothing and does not give this change again when it is asked once more: "
            "it cannot be explained by perturbation; take a local model"
        )

    def value(changed: View) -> float:
        found = ask(changed)
        return start - GONE if found is None else max(found, start - GONE)

    return Question(view, value, (AGAIN,), _QUESTIONS)


def _result(view: View, hunks: Sequence[Hunk]) -> list[str]:
    """The lines of a view after a change."""
    lines: list[str] = list(view.lines)
    for hunk in sorted(hunks, reverse=True):
        lines[hunk.first - view.first_line : max(hunk.last, hunk.first - 1) - view.first_line + 1] = (
            hunk.text.split("\n") if hunk.text else []
        )
    return lines


def likeliest_first(units: Sequence[Unit], subject: Subject) -> list[Unit]:
    """Units in the order in which they are looked at where not all can be: error, traceback, test, lines near by."""
    changed = subject.changed or frozenset({subject.view.first_line})

    def key(unit: Unit) -> tuple[int, int]:
        near = min(abs(unit.number - line) for line in changed) if unit.kind is UnitKind.CODE else unit.number
        return _RANKS[unit.kind], near

    return sorted(units, key=key)


def ablation(
    model: Model, subject: Subject, target: Target, *, units: Sequence[Unit] | None = None, seconds: float | None = None
) -> EvidenceMap:
    """How much the target falls (nats) where each unit's text is taken out; one question to the model for each.

    `units`: only these. `seconds`: stop then, likeliest units first; the notes say how many were left out.
    Raises InputError and ModelError as `asked` does.
    """
    began = time.perf_counter()
    question = asked(model, subject, target)
    value = question.value(question.view)
    wanted = [u for u in question.units if units is None or u in units]
    ordered = likeliest_first(wanted, subject)
    if question.most is not None:
        ordered = ordered[: question.most - 1]
    drops: dict[Unit, float] = {}
    for start in range(0, len(ordered), question.together):
        if seconds is not None and drops and time.perf_counter() - began > seconds:
            break
        chunk = ordered[start : start + question.together]
        without = question.each_without([(unit,) for unit in chunk])
        drops |= {unit: value - left for unit, left in zip(chunk, without, strict=True)}
    notes = question.notes
    if len(drops) < len(wanted):
        notes += (f"{len(wanted) - len(drops)} of {len(wanted)} units were not looked at, to bound the time",)
    scores = tuple(UnitScore(unit, drops[unit]) for unit in wanted if unit in drops)
    return EvidenceMap(Method.ABLATION, target, scores, value, UNMEASURED, time.perf_counter() - began, notes)


def ridge(
    model: Model, subject: Subject, target: Target, *, runs: int = 64, seed: int = 0, seconds: float | None = None
) -> EvidenceMap:
    """What each unit adds (nats) by a linear model of the target over random subsets of units (32-128 `runs`).

    `seconds`: fewer runs then, at least eight; the notes say how many. Raises InputError and ModelError as `asked`.
    """
    began = time.perf_counter()
    question = asked(model, subject, target)
    value, units = question.value(question.view), question.units
    most = runs if question.most is None else min(runs, question.most - 1)
    masks = np.random.default_rng(seed).random((max(most, _FEWEST), len(units))) < _KEPT
    gone = [[u for u, kept in zip(units, mask, strict=True) if not kept] for mask in masks]
    values: list[float] = []
    for start in range(0, len(gone), question.together):
        if seconds is not None and len(values) >= _FEWEST and time.perf_counter() - began > seconds:
            break
        values += question.each_without(gone[start : start + question.together])
    notes = question.notes
    if len(values) < runs:
        notes += (f"{len(values)} of {runs} runs, to bound the time",)
    weights = fitted_ridge(masks[: len(values)].astype(np.float64), np.array(values))
    scores = tuple(UnitScore(unit, float(weight)) for unit, weight in zip(units, weights, strict=True))
    return EvidenceMap(Method.RIDGE, target, scores, value, UNMEASURED, time.perf_counter() - began, notes)


def fitted_ridge(kept: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weights (n,) of values (runs,) by kept (runs, n): a ridge with a free constant, its strength by leave-one-out."""
    centred, aims = kept - kept.mean(0), values - values.mean()
    gram = centred @ centred.T  # dual form: runs are fewer than or about as many as units
    best, found = math.inf, np.zeros(kept.shape[1])
    for strength in _STRENGTHS:
        hat = gram @ np.linalg.inv(gram + strength * np.eye(len(values))) + 1 / len(values)
        residual = (values - values.mean() - (hat - 1 / len(values)) @ aims) / np.maximum(1 - np.diag(hat), 1e-6)
        error = float(residual @ residual)
        if error < best:
            best = error
            found = cast(np.ndarray, centred.T @ np.linalg.solve(gram + strength * np.eye(len(values)), aims))
    return found
