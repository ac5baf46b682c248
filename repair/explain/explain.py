"""One explanation, composed: what is asked for is computed part by part, what fails is said and left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from repair.errors import InputError, ModelError
from repair.explain.evidence import Reads, ablation, alternatives, ridge
from repair.explain.failures import out_of_memory
from repair.explain.quality import judged_together, trusted_first
from repair.explain.sentence import sentence
from repair.explain.values import (
    ActivationMap,
    Alarm,
    AttentionMap,
    Badge,
    EvidenceMap,
    Explanation,
    Interventions,
    LensTable,
    LiveComparison,
    LocationMap,
    Method,
    Part,
    PatchingGrid,
    Stage,
    Subject,
    Target,
    TokenMap,
    Trust,
)
from repair.models.memory import give_back
from repair.replies import Unreadable, check_hunks

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.explain.gradients import Known
    from repair.explain.reference import Reference
    from repair.model import Model

T = TypeVar("T")

DEFAULT = frozenset({Part.WHERE, Part.EVIDENCE, Part.TOKENS, Part.ATTENTION, Part.ACTIVATIONS, Part.LENS})
CLOSED = "this model shows nothing of its inside; log-probabilities and perturbation are available"
_GRADIENTS = (Method.GRADIENT, Method.INTEGRATED, Method.GRADIENT_NORM)
_NO_EVIDENCE = Badge(Trust.UNMEASURED, "no evidence was asked for, or none could be had")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to explain and how. `seconds` bounds the perturbations, which are many; the rest is a few passes."""

    parts: frozenset[Part] = DEFAULT
    methods: tuple[Method, ...] = (Method.ABLATION, Method.GRADIENT)
    target: Target = field(default_factory=Target)
    layer: int | None = None  # of the attention matrix; None: mean
    head: int | None = None
    interventions: Interventions = field(default_factory=Interventions)
    seconds: float = 20.0
    proposals: int = 5  # candidates of a live comparison
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Matter:
    """What every part is made from."""

    subject: Subject
    model: Model
    glass: Glass | None
    reference: Reference | None
    wanted: Wanted
    known: Known = field(default_factory=dict)

    @property
    def opened(self) -> Glass:
        """The glass. Raises ModelError, with what is there instead, where there is none."""
        if self.glass is None:
            raise ModelError(CLOSED)
        return self.glass


def _where(of: Matter) -> LocationMap:
    from repair.explain.where import location_map

    return location_map(of.model, of.subject.view, glass=of.glass, reference=of.reference)


def _evidence(of: Matter, method: Method) -> EvidenceMap:
    wanted, subject = of.wanted, of.subject
    if method is Method.ABLATION:
        return ablation(of.model, subject, wanted.target, seconds=wanted.seconds)
    if method is Method.RIDGE:
        return ridge(of.model, subject, wanted.target, seed=wanted.seed, seconds=wanted.seconds)
    if method in _GRADIENTS:
        glass = of.opened
        from repair.explain.gradients import gradient

        return gradient(glass, subject, wanted.target, method, known=of.known)
    if method is Method.RANDOM:
        raise InputError("random is a yardstick for measuring, it explains nothing", field="methods")
    glass = of.opened
    from repair.explain.attention import attention_evidence

    return attention_evidence(glass, subject, method)


def _tokens(of: Matter) -> TokenMap:
    glass = of.opened
    from repair.explain.gradients import token_map

    return token_map(glass, of.subject, known=of.known)


def _attention(of: Matter) -> AttentionMap:
    glass = of.opened
    from repair.explain.attention import attention_map

    return attention_map(glass, of.subject, layer=of.wanted.layer, head=of.wanted.head)


def _activations(of: Matter) -> ActivationMap:
    glass = of.opened
    from repair.explain.activations import activation_map

    return activation_map(glass, of.subject, of.reference)


def _lens(of: Matter) -> LensTable:
    glass = of.opened
    from repair.explain.lens import lens_table

    return lens_table(glass, of.subject)


def _patching(of: Matter) -> PatchingGrid:
    glass = of.opened
    from repair.explain.patching import patching_grid

    return patching_grid(glass, of.subject)


def _anomalies(of: Matter) -> tuple[Alarm, ...]:
    glass = of.opened
    if of.reference is None:
        raise ModelError("this checkpoint's usual quantiles are not known: measure it with `emend model reference`")
    from repair.explain.anomalies import alarms

    return alarms(glass, (of.subject.view,), of.reference)


def _live(of: Matter) -> LiveComparison:
    glass = of.opened
    from repair.explain.live import compare

    wanted = of.wanted
    return compare(glass, of.subject, wanted.interventions, proposals=wanted.proposals, reference=of.reference)


@dataclass(frozen=True, slots=True)
class Makers:
    """Who makes each part; each imports what it needs when it is called."""

    where: Callable[[Matter], LocationMap] = _where
    evidence: Callable[[Matter, Method], EvidenceMap] = _evidence
    tokens: Callable[[Matter], TokenMap] = _tokens
    attention: Callable[[Matter], AttentionMap] = _attention
    activations: Callable[[Matter], ActivationMap] = _activations
    lens: Callable[[Matter], LensTable] = _lens
    patching: Callable[[Matter], PatchingGrid] = _patching
    anomalies: Callable[[Matter], tuple[Alarm, ...]] = _anomalies
    live: Callable[[Matter], LiveComparison] = _live


def explain(
    subject: Subject,
    *,
    model: Model,
    glass: Glass | None = None,
    reference: Reference | None = None,
    wanted: Wanted | None = None,
) -> Explanation:
    """Explain a change. Without a glass (a model server) only what log-probabilities and perturbation give.

    Raises ModelError when the model itself fails or its context is too short for the code, InputError for a change,
    target or intervention that does not fit.
    """
    try:
        return composed(Matter(subject, model, glass, reference, wanted or Wanted()), Makers())
    finally:
        give_back()


def composed(of: Matter, makers: Makers) -> Explanation:
    """`explain` with its parts made by `makers`. Raises as `explain` does, and ModelError when every part failed."""
    _check(of)
    run, parts = _Run(), of.wanted.parts
    where = run.part(parts, Part.WHERE, lambda: makers.where(of))
    evidence = tuple(_maps(of, makers, run)) if Part.EVIDENCE in parts else ()
    tokens = run.part(parts, Part.TOKENS, lambda: makers.tokens(of))
    attention = run.part(parts, Part.ATTENTION, lambda: makers.attention(of))
    activations = run.part(parts, Part.ACTIVATIONS, lambda: makers.activations(of))
    lens = run.part(parts, Part.LENS, lambda: makers.lens(of))
    patching = run.part(parts, Part.PATCHING, lambda: makers.patching(of))
    anomalies = run.part(parts, Part.ANOMALIES, lambda: makers.anomalies(of))
    live = run.part(parts, Part.LIVE, lambda: makers.live(of))
    run.raise_if_nothing()
    main = trusted_first(evidence)[0] if evidence else None
    return Explanation(
        model=of.model.name,
        subject=of.subject,
        sentence=sentence(of.subject, main, drop=_drop(of, main, evidence), where=where),
        badge=main.badge if main else _NO_EVIDENCE,
        where=where,
        evidence=evidence,
        tokens=tokens,
        attention=attention,
        activations=activations,
        lens=lens,
        patching=patching,
        anomalies=anomalies,
        live=live,
        quality=of.reference.quality if of.reference else (),
        notes=of.glass.notes if of.glass else (),
        stages=tuple(run.stages),
        unavailable=tuple(run.unavailable),
    )


def _check(of: Matter) -> None:
    """What is wrong with the whole request, before anything is computed."""
    subject, wanted = of.subject, of.wanted
    if subject.hunks and isinstance(check_hunks(subject.hunks, subject.view), Unreadable):
        raise InputError("the change does not lie in the lines that the model was shown", field="candidate")
    alternatives(subject, wanted.target)
    answers = of.model.answers if isinstance(of.model, Reads) else of.glass.answers if of.glass else None
    if answers is not None:
        from repair.explain.passages import passage

        passage(answers, subject.view, subject.hunks)  # says what to do where it is longer than the model reads


def _maps(of: Matter, makers: Makers, run: _Run) -> Iterator[EvidenceMap]:
    """A map for each method, with badges; those that failed are said."""
    maps: list[EvidenceMap] = []
    for method in dict.fromkeys(of.wanted.methods):
        found = run.attempt(Part.EVIDENCE, method.value, lambda chosen=method: makers.evidence(of, chosen))
        maps += [found] if found else []
    if maps:
        judged = run.attempt(
            Part.EVIDENCE, "quality", lambda: judged_together(of.model, of.subject, maps, seed=of.wanted.seed)
        )
        yield from judged or maps


def _drop(of: Matter, main: EvidenceMap | None, evidence: Sequence[EvidenceMap]) -> float | None:
    """The measured loss of the main map's first unit: by the ablation that was made, else by one more question."""
    top = main.top(1, leave_out=of.subject.changed) if main else ()
    if main is None or not top or main.badge.trust is Trust.FAILED:
        return None
    for one in evidence:
        measured = {s.unit: s.score for s in one.scores} if one.method is Method.ABLATION else {}
        if one.target == main.target and top[0].unit in measured:
            return measured[top[0].unit]
    found = ablation(of.model, of.subject, main.target, units=[top[0].unit])
    return found.scores[0].score if found.scores else None


@dataclass(slots=True)
class _Run:
    """What was timed and what failed."""

    stages: list[Stage] = field(default_factory=list[Stage])
    unavailable: list[tuple[Part, str]] = field(default_factory=list[tuple[Part, str]])
    made: int = 0
    first: ModelError | None = None

    def part(self, wanted: frozenset[Part], part: Part, make: Callable[[], T]) -> T | None:
        """The part, None where it is not wanted or failed."""
        return self.attempt(part, part.value, make) if part in wanted else None

    def attempt(self, part: Part, name: str, make: Callable[[], T]) -> T | None:
        """What `make` gives; a failure that leaves the rest standing is noted under the part."""
        said = "" if name == part.value else f"{name}: "
        try:
            with self._timed(name):
                found = make()
        except ModelError as error:
            self.first = self.first or error
            self.unavailable.append((part, said + (_memory(error) if out_of_memory(error) else str(error))))
        except ModuleNotFoundError as error:
            self.unavailable.append((part, f"{said}needs {error.name}, which is not installed"))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            self.unavailable.append((part, said + _memory(error)))
        else:
            self.made += 1
            return found
        return None

    @contextmanager
    def _timed(self, name: str) -> Generator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.stages.append(Stage(name, time.perf_counter() - began))

    def raise_if_nothing(self) -> None:
        """Raises the first failure of the model where nothing at all was made."""
        if self.first is not None and not self.made:
            raise self.first


def _memory(error: BaseException) -> str:
    first = " ".join(str(error).split())[:160]
    return f"memory ran out ({first}): explain a smaller window, or fewer parts at a time"
