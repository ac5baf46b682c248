"""Steps: what happens to each record on its own, in order, as named functions `Record -> Record | Rejection`.

Owns the shape of a step, running a record through several, and the one list that a dataset's cleaning is. Each
step's `key` says what it depends on. Must not know shards or sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from data import cosmetic
from data.labelling import labelled
from data.records import Origin, Record
from data.shards import digest

if TYPE_CHECKING:
    from data.decontaminate import Forbidden
    from data.plans import Clean


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is left out, or why a source could not make one; `stage` names who says so."""

    stage: str
    reason: str
    where: str = ""  # in words
    count: int = 1  # of things that a source left out for the same reason, where they are not listed


@dataclass(frozen=True, slots=True)
class Beside:
    """A row that is no record: it goes to the file of its `kind` ("tasks", "suite") beside its source's records."""

    kind: str
    row: Mapping[str, object]


Outcome = Record | Rejection
Run = Callable[[Record], Outcome]


@dataclass(frozen=True, slots=True)
class Step:
    """A pure function with its name in reports; `key` changes whenever its answers may. Can be pickled."""

    name: str
    run: Run
    key: str = "1"


def through(record: Record, steps: Sequence[Step]) -> Outcome:
    """A record after all steps, or the first rejection, under the name of the step that gave it."""
    for step in steps:
        outcome = step.run(record)
        if isinstance(outcome, Rejection):
            return replace(outcome, stage=step.name)
        record = outcome
    return record


def _labelled(record: Record) -> Outcome:
    return labelled(record)


def _not_cosmetic(record: Record) -> Outcome:
    if record.buggy == record.fixed or record.origin is Origin.SUITE:
        return record  # a clean one is meant to be without a change
    found = cosmetic.reason(record)
    return Rejection("", found) if found else record


def _of_classes(wanted: frozenset[str], record: Record) -> Outcome:
    if record.buggy == record.fixed or record.origin is Origin.SUITE:
        return record
    others = sorted(set(record.bug_classes) - wanted)
    return Rejection("", f"bug class {others[0]}") if others else record


def standard_steps(clean: Clean, forbidden: Forbidden, against: str) -> tuple[Step, ...]:
    """The steps that a recipe asks for. Decontamination (`against`: the digest of its lists) is always the last."""
    from data import checks, secrets

    chosen = (
        (clean.parse, Step("parse", checks.parsed)),
        (clean.cosmetic, Step("cosmetic", _not_cosmetic)),
        (clean.labels, Step("labels", _labelled)),
        (bool(clean.classes), Step("classes", partial(_of_classes, frozenset(clean.classes)), digest(clean.classes))),
        (clean.secrets, Step("secrets", secrets.without_secrets, secrets.key())),
        (clean.licences, Step("licence", checks.licensed)),
        (True, Step("decontaminate", partial(checks.decontaminated, forbidden), against)),
    )
    return tuple(step for wanted, step in chosen if wanted)
