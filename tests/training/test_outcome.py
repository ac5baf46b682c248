"""What a run left is loaded as what it is, by the gate and by searches alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.commands.train import outcome
from training.config import Recipe, RunConfig
from training.measure import Checkpoint


@pytest.mark.parametrize(
    ("method", "expected"),
    [("lora", Checkpoint("org/base", Path("out/candidate"))), ("full", Checkpoint(Path("out/candidate")))],
)
def test_whole_weights_are_no_adapter(method: str, expected: Checkpoint):
    recipe = Recipe(run=RunConfig(base="org/base", method=method))
    assert outcome(recipe, Path("out/candidate")) == expected
