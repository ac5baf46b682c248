"""Recipes back to TOML, and recipes with some settings changed.

Owns the writing side of `training.config`, which reads what is written here to the same value. Opens no file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import cast

from training.config import Recipe, parse_recipe


def toml(value: object) -> str:
    """A value as it stands behind `key =`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        # JSON's strings are TOML's, but for surrogate pairs (not written here) and DEL
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return "{ " + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in table.items()) + " }"
    if is_dataclass(value) and not isinstance(value, type):
        return toml(_changed(value))
    return "[" + ", ".join(toml(each) for each in cast("Sequence[object]", value)) + "]"


def _changed(value: object, always: Collection[str] = ()) -> dict[str, object]:
    """Fields of a frozen value that differ from their defaults, and those named."""
    found: dict[str, object] = {}
    for field in fields(cast("type", value)):
        usual = field.default if field.default_factory is MISSING else field.default_factory()
        given = getattr(value, field.name)
        if given != usual or (field.name in always and given is not None):
            found[field.name] = given
    return found


def render_recipe(recipe: Recipe, always: Collection[str] = ()) -> str:
    """What differs from the defaults, as TOML that `parse_recipe` reads to the same recipe.

    Settings in `always`, by their dotted names, are written even where they are the default.
    """
    parts: list[str] = []
    for section, given in _changed(recipe, {key.split(".")[0] for key in always}).items():
        names = [key.partition(".")[2] for key in always if key.startswith(f"{section}.")]
        lines = [f"{name} = {toml(value)}" for name, value in _changed(given, names).items()]
        parts.append("\n".join([f"[{section}]", *lines, ""]))
    return "\n".join(parts)


def whole_recipe(recipe: Recipe) -> str:
    """Every setting, so that the recipe keeps its meaning when a default changes; `parse_recipe` reads it back."""
    parts: list[str] = []
    for section in fields(recipe):
        table = getattr(recipe, section.name)
        given = {one.name: getattr(table, one.name) for one in fields(table)}
        lines = [f"{name} = {toml(value)}" for name, value in given.items() if value is not None]
        parts.append("\n".join([f"[{section.name}]", *lines, ""]))
    return "\n".join(parts)


def overridden(recipe: Recipe, values: Mapping[str, object]) -> Recipe:
    """The recipe with settings by their dotted names replaced. Raises InputError as `parse_recipe` does."""
    return parse_recipe(render_recipe(recipe), [f"{key}={toml(value)}" for key, value in values.items()])
