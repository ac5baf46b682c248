"""Search the smallest edit that keeps a program's meaning and makes a model answer otherwise; then make it smaller.

Greedy on what a goal says of a case (log-probability of the right answer, as in "Natural Attack", Yang et al. 2022),
one atomic edit at a time; what was found is minimised by dropping edits, as in delta debugging (Zeller and Hildebrandt
2002). Owns the edits, their size and the search. What is asked of the model and of the tests is a goal handed in.
"""

from __future__ import annotations

import random as chance
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

from data.augment import TRANSFORMATIONS
from eval.faults import size_of_change
from eval.robustness.attacks import rewritten
from eval.suites.rows import Case
from repair.errors import InputError

_ATOMS = {kind.name: replace(kind, most=1) for kind in TRANSFORMATIONS}
EDITS: tuple[str, ...] = tuple(_ATOMS)
"""Names of the edits: all transformations that keep a program's meaning, each made at one place."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Step:
    """One atomic edit: a transformation, and which of its places is drawn."""

    attack: str
    draw: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """What an edit changes of the faulty code: lines removed and added, then tokens removed and added."""

    lines: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Goal:
    """What a search asks. `value`: log-probability of the right answer; `flips`: the answer is wrong now.

    `holds`: the tests say that the case is still the same fault. `looked`: of how many cases a round, lowest value
    first, `flips` is asked; None for all, where asking costs nothing.
    """

    value: Callable[[Case], float]
    flips: Callable[[Case], bool]
    holds: Callable[[Case], bool]
    looked: int | None = None


@dataclass(frozen=True, slots=True)
class SmallestPlan:
    """`queries`: cases that may be valued, of one search. `depth`: edits at most. `draws`: places tried of each."""

    queries: int = 120
    depth: int = 4
    draws: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("queries", "depth", "draws"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed", field=name)


@dataclass(frozen=True, slots=True)
class Smallest:
    """The case that flips, by which edits, and how much they change."""

    steps: tuple[Step, ...]
    case: Case
    size: Size


@dataclass(frozen=True, slots=True)
class Sought:
    """What a search came to: `found` None where no edit flips. `queries`: cases that were valued."""

    found: Smallest | None
    queries: int


def edited(case: Case, steps: tuple[Step, ...], seed: int) -> Case | None:
    """The case after these edits, in their order; None where one finds nothing to change."""
    result: Case | None = case
    for step in steps:
        random = chance.Random(f"{seed}:{case.id}:{step.attack}:{step.draw}")
        result = rewritten(result, _ATOMS[step.attack], random) if result is not None else None
    return result


def size_between(before: str, after: str) -> Size:
    """How much one text differs from another."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    parts = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    tokens = sum((i2 - i1) + (j2 - j1) for tag, i1, i2, j1, j2 in parts if tag != "equal")
    return Size(size_of_change(before, after), tokens)


@dataclass(slots=True)
class _Search:
    """One search: cases that were made and valued already are not again."""

    case: Case
    goal: Goal
    plan: SmallestPlan
    left: int
    seen: set[Case] = field(default_factory=set[Case])

    def round(self, current: Smallest) -> list[tuple[float, Smallest]]:
        """The cases that one more edit makes, lowest value first; as many as may still be valued."""
        found: list[tuple[float, Smallest]] = []
        for step in self._steps(current):
            if self.left < 1:
                break
            made = edited(current.case, (step,), self.plan.seed)
            if made is None or made in self.seen:
                continue
            self.seen.add(made)
            self.left -= 1
            size = size_between(self.case.buggy_code, made.buggy_code)
            found.append((self.goal.value(made), Smallest((*current.steps, step), made, size)))
        return sorted(found, key=lambda one: (one[0], one[1].size))

    def _steps(self, current: Smallest) -> Iterator[Step]:
        """In an order drawn anew each round: none is always left out where queries are few."""
        steps = [Step(name, draw) for draw in range(self.plan.draws) for name in EDITS]
        chance.Random(f"{self.plan.seed}:{self.case.id}:{len(current.steps)}").shuffle(steps)
        return (step for step in steps if step not in current.steps)

    def flipping(self, tried: list[tuple[float, Smallest]]) -> Smallest | None:
        """The smallest of the cases that flip and hold."""
        looked = [one for _, one in tried[: self.goal.looked]]
        ready = sorted((one for one in looked if self.goal.flips(one.case)), key=lambda one: one.size)
        return next((one for one in ready if self.goal.holds(one.case)), None)

    def smaller(self, found: Smallest) -> Smallest | None:
        """The same without one of its edits, where it flips all the same; the largest gain first."""
        fewer = (found.steps[:n] + found.steps[n + 1 :] for n in range(len(found.steps)) if len(found.steps) > 1)
        made = [(steps, one) for steps in fewer if (one := edited(self.case, steps, self.plan.seed)) is not None]
        sized = [Smallest(steps, one, size_between(self.case.buggy_code, one.buggy_code)) for steps, one in made]
        for one in sorted(sized, key=lambda each: each.size):
            if one.size < found.size and self.goal.flips(one.case) and self.goal.holds(one.case):
                return one
        return None


def smallest(case: Case, goal: Goal, plan: SmallestPlan | None = None) -> Sought:
    """The smallest flipping edit that is found. Deterministic for the plan, the case and a deterministic goal.

    The case itself must hold and must not flip: the caller has seen to that.
    """
    plan = plan or SmallestPlan()
    search = _Search(case, goal, plan, plan.queries, {case})
    current, value = Smallest((), case, Size(0, 0)), goal.value(case)
    for _ in range(plan.depth):
        tried = search.round(current)
        found = search.flipping(tried)
        if found is not None:
            while (less := search.smaller(found)) is not None:
                found = less
            return Sought(found, plan.queries - search.left)
        harmful = next(((v, one) for v, one in tried if v < value and goal.holds(one.case)), None)
        if harmful is None:
            break
        value, current = harmful
    return Sought(None, plan.queries - search.left)
