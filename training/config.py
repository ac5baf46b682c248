"""Recipes of a training run: frozen values, read strictly from TOML with `key=value` overrides.

Owns names, types and cross-checks of every setting. Knows no torch and opens no other file than the recipe.
An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Union, cast, get_args, get_origin, get_type_hints

from repair.errors import InputError

SCHEDULES = ("constant", "linear", "cosine")
OPTIMIZERS = ("adam", "adamw", "muon", "sgd")
ENGINES = ("auto", "torch", "native", "lean")
METHODS = ("lora", "full")
QUANTISED = ("", "int8", "nf4")
ATTENTION = ("auto", "blocks", "sdpa", "eager", "flash_attention_2")
CONTROLS = ("", "shuffled")
KEEP = ("last", "best")


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
    """Where the tokens come from and how they are packed. Give `dataset` or `shards`."""

    dataset: tuple[str, ...] = ()  # folders of `emend data build`, or .parquet and .jsonl files of records
    split: str = "train"
    heldout_split: str = "validation"
    limit: int = 0  # training records at most, chosen by the seed; 0: all
    clean_share: float = -1.0  # share of training examples without a fault; -1: as they are found
    control: str = ""  # "shuffled": every answer goes to another example; a gate must refuse what comes of it
    shards: tuple[str, ...] = ()  # glob patterns; NAME.npy flat streams or NAME.ids.npy packed examples
    heldout: tuple[str, ...] = ()  # the same, for the held-out loss
    row_length: int = 512  # tokens of a packed row; longer examples are counted and left out
    rows: int = 16  # rows that go through the model together, in each process
    pool: int = 2048  # examples packed together: larger packs tighter
    arriving: bool = False  # shards are still being made: taken in the order of their numbers, each waited for
    background: float = 1.0  # factor on targets of shards that count less than 1 (the code that is read, not written)
    pad: int = 0  # id of the padding token
    bos: int = 1  # id of the token that begins a document of a flat stream

    def __post_init__(self) -> None:
        for name in ("row_length", "rows", "pool"):
            _require(getattr(self, name) > 0, f"data.{name}", "must be positive")
        _require(self.background >= 0, "data.background", "must not be negative")
        _require(self.limit >= 0, "data.limit", "must not be negative")
        _require(self.clean_share == -1 or 0 <= self.clean_share < 1, "data.clean_share", "lies in [0, 1), or is -1")
        _require(self.control in CONTROLS, "data.control", 'is "shuffled" or empty')
        _require(not (self.dataset and self.shards), "data", "give dataset or shards, not both")
        one = len(self.shards) == 1 and self.shards[0].endswith("-*.ids.npy")
        _require(one or not self.arriving, "data.shards", "shards that arrive are one pattern, FOLDER/NAME-*.ids.npy")


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """What is minimised: token-weighted cross-entropy, and what is added to it. Weights of 0 switch a part off."""

    code: float = 0.3  # weight of a token of the code that is read (0 on the faulty lines)
    target: float = 1.0  # of the replacement text
    pointer: float = 3.0  # of where the fault begins and ends
    clean: float = 1.0  # factor on the pointer of examples without a fault
    entropy: float = 0.0  # per nat of mean attention entropy in `layers`
    locality: float = 0.0  # per unit of mean attention distance (0 the token itself, 1 the far end) in `layers`
    layers: tuple[int, ...] = ()  # whose attention is regularised; negative ones count from the last
    perturb: float = 0.0  # radius of adversarial noise on embeddings, as a share of their mean norm
    perturb_weight: float = 1.0  # of the loss under that noise
    attacks: int = 0  # meaning-preserving variants of each example, of which the one with the highest loss is learned
    z: float = 0.0  # of the z-loss: the squared logarithm of the sum of exponentials; bases, run.engine=torch
    preference: str = ""  # JSON lines of pairs: a repair better than another; "dataset": accepted and rejected records
    preference_weight: float = 1.0  # of the preference loss against cross-entropy
    preference_share: float = 0.5  # of the steps that are preference steps
    beta: float = 0.1  # of direct preference optimisation: how far the model may leave its reference

    def __post_init__(self) -> None:
        for name in (
            "code",
            "target",
            "pointer",
            "clean",
            "entropy",
            "locality",
            "perturb",
            "perturb_weight",
            "attacks",
            "z",
        ):
            _require(getattr(self, name) >= 0, f"objective.{name}", "must not be negative")
        _require(self.beta > 0, "objective.beta", "must be positive")
        _require(0 <= self.preference_share <= 1, "objective.preference_share", "is a share, between 0 and 1")
        regularised = self.entropy > 0 or self.locality > 0
        _require(bool(self.layers) or not regularised, "objective.layers", "name the layers to regularise")


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """The optimizer and its learning rate over the run."""

    optimizer: str = "adamw"  # adam, adamw, sgd; muon: Muon for matrices, AdamW for embeddings and norms
    lr: float = 2e-4
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    clip: float = 1.0  # largest norm of all gradients together
    accumulate: int = 1  # batches of `data.rows` rows whose gradients make one step, in each process
    warmup: int = 20  # steps; with `run.epochs` a tenth of all at most
    schedule: str = "linear"
    final: float = 0.0  # share of lr left at the end

    def __post_init__(self) -> None:
        _require(self.optimizer in OPTIMIZERS, "optim.optimizer", f"one of {', '.join(OPTIMIZERS)}")
        _require(self.schedule in SCHEDULES, "optim.schedule", f"one of {', '.join(SCHEDULES)}")
        _require(self.lr > 0, "optim.lr", "must be positive")
        _require(self.clip > 0, "optim.clip", "must be positive")
        _require(self.accumulate > 0, "optim.accumulate", "must be positive")
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
    base: str = ""  # Hugging Face directory or id that is tuned; empty: the embedded model
    adapter: str = ""  # PEFT directory to go on from; "embedded": the shipped one; empty: a fresh adapter
    method: str = "lora"  # or "full": every weight of a small model
    quantise: str = ""  # "int8" or "nf4": the frozen base in 8 or 4 bits, by bitsandbytes
    steps: int = 1000  # length of the schedule
    epochs: float = 0.0  # passes over the data instead of `steps`, where positive
    deadline: str = ""  # local "HH:MM" at which the decay reaches its end, whatever the step
    minutes: float = 0.0  # of training, over all restarts, at which the decay reaches its end; 0: no limit
    decay_minutes: float = 30.0  # length of that decay
    save_seconds: float = 180.0
    evaluate_steps: int = 200
    keep: str = "last"  # which weights are the result: "best" by held-out loss, or "last"
    patience: int = 0  # evaluations without a better held-out loss after which the run ends; 0: never
    threads: int = 0  # of the CPU; 0: OMP_NUM_THREADS, else one for each core
    seed: int = 0
    engine: str = "auto"  # native where it runs (Llama, processor with AMX), else torch; lean: such a Llama in torch
    attention: str = "auto"  # of transformers: blocks where the model allows it, else sdpa
    device: str = "auto"
    compile: bool = False
    shard: bool = False  # divide the frozen base among the processes of the run (FSDP2); lora only
    checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third slower
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        _require(self.steps > 0, "run.steps", "must be positive")
        _require(self.epochs >= 0, "run.epochs", "must not be negative")
        _require(self.threads >= 0, "run.threads", "must not be negative")
        _require(self.minutes >= 0, "run.minutes", "must not be negative")
        _require(not (self.minutes and self.deadline), "run.minutes", "give minutes or a deadline, not both")
        _require(self.engine in ENGINES, "run.engine", f"one of {', '.join(ENGINES)}")
        _require(self.method in METHODS, "run.method", f"one of {', '.join(METHODS)}")
        _require(self.quantise in QUANTISED, "run.quantise", "int8, nf4 or empty")
        _require(self.attention in ATTENTION, "run.attention", f"one of {', '.join(ATTENTION)}")
        _require(self.keep in KEEP, "run.keep", f"one of {', '.join(KEEP)}")
        _require(self.dtype in ("bfloat16", "float32"), "run.dtype", "bfloat16 or float32")
        full = self.method == "full"
        _require(not (full and self.quantise), "run.quantise", "full fine-tuning needs whole weights")
        _require(not (full and self.adapter), "run.adapter", "full fine-tuning goes on from no adapter")
        _require(not (full and self.shard), "run.shard", "only a frozen base is divided: set run.method=lora")
        _require(not (self.quantise and self.shard), "run.shard", "a quantised base cannot be divided")


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """What is shown and kept of a run while it goes on, and when it is stopped."""

    live: bool = True  # a live table where the output is a terminal
    tensorboard: bool = False  # event files under OUT/tensorboard
    samples: int = 0  # sample repairs every so many steps
    spike: float = 0.0  # a loss this many times the median of the last 50 is skipped, its batch saved; 0: never
    skip: int = 3  # batches with a bad loss in a row after which the run ends with an error
    profile: bool = False  # torch.profiler over steps 3 to 6: OUT/profile/{trace.json, hotspots.txt}


@dataclass(frozen=True, slots=True)
class GateConfig:
    """The comparison of an adapter with what it started from, on held-out examples."""

    suite: str = ""  # JSON lines of programs with tests (`emend data execute` makes them); empty: without execution
    examples: int = 400  # held-out examples at most
    tasks: int = 60  # of the suite at most
    candidates: int = 20  # that are judged for each task
    seconds: float = 4.0  # for each task
    jobs: int = 2  # tasks at once
    resamples: int = 2000  # of the paired bootstrap
    level: float = 0.95  # of its intervals

    def __post_init__(self) -> None:
        for name in ("examples", "tasks", "candidates", "seconds", "jobs", "resamples"):
            _require(getattr(self, name) > 0, f"gate.{name}", "must be positive")
        _require(0.5 <= self.level < 1, "gate.level", "lies in [0.5, 1)")


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a setting may be in a search: `choices`, or numbers from `low` to `high` (whole ones for whole settings)."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        _require(bool(self.choices) or self.low < self.high, "tune.space", "wants choices, or low < high")
        _require(not self.log or bool(self.choices) or self.low > 0, "tune.space", "a log scale begins above 0")


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """A search over settings."""

    space: Mapping[str, Dimension] = field(default_factory=dict[str, Dimension])  # "optim.lr" = { low, high, log }
    trials: int = 20  # finished or pruned ones, over all restarts of the study
    goal: str = "loss"  # loss, location@1, exact@1, fix@K
    jobs: int = 1  # trials at once, each in its own process
    minutes: float = 0.0  # no trial begins after that; 0: no limit
    prune: bool = True  # end trials that are worse than the median of the others at the same step
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.trials > 0, "tune.trials", "must be positive")
        _require(self.jobs > 0, "tune.jobs", "must be positive")
        known = ("loss", "location@1", "exact@1")
        fix = self.goal.startswith("fix@") and self.goal[4:].isdigit() and int(self.goal[4:]) > 0
        _require(self.goal in known or fix, "tune.goal", f"one of {', '.join(known)}, fix@K")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    run: RunConfig = field(default_factory=RunConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)


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
    if get_origin(kind) is abc.Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{name}: expected a table", field=name)
        table = cast("Mapping[str, object]", value)
        return {key: _convert(inner, get_args(kind)[1], f"{name}.{key}") for key, inner in table.items()}
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
