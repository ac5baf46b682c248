"""One case attacked: asked as it is, searched, and what was found told as a flip.

Owns what counts as right before and as wrong after, and that every adversarial input was run again. Composes the
model, the sandbox and the search; the values are `flips`, files and tables lie elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from math import exp

from eval.measurement import Conditions
from eval.robustness.flips import Flip, Flipped, Seen, minimal_diff
from eval.robustness.locating import Locating
from eval.robustness.repairing import UNSAID, Repairing
from eval.robustness.smallest import Goal, SmallestPlan, smallest
from eval.robustness.soundness import Soundness
from eval.run import Setup, model_of, sandbox_of, threads_each
from eval.suites.rows import Case
from repair.errors import BoundaryError, InputError
from repair.executors import executor
from repair.model import Model
from repair.oracles.programs import Programs
from repair.oracles.scripts import warm_programs
from repair.sandbox import Sandbox

_LOOKED = 3  # cases a round of which the likeliest repair is made: it costs some twenty times what a value costs


class End(StrEnum):
    """What became of a case."""

    FLIPPED = "flipped"
    HELD = "held"  # right before, and no edit was found that makes it wrong
    WRONG = "wrong as it was"  # there is nothing to flip
    LEFT_OUT = "left out"  # it measures nothing
    UNSCORED = "not scored"  # the model, the sandbox or the tests' runner failed


@dataclass(frozen=True, slots=True)
class FlipPlan:
    """What is to be flipped, and how far to search."""

    goal: Flipped = Flipped.LOCATION
    search: SmallestPlan = field(default_factory=SmallestPlan)


@dataclass(frozen=True, slots=True)
class Attacked:
    """What became of the case `id`; `flip` where it flipped, `reason` where it was not searched."""

    id: str
    end: End
    reason: str = ""
    flip: Flip | None = None
    queries: int = 0

    @property
    def right_before(self) -> bool | None:
        """Whether the model was right on the case as it was; None where that was not measured."""
        return {End.FLIPPED: True, End.HELD: True, End.WRONG: False}.get(self.end)

    @property
    def right_after(self) -> bool | None:
        """The same under the attack."""
        return {End.FLIPPED: False, End.HELD: True, End.WRONG: False}.get(self.end)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One goal with a way to tell what the model says of a case."""

    goal: Goal
    seen: Repairing | Locating

    def silent(self, case: Case, model: Model | None) -> str:
        """Why there is nothing of the model to attack, "" for nothing."""
        if isinstance(self.seen, Repairing):
            return "the model gives the reference repair no probability" if self.seen.value(case) <= UNSAID else ""
        told = model is None or self.seen.read(case).believed
        return "" if told else "the model gives lines no probabilities"

    def tell(self, case: Case) -> Seen:
        """What is told of a case."""
        lines = case.buggy_code.split("\n")
        if isinstance(self.seen, Locating):
            reading = self.seen.read(case)
            line, share, right = reading.top, reading.share, exp(reading.belief)
        else:
            found = self.seen.likeliest(case)
            line, share = (found.line, found.probability) if found is not None else (0, 0.0)
            right = exp(self.seen.value(case))
        text = lines[line - 1].strip() if 1 <= line <= len(lines) else ""
        return Seen(line, text, round(share, 6), round(min(1.0, right), 6))


def attack_case(case: Case, model: Model | None, sandbox: Sandbox, plan: FlipPlan) -> Attacked:
    """Search one case. Raises InputError for a goal that the model cannot have; nothing for what a case does."""
    if plan.goal is Flipped.PATCH and model is None:
        raise InputError("without a model no repair is likeliest: --goal patch needs one", field="goal")
    if case.fixed_code is None:
        return Attacked(case.id, End.LEFT_OUT, "it has no fixed_code, which says where the fault is")
    try:
        with warm_programs(sandbox, case.language) as programs:
            return _attacked(case, model, programs, plan)
    except BoundaryError as error:
        return Attacked(case.id, End.UNSCORED, str(error))


def _attacked(case: Case, model: Model | None, programs: Programs, plan: FlipPlan) -> Attacked:
    sound = Soundness(programs)
    failure = sound.failure(case)
    if failure is None:
        return Attacked(case.id, End.LEFT_OUT, "the reference fails, or the faulty code passes")
    asked = _asked(model, programs, plan, partial(_as_before, sound, _kind(failure)))
    if reason := asked.silent(case, model):
        return Attacked(case.id, End.LEFT_OUT, reason)
    if asked.goal.flips(case):
        return Attacked(case.id, End.WRONG)
    sought = smallest(case, asked.goal, plan.search)
    if sought.found is None:
        return Attacked(case.id, End.HELD, queries=sought.queries)
    found = sought.found
    flip = Flip(
        id=case.id,
        language=case.language,
        flipped=plan.goal,
        before=asked.tell(case),
        after=asked.tell(found.case),
        diff=minimal_diff(case.buggy_code, found.case.buggy_code),
        steps=found.steps,
        size=found.size,
        checks=_checks(found.case, sound.failure(found.case) or ""),
        buggy=found.case.buggy_code,
        fixed=found.case.fixed_code or "",
        error=found.case.error or "",
        queries=sought.queries,
        seed=plan.search.seed,
    )
    return Attacked(case.id, End.FLIPPED, flip=flip, queries=sought.queries)


def _asked(model: Model | None, programs: Programs, plan: FlipPlan, holds: partial[bool]) -> _Asked:
    if plan.goal is Flipped.PATCH and model is not None:
        repairing = Repairing(model, programs)
        return _Asked(Goal(repairing.value, repairing.flips, holds, _LOOKED), repairing)
    locating = Locating(model)
    return _Asked(Goal(locating, lambda one: locating.read(one).rank != 1, holds), locating)


def _kind(failure: str) -> str:
    """The exception of a failure: its message may quote names that an edit changes."""
    return failure.partition(":")[0]


def _as_before(sound: Soundness, kind: str, case: Case) -> bool:
    failure = sound.failure(case)
    return failure is not None and _kind(failure) == kind


def _checks(case: Case, failure: str) -> tuple[str, ...]:
    held_out = ("reference passes the held-out tests",) if case.held_out_tests is not None else ()
    return ("reference passes the tests", *held_out, f"faulty code fails as before: {_kind(failure)}")


def attack_one(model: str | None, adapter: str | None, place: tuple[str, bool], plan: FlipPlan, case: Case) -> Attacked:
    """Attack a case in whatever process this is. Raises ModelError, SandboxError where there is none to work with.

    `place`: the weakest sandbox that will do, and whether none will.
    """
    conditions = Conditions(model=model or "embedded", adapter=adapter or "", seed=plan.search.seed)
    setup = Setup(conditions, model, adapter, *place)
    return attack_case(case, model_of(setup), sandbox_of(setup), plan)


def attack_all(
    cases: Iterable[Case],
    plan: FlipPlan,
    *,
    model: str | None = None,
    adapter: str | None = None,
    sandbox: tuple[str, bool] = ("B", False),
    jobs: int = 1,
) -> Iterator[Attacked]:
    """What becomes of the cases, in their order; in several processes the same. Raises BoundaryError, InputError."""
    if threads := threads_each(jobs):
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a worker imports it
    with executor(jobs) as workers:
        yield from workers.map(partial(attack_one, model, adapter, sandbox, plan), cases)
