"""Likely preconditions between the values of one call: relations that hold in every call seen.

After Daikon (Ernst et al. 2001, "Dynamically discovering likely program invariants"): a fixed list of relations,
of which those are kept that no call of the tests breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import cast

from eval.differential.values import Pairs, listed

Values = tuple[object, ...]
Relation = Callable[[Values], bool | None]
"""Whether a call's values stand in the relation; None where it says nothing of them."""


def _size(value: object) -> int | None:
    match value:
        case str() | list() | tuple() | frozenset():
            return len(cast("Sequence[object]", value))
        case Pairs(items):
            return len(items)
        case _:
            return None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _compared(
    one: Callable[[object], float | None], other: Callable[[object], float | None], i: int, j: int, *, below: bool
) -> Relation:
    def holds(values: Values) -> bool | None:
        left, right = one(values[i]), other(values[j])
        if left is None or right is None:
            return None
        return left < right if below else left <= right

    return holds


def _same_size(i: int, j: int) -> Relation:
    def holds(values: Values) -> bool | None:
        left, right = _size(values[i]), _size(values[j])
        return None if left is None or right is None else left == right

    return holds


def _member(i: int, j: int) -> Relation:
    def holds(values: Values) -> bool | None:
        inside = values[j]
        if isinstance(inside, str):
            wanted = values[i]
            return wanted in inside if isinstance(wanted, str) else None
        if isinstance(inside, Pairs):
            return values[i] in [key for key, _ in inside.items]
        return values[i] in cast("Sequence[object]", inside) if isinstance(inside, list | tuple | frozenset) else None

    return holds


def _rows(value: object) -> list[list[object]] | None:
    """The rows of a list of lists."""
    if not isinstance(value, list) or not value or not all(isinstance(row, list) for row in listed(value)):
        return None
    return [listed(row) for row in listed(value)]


def _rectangular(i: int) -> Relation:
    def holds(values: Values) -> bool | None:
        rows = _rows(values[i])
        return None if rows is None or len(rows) < 2 else len({len(row) for row in rows}) == 1

    return holds


def _square(i: int) -> Relation:
    def holds(values: Values) -> bool | None:
        rows = _rows(values[i])
        return None if rows is None else all(len(row) == len(rows) for row in rows)

    return holds


def _ordered_rows(i: int) -> Relation:
    """Rows such as intervals `[from, to]`."""

    def holds(values: Values) -> bool | None:
        rows = _rows(values[i])
        if rows is None or any(len(row) != 2 or None in map(_number, row) for row in rows):
            return None
        return all(cast("float", row[0]) <= cast("float", row[1]) for row in rows)

    return holds


def _indices(i: int) -> Relation:
    """Integers, perhaps in rows, that all are indices into the list itself: graphs, permutations."""

    def holds(values: Values) -> bool | None:
        rows = _rows(values[i])
        items = [item for row in rows for item in row] if rows else values[i]
        size = _size(values[i])
        if not isinstance(items, list) or not items or not size:
            return None
        return all(isinstance(item, int) and 0 <= item < size for item in listed(items))

    return holds


def _one_kind(i: int) -> Relation:
    """Elements of one type in each list."""

    def holds(values: Values) -> bool | None:
        items = values[i]
        return len({type(item) for item in listed(items)}) == 1 if isinstance(items, list) and items else None

    return holds


def _relations(count: int) -> Iterator[Relation]:
    for i in range(count):
        yield from (_rectangular(i), _square(i), _ordered_rows(i), _indices(i), _one_kind(i))
    for i, j in permutations(range(count), 2):
        yield from (_same_size(i, j), _member(i, j))
        for one, other in ((_number, _number), (_number, _size)):
            yield _compared(one, other, i, j, below=False)
            yield _compared(one, other, i, j, below=True)


def relations_of(calls: Sequence[Values]) -> tuple[Relation, ...]:
    """The relations that no call breaks and at least two calls (or the only one) show."""
    kept: list[Relation] = []
    for relation in _relations(len(calls[0])):
        seen = [relation(values) for values in calls]
        told = [holds for holds in seen if holds is not None]
        if all(told) and len(told) >= min(2, len(calls)) and told:
            kept.append(relation)
    return tuple(kept)


def cut_to_fit(values: Values, seen: Sequence[Values]) -> Values:
    """`values` with those cut short that always were as long as another, and rows made equally long."""
    fitted = list(values)
    for i, j in permutations(range(len(fitted)), 2):
        size = _size(fitted[j])
        one = fitted[i]
        if size is not None and isinstance(one, list | str | tuple) and relations_hold((_same_size(i, j),), seen):
            fitted[i] = one[:size]
    for i, value in enumerate(fitted):
        rows = _rows(value)
        if rows is not None and relations_hold((_rectangular(i),), seen):
            length = min(len(row) for row in rows)
            length = min(length, len(rows)) if relations_hold((_square(i),), seen) else length
            rows = rows[:length] if relations_hold((_square(i),), seen) else rows
            fitted[i] = [row[:length] for row in rows]
    return tuple(fitted)


def relations_hold(relations: Sequence[Relation], calls: Sequence[Values]) -> bool:
    """Whether no call breaks any of the relations."""
    return all(relation(values) is not False for values in calls for relation in relations)
