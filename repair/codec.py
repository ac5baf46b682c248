"""Domain values as versioned JSON and back: `{"version": 1, "kind": "RepairRequest", "value": {...}}`.

The shape follows the dataclasses: an object per value, a list per tuple, `"kind"` where a field may hold one of
several classes (Evidence), strings "NaN", "Infinity", "-Infinity" for floats that JSON lacks. Fields with a default
may be absent; unknown fields are refused. Knows nothing of HTTP (`serve.wire` has its own models) nor of disks.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from repair.candidates import Candidate, Completion
from repair.defects import Budget, Defect, Diagnostic, FailingTest, Frame, Location, RepairRequest, Report, Traceback
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError
from repair.sources import Source
from repair.verdicts import Cost, Judgement, Observation, RepairResult, Suspect, TestResult

VERSION = 1
KINDS: Mapping[str, type[object]] = {
    kind.__name__: kind
    for kind in (
        Budget, Candidate, Completion, Cost, Defect, Diagnostic, Edit, FailingTest, FilePatch, Frame, Judgement,
        Location, Observation, Patch, RepairRequest, RepairResult, Report, Source, Span, Suspect, TestResult, Traceback,
    )
}  # fmt: skip

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
_T = TypeVar("_T")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NAMES: Mapping[type[object], str] = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}


def dumps(value: object) -> str:
    """One line of JSON with its envelope. Raises InputError for a value of no known kind."""
    if type(value).__name__ not in KINDS or KINDS[type(value).__name__] is not type(value):
        raise InputError(f"a {type(value).__name__} is no value that is stored", field="kind")
    envelope = {"version": VERSION, "kind": type(value).__name__, "value": to_json(value)}
    return json.dumps(envelope, allow_nan=False, separators=(",", ":"))


def loads(text: str | bytes, expected: type[_T]) -> _T:
    """The value in an envelope. Raises InputError: no JSON, another version or kind, a field that does not fit."""
    try:
        envelope: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", field="") from error
    if not isinstance(envelope, dict):
        raise InputError("not an object with version, kind and value", field="")
    known = cast("dict[str, object]", envelope)
    if type(version := known.get("version")) is not int or version != VERSION:
        raise InputError(f"version is {version!r}; this Emend reads version {VERSION}", field="version")
    if known.get("kind") != expected.__name__:
        raise InputError(f"kind is {known.get('kind')!r}, expected {expected.__name__!r}", field="kind")
    if "value" not in known:
        raise InputError("value is missing", field="value")
    return _read_instance(expected, known["value"], "value")


def to_json(value: object) -> dict[str, Json]:
    """The plain JSON object of one domain value, without envelope."""
    return {f.name: _plain(getattr(value, f.name), _hints(type(value))[f.name]) for f in _stored(type(value))}


def from_json(expected: type[_T], json_object: object) -> _T:
    """The value of class `expected` that `to_json` made. Raises InputError whose `field` is the path within it."""
    return _read_instance(expected, json_object, "")


@lru_cache(maxsize=64)
def _hints(kind: type[object]) -> dict[str, object]:
    return get_type_hints(kind)


@lru_cache(maxsize=64)
def _stored(kind: type[object]) -> tuple[Field[Any], ...]:
    """Fields that the constructor takes; what it derives is not stored."""
    if not is_dataclass(kind):
        raise InputError(f"a {kind.__name__} is no value that is stored", field="kind")
    return tuple(f for f in fields(kind) if f.init)


def _choices(hint: object) -> tuple[object, ...]:
    """The alternatives of a union, a lone type as its only one."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_tagged(hint: object) -> bool:
    """Whether a field may hold one of several classes, so that the object must say which."""
    return sum(is_dataclass(choice) for choice in _choices(hint)) > 1


def _plain(value: object, hint: object) -> Json:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return [_plain(one, get_args(hint)[0]) for one in cast("tuple[object, ...]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return next(name for name, special in _SPECIAL.items() if str(special) == str(value))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    tag: dict[str, Json] = {"kind": type(value).__name__} if _is_tagged(hint) else {}
    return tag | to_json(value)


def _fail(path: str, message: str) -> InputError:
    return InputError(f"{path or 'value'}: {message}", field=path)


def _read_instance(kind: type[_T], given: object, path: str) -> _T:
    """An instance of a dataclass from a JSON object."""
    if not isinstance(given, dict):
        raise _fail(path, f"expected an object, a {kind.__name__}")
    known = cast("dict[str, object]", given)
    stored = _stored(kind)
    for name in known.keys() - {f.name for f in stored}:
        raise _fail(_below(path, name), f"a {kind.__name__} has no such field")
    values: dict[str, Any] = {}
    for one in stored:
        if one.name in known:
            values[one.name] = _read(_hints(kind)[one.name], known[one.name], _below(path, one.name))
        elif one.default is MISSING and one.default_factory is MISSING:
            raise _fail(_below(path, one.name), "is missing")
    try:
        return kind(**values)
    except InputError as error:  # the value's own rules
        raise _fail(_below(path, error.field) if error.field in values else path, str(error)) from error


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _read(hint: object, given: object, path: str) -> object:
    choices = _choices(hint)
    if given is None and type(None) in choices:
        return None
    if _is_tagged(hint):
        return _read_tagged(choices, given, path)
    wanted = cast("type[object]", next(choice for choice in choices if choice is not type(None)))
    if get_origin(wanted) is tuple:
        if not isinstance(given, list):
            raise _fail(path, "expected a list")
        item = get_args(wanted)[0]
        return tuple(_read(item, one, f"{path}[{number}]") for number, one in enumerate(cast("list[object]", given)))
    if is_dataclass(wanted):
        return _read_instance(wanted, given, path)
    if issubclass(wanted, Enum):
        return _read_choice(wanted, given, path)
    return _read_scalar(wanted, given, path)


def _read_tagged(choices: tuple[object, ...], given: object, path: str) -> object:
    named = {kind.__name__: kind for kind in cast("tuple[type[object], ...]", choices) if is_dataclass(kind)}
    if not isinstance(given, dict):
        raise _fail(path, f"expected an object of kind {', '.join(named)}")
    known = cast("dict[str, object]", given)
    kind = known.get("kind")
    if not isinstance(kind, str) or kind not in named:
        raise _fail(_below(path, "kind"), f"is {kind!r}, expected one of {', '.join(named)}")
    return _read_instance(named[kind], {key: value for key, value in known.items() if key != "kind"}, path)


def _read_choice(wanted: type[Enum], given: object, path: str) -> Enum:
    try:
        return wanted(given)
    except ValueError as error:
        raise _fail(path, f"is {given!r}, expected one of {', '.join(str(e.value) for e in wanted)}") from error


def _read_scalar(wanted: type[object], given: object, path: str) -> object:
    """JSON has one kind of number and Python's bool is an int: both are told apart here."""
    if wanted is float and isinstance(given, str) and given in _SPECIAL:
        return _SPECIAL[given]
    if wanted is float and type(given) is int:
        try:
            return float(given)
        except OverflowError as error:
            raise _fail(path, "is too large a number") from error
    if type(given) is not wanted:
        raise _fail(path, f"expected {_NAMES.get(wanted, wanted.__name__)}")
    return given
