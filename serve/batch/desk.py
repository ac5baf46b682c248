"""Desk: what a run knows of its repositories while it works - what has ended, flies, waits - and what comes next.

Plain bookkeeping: no clock, no store, no processes.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from repair.projects.values import Order, Outcome, Spent
from serve.batch.budget import Prices, exhausted, larger, left
from serve.batch.items import Ended, ItemState, Kind, Ref, combining, faults_of, fixes_of, following
from serve.batch.outcomes import Stop, outcome_of
from serve.batch.store import Row
from serve.batch.work import Item, Kept, Result, read_shelved, shelved


@dataclass(slots=True)
class Repository:
    """One repository of a run. `partial` are items that cost something and have not ended."""

    order: Order
    position: int
    ended: dict[Ref, Ended] = field(default_factory=dict[Ref, Ended])
    partial: dict[Ref, Ended] = field(default_factory=dict[Ref, Ended])
    kept: Kept = field(default_factory=Kept)
    flying: set[Ref] = field(default_factory=set[Ref])
    waiting: set[Ref] = field(default_factory=set[Ref])
    over: str = ""  # the bound that it reached
    cancelled: bool = False

    @property
    def spent(self) -> Spent:
        """By all its items."""
        return sum((one.spent for one in (*self.ended.values(), *self.partial.values())), Spent())


class Desk:
    """The repositories of a run. Not for several threads."""

    def __init__(self, orders: Sequence[Order], rows: Sequence[Row], prices: Prices) -> None:
        """`rows` are of an earlier coordinator: done is done, but what reached smaller bounds; lost is tried again."""
        self._prices = prices
        self.flying = 0  # items in flight
        self.repositories = {order.name: Repository(order, n) for n, order in enumerate(orders)}
        self._heap: list[tuple[tuple[int, int, int, int], Ref]] = []
        for row in rows:
            if row.ended is not None and row.ref.name in self.repositories:
                self._remember(self.repositories[row.ref.name], row, row.ended)
        self.spent = sum((one.spent for one in self.repositories.values()), Spent())
        for one in self.repositories.values():
            self.queue(one)

    def _remember(self, one: Repository, row: Row, ended: Ended) -> None:
        again = ended.reached_bounds and ended.bounds and larger(one.order.bounds, ended.bounds)
        if row.state is not ItemState.DONE or again:
            one.partial[row.ref] = Ended(spent=ended.spent)
            return
        one.ended[row.ref] = ended
        if ended.shelved:
            one.kept = read_shelved(ended.shelved)

    def queue(self, one: Repository) -> tuple[Ref, ...]:
        """Let wait what can be done now; what of it is new."""
        if one.cancelled or (one.over and one.flying):
            return ()
        fresh = tuple(
            ref
            for ref in following(one.order, one.ended, over=bool(one.over))
            if ref not in one.flying and ref not in one.waiting
        )
        for rank, ref in enumerate(fresh):
            begins = int(ref.kind is Kind.DIAGNOSE)  # what has begun goes before what has not
            heapq.heappush(self._heap, ((-one.order.priority, begins, one.position, rank), ref))
        one.waiting.update(fresh)
        return fresh

    def take(self) -> Item | None:
        """The next item, in flight from now on; None where none waits."""
        while self._heap:
            _, ref = heapq.heappop(self._heap)
            one = self.repositories[ref.name]
            one.waiting.discard(ref)
            if one.cancelled or ref in one.ended:
                continue
            if ref.kind is Kind.MEND and (one.over or self.reached(one)):
                self.queue(one)
                continue
            one.flying.add(ref)
            self.flying += 1
            return self._item(one, ref)
        return None

    def put_back(self, item: Item) -> None:
        """An item that was taken is not begun: the run ends."""
        self.repositories[item.ref.name].flying.discard(item.ref)
        self.flying -= 1

    def reached(self, one: Repository) -> str:
        """The bound of its own that a repository has reached, "" while none."""
        spent = one.spent
        one.over = one.over or exhausted(one.order.bounds, spent, spent.seconds, self._prices)
        return one.over

    def _item(self, one: Repository, ref: Ref) -> Item:
        order = one.order
        if ref.kind is Kind.MEND:
            fault = next(fault for fault in faults_of(order, one.ended) if fault.key == ref.key)
            return Item(ref, order, left(order.bounds, one.spent, self._prices), one.kept, fault)
        fixes = combining(order.name, fixes_of(order, one.ended))[1] if ref.kind is Kind.COMBINE else ()
        return Item(ref, order, order.bounds, one.kept, None, fixes)

    def settle(self, item: Item, result: Result) -> tuple[Row, tuple[Ref, ...]]:
        """An item came back: its row, and what follows from it."""
        ref, one = item.ref, self.repositories[item.ref.name]
        one.flying.discard(ref)
        self.flying -= 1
        one.kept = result.kept
        earlier = one.partial.pop(ref, Ended()).spent
        self.spent = self.spent + result.ended.spent
        ended = replace(
            result.ended,
            spent=result.ended.spent + earlier,
            bounds=item.order.bounds,
            shelved=shelved(result.kept) if ref.kind is Kind.DIAGNOSE else (),
        )
        if result.stopped:
            one.partial[ref] = ended
            state = ItemState.CANCELLED if one.cancelled else ItemState.QUEUED
        else:
            one.ended[ref] = ended
            state = ItemState.LOST if result.failed else ItemState.DONE
        if ref.kind is not Kind.COMBINE:
            self.reached(one)
        return Row(ref, state, ended=ended), self.queue(one)

    def outcomes(self, stop: Stop, why: str) -> tuple[Outcome, ...]:
        """Of all repositories, in the order of giving; `stop` and `why` of what the run did not come to."""
        return tuple(self._outcome(one, stop, why) for one in self.repositories.values())

    def _outcome(self, one: Repository, stop: Stop, why: str) -> Outcome:
        if one.cancelled:
            stop, why = "cancelled", "it was cancelled"
        elif one.over:
            stop, why = "over budget", f"its bound of {one.over} was reached; go on with --resume and a larger one"
        every: Mapping[Ref, Ended] = one.partial | one.ended
        return outcome_of(one.order, every, stop, why)
