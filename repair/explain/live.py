"""The same question without and with interventions: suspects and candidates before and after, nothing kept changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repair.explain.passages import edited, shown
from repair.explain.values import Answers, Interventions, LiveComparison, Proposal, Subject
from repair.explain.where import location_map
from repair.model import Decoding
from repair.replies import Change, NoFault, check_hunks, parse_reply

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.explain.reference import Reference
    from repair.models.local import LocalModel
    from repair.views import View


def compare(
    glass: Glass,
    subject: Subject,
    interventions: Interventions,
    *,
    proposals: int = 5,
    reference: Reference | None = None,
) -> LiveComparison:
    """Ask twice. A neutral setting gives the same answers, bit for bit.

    `temperature` and `top_p` only matter to samples, so with one of them all candidates are sampled, before as well.
    Raises InputError for an intervention that does not fit the model or the prompt, ModelError when it fails.
    """
    view = shown(subject.view, glass.answers)
    other = edited(view, interventions.edits)
    sampled = interventions.temperature is not None or interventions.top_p is not None
    plain = replace(Decoding(candidates=proposals), samples=1.0 if sampled else Decoding().samples)
    changed = replace(
        plain,
        temperature=plain.temperature if interventions.temperature is None else interventions.temperature,
        top_p=interventions.top_p or plain.top_p,
        beams=interventions.beams or plain.beams,
    )
    before = _answers(glass, glass.local(), view, subject, plain, reference)
    with glass.changed(interventions):
        # a model of its own: what an engine remembers of a prompt belongs to the weights that read it
        after = _answers(glass, glass.local(), other, subject, changed, reference)
    return LiveComparison(interventions, before, after, _notes(interventions))


def _notes(interventions: Interventions) -> tuple[str, ...]:
    notes: list[str] = []
    if interventions.beams and (interventions.temperature is not None or interventions.top_p is not None):
        notes.append("a beam search draws nothing: temperature and top-p have no effect beside it")
    if interventions.edits:
        notes.append("the prompt was edited: lines after it are those of the edited program")
    return tuple(notes)


def _answers(
    glass: Glass, model: LocalModel, view: View, subject: Subject, decoding: Decoding, reference: Reference | None
) -> Answers:
    where = location_map(model, view, glass=glass, reference=reference)
    found: list[Proposal] = []
    for completion in model.propose(view, decoding):
        reply = parse_reply(completion.text, view)
        if isinstance(reply, Change | NoFault):
            hunks = reply.hunks if isinstance(reply, Change) else ()
            found.append(Proposal(hunks, completion.logprob))
    found.sort(key=lambda one: -(one.logprob if one.logprob is not None else 0.0))
    fits = not subject.hunks or isinstance(check_hunks(subject.hunks, view), Change)
    score = model.score(view, (subject.hunks,))[0] if fits else None
    return Answers(where, tuple(found[: decoding.candidates]), score)
