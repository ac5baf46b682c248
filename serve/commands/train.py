"""`emend train …`: runs a recipe, compares what came of it with what it began from, says whether it may be used.

The one place where training meets evaluation: the gate's fix rate with execution is measured by `eval`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from repair.errors import InputError
from serve.printing import stderr, stdout
from training.config import Recipe, read_recipe
from training.places import base_directory, start_adapter

if TYPE_CHECKING:
    from training.adapter import Trained
    from training.gate import Verdict

ADAPTER = "adapter"  # folder of a result that passed, or was forced


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's arguments, as they were typed."""

    recipe: Path
    overrides: tuple[str, ...]
    force: bool = False
    profile: bool = False
    as_json: bool = False


def _recipe(asked: Asked) -> Recipe:
    extra = ("watch.profile=true",) if asked.profile else ()
    return read_recipe(asked.recipe, (*asked.overrides, *extra))


def base(asked: Asked) -> int:
    """Pre-train; exit code 0 when the recipe's end was reached or its `stop` file found."""
    from training.pretrain import train_base
    from training.watch import observers

    recipe = _recipe(asked)
    with observers(recipe) as watching:
        state = train_base(recipe, watching)
    _print({"checkpoint": str(recipe.run.out), "step": state.step, "tokens": state.tokens}, as_json=asked.as_json)
    return 0


def adapter(asked: Asked) -> int:
    """Train and gate; exit code 0 when the adapter passed or was forced, 1 when it was refused."""
    from training.adapter import train_adapter
    from training.watch import observers

    recipe = _recipe(asked)
    with observers(recipe) as watching:
        trained = train_adapter(recipe, watching)
    if not trained.main:
        return 0  # the first process goes on alone
    verdict = _gate(trained)
    return _decide(trained, verdict, asked)
