"""What evidence a change rests on, by gradients: one conservative pass, integrated gradients, the gradient's norm.

All of them speak of input embeddings: a token's score is gradient x (input - baseline), a unit's the sum over its text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from repair.errors import InputError, ModelError
from repair.explain.conservative import checked, conserving
from repair.explain.evidence import UNMEASURED, alternatives, place
from repair.explain.failures import out_of_memory
from repair.explain.glass import Watch
from repair.explain.passages import Passage, passage, shown, unchanged
from repair.explain.values import (
    Array,
    EvidenceMap,
    Method,
    Subject,
    Target,
    TargetKind,
    TokenMap,
    Unit,
    UnitScore,
)
from repair.models.compact import CompactFormat
from repair.prompts import line_token
from repair.views import Hunk, View

if TYPE_CHECKING:
    from repair.explain.glass import Glass

NODES = 5  # of Gauss and Legendre, for each piece of the path
FIRST = 4  # pieces at the start: 20 steps
MOST = 256  # steps
GAP = 0.05  # of the output difference, above which a piece of the path is cut in two

_METHODS = (Method.GRADIENT, Method.INTEGRATED, Method.GRADIENT_NORM)


@dataclass(frozen=True, slots=True)
class Term:
    """One log-probability of a target: of the answer's tokens `span` (positions in `passage.ids`), times `weight`."""

    weight: float
    passage: Passage
    span: tuple[int, int]
    choices: tuple[int, ...] = ()  # tokens among which the (one) token is chosen; none: the whole vocabulary


def terms(glass: Glass, subject: Subject, target: Target) -> tuple[Term, ...]:
    """A target as log-probabilities of token sequences. Raises as `passages.passage` does."""
    view = shown(subject.view, glass.answers)
    if target.kind is TargetKind.LOCATION:
        return (_location(glass, view, subject, place(subject, target)),)
    new, old = alternatives(subject, target)
    found = [_answer(glass, view, new, 1.0)]
    return (*found, _answer(glass, view, old, -1.0)) if old is not None else tuple(found)


def _answer(glass: Glass, view: View, hunks: tuple[Hunk, ...], weight: float) -> Term:
    found = passage(glass.answers, view, hunks)
    return Term(weight, found, (found.prompt, len(found.ids)))


def _location(glass: Glass, view: View, subject: Subject, line: int | None) -> Term:
    """The pointer among the lines shown; with numbers as text, the header's digits among all that could be said."""
    answers = glass.answers
    found = passage(answers, view, subject.hunks)
    if not isinstance(answers, CompactFormat):
        said = f"@@ {line}" if line is not None else "@@ ok"
        width = _tokens_of(found, said)
        return Term(1.0, found, (found.prompt, found.prompt + width))
    lines = range(view.first_line, view.last_line + 1)
    special = answers.encoder.special
    choices = (*(special(line_token(n)) for n in lines), special("<|ok|>"))
    return Term(1.0, found, (found.prompt, found.prompt + 1), choices)


def _tokens_of(found: Passage, said: str) -> int:
    text = ""
    for count, token in enumerate(found.tokens[found.prompt :], 1):
        text += token
        if said.strip() in text:
            return count
    return 1


def gradient(
    glass: Glass,
    subject: Subject,
    target: Target,
    method: Method = Method.GRADIENT,
    *,
    known: Known | None = None,
) -> EvidenceMap:
    """Evidence by GRADIENT, INTEGRATED or GRADIENT_NORM; scores in nats, those of the norm without a sign.

    GRADIENT is conservative gradient x input (`conservative.py`), one pass for each log-probability. INTEGRATED
    (Sundararajan et al. 2017) goes from the pad embedding (zero where there is none) in place of the units' text.
    `known` keeps passes for the token map of the same subject. Raises ModelError for quantised weights or a model that
    fails, InputError for another method or a bad change.
    """
    if method not in _METHODS:
        raise InputError(f"{method.value} is no gradient method: take {', '.join(_METHODS)}", field="methods")
    checked(glass)
    began = time.perf_counter()
    parts = terms(glass, subject, target)
    scores: dict[Unit, float] = {}
    value, notes = 0.0, tuple[str, ...]()
    if method is Method.INTEGRATED:
        tokens, value, notes = _integrated(glass, parts)
        _gather(scores, parts[0].passage, tokens)
    else:
        for term in parts:
            seen = _one(glass, term, method, known)
            value += term.weight * seen.value
            notes += seen.notes
            sign = 1.0 if method is Method.GRADIENT_NORM else term.weight
            _gather(scores, term.passage, sign * seen.tokens)
    found = tuple(UnitScore(unit, score) for unit, score in scores.items())
    return EvidenceMap(
        method, target, found, value, UNMEASURED, time.perf_counter() - began, tuple(dict.fromkeys(notes))
    )


def _gather(scores: dict[Unit, float], shown_to: Passage, tokens: Array) -> None:
    """Add up the scores of each unit's text."""
    for at, (owner, fixed) in enumerate(zip(shown_to.owner, shown_to.fixed, strict=True)):
        if owner >= 0 and not fixed and _speaks(unit := shown_to.units[owner]):
            scores[unit] = scores.get(unit, 0.0) + float(tokens[at])


def _speaks(unit: Unit) -> bool:
    return bool(unit.text.strip()) or unit.kind.value == "frame"


def token_map(glass: Glass, subject: Subject, *, known: Known | None = None) -> TokenMap:
    """Scores of each token of the prompt for the change and for the lines as they are (conservative, nats).

    Raises ModelError for quantised weights or a model that fails, InputError for a bad change.
    """
    checked(glass)
    view = shown(subject.view, glass.answers)
    new = _answer(glass, view, subject.hunks, 1.0)
    kept = _answer(glass, view, unchanged(view, subject.hunks), 1.0)
    first, second = (_one(glass, term, Method.GRADIENT, known).tokens for term in (new, kept))
    seen = new.passage
    return TokenMap(
        seen.tokens[: seen.prompt], seen.owner[: seen.prompt], seen.units, first[: seen.prompt], second[: seen.prompt]
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    value: float
    tokens: Array  # one for each token of the passage
    notes: tuple[str, ...] = ()


Known: TypeAlias = dict[tuple[tuple[int, ...], tuple[int, int], tuple[int, ...], Method], _Seen]
"""Passes that were made, by ids, span, choices and method; of one network as it is."""


def _one(glass: Glass, term: Term, method: Method, known: Known | None = None) -> _Seen:
    key = (term.passage.ids, term.span, term.choices, method)
    if known is not None and key in known:
        return known[key]
    seen = _passed(glass, term, method)
    if known is not None:
        known[key] = seen
    return seen


def _passed(glass: Glass, term: Term, method: Method) -> _Seen:
    with conserving(glass) if method is Method.GRADIENT else nullcontext(()) as notes:
        inputs = glass.embed(term.passage.ids)
        value, slope, said = _slope(glass, term, inputs)
    scores = slope.norm(dim=-1) if method is Method.GRADIENT_NORM else (slope * inputs).sum(-1)
    return _Seen(value, scores.float().cpu().numpy(), notes + said)


def _slope(glass: Glass, term: Term, inputs: Tensor) -> tuple[float, Tensor, tuple[str, ...]]:
    """Value and gradient (n, width) at inputs (n, width); out of memory: again, each layer computed twice."""
    try:
        return (*_backward(glass, term, inputs), ())
    except (RuntimeError, MemoryError, ModelError) as error:
        if not out_of_memory(error):
            raise (
                error if isinstance(error, ModelError) else ModelError(f"no gradient could be had ({error})")
            ) from error
    try:
        with _frugal(glass):
            return (*_backward(glass, term, inputs), ("memory ran out: computed again layer by layer",))
    except (RuntimeError, MemoryError) as error:
        raise ModelError(f"no gradient could be had ({error}): explain a smaller window") from error


def _backward(glass: Glass, term: Term, inputs: Tensor) -> tuple[float, Tensor]:
    with torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        value = log_probability(glass, term, leaf)
        (slope,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), slope


def log_probability(glass: Glass, term: Term, inputs: Tensor) -> Tensor:
    """Log P of the term's tokens (a scalar) by input embeddings (n, width), differentiable."""
    first, last = term.span
    ids = term.passage.ids
    seen = glass.run(ids, Watch(rows=tuple(range(first - 1, last - 1))), embeds=inputs)
    wanted = torch.tensor(ids[first:last], device=seen.logits.device)
    if not term.choices:
        return torch.log_softmax(seen.logits, -1).gather(1, wanted[:, None]).sum()
    among = torch.tensor(term.choices, device=seen.logits.device)
    return (seen.logits.gather(1, wanted[:, None]) - seen.logits[:, among].logsumexp(-1, keepdim=True)).sum()


@contextmanager
def _frugal(glass: Glass) -> Generator[None]:
    """Inside: of each layer only the input is kept, the rest computed again on the way back (Chen et al. 2016)."""
    with ExitStack() as stack:
        for layer in glass.layers:
            plain: Callable[..., Any] = layer.forward

            def again(*given: Any, _plain: Callable[..., Any] = plain, **named: Any) -> Any:  # noqa: ANN401
                return checkpoint(_plain, *given, use_reentrant=False, **named)

            layer.forward = again
            stack.callback(delattr, layer, "forward")
        yield


@dataclass(frozen=True, slots=True, order=True)
class _Piece:
    """A piece of the path from the baseline (0) to the input (1); the worst sorts first."""

    worst: float  # minus the gap
    start: float
    end: float
    before: float  # the target at `start`
    after: float
    number: int  # into the list of integrals


def _integrated(glass: Glass, parts: Sequence[Term]) -> tuple[Array, float, tuple[str, ...]]:
    """Integrate gradients along the straight line, piece by piece.

    The piece whose nodes miss the difference of its ends most is cut in two, until all the gaps together are below
    GAP of the whole difference or MOST steps are used.
    """
    base = _Path(glass, parts)
    points = [base.value(at) for at in np.linspace(0, 1, FIRST + 1)]
    integrals: list[Array] = []
    pieces: list[_Piece] = []

    def add(start: float, end: float, before: float, after: float) -> None:
        found = base.integral(start, end)
        integrals.append(found)
        gap = abs(float(found.sum()) - (after - before))
        heappush(pieces, _Piece(-gap, start, end, before, after, len(integrals) - 1))

    for n in range(FIRST):
        add(n / FIRST, (n + 1) / FIRST, points[n], points[n + 1])
    whole = points[-1] - points[0]
    while -sum(p.worst for p in pieces) > GAP * abs(whole) and base.steps + 2 * NODES <= MOST:
        worst = heappop(pieces)
        middle = (worst.start + worst.end) / 2
        value = base.value(middle)
        add(worst.start, middle, worst.before, value)
        add(middle, worst.end, value, worst.after)
    tokens: Array = np.sum([integrals[p.number] for p in pieces], axis=0)
    gap = abs(float(tokens.sum()) - whole) / max(abs(whole), 1e-9)
    notes = (*base.notes, f"{base.steps} steps, completeness gap {100 * gap:.2g} % of the output difference")
    if gap > GAP:
        notes += ("the gap is above 5 %: these scores do not add up to the difference",)
    return tokens, points[-1], tuple(dict.fromkeys(notes))


class _Path:
    """The line from the baseline to the input, for all terms of a target; what is no unit's text stays as it is."""

    def __init__(self, glass: Glass, parts: Sequence[Term]) -> None:
        self._glass, self._parts = glass, parts
        self.steps = 0
        self.notes: tuple[str, ...] = ()
        pad = pad_embedding(glass)
        self.notes += () if pad is not None else ("the model has no pad token: the baseline is zero",)
        self._ends = [(_baseline(glass, term, pad), glass.embed(term.passage.ids)) for term in parts]
        self._length = parts[0].passage.prompt

    def value(self, at: float) -> float:
        """The target there."""
        with torch.no_grad():
            return sum(
                term.weight * float(log_probability(self._glass, term, torch.lerp(low, high, at)))
                for term, (low, high) in zip(self._parts, self._ends, strict=True)
            )

    def integral(self, start: float, end: float) -> Array:
        """Scores (prompt,) of a piece by NODES nodes."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        total = np.zeros(self._length, np.float64)
        for node, weight in zip(nodes, weights, strict=True):
            at = (start + end) / 2 + (end - start) / 2 * float(node)
            self.steps += 1
            for term, (low, high) in zip(self._parts, self._ends, strict=True):
                _, slope, said = _slope(self._glass, term, torch.lerp(low, high, at))
                self.notes += said
                scores = (slope * (high - low)).sum(-1)[: self._length].double().cpu().numpy()
                total += term.weight * float(weight) * (end - start) / 2 * scores
        return total.astype(np.float32)


def pad_embedding(glass: Glass) -> Tensor | None:
    """The input embedding (width,) of the model's pad token; None where it has none."""
    pad = getattr(glass.model.config.get_text_config(), "pad_token_id", None)
    return glass.embed([pad])[0] if isinstance(pad, int) and pad >= 0 else None


def _baseline(glass: Glass, term: Term, pad: Tensor | None) -> Tensor:
    found = glass.embed(term.passage.ids).clone()
    text = [i for i, (o, f) in enumerate(zip(term.passage.owner, term.passage.fixed, strict=True)) if o >= 0 and not f]
    found[text] = torch.zeros_like(found[0]) if pad is None else pad.to(found)
    return found
