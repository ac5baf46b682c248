"""Models on a cluster: actors that hold one each, and a Model that asks them, so that tasks hold none.

Owns the actors' lives. A lost one is started anew with a new model and asked once more; answers are those that the
model gives to the same question anywhere.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repair.candidates import Completion
from repair.cluster import Cluster, told
from repair.errors import ModelError
from repair.model import Decoding, LineBelief, Model, Usage
from repair.views import Hunk, View

if TYPE_CHECKING:
    from typing import Any

_RESTARTS = 3  # of each actor
_START = 600.0  # seconds that all models have to load
_RETRIES = 2  # of a question whose actor is lost


class _Host:
    """Holds a model; each answer comes with the tokens it took. Questions are answered one after the other."""

    def __init__(self, factory: Callable[[], Model]) -> None:
        self._factory = factory
        self._made: Model | None = None

    def name(self) -> str:
        return self._model().name

    def _model(self) -> Model:
        # not when the actor is made: Ray would wrap what the factory raises into an account of its own
        self._made = self._made or self._factory()
        return self._made

    def ask(self, method: str, *arguments: object) -> tuple[Any, int, int]:
        model = self._model()
        before = model.usage
        answer = getattr(model, method)(*arguments)
        if method == "propose":
            answer = list(answer)
        after = model.usage
        return (
            answer,
            after.prompt_tokens - before.prompt_tokens,
            after.completion_tokens - before.completion_tokens,
        )


@dataclass(slots=True, eq=False)
class RemoteModel:
    """Asks the actors in turn (`repair.model.Model`). Can be sent to tasks; each copy counts the tokens of its own.

    Raises ModelError when an actor's model fails, cannot be loaded, or its actors are lost again and again.
    """

    name: str
    hosts: tuple[Any, ...]
    _read: int = 0
    _written: int = 0
    _turn: Iterator[int] | None = field(default=None, repr=False)

    def __getstate__(self) -> tuple[object, ...]:
        return self.name, self.hosts, self._read, self._written

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.name, self.hosts, self._read, self._written = state
        self._turn = None

    @property
    def usage(self) -> Usage:
        """Tokens of what this copy has asked."""
        return Usage(self._read, self._written)

    def locate(self, view: View) -> LineBelief | None:
        """As the model."""
        return self._asked("locate", view)

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """As the model; all of them are made before the first is given."""
        yield from self._asked("propose", view, decoding)

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        """As the model."""
        return self._asked("score", view, changes)

    def _asked(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - as the method
        ray = importlib.import_module("ray")
        if self._turn is None:
            self._turn = itertools.count(os.getpid())  # processes begin at different actors
        host = self.hosts[next(self._turn) % len(self.hosts)]
        try:
            answer, read, written = ray.get(host.ask.remote(method, *arguments))
        except ray.exceptions.RayError as error:
            raise _failure(ray, self.name, error) from error
        self._read += read
        self._written += written
        return answer


def _failure(ray: Any, name: str, error: Exception) -> Exception:  # noqa: ANN401
    """What the user is told: the model's own error, or that its actor is gone."""
    cause = told(ray, error)
    if isinstance(cause, ModelError):
        return cause
    if isinstance(error, ray.exceptions.RayTaskError):
        return ModelError(f"the model {name} failed: {type(cause).__name__}: {cause}")
    return ModelError(
        f"the actor of the model {name} is lost ({type(error).__name__}): is there enough memory where it runs? "
        "Give it more cores or a smaller model, or leave --ray out"
    )


@contextmanager
def models_on(
    cluster: Cluster, factory: Callable[[], Model], *, count: int = 0, cpus: float = 1, name: str = "model"
) -> Generator[RemoteModel]:
    """`count` actors, each with a model of `factory` (which can be pickled) and `cpus` cores, for as long as it lasts.

    `count` 0: one for each GPU of the cluster, one in all where there is none. With GPUs each actor has its own.
    Raises ModelError when a model cannot be loaded, or there is no place for it.
    """
    ray = cluster.connected()
    there = ray.cluster_resources()
    gpus, cores = int(there.get("GPU", 0)), there.get("CPU", 0)
    count = count or gpus or 1
    if count * cpus >= cores:
        raise ModelError(
            f"{count} models with {cpus:g} cores each leave none of the cluster's {cores:g} for tasks: "
            "ask for fewer models or fewer cores, or add a node"
        )
    kind = ray.remote(num_cpus=cpus, num_gpus=1 if gpus else 0, max_restarts=_RESTARTS, max_task_retries=_RETRIES)(
        _Host
    )
    hosts = tuple(kind.remote(factory) for _ in range(count))
    try:
        try:
            name = ray.get([host.name.remote() for host in hosts], timeout=_START)[0]
        except ray.exceptions.GetTimeoutError as error:
            raise ModelError(
                f"the model {name} was not loaded within {_START:.0f} s: is a node free for it?"
            ) from error
        except ray.exceptions.RayError as error:
            raise _failure(ray, name, error) from error
        yield RemoteModel(name, hosts)
    finally:
        for host in hosts:
            ray.kill(host)
