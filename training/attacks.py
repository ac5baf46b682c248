"""Meaning-preserving variants of training examples, and the choice of the one that a model finds hardest.

Owns how variants are drawn (the same for the same seed, epoch and record) and the choice. What keeps a program's
meaning is decided in `data.augment`. Must not know tokens, models or batches: losses come from a function.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from data.augment import TRANSFORMATIONS, augmented
from data.mutants import Example as Pair
from data.records import Record, example
from repair.errors import PatchError
from training.batches import Example

# Tests may name a function's parameters, and a record does not hold all of them: the meaning would change.
ATTACKS = tuple(one for one in TRANSFORMATIONS if one.name != "rename-parameters")


def attacked(record: Record, how_many: int, *, seed: int, epoch: int = 0) -> Iterator[Pair]:
    """Up to `how_many` different ways to write a record's program, with the same fault and the same repair.

    Other ones in each epoch. Fewer, or none, where the program leaves no choice.
    """
    draw = random.Random(f"{seed}:{epoch}:{record.id}")
    for variant in augmented(record, draw, how_many, ATTACKS):
        try:
            yield example(variant)
        except PatchError:
            continue  # the difference cannot be said in whole lines any more


Losses = Callable[[Sequence[Example]], NDArray[np.floating]]


def hardest(groups: Sequence[Sequence[Example]], losses: Losses) -> list[Example]:
    """Of each group the example with the highest loss; the first of equal ones, so that a tie keeps the original.

    `losses` gives the loss of each example in nats per target token, (examples,); it is called once, with all
    examples of groups that leave a choice. Losses that are no number never win.
    """
    open_groups = [group for group in groups if len(group) > 1]
    every = [one for group in open_groups for one in group]
    found = np.nan_to_num(np.asarray(losses(every), np.float64), nan=-np.inf) if every else np.zeros(0)
    if len(found) != len(every):
        raise ValueError(f"{len(found)} losses of {len(every)} examples")
    starts = np.cumsum([0, *(len(group) for group in open_groups)])
    winners = iter(
        group[int(found[start : start + len(group)].argmax())]
        for start, group in zip(starts, open_groups, strict=False)
    )
    return [next(winners) if len(group) > 1 else group[0] for group in groups]
