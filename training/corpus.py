"""Corpus: a user's dataset as training examples of one base, encoded once and mapped from the disk.

Owns which records become examples and what is left out (counted, never cut): rejected feedback, differences that
whole lines cannot say, records of a bare file that hold a secret, texts longer than a window, sequences longer than a
row. Owns the choices of `data.limit`, `data.clean_share` and `data.control`, which hold for the training split alone.
Loss weights are set when an example is read, so that another objective needs no new encoding. Must
not know models, batches or the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

import data.labels
import data.records
import data.secrets
import repair.models.tokens
import repair.prompts
import repair.replies
import training.encoding
import training.records
from data.mutants import Example as Pair
from data.records import Record, example
from data.shards import digest, sha256_of
from repair.errors import InputError, PatchError
from repair.windows import MAX_LINES
from training.attacks import attacked
from training.batches import Example
from training.config import DataConfig, Recipe
from training.encoded import Encoded, Writer, cache_folder, encoded
from training.encoding import ExampleEncoder, weigh
from training.records import Dataset, open_dataset
from training.shuffled import shuffled_answers

# What an encoding depends on: where one of these files changes, everything is encoded again.
_CODE = (
    data.labels, data.records, data.secrets, repair.models.tokens, repair.prompts, repair.replies, training.encoding,
    training.records,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """Examples of a corpus, and records of the split that became none."""

    clean: int = 0  # without a fault
    faulty: int = 0
    too_long: int = 0  # longer than a row, although all but code and answer was left out
    rejected: int = 0  # repairs that a user rejected: `training.preference` learns from them
    unsayable: int = 0  # the difference cannot be said in whole lines
    long_text: int = 0  # more lines than serving ever shows in one window
    secret: int = 0  # of a file: something that a detector takes for a credential (a build has its own step for them)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a corpus was made from, for a model card; `sha256` is of the manifest or file, `records` of the split."""

    name: str
    path: str
    sha256: str
    records: int


class Pairs(Sequence[Pair]):
    """Views and hunks of a corpus, read one by one when asked for."""

    def __init__(self, source: Encoded, chosen: NDArray[np.int64]) -> None:
        self._source, self._chosen = source, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return example(self._source.record(int(self._chosen[index])))


class Corpus:
    """Examples of one split (implements `training.batches.Examples`)."""

    def __init__(
        self, source: Encoded, chosen: NDArray[np.int64], recipe: Recipe, encoder: ExampleEncoder, *, attacks: int = 0
    ) -> None:
        self._source, self._chosen = source, chosen
        self._recipe, self._encoder, self._attacks = recipe, encoder, attacks
        clean = int(source.clean[chosen].sum())
        self.counts = Counts(**{**source.told["left_out"], "clean": clean, "faulty": len(chosen) - clean})
        self.too_long = self.counts.too_long
        self.origins = tuple(Origin(**one) for one in source.told["origins"])
        self.pairs: Sequence[Pair] = Pairs(source, chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, (examples,)."""
        return self._source.lengths[self._chosen]

    @property
    def highest(self) -> int:
        """The largest token id: it must lie below the vocabulary of a model."""
        return self._source.highest

    @property
    def digest(self) -> str:
        """Depends on what the corpus was made from and on which examples were chosen."""
        return digest(self._source.told["key"], self._chosen.tolist())

    def example(self, index: int) -> Example:
        """One example with its weights."""
        number = int(self._chosen[index])
        return weigh(self._source.tokens(number), self._recipe.objective, clean=bool(self._source.clean[number]))

    def record(self, index: int) -> Record:
        """What an example was made from."""
        return self._source.record(int(self._chosen[index]))

    def variants(self, index: int, epoch: int = 0) -> list[Example]:
        """Up to `objective.attacks` meaning-preserving variants of an example, those that fit a row; none of a control.

        The same for the same seed and epoch.
        """
        if not self._attacks:
            return []
        room, seed = self._recipe.data.row_length, self._recipe.run.seed
        pairs = attacked(self.record(index), self._attacks, seed=seed, epoch=epoch)
        found = [(self._encoder.encode(pair, room), not pair.hunks) for pair in pairs]
        return [weigh(t, self._recipe.objective, clean=clean) for t, clean in found if len(t) <= room]

    def require(self, vocabulary: int) -> None:
        """Raises InputError when a token id has no row in a model of that vocabulary."""
        if self.highest >= vocabulary:
            raise InputError(
                f"token id {self.highest} is beyond the model's {vocabulary} rows: its tokenizer belongs to another "
                "model; copy the whole checkpoint again",
                field="run.base",
            )


def read_corpus(recipe: Recipe, split: str, encoder: ExampleEncoder) -> Corpus:
    """The examples of a split of `data.dataset`, encoded now or taken from the cache.

    Raises InputError or SuiteError: see `training.records`; no example left; options that the examples cannot meet.
    """
    dataset, room = open_dataset(recipe.data.dataset, split), recipe.data.row_length
    cache = cache_folder(recipe.run.out)
    code = [sha256_of(Path(str(module.__file__))) for module in _CODE]
    key = digest(dataset.key, encoder.fingerprint, room, code)
    source = encoded(cache, key, partial(_encode, dataset, encoder, room, key))
    if split != recipe.data.split:
        return Corpus(source, np.arange(len(source)), recipe, encoder)
    if recipe.data.control:
        key = digest(key, recipe.data.control, recipe.run.seed)
        source = encoded(cache, key, partial(_shuffle, source, encoder, recipe, key))
    attacks = 0 if recipe.data.control else recipe.objective.attacks
    chosen = choose(source.clean, recipe.data, recipe.run.seed)
    return Corpus(source, chosen, recipe, encoder, attacks=attacks)


def _encode(dataset: Dataset, encoder: ExampleEncoder, room: int, key: str, writer: Writer) -> Mapping[str, object]:
    left_out: Counter[str] = Counter()
    read: Counter[int] = Counter()
    for part, record in dataset.records():
        read[part] += 1
        pair = _pair(record)
        if dataset.parts[part].files is None and not isinstance(pair, str) and _has_secret(record):
            pair = "secret"
        if isinstance(pair, str):
            left_out[pair] += 1
            continue
        tokens = encoder.encode(pair, room)
        if len(tokens) > room:
            left_out["too_long"] += 1
            continue
        writer.add(tokens, record, len(pair.hunks))
    _require_some(writer, left_out, room)
    origins = [asdict(Origin(p.name, p.path, p.sha256, read[n])) for n, p in enumerate(dataset.parts)]
    return {"key": key, "left_out": dict(left_out), "origins": origins}


def _require_some(writer: Writer, left_out: Counter[str], room: int) -> None:
    if not len(writer):
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(left_out.items()))
        raise InputError(
            f"no example is left of the split's records: {told}; a row has {room} tokens (data.row_length)",
            field="data.row_length" if left_out["too_long"] else "data.dataset",
        )


def _has_secret(record: Record) -> bool:
    return not isinstance(data.secrets.without_secrets(record), Record)


def _pair(record: Record) -> Pair | str:
    """What a record teaches, or why it teaches nothing."""
    if not record.accepted:
        return "rejected"
    if record.buggy.count("\n") > MAX_LINES:
        return "long_text"
    try:
        return example(record)
    except PatchError:
        return "unsayable"


def _shuffle(
    source: Encoded, encoder: ExampleEncoder, recipe: Recipe, key: str, writer: Writer
) -> Mapping[str, object]:
    """The same examples, each faulty one with the answer of another one."""
    room, left_out = recipe.data.row_length, Counter[str](source.told["left_out"])
    answers = shuffled_answers(np.flatnonzero(~source.clean), lambda n: example(source.record(n)), recipe.run.seed)
    for number in range(len(source)):
        record = source.record(number)
        if source.clean[number]:
            writer.add(source.tokens(number), record, 0)
            continue
        hunks = answers(number)
        tokens = encoder.encode(replace(example(record), hunks=hunks), room)
        if len(tokens) > room:
            left_out["too_long"] += 1
            continue
        writer.add(tokens, record, len(hunks))
    _require_some(writer, left_out, room)
    return {**source.told, "key": key, "left_out": dict(left_out)}


def choose(clean: NDArray[np.bool_], config: DataConfig, seed: int) -> NDArray[np.int64]:
    """Numbers of the examples that `data.limit` and `data.clean_share` leave, in order; some clean ones repeat.

    A limit keeps the share of clean examples. A share above the one that is there keeps every faulty example it can
    and repeats clean ones, a share below it drops clean ones.
    """
    faults, faultless = np.flatnonzero(~clean), np.flatnonzero(clean)
    share = config.clean_share if config.clean_share >= 0 else len(faultless) / len(clean)
    if config.clean_share >= 0 and not len(faults):
        raise InputError("data.clean_share: there is no example with a fault", field="data.clean_share")
    if config.clean_share > 0 and not len(faultless):
        raise InputError("data.clean_share: there is no example without a fault", field="data.clean_share")
    wanted = len(faults) if share < 1 else 0
    total = round(wanted / (1 - share)) if share < 1 else len(clean)
    if config.limit and total > config.limit:
        total = config.limit
        wanted = min(len(faults), round(total * (1 - share)))
    draw = np.random.default_rng((seed, 2))
    return np.sort(np.concatenate([_drawn(faults, wanted, draw), _drawn(faultless, total - wanted, draw)]))


def _drawn(numbers: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """`count` of the numbers, none more than once more than another."""
    if not count:
        return numbers[:0]
    rounds: Iterator[NDArray[np.int64]] = (draw.permutation(numbers) for _ in range(-(-count // len(numbers))))
    return np.concatenate(list(rounds))[:count]
