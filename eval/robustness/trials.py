"""One case put to the test: searched cheaply, then measured for real as it was and as it was attacked.

Owns the values of a trial and its flat form; files and tables lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import unified_diff
from typing import Any

from eval.measure import measure
from eval.measurement import Conditions, Measurement, Status
from eval.results import parse_measurement
from eval.robustness.locating import Locating
from eval.robustness.search import Attempt, Found, Method, SearchPlan, search
from eval.robustness.soundness import Soundness
from eval.suites.rows import Case
from repair.errors import BoundaryError
from repair.model import Model
from repair.oracles.scripts import warm_programs
from repair.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Plan:
    """How attacks are sought and under which conditions the repair is measured. `locate_only`: it is not."""

    conditions: Conditions
    search: SearchPlan = field(default_factory=SearchPlan)
    locate_only: bool = False

    @property
    def stated(self) -> dict[str, Any]:
        """All settings, flat; stated with each result."""
        search = {"search": str(self.search.method), "queries": self.search.queries, "depth": self.search.depth}
        return {**asdict(self.conditions), **search, "locate_only": self.locate_only}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case under some attacks (none: as it was). `belief`, `rank`: see `locating.Reading`, by the error alone.

    `measurement` None: it was not measured for real. `change` is a diff from the faulty code as it was.
    """

    attacks: tuple[str, ...]
    belief: float
    rank: int | None
    measurement: Measurement | None = None
    code: str = ""
    error: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one case. `clean` None: it could not be tried, for `reason`. `worst` None: no attack does harm."""

    id: str
    language: str
    status: Status
    reason: str = ""
    clean: Outcome | None = None
    tried: tuple[Outcome, ...] = ()
    worst: Outcome | None = None
    queries: int = 0
    not_applicable: tuple[str, ...] = ()


def try_case(case: Case, model: Model | None, sandbox: Sandbox, plan: Plan) -> Trial:
    """Search and measure one case. Never raises for what a case, a program or a boundary does."""
    if case.fixed_code is None:
        return Trial(case.id, case.language, Status.LEFT_OUT, "it has no fixed_code, which says where the fault is")
    try:
        return _tried(case, model, sandbox, plan)
    except BoundaryError as error:
        return Trial(case.id, case.language, Status.UNSCORED, str(error))


def _tried(case: Case, model: Model | None, sandbox: Sandbox, plan: Plan) -> Trial:
    locating = Locating(model)
    clean_measured = None if plan.locate_only else measure(case, model, sandbox, plan.conditions)
    if clean_measured is not None and not clean_measured.scored:
        return Trial(case.id, case.language, clean_measured.status, clean_measured.reason)
    with warm_programs(sandbox, case.language) as programs:
        sound = Soundness(programs)
        if not sound(case):
            reason = "the reference fails, or the faulty code passes"
            return Trial(case.id, case.language, Status.LEFT_OUT, reason)
        found = search(case, locating, plan.search, admits=sound)
    clean = _outcome(case, Attempt((), case, found.clean), locating, clean_measured)
    measured = {a.attacks: measure(a.case, model, sandbox, plan.conditions) for a in _to_measure(found, plan)}
    # a full self-check is stricter than the quick one: what fails it was no attack
    refused = {names for names, m in measured.items() if m.status is Status.LEFT_OUT}
    kept = [a for a in found.attempts if a.attacks not in refused]
    tried = tuple(_outcome(case, a, locating, measured.get(a.attacks)) for a in kept)
    return Trial(
        case.id,
        case.language,
        Status.NONE_FOUND if clean_measured is None else clean_measured.status,
        clean=clean,
        tried=tried,
        worst=_worst(clean, tried),
        queries=found.queries,
        not_applicable=(*found.not_applicable, *(names[0] for names in sorted(refused) if len(names) == 1)),
    )


def _to_measure(found: Found, plan: Plan) -> tuple[Attempt, ...]:
    if plan.locate_only:
        return ()
    if plan.search.method is Method.EACH:
        return found.attempts
    return (found.worst,) if found.worst is not None else ()


def _outcome(case: Case, attempt: Attempt, locating: Locating, measurement: Measurement | None) -> Outcome:
    reading = locating.read(attempt.case)
    other = attempt.case
    diff = unified_diff(case.buggy_code.split("\n"), other.buggy_code.split("\n"), "clean", "attacked", lineterm="")
    return Outcome(
        attempt.attacks,
        round(reading.belief, 6),
        reading.rank,
        measurement,
        other.buggy_code,
        other.error or "",
        "\n".join(diff),
    )


def repaired(outcome: Outcome) -> int | None:
    """0 not repaired, 1 plausible, 2 correct (or not known to be wrong); None where that was not measured."""
    m = outcome.measurement
    if m is None or not m.scored:
        return None
    return 0 if m.status is not Status.REPAIRED else 1 + (m.correct is not False)


def _worst(clean: Outcome, tried: tuple[Outcome, ...]) -> Outcome | None:
    """Where repairs were measured the worst of those, by repair and then by belief; else by belief.

    With several measured (method `each`) an attack that costs the repair is worse than one that costs belief alone.
    """
    real = [one for one in tried if repaired(one) is not None]
    worst = min(real or tried, key=lambda one: (repaired(one) or 0, one.belief, len(one.attacks)), default=None)
    if worst is None:
        return None
    harms = worst.belief < clean.belief or (repaired(worst) or 0) < (repaired(clean) or 0)
    return worst if harms else None


def trial_row(trial: Trial) -> dict[str, Any]:
    """A trial as JSON has it. Code and error are kept once, with the worst outcome."""
    row = asdict(trial)
    for one in (row["clean"], *row["tried"]):
        if one is not None:
            one.update(code="", error="", change="")
    return row


def parse_trial(row: Mapping[str, Any]) -> Trial:
    """The inverse, as far as it was kept. Raises KeyError, ValueError, TypeError for what is no row."""
    return Trial(
        id=row["id"],
        language=row["language"],
        status=Status(row["status"]),
        reason=row["reason"],
        clean=_parse_outcome(row["clean"]),
        tried=tuple(one for each in row["tried"] if (one := _parse_outcome(each)) is not None),
        worst=_parse_outcome(row["worst"]),
        queries=row["queries"],
        not_applicable=tuple(row["not_applicable"]),
    )


def _parse_outcome(row: Mapping[str, Any] | None) -> Outcome | None:
    if row is None:
        return None
    measured = row["measurement"]
    return Outcome(
        attacks=tuple(row["attacks"]),
        belief=row["belief"],
        rank=row["rank"],
        measurement=None if measured is None else parse_measurement(measured),
        code=row["code"],
        error=row["error"],
        change=row["change"],
    )
