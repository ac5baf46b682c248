"""POST /v1/explanations with an explanation made by hand, for the pages."""

import dataclasses
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from repair.explain.values import Badge, Trust
from serve.explaining.fragments import fragments
from serve.explaining.wire import ExplanationIn
from serve.problems import problem
from tests.serve.explaining.samples import full


def plain(value):
    """Dataclasses, arrays and enumerations as JSON has them."""
    if dataclasses.is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list | frozenset):
        return [plain(one) for one in value]
    return value


@dataclass
class FakeGlass:
    """What tests set, and the bodies that were asked."""

    trust: str = "faithful"
    refuse: str = ""  # the sentence of a refusal
    asked: list = field(default_factory=list)


def add_glass(app: FastAPI, fake):
    """The route."""

    @app.post("/v1/explanations")
    async def explain(body: ExplanationIn) -> Response:
        glass = fake.glass
        glass.asked.append(body)
        if glass.refuse:
            errors = [{"field": "interventions.heads_off", "message": glass.refuse}]
            return JSONResponse(problem(422, glass.refuse, errors=errors), 422, media_type="application/problem+json")
        badge = Badge(Trust(glass.trust), "what random units do was measured, too", (("top-1 drop", 2.6),))
        found = dataclasses.replace(full(), badge=badge)
        target = body.target.line or 0
        told = plain(found) | {"fragments": dict(fragments(found)), "sentence": f"{found.sentence} [{target}]"}
        return JSONResponse(told)
