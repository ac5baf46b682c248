"""What an explanation says: values only. Arrays are float32 numpy arrays, their shapes in the comments.

Three maps that must never be merged: *where* the fault is believed to be (LocationMap), *what evidence* a repair
used (EvidenceMap), *where heads look* (AttentionMap: descriptive only).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from repair.errors import InputError
from repair.views import Hunk, View

Array = NDArray[np.float32]


class UnitKind(StrEnum):
    """Which part of the prompt a unit stands in."""

    CODE = "code"
    ERROR = "error"
    FRAME = "frame"  # a line number of the traceback
    TEST = "test"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One piece of the prompt that may be evidence: a line of code, test or context, the error, a frame.

    `number`: the file's line for code and frames, else the position in its part, from 1.
    """

    kind: UnitKind
    number: int
    text: str

    @property
    def label(self) -> str:
        """For people: `line 8`, `the error`, `test line 2`."""
        match self.kind:
            case UnitKind.CODE:
                return f"line {self.number}"
            case UnitKind.ERROR:
                return "the error"
            case UnitKind.FRAME:
                return f"the traceback (line {self.number})"
            case _:
                return f"{self.kind.value} line {self.number}"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained: the change (`hunks`, in lines of the view's file) that a model proposed for a view."""

    view: View
    hunks: tuple[Hunk, ...]

    @property
    def changed(self) -> frozenset[int]:
        """Lines of the view that the change touches; for an insertion the line before which it stands."""
        return frozenset(n for h in self.hunks for n in range(h.first, max(h.last, h.first) + 1))


class TargetKind(StrEnum):
    """The number that is explained."""

    CONTRAST = "contrast"  # log P(change) - log P(the same lines as they are): why new and not old
    CHANGE = "change"  # log P(change | prompt), location included
    LOCATION = "location"  # log P(the change's first line is where the fault is)


@dataclass(frozen=True, slots=True)
class Target:
    """A target; `line` (1-based line of the change's new text) explains that line of it alone."""

    kind: TargetKind = TargetKind.CONTRAST
    line: int | None = None


class Method(StrEnum):
    """How evidence is attributed to units. The last four are baselines, for measuring."""

    ABLATION = "ablation"
    RIDGE = "ridge"
    GRADIENT = "gradient"
    INTEGRATED = "integrated-gradients"
    GRADIENT_NORM = "gradient-norm"
    ATTENTION = "attention-last"
    ROLLOUT = "attention-rollout"
    RANDOM = "random"


class Trust(StrEnum):
    """A quality badge."""

    FAITHFUL = "faithful"
    WEAK = "weak"
    FAILED = "failed"  # show "no reliable explanation"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Badge:
    """A measured quality: `measures` are (name, value) pairs, e.g. ("top-1 drop", 2.1), ("LDS", 0.52)."""

    trust: Trust
    why: str
    measures: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class LineProbability:
    """What is believed of one line. Each is P(the fault's first line = this one) by one source; None: not known."""

    line: int
    pointer: float | None  # the model's own answer
    probe: float | None  # a linear probe on the state at the line's end
    calibrated: float  # what to show: calibrated on held-out faults where the reference has it, else the pointer's


@dataclass(frozen=True, slots=True)
class LocationMap:
    """Where. Lines in file order; `no_fault` is the model's P(no fault), calibrated likewise."""

    lines: tuple[LineProbability, ...]
    no_fault: float
    calibrated: bool

    def top(self, count: int = 3) -> tuple[LineProbability, ...]:
        """The likeliest lines, likeliest first."""
        return tuple(sorted(self.lines, key=lambda one: (-one.calibrated, one.line))[:count])


@dataclass(frozen=True, slots=True)
class UnitScore:
    """How much a unit speaks for the target, in nats of log-probability where the method has units; may be negative."""

    unit: Unit
    score: float


@dataclass(frozen=True, slots=True)
class EvidenceMap:
    """What evidence. `scores` in prompt order, one for each unit that was looked at."""

    method: Method
    target: Target
    scores: tuple[UnitScore, ...]
    value: float  # of the target with everything in place, nats
    badge: Badge
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def top(self, count: int = 3, *, leave_out: frozenset[int] = frozenset()) -> tuple[UnitScore, ...]:
        """The units that speak most for the target, without the code lines `leave_out` (those that are changed)."""
        kept = [s for s in self.scores if not (s.unit.kind is UnitKind.CODE and s.unit.number in leave_out)]
        return tuple(sorted(kept, key=lambda s: (-s.score, s.unit))[:count])


@dataclass(frozen=True, slots=True, eq=False)
class TokenMap:
    """Tokens of the prompt with two scores each: for the new text and for the old one (gradient, nats)."""

    tokens: tuple[str, ...]
    owner: tuple[int, ...]  # index into `units`, -1 for structure
    units: tuple[Unit, ...]
    new: Array  # (tokens,)
    old: Array  # (tokens,)


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMap:
    """Where heads look, not why. Statistics are over the rows watched (line ends and the answer's tokens)."""

    units: tuple[Unit, ...]
    entropy: Array  # (layers, heads), nats, mean over rows
    sink: Array  # (layers, heads), mean mass on the first token
    same: Array  # (layers, heads), mean mass within the row's own line
    layer: int | None  # of `lines`; None: mean over all layers
    head: int | None  # of `lines`; None: mean over heads
    lines: Array  # (rows, units): mass from each row onto each unit
    rows: tuple[str, ...]  # labels of the rows: units' labels, then "answer: TOKEN"
    flow: Array  # (units,): rollout of all layers from the answer onto units, sums to at most 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outlier:
    """A neuron far from what it usually does."""

    layer: int
    neuron: int
    value: float
    deviations: float  # from its mean, in standard deviations of the reference (or of its layer)
    unit: Unit | None  # where it fires


@dataclass(frozen=True, slots=True, eq=False)
class ActivationMap:
    """Inputs of `mlp.down_proj`."""

    units: tuple[Unit, ...]
    strength: Array  # (layers, units): root mean square over neurons at each unit's tokens
    histogram: Array  # (layers, bins): share of values, bins of `edges`
    edges: Array  # (bins + 1,)
    dead: Array  # (layers,): share of neurons that stay below 1e-3 of the layer's largest on every token
    outliers: tuple[Outlier, ...]  # strongest first
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LensTable:
    """The logit lens at the answer's tokens: what each layer would say already."""

    positions: tuple[str, ...]  # the answer's tokens
    words: tuple[tuple[str, ...], ...]  # (layers + 1, positions): the likeliest token
    chance: Array  # (layers + 1, positions): its probability
    fixed: Array  # (layers + 1,): log P(the change's answer), nats
    original: Array  # (layers + 1,): log P(the lines as they are), nats
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PatchingGrid:
    """Swap the state of a line between the program as it is and as repaired: what brings the answer's chance back."""

    lines: tuple[int, ...]
    restored: Array  # (layers, lines): share of the difference in log-probability that is restored; 1 is all
    clean: float  # target in the prompt with the fault, nats
    corrupt: float  # target in the prompt of the repaired program, nats
    notes: tuple[str, ...] = ()


class AlarmKind(StrEnum):
    """What looks unlike the model's own past."""

    ATTENTION = "attention"
    ACTIVATION = "activation"
    REPRESENTATION = "representation"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One anomaly: a statistic outside of the model's own quantiles on clean data."""

    kind: AlarmKind
    statistic: str  # "entropy", "first-token mass", "dead share", "outlier", "distance", ...
    layer: int
    head: int | None
    neuron: int | None
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        where = f"layer {self.layer}"
        where += f", head {self.head}" if self.head is not None else ""
        where += f", neuron {self.neuron}" if self.neuron is not None else ""
        return f"{where}: {self.statistic} {self.value:.3g} is outside {self.low:.3g} to {self.high:.3g}"


@dataclass(frozen=True, slots=True)
class NeuronScale:
    """Multiply a neuron (a channel of the input of `mlp.down_proj`) by `scale`; 0 turns it off."""

    layer: int
    neuron: int
    scale: float = 0.0


@dataclass(frozen=True, slots=True)
class UnitEdit:
    """Another text for a unit of the prompt; an empty one takes it out."""

    kind: UnitKind
    number: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Interventions:
    """Live changes, for one request and undone after it. The default changes nothing, bit for bit."""

    adapter_scale: float = 1.0
    layers_off: tuple[int, ...] = ()
    heads_off: tuple[tuple[int, int], ...] = ()  # (layer, head)
    neurons: tuple[NeuronScale, ...] = ()
    edits: tuple[UnitEdit, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    beams: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.adapter_scale <= 4:
            raise InputError("the adapter's scale lies between 0 and 4", field="interventions.adapter_scale")
        if self.temperature is not None and not 0 <= self.temperature <= 5:
            raise InputError("the temperature lies between 0 and 5", field="interventions.temperature")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError("top_p lies between 0 (not included) and 1", field="interventions.top_p")
        if self.beams is not None and not 1 <= self.beams <= 32:
            raise InputError("beams lie between 1 and 32", field="interventions.beams")

    @property
    def inside(self) -> bool:
        """Whether they change the network (and not the prompt or the decoding alone)."""
        return bool(self.adapter_scale != 1.0 or self.layers_off or self.heads_off or self.neurons)

    @property
    def neutral(self) -> bool:
        """Whether they change nothing."""
        return self == Interventions()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A repair that the model would propose, likeliest first among its kind."""

    hunks: tuple[Hunk, ...]
    logprob: float | None


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of a view: suspects and candidates."""

    where: LocationMap | None
    proposals: tuple[Proposal, ...]
    change: float | None  # log P of the explained change


@dataclass(frozen=True, slots=True)
class LiveComparison:
    """The same question without and with interventions."""

    interventions: Interventions
    before: Answers
    after: Answers
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Wall seconds of one stage."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class MethodQuality:
    """How good a method was found to be for a checkpoint on held-out faults; `random` is the random order's figure."""

    method: Method
    examples: int
    measures: tuple[tuple[str, float, float], ...]  # (name, value, random's value), e.g. ("LDS", 0.42, 0.02)
    beats_random: bool  # by every measure that was taken, 95 % intervals apart


@dataclass(frozen=True, slots=True)
class LineValues:
    """Variables as a test saw them when it came to a line for the last time: (name, shortened repr) pairs."""

    line: int
    hits: int
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RunValues:
    """What one failing test saw around the changed lines, in the program as it is and as repaired."""

    test: str
    before: tuple[LineValues, ...]
    after: tuple[LineValues, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the tests said of the change."""

    verdict: str  # a `repair.verdicts.Verdict`, "" where nothing was run
    passed: int = 0
    failed: int = 0
    failing: tuple[str, ...] = ()  # tests that fail without the change
    reason: str = ""


class Part(StrEnum):
    """Parts of an explanation, by name of the field."""

    WHERE = "where"
    EVIDENCE = "evidence"
    TOKENS = "tokens"
    ATTENTION = "attention"
    ACTIVATIONS = "activations"
    LENS = "lens"
    PATCHING = "patching"
    ANOMALIES = "anomalies"
    LIVE = "live"


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One explanation. A part that was not asked for, or could not be had, is None or empty; `notes` say why."""

    model: str
    subject: Subject
    sentence: str  # one sentence from the top evidence, templated, never generated by the model
    badge: Badge
    where: LocationMap | None = None
    evidence: tuple[EvidenceMap, ...] = ()
    tokens: TokenMap | None = None
    attention: AttentionMap | None = None
    activations: ActivationMap | None = None
    lens: LensTable | None = None
    patching: PatchingGrid | None = None
    anomalies: tuple[Alarm, ...] | None = None
    live: LiveComparison | None = None
    quality: tuple[MethodQuality, ...] = ()  # of the methods, for this checkpoint, where it was measured
    checked: Checked | None = None
    values: RunValues | None = None
    notes: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    unavailable: tuple[tuple[Part, str], ...] = field(default=())  # part, why and what to do
