"""Shapes of values: what the values seen at one place have in common, and new values of the same kind.

What was seen is taken for the contract: an integer seen only as >= 0 stays so, a list seen only sorted stays
sorted, a text keeps to its alphabet. Draws come from a seeded `random.Random` and nothing else: Hypothesis, which
would be at home here, mixes in constants of whatever modules are loaded, so its inputs differ between processes.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from random import Random
from typing import Protocol, cast

from eval.differential.values import Pairs

MAX_LENGTH = 40
LARGEST = 2**53 - 1
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_FEW = 3  # so many different characters or fewer are an alphabet of their own


class Shape(Protocol):
    """What values at one place look like."""

    def draw(self, random: Random) -> object:
        """A value of this shape."""
        ...

    def admits(self, value: object) -> bool:
        """Whether a value has this shape."""
        ...


@dataclass(frozen=True, slots=True)
class Exactly:
    """One of the values seen: texts of a small vocabulary, booleans, None, what cannot be varied."""

    values: tuple[object, ...]

    def draw(self, random: Random) -> object:
        """One of these."""
        return random.choice(self.values)

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        return any(type(value) is type(seen) and value == seen for seen in self.values)


@dataclass(frozen=True, slots=True)
class Number:
    """Numbers between bounds; with `digits` behind the point, None for integers."""

    low: float
    high: float
    seen: tuple[float, ...]
    digits: int | None = None

    def draw(self, random: Random) -> object:
        """One of these."""
        near = random.random()
        if near < 0.4:
            value = random.choice(self.seen) + random.choice((-2, -1, 0, 1, 2))
        elif near < 0.6:
            value = random.uniform(self.low, min(self.high, self.low + 10))
        else:
            value = random.uniform(self.low, self.high)
        value = min(max(value, self.low), self.high)
        return round(value) if self.digits is None else round(float(value), self.digits)

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        kind = int if self.digits is None else float
        return type(value) is kind and self.low <= cast("float", value) <= self.high


@dataclass(frozen=True, slots=True)
class Text:
    """Texts over an alphabet; with `patterns` only such as have one of these patterns (`pattern_of`)."""

    alphabet: str
    shortest: int
    longest: int
    seen: tuple[str, ...]
    patterns: frozenset[str] = frozenset()

    def draw(self, random: Random) -> object:
        """One of these."""
        if self.patterns or random.random() < 0.3:
            return "".join(self._other(c, random) for c in random.choice(self.seen))
        few = random.sample(self.alphabet, k=min(len(self.alphabet), random.choice((2, 3, 99))))
        return "".join(random.choices(few, k=random.randint(self.shortest, self.longest)))

    def _other(self, character: str, random: Random) -> str:
        if random.random() < 0.6:
            return character
        return random.choice(next((c for c in _CLASSES if character in c), character))

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        if not isinstance(value, str) or not self.shortest <= len(value) <= self.longest:
            return False
        if self.patterns:
            return pattern_of(value) in self.patterns
        return all(c in self.alphabet for c in value)


def _ascends(values: Sequence[object]) -> bool:
    try:
        return all(a <= b for a, b in pairwise(cast("Sequence[float]", values)))
    except TypeError:
        return False


@dataclass(frozen=True, slots=True)
class Many:
    """Lists, tuples or sets of any length between bounds; `order` 1 ascending, -1 descending, 0 any."""

    element: Shape
    make: Callable[[Iterable[object]], object]
    shortest: int
    longest: int
    order: int = 0
    distinct: bool = False

    def draw(self, random: Random) -> object:
        """One of these."""
        length = random.randint(self.shortest, self.longest if random.random() < 0.5 else min(self.longest, 5))
        length = max(length, self.shortest)
        items = [self.element.draw(random) for _ in range(length)]
        if items and not self.distinct and random.random() < 0.3:  # repeated elements are worth a look
            items = random.choices(items[:3], k=length)
        if self.distinct:
            items = _different(items)
        if self.order:
            items = sorted(cast("list[float]", items), reverse=self.order < 0)
        return self.make(items)

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        if type(value) is not self.make:
            return False
        items = list(cast("Iterable[object]", value))
        return (
            self.shortest <= len(items) <= self.longest
            and all(self.element.admits(item) for item in items)
            and (not self.order or _ascends(items[:: self.order]))
            and (not self.distinct or len(_different(items)) == len(items))
        )


@dataclass(frozen=True, slots=True)
class Row:
    """Lists or tuples of one length, each place with its own shape."""

    places: tuple[Shape, ...]
    make: Callable[[Iterable[object]], object]

    def draw(self, random: Random) -> object:
        """One of these."""
        return self.make(place.draw(random) for place in self.places)

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        if type(value) is not self.make:
            return False
        items = list(cast("Iterable[object]", value))
        return len(items) == len(self.places) and all(p.admits(v) for p, v in zip(self.places, items, strict=True))


@dataclass(frozen=True, slots=True)
class Table:
    """Dicts; `keys` fixed where all seen had the same, else drawn from `key`."""

    keys: tuple[object, ...] | None
    key: Shape
    held: dict[object, Shape]  # by fixed key, None for any
    shortest: int
    longest: int
    plain: bool

    def draw(self, random: Random) -> object:
        """One of these."""
        if self.keys is not None:
            return Pairs(tuple((key, self.held[key].draw(random)) for key in self.keys), self.plain)
        keys = _different([self.key.draw(random) for _ in range(random.randint(self.shortest, self.longest))])
        return Pairs(tuple((key, self.held[None].draw(random)) for key in keys), self.plain)

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        if not isinstance(value, Pairs) or value.plain is not self.plain:
            return False
        keys = [key for key, _ in value.items]
        if self.keys is not None:
            return tuple(keys) == self.keys and all(self.held[key].admits(held) for key, held in value.items)
        return (
            self.shortest <= len(keys) <= self.longest
            and len(_different(keys)) == len(keys)
            and all(self.key.admits(key) and self.held[None].admits(held) for key, held in value.items)
        )


@dataclass(frozen=True, slots=True)
class Either:
    """Shapes of several kinds, drawn as often as they were seen."""

    shapes: tuple[Shape, ...]
    weights: tuple[int, ...]

    def draw(self, random: Random) -> object:
        """One of these."""
        return random.choices(self.shapes, self.weights)[0].draw(random)

    def admits(self, value: object) -> bool:
        """Whether it is one of these."""
        return any(shape.admits(value) for shape in self.shapes)


def _different(items: Sequence[object]) -> list[object]:
    """Without repetitions; items may be unhashable."""
    return list({repr(item): item for item in items}.values())


def pattern_of(text: str) -> str:
    """Runs of digits as `9`, of letters as `a`, everything else as it is: "2020-01-02" is "9-9-9"."""

    def kind(c: str) -> str:
        return "9" if c.isdigit() else "a" if c.isalpha() else c

    return "".join(key if key in "9a" else "".join(run) for key, run in groupby(text, kind))


def shape_of(values: Sequence[object]) -> Shape:
    """The shape that all `values` (at least one) have."""
    kinds: dict[object, list[object]] = {}
    for value in values:
        kinds.setdefault(_kind(value), []).append(value)
    shapes = tuple(_shape_of_kind(several) for several in kinds.values())
    if len(shapes) == 1:
        return shapes[0]
    return Either(shapes, tuple(len(several) for several in kinds.values()))


def _kind(value: object) -> object:
    return (Pairs, value.plain) if isinstance(value, Pairs) else type(value)


def _shape_of_kind(values: Sequence[object]) -> Shape:  # noqa: PLR0911  (one a type)
    first = values[0]
    if isinstance(first, bool):
        return Exactly((False, True))
    if isinstance(first, int):
        return _number(cast("Sequence[int]", values), None)
    if isinstance(first, float):
        floats = cast("Sequence[float]", values)
        return _number(floats, max(len(repr(v).partition(".")[2]) for v in floats) if max(floats) < 1e15 else 3)
    if isinstance(first, str):
        return _text(cast("Sequence[str]", values))
    if isinstance(first, list | tuple | frozenset):
        return _many(type(first), [list(cast("Iterable[object]", value)) for value in values])
    if isinstance(first, Pairs):
        return _table(cast("Sequence[Pairs]", values))
    return Exactly(tuple(_different(values)))


def _number(values: Sequence[float], digits: int | None) -> Number:
    low, high = min(values), max(values)
    below = 2 * low - 5 if low < 0 else float(low >= 1)
    if digits is not None and 0 < low < 1:
        below = 10.0**-digits
    above = min(max(2 * high, high + 25), LARGEST) if high > 0 else 10
    return Number(below, above, tuple(values), digits)


def _text(values: Sequence[str]) -> Shape:
    seen = tuple(dict.fromkeys(values))
    if len(seen) * 3 <= len(values) and len(values) >= 6:
        return Exactly(seen)  # the same few over and over: a vocabulary
    characters = "".join(sorted(set("".join(seen))))
    longest = min(max(len(v) for v in seen) + 4, max(MAX_LENGTH, *map(len, seen)))
    shortest = int(all(seen))  # an empty text only where one was seen
    if {len(v) for v in seen} == {1}:
        longest = 1
    alphabet = characters
    if len(characters) > _FEW:
        classes = [c for c in _CLASSES if set(c) & set(characters)]
        alphabet = "".join(classes) + "".join(c for c in characters if not any(c in k for k in classes))
    patterns = frozenset(pattern_of(v) for v in seen)
    plain = all(len(p) <= 1 for p in patterns)  # single words or numbers
    formal = "9" in patterns or len(patterns) * 2 <= len(seen)
    strict = formal and (not plain or patterns == frozenset("9"))
    return Text(alphabet, shortest, longest, seen, patterns if strict else frozenset[str]())


def _many(make: type, values: Sequence[list[object]]) -> Shape:
    lengths = {len(value) for value in values}
    elements = [item for value in values for item in value]
    if not elements:
        return Exactly((make([]),))
    length = next(iter(lengths)) if len(lengths) == 1 else 0
    if length and make is not frozenset and (make is tuple or (length <= 4 and len(values) >= 2)):
        return Row(tuple(shape_of([value[at] for value in values]) for at in range(length)), make)
    long = [value for value in values if len(value) > 1]
    order = 1 if long and all(map(_ascends, long)) else -1 if long and all(_ascends(v[::-1]) for v in long) else 0
    distinct = all(len(_different(v)) == len(v) for v in values)
    distinct = distinct and len([v for v in values if len(v) >= 3]) >= 3 and len(elements) >= 12
    longest = max(lengths)
    longest = max(longest, min(2 * longest + 2, MAX_LENGTH))
    return Many(shape_of(elements), make, min(1, *lengths) if len(lengths) > 1 else 1, longest, order, distinct)


def _table(values: Sequence[Pairs]) -> Table:
    keys = {tuple(key for key, _ in value.items) for value in values}
    plain = values[0].plain
    pairs = [pair for value in values for pair in value.items]
    sizes = {len(value.items) for value in values}
    named = len(keys) == 1 and (plain or (len(values) > 1 and all(isinstance(key, str) for key, _ in pairs)))
    if named or not pairs:
        (fixed,) = keys
        held = {key: shape_of([v for k, v in pairs if k == key]) for key in fixed}
        return Table(fixed, Exactly(()), held, len(fixed), len(fixed), plain)
    held_any: dict[object, Shape] = {None: shape_of([held for _, held in pairs])}
    return Table(None, shape_of([key for key, _ in pairs]), held_any, min(1, *sizes, 1), max(sizes) + 3, plain)
