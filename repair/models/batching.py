"""Many requests at a time over one network: their passes are computed together, iteration by iteration.

Each request runs the unchanged formats and engine in its own thread, over a BatchedNetwork that hands every pass to a
Batcher. A lane (a thread) takes the passes that wait, computes them as one, and wakes who asked. Requests join and
leave between any two passes. Source: Yu et al., OSDI 2022 (Orca: iteration-level scheduling, selective batching).
Where the network cannot pack (`huggingface.py`) the passes run one after another.

Knows nothing of sockets, names of models or prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import TypeVar

import torch
from torch import Tensor

from repair.candidates import Completion
from repair.errors import ModelError
from repair.model import Decoding, LineBelief, Usage
from repair.models.compact import CompactFormat
from repair.models.decoding import Engine, Network, PackingNetwork, Segment, State
from repair.models.local import Format, LocalModel
from repair.views import Hunk, View

_KEPT = 8  # prompts that each seat remembers

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Pass:
    """A segment that waits, and then its logits or what went wrong."""

    segment: Segment
    since: float
    ended: Event = field(default_factory=Event)
    logits: Tensor | None = None
    error: BaseException | None = None


class Batcher:
    """Computes the passes of many threads together, on `lanes` threads of its own (one batch each at a time).

    A batch has at most `tokens` rows (a longer pass runs alone). It waits up to `wait_ms` milliseconds for threads
    that are at work on a request (`joined`) and have nothing submitted yet, never for anything else.
    """

    def __init__(self, network: Network, *, tokens: int = 4096, wait_ms: float = 2.0, lanes: int = 1) -> None:
        self._network = network
        self._tokens, self._wait = tokens, wait_ms / 1000
        self._changed = Condition()
        self._waiting: list[_Pass] = []
        self._joined = 0
        self._computing = 0
        self._lanes = lanes
        self._threads = torch.get_num_threads()
        self._closed = False
        self.batches = 0
        self.passes = 0
        for _ in range(lanes):
            Thread(target=self._run, daemon=True).start()

    @contextmanager
    def joined(self) -> Generator[None]:
        """Others may wait for passes of this thread while it is in here."""
        with self._changed:
            self._joined += 1
        try:
            yield
        finally:
            with self._changed:
                self._joined -= 1
                self._changed.notify_all()

    def compute(self, segment: Segment) -> Tensor:
        """The logits of a segment. Raises what the network raised for this segment."""
        wanted = _Pass(segment, time.monotonic())
        with self._changed:
            alone = self._closed
            if not alone:
                self._waiting.append(wanted)
                self._changed.notify_all()
        if alone:
            _compute(self._network, [wanted])
        else:
            wanted.ended.wait()
        if wanted.error is not None:
            raise wanted.error
        assert wanted.logits is not None
        return wanted.logits

    def close(self) -> None:
        """End the lanes when what waits is computed; later passes are computed by their own threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # OpenMP has a number for each thread, at first that of the cores
        while batch := self._next():
            try:
                with torch.inference_mode():
                    _compute(self._network, batch)
            finally:
                with self._changed:
                    self._computing -= len(batch)
                    self.batches += 1
                    self.passes += len(batch)
                for one in batch:
                    one.ended.set()

    def _next(self) -> list[_Pass]:
        """The batch to compute now; empty when there will be no more."""
        with self._changed:
            while True:
                if self._waiting:
                    left = self._waiting[0].since + self._wait - time.monotonic()
                    if left <= 0 or self._is_full():
                        return self._take()
                    self._changed.wait(left)
                elif self._closed:
                    return []
                else:
                    self._changed.wait()

    def _is_full(self) -> bool:
        """Whether nobody is left to wait for, or there is a batch of rows or a lane's share of the threads."""
        if len(self._waiting) >= min(self._share(), self._joined - self._computing):
            return True
        return sum(len(one.segment.ids) for one in self._waiting) >= self._tokens

    def _share(self) -> int:
        return -(-self._joined // self._lanes)

    def _take(self) -> list[_Pass]:
        rows = 0
        for count, one in enumerate(self._waiting):
            rows += len(one.segment.ids)
            if count and (rows > self._tokens or count >= self._share()):
                break
        else:
            count = len(self._waiting)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._computing += len(batch)
        return batch


def _compute(network: Network, batch: Sequence[_Pass]) -> None:
    """Fill in logits or errors. What fails together is tried one by one, so that each caller gets its own error."""
    lengths = [[buffer.length for buffer in one.segment.state.buffers] for one in batch]
    if len(batch) > 1 and isinstance(network, PackingNetwork):
        try:
            for one, logits in zip(batch, network.packed([p.segment for p in batch]), strict=True):
                one.logits = logits
        except Exception:  # noqa: BLE001 - whose it is shows below
            for one, before in zip(batch, lengths, strict=True):
                _forget(one.segment.state, before)
        else:
            return
    for one, before in zip(batch, lengths, strict=True):
        try:
            one.logits = _alone(network, one.segment)
        except Exception as error:  # noqa: BLE001 - raised again where it was asked for
            _forget(one.segment.state, before)
            one.error = error


def _forget(state: State, lengths: Sequence[int]) -> None:
    for buffer, length in zip(state.buffers, lengths, strict=True):
        buffer.length = length


def _alone(network: Network, segment: Segment) -> Tensor:
    if segment.positions is None or segment.mask is None:
        return network.read(segment.ids, segment.state)
    return network.extend(segment.ids, segment.positions, segment.mask, segment.state)


def _stays() -> bool:
    return False


class BatchedNetwork:
    """A Network whose passes go through a Batcher. Each thread has its own, over the same weights.

    `gone` says whether the caller has left: what it asked is given up before the next pass.
    """

    def __init__(self, network: Network, batcher: Batcher) -> None:
        self._network, self._batcher = network, batcher
        self.gone: Callable[[], bool] = _stays
        self.limit, self.vocabulary, self.parameters = network.limit, network.vocabulary, network.parameters
        self.device, self.dtype = network.device, network.dtype

    def state(self) -> State:
        """An empty state."""
        return self._network.state()

    def read(self, ids: Tensor, state: State) -> Tensor:
        """As `Network.read`."""
        return self._compute(Segment(ids, state))

    def extend(self, ids: Tensor, positions: Tensor, mask: Tensor, state: State) -> Tensor:
        """As `Network.extend`."""
        return self._compute(Segment(ids, state, positions, mask))

    def _compute(self, segment: Segment) -> Tensor:
        if self.gone():
            raise ModelError("given up: who asked has left")
        return self._batcher.compute(segment)


@dataclass(slots=True, eq=False)
class _Seat:
    """What one request at a time computes with."""

    engine: Engine
    answers: Format
    network: BatchedNetwork | None = None
    seen: list[View] = field(default_factory=list[View])  # whose prompts the engine still holds


class BatchedModel:
    """A `repair.model.Model` that many threads use at the same time. Takes over the LocalModel it is made of.

    At most `seats` requests compute at a time; a view goes to the seat that remembers its prompt where that is free.
    Formats other than the compact one share a tokenizer that must not be used by two threads: one seat.
    """

    def __init__(
        self, model: LocalModel, *, tokens: int = 4096, wait_ms: float = 2.0, lanes: int = 1, seats: int = 32
    ) -> None:
        self._name = model.name
        network, answers = model.engine.network, model.answers
        self.batcher = Batcher(network, tokens=tokens, wait_ms=wait_ms, lanes=lanes)
        self._changed = Condition()
        self._read = self._written = 0
        self._free: list[_Seat] = []
        if isinstance(answers, CompactFormat):
            for _ in range(seats):
                own = BatchedNetwork(network, self.batcher)
                engine = Engine(own, kept=_KEPT)
                self._free.append(_Seat(engine, answers.over(engine), own))
        else:
            self._free.append(_Seat(model.engine, answers))

    @property
    def name(self) -> str:
        """As that of the LocalModel."""
        return self._name

    @property
    def usage(self) -> Usage:
        """Tokens of all requests."""
        return Usage(self._read, self._written)

    def locate(self, view: View) -> LineBelief | None:
        """As `Model.locate`."""
        return self.ask(view, lambda answers: answers.locate(view))[0]

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        """As `Model.score`."""
        return self.ask(view, lambda answers: answers.score(view, changes))[0]

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """As `Model.propose`; all are computed before the first comes."""
        yield from self.ask(view, lambda answers: list(answers.propose(view, decoding)))[0]

    def ask(self, view: View, question: Callable[[Format], T], *, gone: Callable[[], bool] = _stays) -> tuple[T, Usage]:
        """What `question` finds out about a view, and the tokens that it took.

        `gone` is asked before each pass; ModelError is raised when it says that the caller has left.
        """
        seat = self._seated(view)
        engine = seat.engine
        read, written = engine.read_tokens, engine.written_tokens
        try:
            if seat.network is not None:
                seat.network.gone = gone
            with self.batcher.joined():
                answer = question(seat.answers)
            return answer, Usage(engine.read_tokens - read, engine.written_tokens - written)
        finally:
            engine.tidy()
            if seat.network is not None:
                seat.network.gone = _stays
            with self._changed:
                self._read += engine.read_tokens - read
                self._written += engine.written_tokens - written
                self._free.append(seat)
                self._changed.notify()

    def _seated(self, view: View) -> _Seat:
        """A free seat: the one that knows the view, else the one left last, so that few seats hold memory."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._free))
            at = next((i for i, seat in enumerate(self._free) if view in seat.seen), -1)
            seat = self._free.pop(at)
        seat.seen = [view, *(v for v in seat.seen if v != view)][:_KEPT]
        return seat

    def close(self) -> None:
        """End its threads; requests that run or still come are answered without company."""
        self.batcher.close()
