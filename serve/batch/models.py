"""Where workers get their model: a few words that can be pickled, and one model a process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from repair.model import Model


class ModelSource(Protocol):
    """Gives a worker its model. Can be pickled."""

    def get(self) -> Model | None:
        """The model, None where repairs go without one. Raises ModelError."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Loaded in each worker, at the first use. As `load_model`: the embedded one, local weights, a server."""

    spec: str | None = None
    adapter: Path | None = None
    threads: int | None = None

    def get(self) -> Model | None:
        """As ModelSource."""
        return _loaded(self.spec, self.adapter, self.threads)


@dataclass(frozen=True, slots=True)
class SharedModel:
    """In a process of its own, which all workers of this machine ask over its socket."""

    spec: str
    adapter: Path | None
    address: str
    secret: bytes

    def get(self) -> Model | None:
        """As ModelSource."""
        return _shared(self)


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model that can itself be pickled, as `repair.cluster_models.RemoteModel`."""

    model: Model

    def get(self) -> Model | None:
        """As ModelSource."""
        return self.model


@cache
def _loaded(spec: str | None, adapter: Path | None, threads: int | None) -> Model | None:
    from repair.models.select import load_model

    return load_model(spec, adapter=str(adapter) if adapter else None, threads=threads)


@cache
def _shared(source: SharedModel) -> Model | None:
    from serve.hosted import HostedModels
    from serve.settings import Settings

    return HostedModels(
        Settings(model=source.spec, adapter=source.adapter), source.address, source.secret
    ).get()  # fmt: skip


@contextmanager
def model_for(spec: str | None, adapter: Path | None, jobs: int) -> Generator[ModelSource]:
    """The model of a run on this machine. Weights that the user gives are held once, however many workers there are.

    The embedded model is small and quicker where it is used; a server needs no process of ours. Raises ModelError.
    """
    if spec is None or jobs == 1 or spec == "none" or spec.startswith(("http://", "https://")):
        yield LoadedModel(spec, adapter, 1 if jobs > 1 else None)
        return
    from serve.modelhost import ModelHost
    from serve.settings import Settings

    host = ModelHost(Settings(model=spec, adapter=adapter))
    try:
        host.restart()
        yield SharedModel(spec, adapter, host.address, host.secret)
    finally:
        host.stop()


def label(spec: str | None, adapter: Path | None) -> str:
    """The model's name for a report, without a path of this machine."""
    from serve.modelnames import choose
    from serve.settings import Settings

    return choose(Settings(model=spec, adapter=adapter), None, None).label
