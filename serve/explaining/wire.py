"""The JSON of POST /v1/explanations: a request, the change to explain, what to tell of it and live changes.

Owns names and limits. The answer is that of `repair.explain.codec`; its well-known parts are here for OpenAPI.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from repair.explain.explain import Wanted
from repair.explain.values import (
    Interventions,
    Method,
    NeuronScale,
    Part,
    Target,
    TargetKind,
    UnitEdit,
    UnitKind,
)
from serve.wire import EXAMPLES, EditOut, RepairIn

MAX_CHANGES = 200  # entries of each list of interventions
MAX_DIFF_CHARS = 400_000
MAX_TEXT_CHARS = 2_000  # of a rewritten line of the prompt
_MOST_NUMBER = 1_000_000

PartName = Literal[
    "where", "evidence", "tokens", "attention", "activations", "lens", "patching", "anomalies", "live"
]  # fmt: skip
MethodName = Literal[
    "ablation", "ridge", "gradient", "integrated-gradients", "gradient-norm", "attention-last", "attention-rollout",
]  # fmt: skip
Index = Annotated[int, Field(ge=0, le=_MOST_NUMBER)]
LayerHead = Annotated[list[Index], Field(min_length=2, max_length=2)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TargetIn(_Strict):
    """The number to explain: why the new text and not the old, the change alone, or its place alone."""

    kind: Literal["contrast", "change", "location"] = "contrast"
    line: Annotated[int, Field(ge=1, le=_MOST_NUMBER)] | None = None
    """A line of the change's new text, from 1: explains that line of it alone."""


class NeuronIn(_Strict):
    """A neuron (a channel of the input of `mlp.down_proj`) times `scale`; 0 turns it off."""

    layer: Index
    neuron: Index
    scale: Annotated[float, Field(ge=-100, le=100)] = 0.0


class UnitEditIn(_Strict):
    """Another text for one line of the prompt; an empty one takes it out."""

    kind: Literal["code", "error", "frame", "test", "context"]
    number: Annotated[int, Field(ge=1, le=_MOST_NUMBER)]
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] = ""


class InterventionsIn(_Strict):
    """Live changes of the model, its prompt or its decoding, for this request alone; without any nothing changes."""

    adapter_scale: Annotated[float, Field(ge=0, le=4)] = 1.0
    layers_off: Annotated[list[Index], Field(max_length=MAX_CHANGES)] = []
    heads_off: Annotated[list[LayerHead], Field(max_length=MAX_CHANGES)] = []
    """[layer, head] pairs."""
    neurons: Annotated[list[NeuronIn], Field(max_length=MAX_CHANGES)] = []
    edits: Annotated[list[UnitEditIn], Field(max_length=MAX_CHANGES)] = []
    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    beams: Annotated[int, Field(ge=1, le=32)] | None = None

    def value(self) -> Interventions:
        """As the value that models are changed by; the order of what is turned off says nothing."""
        return Interventions(
            adapter_scale=float(self.adapter_scale),
            layers_off=tuple(sorted(set(self.layers_off))),
            heads_off=tuple(sorted({(layer, head) for layer, head in self.heads_off})),
            neurons=tuple(NeuronScale(one.layer, one.neuron, float(one.scale)) for one in self.neurons),
            edits=tuple(UnitEdit(UnitKind(one.kind), one.number, one.text) for one in self.edits),
            temperature=self.temperature,
            top_p=self.top_p,
            beams=self.beams,
        )


class ExplanationIn(RepairIn):
    """The body of POST /v1/explanations. Without `patch` and `edits` it is explained where the fault may be."""

    patch: Annotated[str, Field(max_length=MAX_DIFF_CHARS)] | None = None
    """The change to explain, as unified diff of the files."""
    edits: list[EditOut] = Field(default=[], max_length=MAX_CHANGES)
    """The same as replacements in the files, as answers of /v1/repairs have them."""
    parts: Annotated[list[PartName], Field(min_length=1, max_length=20)] | None = None
    """What to tell; without it all but `patching`, `anomalies` and `live`."""
    methods: Annotated[list[MethodName], Field(min_length=1, max_length=20)] | None = None
    """How to attribute evidence; without it by `ablation` and `gradient`."""
    target: TargetIn = TargetIn()
    layer: Index | None = None
    """Of the attention matrix; without it the mean of all."""
    head: Index | None = None
    interventions: InterventionsIn = InterventionsIn()
    proposals: Annotated[int, Field(ge=1, le=32)] = 5
    """Candidates of a live comparison."""
    seconds: Annotated[float, Field(gt=0, le=600)] | None = None
    """For the perturbations, which are many; the service's own limit stands above it."""
    pictures: bool = False
    """Whether the JSON has `fragments` too: HTML with SVG by part."""
    journal: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Id of the repair or job that found the change: where the service keeps a journal, a summary is kept with it."""

    @model_validator(mode="after")
    def _one_change(self) -> ExplanationIn:
        if self.patch is not None and self.edits:
            raise ValueError("give the change as patch or as edits, not as both")
        return self

    @property
    def has_change(self) -> bool:
        """Whether there is a change to explain."""
        return self.patch is not None or bool(self.edits)

    def wanted(self, *, max_seconds: float) -> Wanted:
        """What to explain and how."""
        plain = Wanted()
        parts = frozenset(map(Part, self.parts)) if self.parts else plain.parts
        if not self.has_change and not self.parts:
            parts = frozenset({Part.WHERE})
        return Wanted(
            parts=parts,
            methods=tuple(dict.fromkeys(map(Method, self.methods))) if self.methods else plain.methods,
            target=Target(TargetKind(self.target.kind), self.target.line),
            layer=self.layer,
            head=self.head,
            interventions=self.interventions.value(),
            seconds=min(self.seconds or plain.seconds, max_seconds),
            proposals=self.proposals,
            seed=self.options.seed,
        )


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


class BadgeOut(_Told):
    """A measured quality: where `trust` is "failed" no reliable explanation was found."""

    trust: Literal["faithful", "weak", "failed", "unmeasured"]
    why: str


class LineOut(_Told):
    """P(the fault's first line is this one)."""

    line: int
    calibrated: float


class WhereOut(_Told):
    """Where the fault is believed to be."""

    lines: list[LineOut]
    no_fault: float
    calibrated: bool


class UnitOut(_Told):
    """A line of the prompt."""

    kind: Literal["code", "error", "frame", "test", "context"]
    number: int
    text: str


class ScoreOut(_Told):
    """How much a line of the prompt speaks for the change, in nats where the method has units."""

    unit: UnitOut
    score: float


class EvidenceOut(_Told):
    """What the change rests on, by one method."""

    method: str
    scores: list[ScoreOut]
    badge: BadgeOut


class ExplanationOut(_Told):
    """The answer of /v1/explanations. A part that was not asked for or could not be had is null; `notes` say why."""

    model: str
    sentence: str
    badge: BadgeOut
    where: WhereOut | None = None
    evidence: list[EvidenceOut] = []
    tokens: dict[str, Any] | None = None
    attention: dict[str, Any] | None = None
    activations: dict[str, Any] | None = None
    lens: dict[str, Any] | None = None
    patching: dict[str, Any] | None = None
    anomalies: list[dict[str, Any]] | None = None
    live: dict[str, Any] | None = None
    notes: list[str] = []
    unavailable: list[Any] = []
    fragments: dict[str, str] | None = None


_DIFF = (
    "--- a/mean.py\n+++ b/mean.py\n@@ -1,2 +1,2 @@\n def mean(xs):\n"
    "-    return sum(xs) / len(x)\n+    return sum(xs) / len(xs)\n"
)
_CODE: dict[str, Any] = EXAMPLES["traceback"]["value"]
EXPLANATIONS: dict[str, Any] = {
    "why": {"summary": "Why this patch", "value": {**_CODE, "patch": _DIFF, "parts": ["where", "evidence"]}},
    "live": {
        "summary": "What the model says with a head off",
        "value": {**_CODE, "parts": ["live"], "interventions": {"heads_off": [[2, 1]], "temperature": 0.5}},
    },
}
