"""POST /v1/explanations: why a change was proposed, and what the model says when it is changed. Never runs tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from repair.errors import EmendError, InputError
from serve import problems
from serve.explaining.cache import Cache, key_of
from serve.explaining.computing import Answer
from serve.explaining.host import Explainer
from serve.explaining.subjects import asked_subject
from serve.explaining.wire import EXPLANATIONS, ExplanationIn, ExplanationOut
from serve.modelnames import Choice, choose
from serve.parts import Parts
from serve.pool import Refused
from serve.problems import NotFoundError
from serve.routes.answers import documented, problem_of, while_there
from serve.security.callers import Caller, caller_of
from serve.telling import Told
from serve.wire import BudgetIn

_HTML = "text/html"
_ERRORS = documented(400, 401, 403, 404, 408, 413, 415, 422, 429, 503, 504)
_ALSO: dict[int | str, dict[str, Any]] = {
    200: {"content": {_HTML: {"schema": {"type": "string"}}}, "description": "The explanation, or a report to read"}
}
_SUMMARY = "explanation"  # its kind in the journal


class Journal(Protocol):
    """Where summaries are kept beside the repair that they are of (`serve.store.journal.Journal`)."""

    def get(self, entry_id: str) -> Any:  # noqa: ANN401 - an Entry, of which the key's id is read
        """The entry, None where there is none."""
        ...

    def add_summary(self, entry_id: str, kind: str, summary: Mapping[str, Any]) -> bool:
        """Keep a JSON object beside an entry; False without the entry."""
        ...


def explanations_router(parts: Parts, journal: Journal | None = None) -> APIRouter:
    """The route; `journal` where the operator keeps one."""
    router = APIRouter(tags=["repairs"])
    asked = _Asked(parts, journal)

    @router.post("/v1/explanations", response_model=ExplanationOut, responses={**_ALSO, **_ERRORS})
    async def explanations(
        request: Request, body: Annotated[ExplanationIn, Body(openapi_examples=EXPLANATIONS)]
    ) -> Response:
        """What evidence a change rests on and where the fault is believed to be, as JSON or, by Accept, as a report."""
        return await asked.answer(request, body)

    return router


class _Asked:
    """Answers requests, from the cache where the same was asked before."""

    def __init__(self, parts: Parts, journal: Journal | None) -> None:
        self._parts, self._journal = parts, journal
        self._cache = Cache()

    async def answer(self, request: Request, body: ExplanationIn) -> Response:
        """The explanation in the form that the client reads. Raises InputError naming the field."""
        metrics, explainer = self._parts.metrics, self._parts.explainer
        if explainer is None:
            raise NotFoundError("explanations are switched off here (`explanations` in the settings)")
        try:
            key = await asyncio.to_thread(self._checked, body)
        except EmendError:
            metrics.explained("refused")
            raise
        answer = self._cache.get(key)
        if answer is not None:
            metrics.explained("cached")
        else:
            began = time.monotonic()
            try:
                answer = await _computed(request, explainer, body, self._seconds(body))
            except (EmendError, Refused) as error:
                problem = problem_of(error)
                metrics.explained("refused" if problem["status"] < 500 else "failed")
                return problems.response(problem)
            if answer is None:
                metrics.explained("left")
                return Response(status_code=499)  # the client has left; nobody reads this
            metrics.explained("computed", time.monotonic() - began)
            self._cache.put(key, answer)
        if self._journal is not None and body.journal is not None:
            await asyncio.to_thread(keep, self._journal, caller_of(request), body.journal, answer)
        if _HTML in request.headers.get("accept", ""):
            return Response(answer.report, media_type=_HTML)
        return Response(answer.pictured if body.pictures else answer.values, media_type="application/json")

    def _checked(self, body: ExplanationIn) -> str:
        """Find what is wrong before anybody waits; the key of the answer. Raises InputError."""
        if body.budget != BudgetIn():
            raise InputError("an explanation has no budget; give it seconds", field="budget")
        choice = self._choice(body)
        request = body.to_request(max_candidates=1, max_seconds=self._parts.settings.max_explanation_seconds)
        asked_subject(body, request)
        return key_of(body, choice, self._seconds(body))

    def _choice(self, body: ExplanationIn) -> Choice:
        choice = choose(self._parts.settings, body.options.model, body.options.adapter)
        if choice.is_none:
            raise InputError(
                "repairs go without a model here, so there is none to explain: name one of GET /v1/models",
                field="options.model",
            )
        return choice

    def _seconds(self, body: ExplanationIn) -> float:
        most = self._parts.settings.max_explanation_seconds
        return body.wanted(max_seconds=most).seconds


async def _computed(request: Request, explainer: Explainer, body: ExplanationIn, seconds: float) -> Answer | None:
    """The answer, None when the client has left."""
    found: list[Answer] = []

    async def events() -> AsyncGenerator[Told]:
        found.append(await explainer.explain(body.model_dump_json(exclude_defaults=True), seconds))
        yield Told("explanation", "")

    return found[0] if await while_there(request, events()) is not None else None


def keep(journal: Journal, caller: Caller, entry_id: str, answer: Answer) -> None:
    """Keep a summary of an explanation with the caller's own repair, if the journal has that. Blocks."""
    entry = journal.get(entry_id)
    if entry is not None and (entry.key_id == caller.key_id or "admin" in caller.scopes):
        journal.add_summary(entry_id, _SUMMARY, summary_of(answer))


def summary_of(answer: Answer) -> dict[str, Any]:
    """What the journal keeps: the sentence, how far to trust it, the likeliest lines and the strongest evidence."""
    values = cast("dict[str, Any]", json.loads(answer.values))
    where: dict[str, Any] = values.get("where") or {}
    lines: list[dict[str, Any]] = where.get("lines") or []
    likely = sorted(lines, key=lambda one: -float(one["calibrated"]))[:3]
    evidence: list[dict[str, Any]] = values.get("evidence") or []
    return {
        "model": values.get("model"),
        "sentence": values.get("sentence"),
        "trust": (values.get("badge") or {}).get("trust"),
        "where": [{"line": one["line"], "probability": one["calibrated"]} for one in likely],
        "evidence": {
            str(one["method"]): [
                {"kind": score["unit"]["kind"], "number": score["unit"]["number"], "score": score["score"]}
                for score in sorted(one["scores"], key=lambda score: -float(score["score"]))[:3]
            ]
            for one in evidence
        },
    }
