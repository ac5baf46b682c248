"""Alignment of two rows: what stays by the longest common subsequence, and the runs between.

Owns the arithmetic over positions. Must not know what the entries are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

_MOST_PAIRS = 40_000  # largest table that is filled


def _common(left: Sequence[int], right: Sequence[int]) -> tuple[int, int]:
    most, head, tail = min(len(left), len(right)), 0, 0
    while head < most and left[head] == right[head]:
        head += 1
    while tail < most - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    return head, tail


def matches(rows: int, columns: int, same: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    """Pairs (row, column) that are the same, by the longest common subsequence; none where that would cost too much."""
    if rows * columns > _MOST_PAIRS:
        return []
    alike = [[same(i, j) for j in range(columns)] for i in range(rows)]
    table = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            table[i][j] = max(table[i + 1][j], table[i][j + 1], table[i + 1][j + 1] + 1 if alike[i][j] else 0)
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < rows and j < columns:
        if alike[i][j] and table[i][j] == table[i + 1][j + 1] + 1:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def between(pairs: Iterable[tuple[int, int]], rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """The runs that matched pairs leave between them."""
    i = j = 0
    for a, b in (*pairs, (rows, columns)):
        if a > i or b > j:
            yield slice(i, a), slice(j, b)
        i, j = a + 1, b + 1


def gaps(left: Sequence[int], right: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Runs that differ; children in another order are one run."""
    head, tail = _common(left, right)
    one, two = left[head : len(left) - tail], right[head : len(right) - tail]
    reordered = sorted(one) == sorted(two)
    found = [] if reordered else matches(len(one), len(two), lambda i, j: one[i] == two[j])
    for a, b in between(found, len(one), len(two)):
        yield slice(head + a.start, head + a.stop), slice(head + b.start, head + b.stop)
