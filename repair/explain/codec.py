"""Explanations as plain JSON objects, and interventions from them.

An object for each value of `values.py` under the names of its fields. Besides:

    arrays           nested lists, rounded to five significant digits; what is no finite number is null
    enumerations     their text, e.g. "contrast", "ablation", "faithful"
    a unit           {"kind", "number", "text", "label"}
    a badge          {"trust", "why", "measures": {name: value}}
    method quality   {"method", "examples", "measures": [{"name", "value", "random"}], "beats_random"}
    an alarm         its fields and "text", a sentence
    a line's values  {"line", "hits", "values": {name: shortened repr}}
    unavailable      [{"part", "why"}]
    stages           [{"name", "seconds"}]

Lines of code, prompts and errors of the subject are in it as they are: who sends it away must redact it before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, cast

import numpy as np

from repair.codec import Json
from repair.errors import InputError
from repair.explain.values import (
    Alarm,
    Badge,
    Explanation,
    Interventions,
    LineValues,
    MethodQuality,
    NeuronScale,
    Unit,
    UnitEdit,
    UnitKind,
)

T = TypeVar("T")
DIGITS = 5


def explanation_json(explanation: Explanation) -> dict[str, Json]:
    """One explanation; what `json.dumps(..., allow_nan=False)` takes."""
    found = _fields(explanation)
    found["unavailable"] = [{"part": part.value, "why": why} for part, why in explanation.unavailable]
    return found


def value_json(value: object) -> Json:
    """One value of `values.py` (an interventions object for `parse_interventions`, a comparison, ...)."""
    match value:
        case None | bool() | int() | str():
            return str(value) if isinstance(value, Enum) else value
        case float():
            return _rounded(value)
        case np.ndarray():
            return _nested(cast("list[object]", np.asarray(value, np.float64).tolist()))
        case tuple() | list():
            return [value_json(one) for one in cast("Sequence[object]", value)]
        case _:
            return _object(value)


def _object(value: object) -> dict[str, Json]:  # noqa: PLR0911 - one for each kind of value
    match value:
        case Explanation():
            return explanation_json(value)
        case Unit():
            return _with(value, label=value.label)
        case Badge():
            return _with(value, measures={name: _rounded(figure) for name, figure in value.measures})
        case MethodQuality():
            measures: list[Json] = [
                {"name": name, "value": _rounded(figure), "random": _rounded(other)}
                for name, figure, other in value.measures
            ]
            return _with(value, measures=measures)
        case LineValues():
            return _with(value, values=dict[str, Json](value.values))
        case Alarm():
            return _with(value, text=str(value))
        case _:
            return _fields(value)


def _with(value: object, **others: Json) -> dict[str, Json]:
    return _fields(value) | others


def _fields(value: object) -> dict[str, Json]:
    if not is_dataclass(value):
        raise TypeError(f"a {type(value).__name__} is no value of an explanation")
    return {f.name: value_json(getattr(value, f.name)) for f in fields(value)}


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _nested(values: Sequence[object]) -> list[Json]:
    return [_rounded(v) if isinstance(v, float) else _nested(cast("list[object]", v)) for v in values]


_PLAIN = ("adapter_scale", "temperature", "top_p", "beams")
_ALL = (*_PLAIN, "layers_off", "heads_off", "neurons", "edits")


def parse_interventions(value: object) -> Interventions:
    """Interventions of a JSON object as `value_json` writes them; what is absent stays neutral.

    `heads_off` are pairs [layer, head], `neurons` objects {"layer", "neuron", "scale"}, `edits` objects {"kind",
    "number", "text"}. Raises InputError whose `field` is the path, e.g. `interventions.heads_off[1]`.
    """
    table = _table(value, "interventions", _ALL)
    given: dict[str, Any] = {}
    if (scale := table.get("adapter_scale")) is not None:
        given["adapter_scale"] = _number(scale, "interventions.adapter_scale")
    for name in ("temperature", "top_p"):
        if table.get(name) is not None:
            given[name] = _number(table[name], f"interventions.{name}")
    if table.get("beams") is not None:
        given["beams"] = _whole(table["beams"], "interventions.beams")
    for name, read in (("layers_off", _whole), ("heads_off", _pair), ("neurons", _neuron), ("edits", _edit)):
        given[name] = _each(table.get(name), f"interventions.{name}", read)
    return Interventions(**given)


def _table(value: object, field: str, names: Sequence[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InputError(f"{field} must be an object with {', '.join(names)}", field=field)
    table = cast("dict[str, object]", value)
    if unknown := [name for name in table if name not in names]:
        raise InputError(f"{field} has no {unknown[0]!r}: it takes {', '.join(names)}", field=f"{field}.{unknown[0]}")
    return table


def _each(value: object, field: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InputError(f"{field} must be a list", field=field)
    return tuple(read(one, f"{field}[{n}]") for n, one in enumerate(cast("Sequence[object]", value)))


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{field} must be a number", field=field)
    return float(value)


def _whole(value: object, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{field} must be a whole number", field=field)
    return value


def _pair(value: object, field: str) -> tuple[int, int]:
    pair = _each(value, field, _whole)
    if len(pair) != 2:
        raise InputError(f"{field} must be a pair [layer, head]", field=field)
    return pair[0], pair[1]


def _neuron(value: object, field: str) -> NeuronScale:
    table = _table(value, field, ("layer", "neuron", "scale"))
    layer, neuron = (_whole(table.get(name), f"{field}.{name}") for name in ("layer", "neuron"))
    return NeuronScale(layer, neuron, _number(table.get("scale", 0.0), f"{field}.scale"))


def _edit(value: object, field: str) -> UnitEdit:
    table = _table(value, field, ("kind", "number", "text"))
    kinds = [kind.value for kind in UnitKind]
    if table.get("kind") not in kinds:
        raise InputError(f"{field}.kind must be one of {', '.join(kinds)}", field=f"{field}.kind")
    text = table.get("text", "")
    if not isinstance(text, str):
        raise InputError(f"{field}.text must be text", field=f"{field}.text")
    return UnitEdit(UnitKind(str(table["kind"])), _whole(table.get("number"), f"{field}.number"), text)
