"""Sample repairs: what a model would answer to a few held-out faults, as records."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager

from data.records import example
from repair.errors import ModelError
from repair.model import Model
from repair.models.scripted import ScriptedModel
from repair.views import Hunk
from tests.training.pieces import record
from training.sampling import sample, sampler

PAIRS = [example(record(n, clean=n == 1)) for n in range(6)]


def test_a_few_faulty_examples_are_asked_with_the_model_of_the_moment():
    asked: list[int] = []

    @contextmanager
    def model() -> Generator[Model]:
        asked.append(1)
        yield ScriptedModel(completions=(PAIRS[0].hunks,))

    found = list(sampler(model, PAIRS)())
    assert asked == [1]
    assert [str(one["id"]) for one in found] == ["m.py:2", "m.py:4", "m.py:5"]  # the second has no fault
    assert [one["right"] for one in found] == [True, False, False]
    assert found[0]["buggy"] == "    size0 = left - right"
    assert "left + right" in str(found[0]["reference"])
    assert json.loads(json.dumps(found)) == found


def test_another_repair_is_not_the_reference():
    hunk = PAIRS[0].hunks[0]
    other = (Hunk(hunk.first, hunk.last, hunk.text.replace("+", "*")),)
    found = sample(ScriptedModel(completions=(other,)), PAIRS[0])
    assert found["right"] is False
    assert "left * right" in str(found["proposed"])


class Short:
    """A model whose context every view exceeds."""

    name = "short"

    def locate(self, view):
        raise ModelError("512 tokens are too long")


def test_a_view_that_is_too_long_is_noted():
    found = sample(Short(), PAIRS[0])  # pyright: ignore[reportArgumentType]
    assert (found["right"], found["proposed"], found["note"]) == (False, "", "512 tokens are too long")
