"""Recipes as text: TOML and `key=value` overrides, read strictly into the plans of `data.plans`.

An unknown key names the nearest known one, a wrong type the field, what it wants and the line where that can be
told. Owns reading; knows of the plans only their fields' names and types.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union, cast, get_args, get_origin, get_type_hints

from data.plans import KINDS, CorpusPlan, Plan
from repair.errors import InputError

if TYPE_CHECKING:
    from typing import Any

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\-\"]+)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([\w\-\"]+(?:\s*\.\s*[\w\-\"]+)*)\s*=")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands: its dotted path, and the text to look for its line in."""

    file: str
    text: str
    path: tuple[str, ...] = ()

    def below(self, key: str | int) -> _Place:
        return _Place(self.file, self.text, (*self.path, str(key)))

    def error(self, message: str) -> InputError:
        line = _line_of(self.text, self.path)
        where = f"{self.file}:{line}" if line else self.file
        return InputError(f"{where}: {message}", field=".".join(self.path))


def _line_of(text: str, path: Sequence[str]) -> int:
    """The 1-based line on which a key is set, 0 where that cannot be told (inline tables, overrides)."""
    counts: dict[str, int] = {}
    table: list[str] = []
    best = 0
    for number, line in enumerate(text.split("\n"), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            name = header[2].replace('"', "")
            table = name.split(".")
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = [*table, str(counts[name])]
            found = table
        elif key:
            found = [*table, *(part.strip(' "') for part in key[1].split("."))]
        else:
            continue
        if found == list(path):
            return number
        if found == list(path)[:-1] and header:
            best = number  # of the table that lacks the key
    return best


def _override(values: dict[str, Any], assignment: str) -> None:
    """Set `a.b.0.c=VALUE`; the value as TOML, else as text."""
    dotted, equals, text = assignment.partition("=")
    if not equals or not dotted.strip():
        raise InputError(f"{assignment!r}: overrides are written key=value", field="overrides")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = dotted.strip().split(".")
    at: Any = values
    for key in parents:
        at = _inner(at, key, dotted)
    if isinstance(at, list):
        raise InputError(f"{dotted}: a list's entry cannot be set as a whole", field=dotted)
    at[last] = value


def _inner(at: Any, key: str, dotted: str) -> Any:  # noqa: ANN401 - TOML values
    if isinstance(at, list):
        if not key.isdigit() or int(key) >= len(at):
            raise InputError(f"{dotted}: there is no entry {key} (there are {len(at)}, from 0)", field=dotted)
        at = at[int(key)]
    else:
        at = at.setdefault(key, {})
    if not isinstance(at, dict | list):
        raise InputError(f"{dotted}: {key} is a value, not a table", field=dotted)
    return at


def _nearest(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


def _choose(value: object, place: _Place, kinds: Sequence[type], default: str = "") -> tuple[type, dict[str, Any]]:
    """The class that a table's `kind` names, and the rest of the table."""
    if not isinstance(value, dict):
        raise place.error(f"{place.path[-1]} must be a table")
    rest = cast("dict[str, Any]", dict(value))
    kind = rest.pop("kind", default)
    named = {str(getattr(one, "kind", "")): one for one in kinds}
    if kind not in named:
        said = "kind is missing" if kind == "" else f"there is no kind {kind!r}"
        raise place.below("kind").error(f"{said}; {_nearest(str(kind), list(named))}")
    return named[kind], rest


def _table(kind: type, value: object, place: _Place) -> Any:  # noqa: ANN401 - an instance of `kind`
    if not isinstance(value, dict):
        raise place.error(f"{'.'.join(place.path)} must be a table")
    hints = get_type_hints(kind)
    known = {one.name: one for one in fields(kind)}
    given = cast("dict[str, object]", value)
    for key in given:
        if key not in known:
            raise place.below(key).error(f"unknown key {key!r}; {_nearest(key, list(known))}")
    for name, one in known.items():
        if name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise place.below(name).error(f"{'.'.join((*place.path, name))} is missing")
    made = {key: _value(hints[key], item, place.below(key)) for key, item in given.items()}
    try:
        return kind(**made)
    except InputError as error:
        raise place.below(error.field).error(str(error)) from error


def _value(hint: Any, value: object, place: _Place) -> Any:  # noqa: ANN401 - whatever the field holds
    if is_dataclass(hint):
        return _table(cast("type", hint), value, place)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if not isinstance(value, list):
            raise place.error(f"{'.'.join(place.path)} must be a list, it is {_shown(value)}")
        return tuple(_value(inner, item, place.below(n)) for n, item in enumerate(cast("list[object]", value)))
    if get_origin(hint) in (Union, types.UnionType):
        kind, rest = _choose(value, place, KINDS)
        return _table(kind, rest, place)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise place.error(f"{'.'.join(place.path)} must be {_WORDS[hint]}, it is {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def read_plan(path: Path, overrides: Sequence[str] = ()) -> Plan | CorpusPlan:
    """The plan of a recipe file with `key=value` overrides (dotted keys, list entries by number).

    Raises InputError: no such file, no TOML, unknown key, wrong type, a value that cannot be.
    """
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", field="recipe") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML ({error})", field="recipe") from error
    for assignment in overrides:
        _override(values, assignment)
    place = _Place(str(path), text)
    kind, rest = _choose(values, place, (Plan, CorpusPlan), Plan.kind)
    return cast("Plan | CorpusPlan", _table(kind, rest, place))
