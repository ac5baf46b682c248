"""Recipes of a training run: frozen values, read strictly from TOML with `key=value` overrides.

Owns names, types and cross-checks of every setting. Knows no torch and opens no other file than the recipe.
An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Union, cast, get_args, get_origin, get_type_hints

from repair.errors import InputError

SCHEDULES = ("constant", "linear", "cosine")
OPTIMIZERS = ("adamw", "muon", "sgd")
ENGINES = ("torch", "native")


def _require(condition: bool, field_name: str, message: str) -> None:
    if not condition:
        raise InputError(f"{field_name}: {message}", field=field_name)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of a Llama. Dimensions are counts of channels; `positions` is the longest context, in tokens."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    hidden: int = 704
    positions: int = 4096
    rope_theta: float = 50_000.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "hidden", "positions"):
            _require(getattr(self, name) > 0, f"model.{name}", "must be positive")
        _require(self.width % (2 * self.heads) == 0, "model.heads", "must divide width into even heads")
        _require(self.heads % self.kv_heads == 0, "model.kv_heads", "must divide heads")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where the tokens come from and how they are packed."""

    shards: tuple[str, ...] = ()  # glob patterns; .npy flat streams or .npz packed examples
    heldout: tuple[str, ...] = ()  # the same, for the held-out loss
    row_length: int = 512  # tokens of a packed row; longer examples are counted and left out
    rows: int = 16  # rows of one step
    pool: int = 2048  # examples packed together: larger packs tighter
    background: float = 1.0  # factor on targets that count less than 1 (the code that is read, not written)
    pad: int = 0  # id of the padding token
    bos: int = 1  # id of the token that begins a document of a flat stream

    def __post_init__(self) -> None:
        for name in ("row_length", "rows", "pool"):
            _require(getattr(self, name) > 0, f"data.{name}", "must be positive")
        _require(self.background >= 0, "data.background", "must not be negative")


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """The optimizer and its learning rate over the run."""

    optimizer: str = "muon"  # muon: Muon for matrices, AdamW for embeddings and norms
    lr: float = 3e-3
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0  # largest norm of all gradients together
    warmup: int = 100  # steps
    schedule: str = "linear"
    final: float = 0.0  # share of lr left at the end

    def __post_init__(self) -> None:
        _require(self.optimizer in OPTIMIZERS, "optim.optimizer", f"one of {', '.join(OPTIMIZERS)}")
        _require(self.schedule in SCHEDULES, "optim.schedule", f"one of {', '.join(SCHEDULES)}")
        _require(self.lr > 0, "optim.lr", "must be positive")
        _require(self.clip > 0, "optim.clip", "must be positive")
        _require(0 <= self.final <= 1, "optim.final", "is a share of lr, between 0 and 1")


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Low-rank adapter (Hu et al. 2021) on every linear layer unless `targets` names some."""

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    rslora: bool = False
    dora: bool = False

    def __post_init__(self) -> None:
        _require(self.rank > 0, "lora.rank", "must be positive")
        _require(0 <= self.dropout < 1, "lora.dropout", "must lie in [0, 1)")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Length, saving and place of a run."""

    out: Path = Path("out/run")
    init: Path | None = None  # checkpoint to start from: weights and moments, not the position in the data
    base: str = ""  # Hugging Face directory or id that an adapter is trained on; empty: the embedded model
    steps: int = 1000  # length of the schedule
    deadline: str = ""  # local "HH:MM" at which the decay reaches its end, whatever the step
    decay_minutes: float = 30.0  # length of that decay
    save_seconds: float = 180.0
    evaluate_steps: int = 200
    threads: int = 1
    seed: int = 0
    engine: str = "torch"
    compile: bool = False
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        _require(self.steps > 0, "run.steps", "must be positive")
        _require(self.engine in ENGINES, "run.engine", f"one of {', '.join(ENGINES)}")
        _require(self.dtype in ("bfloat16", "float32"), "run.dtype", "bfloat16 or float32")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    run: RunConfig = field(default_factory=RunConfig)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""


def _scalar(value: object, kind: type, name: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    raise InputError(f"{name}: expected {kind.__name__}, not {value!r}", field=name)


def _convert(value: object, kind: object, name: str) -> object:
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise InputError(f"{name}: expected a table", field=name)
        return _build(kind, cast("Mapping[str, object]", value), f"{name}.")
    if get_origin(kind) in (Union, UnionType):
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple:
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        return tuple(_scalar(item, get_args(kind)[0], name) for item in items)
    return _scalar(value, cast(type, kind), name)


def _build(kind: type, table: Mapping[str, object], prefix: str = "") -> object:
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    for key in table:
        if key not in known:
            raise InputError(f"unknown setting {prefix}{key}{_nearest(key, known)}", field=f"{prefix}{key}")
    return kind(**{key: _convert(value, hints[key], f"{prefix}{key}") for key, value in table.items()})


def _override(table: dict[str, object], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise InputError(f"{assignment!r} is not of the form section.key=value", field=assignment)
    *sections, last = key.strip().split(".")
    inner = table
    for section in sections:
        below = inner.setdefault(section, {})
        if not isinstance(below, dict):
            raise InputError(f"{key}: {section} is no table", field=key)
        inner = cast("dict[str, object]", below)
    try:
        inner[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        inner[last] = text


def parse_recipe(text: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe of a TOML text, changed by `section.key=value` assignments.

    Raises InputError: no TOML, unknown key (the nearest is named), wrong type, impossible value.
    """
    try:
        table: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the recipe is no TOML: {error}", field="recipe") from error
    for assignment in overrides:
        _override(table, assignment)
    return cast(Recipe, _build(Recipe, table))


def read_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe of a file. Raises InputError as `parse_recipe`, or when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read recipe {path}: {error.strerror}", field="recipe") from error
    return parse_recipe(text, overrides)
