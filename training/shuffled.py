"""The negative control: the answer of each faulty example comes from another one. Nothing can be learned from it.

Owns whose answer goes where, and how it is moved to a valid place. A gate must refuse what is trained on these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.mutants import Example as Pair
from repair.errors import InputError
from repair.replies import Change, changes_nothing, check_hunks
from repair.views import Hunk, View

_TRIES = 8  # examples asked for an answer before one is made from the first


def shuffled_answers(
    numbers: NDArray[np.int64], pair: Callable[[int], Pair], seed: int
) -> Callable[[int], tuple[Hunk, ...]]:
    """A function from the number of a faulty example to hunks that are another one's, in its own view.

    All examples stand in a circle of random order and each takes the answer of the next: nobody keeps its own, and
    each answer is taken once (but for those that would happen to be right, which the one after next replaces).
    Raises InputError when there are fewer than two.
    """
    if len(numbers) < 2:
        raise InputError("data.control: there are no two faulty examples to exchange answers", field="data.control")
    circle = np.random.default_rng((seed, 3)).permutation(numbers)
    place = {int(number): at for at, number in enumerate(circle)}

    def answer(number: int) -> tuple[Hunk, ...]:
        own, draw = pair(number), np.random.default_rng((seed, 4, number))
        for step in range(1, min(_TRIES, len(circle) - 1) + 1):
            other = pair(int(circle[(place[number] + step) % len(circle)]))
            found = moved(other.hunks, own, draw)
            if found:
                return found
        line = own.view.first_line + int(draw.integers(len(own.view.lines)))
        return (Hunk(line, line, f"{own.view.lines[line - own.view.first_line]} "),)  # all others say the same

    return answer


def moved(hunks: Sequence[Hunk], own: Pair, draw: np.random.Generator) -> tuple[Hunk, ...]:
    """Another example's hunks from a random line of `own.view` on, those that lie in it; () where none is wrong."""
    view = own.view
    for first in draw.permutation(len(view.lines)):
        shift = view.first_line + int(first) - hunks[0].first
        placed = tuple(h for hunk in hunks if (h := _within(hunk, shift, view)) is not None)
        reply = check_hunks(placed, view)
        if isinstance(reply, Change) and placed != own.hunks and not changes_nothing(placed, view):
            return placed
    return ()


def _within(hunk: Hunk, shift: int, view: View) -> Hunk | None:
    first, last = hunk.first + shift, hunk.last + shift
    if first > view.last_line:
        return None
    return Hunk(first, last if hunk.inserts else min(last, view.last_line), hunk.text)
