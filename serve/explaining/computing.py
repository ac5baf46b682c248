"""What the explaining process computes: a body of /v1/explanations becomes JSON and HTML. Loads torch lazily."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from repair.errors import EmendError, InputError, ModelError
from repair.explain.explain import Wanted
from repair.explain.values import Explanation, Subject
from serve.explaining.subjects import asked_subject
from serve.explaining.wire import ExplanationIn
from serve.loaded import Shelf, load_choice
from serve.modelnames import Choice, choose
from serve.security.scrubbing import scrub_all
from serve.settings import Settings

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.explain.reference import Reference
    from repair.model import Model

_KEPT = 2  # opened models; each adapter makes one


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model ready to be explained; a model server has no glass."""

    model: Model
    glass: Glass | None = None
    reference: Reference | None = None
    note: str = ""


class Explain(Protocol):
    """What explains (`repair.explain.explain.explain`)."""

    def __call__(
        self,
        subject: Subject,
        *,
        model: Model,
        glass: Glass | None,
        reference: Reference | None,
        wanted: Wanted,
    ) -> Explanation:
        """Explain a change."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An explanation as it is sent: JSON, the same with fragments for pages, and the report."""

    values: str
    pictured: str
    report: str


class Computing:
    """Answers bodies, one at a time, with the last opened models at hand."""

    def __init__(self, settings: Settings, *, explain: Explain | None = None) -> None:
        self._settings = settings
        self._shelf: Shelf[Opened] = Shelf(_opened, kept=_KEPT)
        self._explain = explain

    def open(self, body: ExplanationIn) -> tuple[Choice, Opened]:
        """The model that a body names, opened now where it was not. Raises InputError, ModelError."""
        choice = choose(self._settings, body.options.model, body.options.adapter)
        if choice.is_none:
            raise InputError(
                "repairs go without a model here, so there is none to explain: name one of GET /v1/models",
                field="options.model",
            )
        return choice, self._shelf.get(choice)

    def explanation(self, body: ExplanationIn, choice: Choice, opened: Opened) -> Explanation:
        """Explain what a body says. Raises InputError naming the field, ModelError."""
        request = body.to_request(max_candidates=1, max_seconds=self._settings.max_explanation_seconds)
        subject, notes = asked_subject(body, request)
        explain = self._explain or _explain()
        wanted = body.wanted(max_seconds=self._settings.max_explanation_seconds)
        try:
            found = explain(subject, model=opened.model, glass=opened.glass, reference=opened.reference, wanted=wanted)
        except InputError as error:
            if error.field == "candidate":  # the engine's name of it
                raise InputError(str(error), field="edits" if body.edits else "patch") from error
            raise
        said = (*notes, *((opened.note,) if opened.note else ()), *found.notes)
        told = {"model": choice.label, "notes": tuple(map(scrub_all, said))}
        lacking = tuple((part, scrub_all(why)) for part, why in found.unavailable)
        return replace(found, **told, unavailable=lacking)


def answer_of(explanation: Explanation) -> Answer:
    """As it is sent."""
    from repair.explain.codec import explanation_json
    from serve.explaining.fragments import fragments
    from serve.explaining.report import report

    values: Mapping[str, Any] = explanation_json(explanation)
    pictured = {**values, "fragments": dict(fragments(explanation))}
    return Answer(_packed(values), _packed(pictured), report(explanation))


def _packed(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _explain() -> Explain:
    from repair.explain.explain import explain

    return explain


def _opened(choice: Choice) -> Opened:
    """Open what was chosen. Raises ModelError; what a request named is named so, not by its path."""
    if choice.is_server:
        model = load_choice(choice)
        if model is None:  # pragma: no cover - a server is a model
            raise ModelError("there is no such model server")
        return Opened(model)
    from repair.explain.glass import open_glass
    from repair.explain.reference import read_reference

    try:
        glass = open_glass(choice.spec, adapter=choice.directory)
    except ModelError as error:
        raise ModelError(_named(str(error), choice)) from error
    try:
        reference, note = read_reference(glass), ""
    except EmendError as error:
        reference, note = None, f"the reference of this model is not used: {error}"
    return Opened(glass.local(), glass, reference, note)


def _named(message: str, choice: Choice) -> str:
    for path, name in ((choice.directory, choice.adapter), (choice.spec, choice.model)):
        if path is not None and name is not None:
            message = message.replace(str(path), name)
    return message
