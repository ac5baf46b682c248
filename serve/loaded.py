"""Models loaded in this process by what requests chose: each once, the last few kept, adapters as they are now.

Torch comes with the first model, not with this module.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from repair.candidates import Completion
from repair.errors import ModelError
from repair.model import Decoding, LineBelief, Model, Usage
from repair.views import Hunk, View
from serve.modelnames import Choice, ModelInfo, choose, list_models
from serve.settings import DEFAULT_MODEL, Settings

if TYPE_CHECKING:
    from repair.models.batching import BatchedModel

_KEPT = 4  # models; each adapter makes one
_LANES = 8
_WARM = View("warm.py", "python", 1, ("def total(values):", "    return sum(values) - 1"), error="AssertionError")
_WARM_CHANGE = (Hunk(2, 2, "    return sum(values)"),)

M = TypeVar("M")
Stamp = tuple[tuple[str, int, int], ...]


class Shelf(Generic[M]):
    """Loaded models by choice, at most `kept`; the one not used for the longest goes first. Threads may share it."""

    def __init__(
        self, load: Callable[[Choice], M], *, drop: Callable[[M], None] | None = None, kept: int = _KEPT
    ) -> None:
        self._load, self._drop = load, drop
        self._kept = kept
        self._held: OrderedDict[Choice, tuple[Stamp, M]] = OrderedDict()
        self._holding = Lock()
        self._loading: dict[Choice, Lock] = {}

    def get(self, choice: Choice) -> M:
        """The loaded one; loaded now where it is not, or where the adapter's files changed. Raises ModelError."""
        with self._holding:
            turn = self._loading.setdefault(choice, Lock())
        with turn:
            stamp = stamp_of(choice.directory)
            with self._holding:
                held = self._held.get(choice)
                if held and held[0] == stamp:
                    self._held.move_to_end(choice)
                    return held[1]
            loaded = self._load(choice)
            for old in self._put(choice, stamp, loaded):
                if self._drop is not None:
                    self._drop(old)
            return loaded

    def _put(self, choice: Choice, stamp: Stamp, loaded: M) -> list[M]:
        """Hold one; those that are not held any more."""
        with self._holding:
            replaced = self._held.pop(choice, None)
            self._held[choice] = (stamp, loaded)
            gone = [replaced[1]] if replaced else []
            while len(self._held) > self._kept:
                gone.append(self._held.popitem(last=False)[1][1])
            return gone


def stamp_of(directory: Path | None) -> Stamp:
    """Name, time and size of each file of an adapter."""
    if directory is None:
        return ()
    try:
        files = [(file.name, file.stat()) for file in sorted(directory.iterdir()) if file.is_file()]
    except OSError as error:
        raise ModelError(f"an adapter cannot be read ({error.strerror}): put its folder back") from error
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in files)


def load_choice(choice: Choice) -> Model | None:
    """Load what was chosen, by `load_model`. Raises ModelError; what a request named is named so, not by its path."""
    from repair.models.select import load_model

    directory = choice.directory
    try:
        return load_model(choice.spec, adapter=None if directory is None else str(directory))
    except ModelError as error:
        if choice.model == DEFAULT_MODEL and choice.adapter is None:
            raise  # of interest to who starts the service
        message = str(error)
        for path, name in ((directory, choice.adapter), (choice.spec, choice.model)):
            if path is not None and name is not None:
                message = message.replace(str(path), name)
        raise ModelError(message) from error


def load_batched(choice: Choice, settings: Settings) -> BatchedModel:
    """Load what was chosen for many requests at a time. Raises ModelError."""
    import torch

    from repair.models.batching import BatchedModel
    from repair.models.local import LocalModel

    model = load_choice(choice)
    if not isinstance(model, LocalModel):
        raise ModelError("the model process was asked for what it does not hold: start both from the same service")
    # a small network computes with one thread; a lane for each core, so that all of them are of use
    lanes = min(_LANES, len(os.sched_getaffinity(0))) if torch.get_num_threads() == 1 else 1
    return BatchedModel(model, tokens=settings.batch_tokens, wait_ms=settings.batch_wait_ms, lanes=lanes)


def answer_once(model: Model) -> None:
    """One small question of each kind, so that whatever is slow the first time has been done. Raises ModelError."""
    model.locate(_WARM)
    model.score(_WARM, [_WARM_CHANGE])
    if not list(model.propose(_WARM, Decoding({2: 1.0}, candidates=4, max_tokens=16))):
        raise ModelError("the model answered nothing to a question that has answers: load another one")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A model under the name that answers may show."""

    name: str
    inner: Model

    @property
    def usage(self) -> Usage:
        """As `Model.usage`."""
        return self.inner.usage

    def locate(self, view: View) -> LineBelief | None:
        """As `Model.locate`."""
        return self.inner.locate(view)

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """As `Model.propose`; an error says the name, not the address behind it."""
        try:
            yield from self.inner.propose(view, decoding)
        except ModelError as error:
            raise ModelError(str(error).replace(self.inner.name, self.name)) from error

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        """As `Model.score`."""
        return self.inner.score(view, changes)


class LocalModels:
    """Models that this process loads itself, as `modelnames.Models`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shelf = Shelf(load_choice)

    def get(self, model: str | None = None, adapter: str | None = None) -> Model | None:
        """As `Models.get`."""
        choice = choose(self._settings, model, adapter)
        loaded = None if choice.is_none else self._shelf.get(choice)
        return Labelled(choice.label, loaded) if loaded else None

    def listed(self) -> tuple[ModelInfo, ...]:
        """As `Models.listed`."""
        return list_models(self._settings)

    def ready(self, deadline: float) -> float:
        """As `Models.ready`; a server is not asked to generate."""
        start = time.monotonic()
        model = self.get()
        if model and not choose(self._settings, None, None).is_server:
            answer_once(model)
        took = time.monotonic() - start
        if took > deadline:
            raise ModelError(f"the model needed {took:.1f} s for a small answer: wait, or give it more of the machine")
        return took
