from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.tiny import TINY, write_copies
from training.config import DataConfig, OptimConfig, Recipe, RunConfig


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Recipe:
    write_copies(tmp_path / "shard-0.npy")
    return Recipe(
        model=TINY,
        data=DataConfig(shards=(str(tmp_path / "shard-*.npy"),), row_length=64, rows=4, pool=32),
        optim=OptimConfig(optimizer="adamw", lr=1e-2, warmup=5, schedule="linear"),
        run=RunConfig(out=tmp_path / "run", steps=12, dtype="float32", save_seconds=1000.0),
    )
