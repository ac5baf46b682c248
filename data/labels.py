"""Labels: what has to be changed, as the fewest whole lines, from two versions of one text.

Owns the line difference. Knows nothing of mutations, models or formats. `repair.views.hunks_patch` of the
result on the buggy text gives the fixed text, always.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from repair.errors import PatchError
from repair.views import Hunk

_EXACT = 40_000  # largest product of line counts for which the true longest common subsequence is computed

Block = tuple[int, int, int, int]  # buggy lines a..b become fixed lines c..d (0-based, half-open)


def _common(left: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    """Lengths of the common beginning and of the common end (which do not overlap)."""
    most = min(len(left), len(right))
    head = 0
    while head < most and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < most - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    return head, tail


def _lengths(left: Sequence[str], right: Sequence[str]) -> list[list[int]]:
    """Length of the longest common subsequence of `left[i:]` and `right[j:]` for all i, j."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        row, below = table[i], table[i + 1]
        for j in range(len(right) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if left[i] == right[j] else max(below[j], row[j + 1])
    return table


def _matches(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of lines that stay, by the longest common subsequence (by `difflib` where that would cost too much)."""
    if len(left) * len(right) > _EXACT:
        for match in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
            yield from ((match.a + n, match.b + n) for n in range(match.size))
        return
    table = _lengths(left, right)
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            yield i, j
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1


def _blocks(left: Sequence[str], right: Sequence[str]) -> Iterator[Block]:
    head, tail = _common(left, right)
    a, c = head, head
    middle = _matches(left[head : len(left) - tail], right[head : len(right) - tail])
    for b, d in (*((head + i, head + j) for i, j in middle), (len(left) - tail, len(right) - tail)):
        if a < b or c < d:
            yield a, b, c, d
        a, c = b + 1, d + 1


def _readable(block: Block, fixed: Sequence[str], ends: bool) -> bool:
    """Whether a hunk can say it: an empty text means deletion, and a deleted last line would leave its newline."""
    a, _, c, d = block
    if fixed[c:d] == [""]:
        return False
    return c < d or ends or a == 0


def _widened(blocks: Sequence[Block], buggy: Sequence[str], fixed: Sequence[str], newline: bool) -> list[Block]:
    """Blocks that hunks can say, merged where widening makes them touch."""
    result: list[Block] = []
    for block in blocks:
        a, b, c, d = block
        while not _readable((a, b, c, d), fixed, newline or b < len(buggy)):
            if a > 0:
                a, c = a - 1, c - 1
            elif b < len(buggy):
                b, d = b + 1, d + 1
            else:
                raise PatchError("a text of one empty line cannot be said in hunks", field="hunk")
        while result and a <= result[-1][1]:  # it ran into the one before, which it now contains
            before = result.pop()
            a, c = min(a, before[0]), min(c, before[2])
        result.append((a, b, c, d))
    return result


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def hunks_of(buggy: str, fixed: str) -> tuple[Hunk, ...]:
    """The fewest changed lines that lead from `buggy` to `fixed`, as hunks in order; none for equal texts.

    Raises PatchError when the texts differ in their final newline (hunks are about whole lines).
    """
    if buggy == fixed:
        return ()
    if buggy.endswith("\n") != fixed.endswith("\n") or not buggy or not fixed:
        raise PatchError("the two texts differ in their final newline", field="hunk")
    left, right = _lines(buggy), _lines(fixed)
    blocks = _widened(list(_blocks(left, right)), left, right, buggy.endswith("\n"))
    return tuple(Hunk(a + 1, b, "\n".join(right[c:d])) for a, b, c, d in blocks)
