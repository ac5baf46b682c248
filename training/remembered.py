"""The recipe of a run beside its checkpoints: what they are checkpoints of, and what may not change while it goes on.

Owns OUT/recipe.toml. Learning rate, steps, objectives and watching may change between two starts; the model, the
adapter's shape and the data may not, or a position in the data and the moments of the optimizer would mean nothing.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from repair.errors import InputError, ModelError
from training.checkpoint import latest
from training.config import Recipe, read_recipe
from training.recipe_text import toml, whole_recipe

FILE = "recipe.toml"
_SECTIONS = ("model", "data", "lora")
_RUN = ("base", "method", "adapter", "quantise")


def remember(recipe: Recipe) -> None:
    """Write the recipe of a fresh run. Raises InputError: OUT holds a run of another one; ModelError: no room."""
    out = recipe.run.out
    if latest(out) is not None and (out / FILE).is_file():
        _compare(read_recipe(out / FILE), recipe)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE).write_text(whole_recipe(recipe), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"cannot write {out / FILE}: {error.strerror or error}") from error


def _compare(before: Recipe, now: Recipe) -> None:
    settings = [(section, one.name) for section in _SECTIONS for one in fields(getattr(now, section))]
    for section, name in [*settings, *(("run", name) for name in _RUN)]:
        was, wanted = (getattr(getattr(recipe, section), name) for recipe in (before, now))
        if was != wanted:
            raise InputError(
                f"{now.run.out} holds a run with {section}.{name} = {toml(was)}, not {toml(wanted)}: set run.out to "
                "another folder, or remove this one",
                field=f"{section}.{name}",
            )


def remembered(out: Path) -> Recipe:
    """The recipe of a run's folder. Raises InputError when it has none."""
    return read_recipe(out / FILE)
