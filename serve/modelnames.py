"""The names by which requests choose a model and an adapter, and what each stands for on this machine.

A name is looked up in the settings and in the listing of `adapters_dir`, never used as a path. Knows nothing of
weights or processes: `loaded.py` loads a Choice here, `hosted.py` asks the model process for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from repair.errors import InputError
from repair.model import Model
from serve.settings import DEFAULT_MODEL, Settings

_NONE = "none"  # as repair.models.select has it, which a process without weights need not import
_SERVERS = ("http://", "https://")
_ADAPTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHOWN = 60  # characters of a wrong name that are said back


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that requests may name; nothing of it tells where it lies."""

    name: str
    description: str
    adapters: tuple[str, ...]
    default: bool
    location_probabilities: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request chose: the names, and what `load_model` is told."""

    model: str
    adapter: str | None
    spec: str | None
    directory: Path | None  # of the adapter

    @property
    def is_none(self) -> bool:
        """Whether repairs go without a model."""
        return self.spec == _NONE

    @property
    def is_server(self) -> bool:
        """Whether another server answers: it is talked to directly, nothing is loaded."""
        return self.spec is not None and self.spec.startswith(_SERVERS)

    @property
    def label(self) -> str:
        """Name for reports and answers, without any path of this machine."""
        return _label(self.spec, self.model) + (f"+{self.adapter}" if self.adapter else "")


class Models(Protocol):
    """Where repairs get their models: `LocalModels` and `HostedModels`."""

    def get(self, model: str | None, adapter: str | None) -> Model | None:
        """The model of these names (None: the default), None where repairs go without one.

        Raises InputError with field `options.model` or `options.adapter` for a name that is not known, ModelError
        when it cannot be loaded or reached.
        """
        ...

    def listed(self) -> tuple[ModelInfo, ...]:
        """All that requests may name, the default first."""
        ...

    def ready(self, deadline: float) -> float:
        """Let the default model really answer; seconds that it took. Raises ModelError: failed, or not in time."""
        ...


def choose(settings: Settings, model: str | None, adapter: str | None) -> Choice:
    """What the names stand for now. Raises InputError that lists the known ones."""
    name = model or DEFAULT_MODEL
    specs: dict[str, str | None] = {**settings.models, DEFAULT_MODEL: settings.model}
    if name not in specs:
        raise InputError(
            f"model {_shown(name)} is not known here: leave it out, or name {_either(_names(settings))}",
            field="options.model",
        )
    spec = specs[name]
    if adapter is None:
        own = settings.adapter if name == DEFAULT_MODEL and not Choice(name, None, spec, None).is_server else None
        return Choice(name, None, spec, own)
    known = adapters(settings) if name == DEFAULT_MODEL else {}
    if not known or _remote(spec):
        raise InputError(f"model {name!r} has no adapters here: leave adapter out", field="options.adapter")
    if adapter not in known:
        raise InputError(
            f"adapter {_shown(adapter)} is not known here: leave it out, or name {_either(sorted(known))}",
            field="options.adapter",
        )
    return Choice(name, adapter, spec, known[adapter])


def adapters(settings: Settings) -> dict[str, Path]:
    """The adapters of the default model by name, as they lie there now."""
    found: dict[str, Path] = {}
    if settings.adapters_dir is not None:
        try:
            folders = sorted(settings.adapters_dir.iterdir())
        except OSError:  # not there yet
            folders = []
        for folder in folders:
            if _ADAPTER.fullmatch(folder.name) and (folder / "adapter_config.json").is_file():
                found[folder.name] = folder
    return found | dict(settings.adapters)


def list_models(settings: Settings) -> tuple[ModelInfo, ...]:
    """What requests may name, the default first."""
    return tuple(_info(settings, name) for name in _names(settings))


def _names(settings: Settings) -> list[str]:
    return [DEFAULT_MODEL, *(name for name in sorted(settings.models) if name != DEFAULT_MODEL)]


def _info(settings: Settings, name: str) -> ModelInfo:
    spec = settings.model if name == DEFAULT_MODEL else settings.models[name]
    default = name == DEFAULT_MODEL
    own = tuple(sorted(adapters(settings))) if default and not _remote(spec) else ()
    return ModelInfo(name, _description(spec, name), own, default, not _remote(spec))


def _remote(spec: str | None) -> bool:
    """Whether nothing is loaded here: no model, or a server."""
    return spec is not None and (spec == _NONE or spec.startswith(_SERVERS))


def _description(spec: str | None, name: str) -> str:
    if spec is None:
        return "the model that Emend ships"
    if spec == _NONE:
        return "no model: operators and tests alone"
    if spec.startswith(_SERVERS):
        return f"{_label(spec, name)} on a model server"
    return f"{_label(spec, name)}, a checkpoint on this machine"


def _label(spec: str | None, name: str) -> str:
    if spec is None:
        return "embedded"
    if spec == _NONE:
        return _NONE
    if spec.startswith(_SERVERS):
        return spec.partition("#")[2] or name
    is_path = spec.startswith((".", "/", "~")) or Path(spec).expanduser().is_dir()
    return (Path(spec).name or name) if is_path else spec


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
