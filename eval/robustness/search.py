"""Search the attack, or the composition of a few, that hurts most within a number of questions.

Owns the two searches (greedy and random, as in adversarial attacks on code models, e.g. Yefet et al. 2020, Yang et
al. 2022 "Natural Attack for Pre-trained Models of Code") and their bookkeeping. What is asked is an objective handed
in; knows no model and runs nothing.
"""

from __future__ import annotations

import random as chance
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from eval.robustness.attacks import NAMES, attacked, ordered
from eval.suites.rows import Case
from repair.errors import InputError

Objective = Callable[[Case], float]
"""How well a model does on a case; lower is worse for the model."""

_DRAWS = 10  # compositions drawn for each question that random search may ask


class Method(StrEnum):
    """How attacks are sought."""

    GREEDY = "greedy"  # each alone, then the worst of them extended
    RANDOM = "random"  # compositions drawn
    EACH = "each"  # every attack alone, whatever the number of questions


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """`queries`: questions to the objective, the clean case's included. `depth`: attacks in one composition."""

    method: Method = Method.GREEDY
    queries: int = 30
    depth: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("queries", "depth"):
            if getattr(self, name) < 1:
                raise InputError(f"search.{name} is {getattr(self, name)}; at least 1 is needed", field=name)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A case as attacked, and what the objective said of it."""

    attacks: tuple[str, ...]
    case: Case
    value: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `worst` is None where no attack does harm; `attempts` in the order of asking."""

    clean: float
    worst: Attempt | None
    attempts: tuple[Attempt, ...]
    queries: int
    not_applicable: tuple[str, ...]


@dataclass(slots=True)
class _Asking:
    """Attempts made so far; an equal case is not asked about twice."""

    case: Case
    objective: Objective
    admits: Callable[[Case], bool]
    seed: int
    left: float
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    _known: dict[tuple[str, ...], Attempt | None] = field(default_factory=dict[tuple[str, ...], Attempt | None])
    _made: dict[Case, Attempt] = field(default_factory=dict[Case, Attempt])

    def ask(self, names: tuple[str, ...]) -> Attempt | None:
        """None where the attacks cannot be made, change nothing more than a part of them, or nothing may be asked."""
        if names not in self._known:
            if self.left < 1:
                return None
            self._known[names] = self._asked(names)
        return self._known[names]

    def _asked(self, names: tuple[str, ...]) -> Attempt | None:
        case = attacked(self.case, names, self.seed)
        if case is None or case in self._made or not self.admits(case):
            return None
        self.left -= 1
        attempt = Attempt(names, case, self.objective(case))
        self._made[case] = attempt
        self.attempts.append(attempt)
        return attempt

    def applicable(self) -> list[str]:
        """Attacks that can be made alone."""
        made = ((name, attacked(self.case, (name,), self.seed)) for name in NAMES)
        return [name for name, case in made if case is not None and self.admits(case)]


def search(
    case: Case, objective: Objective, plan: SearchPlan | None = None, *, admits: Callable[[Case], bool] | None = None
) -> Found:
    """The worst of what was tried. `admits` says whether an attacked case may be used; the others cost no question."""
    plan = plan or SearchPlan()
    clean = objective(case)
    left = float("inf") if plan.method is Method.EACH else plan.queries - 1
    asking = _Asking(case, objective, admits or (lambda _: True), plan.seed, left)
    names = asking.applicable()
    random = chance.Random(f"{plan.seed}:{case.id}:{plan.method}")
    match plan.method:
        case Method.EACH:
            for name in names:
                asking.ask((name,))
        case Method.GREEDY:
            _greedy(asking, names, plan, random, clean)
        case Method.RANDOM:
            _draw(asking, names, plan, random)
    worst = min(asking.attempts, key=lambda a: (a.value, len(a.attacks)), default=None)
    harmful = worst if worst is not None and worst.value < clean else None
    skipped = tuple(name for name in NAMES if name not in names)
    return Found(clean, harmful, tuple(asking.attempts), 1 + len(asking.attempts), skipped)


def _greedy(asking: _Asking, names: list[str], plan: SearchPlan, random: chance.Random, clean: float) -> None:
    """Each attack alone in a drawn order, then the worst extended by the others, those that hurt most alone first."""
    shuffled = random.sample(names, len(names))
    alone = [attempt for name in shuffled if (attempt := asking.ask((name,))) is not None]
    alone.sort(key=lambda attempt: attempt.value)
    best, value = (alone[0], alone[0].value) if alone else (None, clean)
    while best is not None and value < clean and len(best.attacks) < plan.depth:
        others = [a.attacks[0] for a in alone if a.attacks[0] not in best.attacks]
        extended = [a for name in others if (a := asking.ask(ordered((*best.attacks, name)))) is not None]
        best = min(extended, key=lambda a: a.value, default=None)
        if best is None or best.value >= value:
            return
        value = best.value


def _draw(asking: _Asking, names: list[str], plan: SearchPlan, random: chance.Random) -> None:
    for _ in range(_DRAWS * plan.queries):
        if asking.left < 1 or not names:
            return
        count = min(random.randint(1, plan.depth), len(names))
        asking.ask(ordered(random.sample(names, count)))
