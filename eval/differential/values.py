"""Values of programs as JSON with tags, as the drivers in `inside/` write and read them.

Inputs become Python values (`decode`, `encode`), answers stay as they are and are compared by `alike`. Tags:
`t` tuple, `s` set, `d` dict or Map, `m` plain object, `i` big integer, `f` not a finite number, `b` bytes,
`u` undefined, `r` the result of an earlier step, `x` anything else by name; in answers also `o` an instance,
`q` deque, `g` iterator, `n` nothing returned (changed arguments, printed text), `e` error's name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

Json = object
"""What `json.loads` makes."""
RELATIVE, ABSOLUTE = 1e-6, 1e-9


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of step `step`."""

    step: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that is passed on as it is and never varied (`undefined`, big integers, not-a-number)."""

    tagged: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """A dict (Python) or plain object (JavaScript, `plain`); keys in order."""

    items: tuple[tuple[object, object], ...]
    plain: bool


class Unrepeatable(Exception):
    """A value that cannot be made again from its record (a function, an open file)."""


def listed(value: object) -> list[object]:
    """A JSON array."""
    return cast("list[object]", value)


def tagged(value: Mapping[str, object]) -> tuple[str, object]:
    """The only item of a tagged value."""
    ((tag, inner),) = value.items()
    return tag, inner


def decode(value: Json) -> object:  # noqa: PLR0911  (one a tag)
    """A recorded argument as a Python value. Raises Unrepeatable."""
    if isinstance(value, list):
        return [decode(item) for item in listed(value)]
    if not isinstance(value, dict):
        return value
    tag, inner = tagged(cast("dict[str, object]", value))
    if tag == "r":
        return Ref(cast("int", inner))
    if tag == "t":
        return tuple(decode(item) for item in listed(inner))
    if tag == "s":
        try:
            return frozenset(decode(item) for item in listed(inner))
        except TypeError as error:  # JavaScript's sets hold arrays, too
            raise Unrepeatable(tag) from error
    if tag in ("d", "m"):
        pairs = [listed(pair) for pair in listed(inner)]
        return Pairs(tuple((decode(key), decode(held)) for key, held in pairs), tag == "m")
    if tag in ("i", "f", "b", "u"):
        return Fixed(json.dumps(value))
    raise Unrepeatable(tag)


def encode(value: object) -> Json:  # noqa: PLR0911  (one a tag)
    """The inverse of `decode`."""
    match value:
        case Ref(step):
            return {"r": step}
        case Fixed(text):
            return json.loads(text)
        case Pairs(items, plain):
            return {"m" if plain else "d": [[encode(k), encode(v)] for k, v in items]}
        case list():
            return [encode(item) for item in listed(value)]
        case tuple():
            return {"t": [encode(item) for item in cast("tuple[object, ...]", value)]}
        case frozenset():
            items = [encode(item) for item in cast("frozenset[object]", value)]
            return {"s": sorted(items, key=json.dumps)}
        case int() if not isinstance(value, bool) and abs(value) >= 2**53:
            return {"i": hex(value)}
        case _:
            return value


def alike(left: Json, right: Json, *, strict: bool = False) -> bool:  # noqa: PLR0911  (one a type)
    """Whether two answers are the same: floats by tolerance, dicts and sets whatever their order.

    As in Python `True == 1 == 1.0`; with `strict` (JavaScript) a boolean equals a boolean only.
    """
    if isinstance(left, bool | int | float) and isinstance(right, bool | int | float):
        if strict and isinstance(left, bool) != isinstance(right, bool):
            return False
        if isinstance(left, int) and isinstance(right, int):
            return left == right
        return math.isclose(left, right, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(left, list) and isinstance(right, list):
        one, other = listed(left), listed(right)
        return len(one) == len(other) and all(alike(a, b, strict=strict) for a, b in zip(one, other, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        (tag, one), (other_tag, other) = (
            tagged(cast("dict[str, object]", left)),
            tagged(cast("dict[str, object]", right)),
        )
        if tag != other_tag:
            return False
        return _same_items(listed(one), listed(other), strict) if tag in "dsm" else alike(one, other, strict=strict)
    return type(left) is type(right) and left == right


def _same_items(left: list[object], right: list[object], strict: bool) -> bool:
    if len(left) != len(right):
        return False
    by_text = sorted(left, key=json.dumps), sorted(right, key=json.dumps)
    if alike(*by_text, strict=strict):
        return True
    rest = list(right)  # nearly equal floats, 1 and True, sort differently
    for item in left:
        at = next((i for i, other in enumerate(rest) if alike(item, other, strict=strict)), None)
        if at is None:
            return False
        del rest[at]
    return True


def shown(value: Json, language: str) -> str:
    """A tagged value as its language would write it, for people."""
    if isinstance(value, list):
        return f"[{', '.join(shown(item, language) for item in listed(value))}]"
    if isinstance(value, dict):
        return _shown_tagged(*tagged(cast("dict[str, object]", value)), language)
    if language == "python":
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _shown_tagged(tag: str, inner: object, language: str) -> str:  # noqa: C901, PLR0911  (one a tag)
    def each(items: object) -> list[str]:
        return [shown(item, language) for item in listed(items)]

    def pairs(items: object) -> str:
        return ", ".join(f"{key}: {held}" for key, held in (each(pair) for pair in listed(items)))

    match tag:
        case "t":
            return f"({', '.join(each(inner))}{',' * (len(listed(inner)) == 1)})"
        case "s":
            return f"{{{', '.join(each(inner))}}}" if inner else "set()"
        case "d" | "m":
            return f"{{{pairs(inner)}}}"
        case "o":
            name, attributes = listed(inner)
            return f"<{name} {pairs(attributes)}>"
        case "n":
            changed, printed = listed(inner)
            told = [f"arguments {shown(changed, language)}"] * bool(changed) + [f"printed {printed!r}"] * bool(printed)
            return " and ".join(["nothing", *told])
        case "r":
            return f"v{inner}"
        case "e":
            return f"raises {inner}"
        case "u":
            return "undefined"
        case "q" | "g":
            return shown(inner, language)
        case "x":
            return f"<{' '.join(str(part) for part in listed(inner))}>"
        case _:
            return str(inner)
