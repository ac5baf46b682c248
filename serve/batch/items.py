"""The items of a run: one per repository and step (and fault). What each is, how it ended, what comes next.

Pure: knows neither the store nor who works.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from repair.codec import from_json, to_json
from repair.projects.values import Bounds, Combination, Diagnosis, Fault, Fix, Order, Spent, Standing, State


class Kind(StrEnum):
    """The steps of a repository, in order."""

    DIAGNOSE = "diagnose"
    MEND = "mend"
    COMBINE = "combine"


class ItemState(StrEnum):
    """Where an item is. Those after RUNNING are not done again, but `lost` ones by a resumed run."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Ref:
    """An item of a run. `key` is the fault's, for COMBINE it names the fixes that are laid together."""

    name: str  # of the repository
    kind: Kind
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an item ended: one of the three values, or a refusal (`standing`), or none of them (not done yet).

    `spent` is of all its attempts that told what they cost. `bounds` are the order's when it was done: with larger ones
    an item that reached them is done again. `shelved`: where its groundwork and tree lie (`work.shelved`).
    """

    diagnosis: Diagnosis | None = None
    fix: Fix | None = None
    combination: Combination | None = None
    standing: Standing | None = None
    reason: str = ""
    spent: Spent = field(default_factory=Spent)
    bounds: Bounds | None = None
    shelved: tuple[str, ...] = ()

    @property
    def reached_bounds(self) -> bool:
        """Whether it ended for want of budget."""
        return self.standing is Standing.OVER_BUDGET or (self.fix is not None and self.fix.state is State.OVER_BUDGET)


def ended_text(ended: Ended) -> str:
    """One line of JSON."""
    return json.dumps(to_json(ended), allow_nan=False, separators=(",", ":"))


def read_ended(text: str) -> Ended:
    """What `ended_text` wrote. Raises InputError."""
    return from_json(Ended, json.loads(text))


def faults_of(order: Order, ended: Mapping[Ref, Ended]) -> tuple[Fault, ...]:
    """The faults to repair: the first of the diagnosis, as many as the order allows."""
    found = ended.get(Ref(order.name, Kind.DIAGNOSE))
    return found.diagnosis.faults[: order.bounds.faults] if found and found.diagnosis else ()


def fixes_of(order: Order, ended: Mapping[Ref, Ended]) -> tuple[Fix, ...]:
    """The fixes so far, in the order of the faults."""
    found = (ended.get(Ref(order.name, Kind.MEND, fault.key)) for fault in faults_of(order, ended))
    return tuple(one.fix for one in found if one and one.fix)


def combining(name: str, fixes: Sequence[Fix]) -> tuple[Ref | None, tuple[Fix, ...]]:
    """The item that lays the fixes together, with those that it takes; None where there is none to take."""
    taken = tuple(fix for fix in fixes if fix.state is State.FIXED and fix.diff)
    if not taken:
        return None, ()
    text = "\0".join(part for fix in taken for part in (fix.fault, fix.diff))
    return Ref(name, Kind.COMBINE, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]), taken


def following(order: Order, ended: Mapping[Ref, Ended], *, over: bool = False) -> tuple[Ref, ...]:
    """The items of a repository that can be done now; () when it is complete.

    Mends wait for the diagnosis, the combination for all mends; `over`: no mend begins any more.
    """
    first = Ref(order.name, Kind.DIAGNOSE)
    if first not in ended:
        return (first,)
    mends = tuple(Ref(order.name, Kind.MEND, fault.key) for fault in faults_of(order, ended))
    if not over and (open_ones := tuple(ref for ref in mends if ref not in ended)):
        return open_ones
    last, _ = combining(order.name, fixes_of(order, ended))
    return (last,) if last and last not in ended else ()
