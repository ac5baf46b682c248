"""Work: what a worker does with one item. Everything here can be pickled; nothing writes to the run store.

`Steps` are the five calls that touch a repository: `real` makes them, `scripted` plays them.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from repair.errors import BoundaryError, ModelError
from repair.projects.values import (
    Bounds,
    Combination,
    Diagnosis,
    Fault,
    Fix,
    Order,
    Refusal,
    Reproduction,
    Spent,
    Standing,
    State,
)
from serve.batch.control import Stops
from serve.batch.items import Ended, Kind, Ref

if TYPE_CHECKING:
    from repair.executors import Ticket

_LAST_LINES = 3  # of a traceback, in a reason


@dataclass(frozen=True, slots=True)
class Kept:
    """Where what a diagnosis has prepared lies: only a shelf knows, and it may be gone there."""

    commit: str = ""
    groundwork: Ticket | None = None
    tree: Ticket | None = None


def shelved(kept: Kept) -> tuple[str, ...]:
    """What is kept, as text; the commit alone where only this run's shelf could find the rest again."""
    tickets = (kept.groundwork, kept.tree)
    if any(ticket and ticket.place is not None for ticket in tickets):
        tickets = (None, None)
    return (kept.commit, *(f"{ticket.digest} {ticket.size}" if ticket else "" for ticket in tickets))


def read_shelved(texts: tuple[str, ...]) -> Kept:
    """What `shelved` gave."""
    from repair.executors import Ticket

    if not texts:
        return Kept()
    commit, *rest = texts
    tickets = [Ticket(text.split()[0], int(text.split()[1])) if text else None for text in rest]
    return Kept(commit, *tickets)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a report: a test, or one sentence that says why there is none."""

    reproduction: Reproduction | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mending:
    """What one fault's repair starts from. `reproduction`: a test that was written for want of others."""

    order: Order
    fault: Fault
    bounds: Bounds
    reproduction: Reproduction | None = None


class Steps(Protocol):
    """What is done to a repository, in a worker. Every call raises Refusal, BoundaryError.

    `kept` of one call is given to the next ones; each gives back what is kept then, as it makes again what is gone.
    """

    def prepare(self) -> None:
        """Find what every step needs (sandbox, model). Raises SandboxError, ModelError: nothing can be done here."""
        ...

    def diagnose(self, order: Order) -> tuple[Diagnosis, Kept]:
        """Run the tests and rank the places of their faults."""
        ...

    def reproduce(self, order: Order, fault: Fault, kept: Kept) -> tuple[Written, Kept]:
        """Write a test that fails as the order's report says of the fault, where that is possible."""
        ...

    def mend(self, mending: Mending, kept: Kept, cancelled: Callable[[], bool]) -> tuple[Fix, Kept]:
        """Look for a fix of one fault."""
        ...

    def combine(self, order: Order, fixes: Sequence[Fix], kept: Kept) -> tuple[Combination, Kept]:
        """Lay the fixes over each other and run all tests."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """All that a worker is told."""

    ref: Ref
    order: Order
    bounds: Bounds
    kept: Kept = Kept()
    fault: Fault | None = None
    fixes: tuple[Fix, ...] = ()

    @property
    def name(self) -> str:
        """For the message of a lost worker."""
        return f"{self.order.name}: {self.ref.kind.value}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a worker answers. `failed`: an error of ours or of the sandbox; nothing follows about the repository.

    `stopped`: the work was asked to end, so the item is not done.
    """

    ended: Ended
    kept: Kept = Kept()
    stopped: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """The function that an executor applies to items."""

    steps: Steps
    control: Stops

    def __call__(self, item: Item) -> Result:
        """Do one item. Raises ModelError and what `prepare` raises: no other item would go better."""
        # a repository that reached its bounds may still lay together what was found
        together = item.ref.kind is Kind.COMBINE
        if self.control.all_stopped() or (not together and self.control.stopped(item.order.name)):
            return Result(Ended(), item.kept, stopped=True)
        self.steps.prepare()
        begun = time.monotonic()
        try:
            return self._done(item)
        except Refusal as refusal:
            spent = Spent(seconds=time.monotonic() - begun)
            return Result(Ended(standing=refusal.standing, reason=refusal.reason, spent=spent), item.kept)
        except ModelError:
            raise
        except BoundaryError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - one repository must not end the run of all others
            reason = f"internal error: {type(error).__name__}: {error} ({_place(error)})"
        return _failed(reason, time.monotonic() - begun, item)

    def _done(self, item: Item) -> Result:
        match item.ref.kind:
            case Kind.DIAGNOSE:
                diagnosis, kept = self.steps.diagnose(item.order)
                return Result(Ended(diagnosis=diagnosis, spent=diagnosis.spent), kept)
            case Kind.MEND:
                return self._mended(item)
            case Kind.COMBINE:
                combination, kept = self.steps.combine(item.order, item.fixes, item.kept)
                return Result(Ended(combination=combination, spent=combination.spent), kept)

    def _mended(self, item: Item) -> Result:
        assert item.fault is not None
        order, fault = item.order, item.fault

        def cancelled() -> bool:
            return self.control.stopped(order.name)

        kept, written, begun = item.kept, Written(), time.monotonic()
        if not fault.tests and order.report:
            written, kept = self.steps.reproduce(order, fault, kept)
        writing = Spent(seconds=time.monotonic() - begun)
        fix, kept = self.steps.mend(Mending(order, fault, item.bounds, written.reproduction), kept, cancelled)
        spent = fix.spent + writing
        if fix.state is State.CANCELLED and cancelled():
            return Result(Ended(spent=spent), kept, stopped=True)
        fix = replace(fix, reproduction=fix.reproduction or written.reproduction, spent=spent)
        if written.reason:
            fix = replace(fix, reason="; ".join(part for part in (fix.reason, written.reason) if part))
        return Result(Ended(fix=fix, spent=spent), kept)


def _failed(reason: str, seconds: float, item: Item) -> Result:
    return Result(
        Ended(standing=Standing.LOST, reason=reason, spent=Spent(seconds=seconds)), item.kept, failed=True
    )  # fmt: skip


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-_LAST_LINES:]
    return ", ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames)
