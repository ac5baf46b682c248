"""A recipe as TOML text; `training.config.parse_recipe` reads it back to an equal one.

Owns the writing. Settings that are not set (None) are left out, everything else is said, so that a recipe of an
older version keeps its meaning when a default changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from training.config import Recipe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def recipe_toml(recipe: Recipe) -> str:
    """All settings, a table for each section."""
    return "\n".join(_table(recipe, "")).strip() + "\n"


def _table(value: DataclassInstance | Mapping[str, object], path: str) -> Iterator[str]:
    known = value if isinstance(value, Mapping) else _settings(value)
    tables = {name: inner for name, inner in known.items() if is_dataclass(inner) or isinstance(inner, Mapping)}
    plain = {name: inner for name, inner in known.items() if name not in tables and inner is not None}
    if path and plain:
        yield from ("", f"[{path}]")
    yield from (f"{_key(name)} = {_value(inner)}" for name, inner in plain.items())
    for name, inner in tables.items():
        below = f"{path}.{_key(name)}" if path else _key(name)
        yield from _table(cast("DataclassInstance | Mapping[str, object]", inner), below)


def _settings(value: DataclassInstance) -> dict[str, object]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() else json.dumps(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in cast('tuple[object, ...]', value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
