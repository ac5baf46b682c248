"""Mixtures of training documents, shard by shard: what lies in shard n depends on the seed, the stream and n alone.

Kinds of documents: `code` (windows of files, every line with its line token), `holes` (windows with lines to fill in,
the answer behind), `repair` (injected faults, see `data.mutants`), `given` (examples of packed shards that exist).
Each kind goes through its material in passes of a random order, of which shard n of N takes entries n, n + N, ...;
so all is seen equally often, whichever process makes which shard. Owns the shares and that order. Must not know
processes or how shards are stored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from data.mutants import Injector, condensed_units
from data.pack import Encoded, encode_example, encode_pieces
from data.packs import PackFile
from data.pretrain import WINDOW_CHARACTERS, document, windows
from data.tokenizer import LineEncoder
from repair.errors import InputError

KINDS = ("code", "holes", "repair", "given")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


@dataclass(frozen=True, slots=True)
class Stream:
    """One stage of a training: a name, how many tokens, and the share of them of each kind."""

    name: str
    tokens: int
    shares: tuple[tuple[str, float], ...]

    def shards(self, size: int) -> int:
        """How many shards of about `size` tokens it has."""
        return max(1, round(self.tokens / size))


def read_stream(text: str) -> Stream:
    """`NAME:TOKENS:KIND=SHARE,...`, as `b:500M:repair=0.6,holes=0.15,code=0.25`. Raises InputError: what is wrong."""
    name, _, rest = text.partition(":")
    number, _, shares = rest.partition(":")
    if not _NAME.fullmatch(name):
        raise InputError(f"stream {text!r}: begin with a name of small letters and a colon", field="stream")
    size = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGB]?)", number.replace("_", ""))
    tokens = int(float(size[1]) * _UNITS.get(size[2], 1)) if size else 0
    if tokens < 1:
        raise InputError(f"stream {text!r}: {number!r} is no number of tokens (500M, 2_000_000)", field="stream")
    read: dict[str, float] = {}
    for one in shares.split(","):
        kind, _, share = one.partition("=")
        if kind not in KINDS or kind in read or not re.fullmatch(r"\d*\.?\d+", share):
            raise InputError(f"stream {text!r}: {one!r} is no share; write {KINDS[0]}=0.25 once each", field="stream")
        read[kind] = float(share)
    if abs(sum(read.values()) - 1) > 1e-6:
        raise InputError(f"stream {text!r}: the shares make {sum(read.values()):g}, not 1", field="stream")
    return Stream(name, tokens, tuple((kind, share) for kind, share in read.items() if share))


@dataclass(frozen=True, slots=True)
class Style:
    """How documents are made. `row` is in tokens: no document is longer. `window` is in characters of code, about."""

    seed: int = 1
    row: int = 2048
    window: int = WINDOW_CHARACTERS
    each: int = 4  # faults of a function at one visit
    plain_share: float = 0.05  # of `code`: plain text with newlines
    clean_share: float = 0.18  # of `repair`: without a fault
    second_share: float = 0.07  # of the faulty ones: with a second fault

    def __post_init__(self) -> None:
        for name in ("plain_share", "clean_share", "second_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is a share between 0 and 1", field=name)
        for name, least in (("row", 64), ("window", 200), ("each", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}", field=name)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """The rows of packed shards that exist: ids, weights and segments of each shard, all (rows, length)."""

    shards: tuple[tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]], ...]
    rows: tuple[tuple[int, int], ...] = field(init=False)  # shard and row of each

    def __post_init__(self) -> None:
        rows = ((shard, row) for shard, (ids, _, _) in enumerate(self.shards) for row in range(len(ids)))
        object.__setattr__(self, "rows", tuple(rows))

    def examples(self, at: tuple[int, int]) -> Iterator[Encoded]:
        """The examples of a row."""
        ids, weights, segments = (array[at[1]] for array in self.shards[at[0]])
        for number in range(1, int(segments.max(initial=0)) + 1):
            own = segments == number
            yield Encoded(ids[own], weights[own])


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """What documents are made of: the files of packs, the vocabulary, shards that exist."""

    files: Sequence[PackFile]
    encoder: LineEncoder
    given: Given = field(default_factory=lambda: Given(()))

    def entries(self, kind: str) -> Sequence[int]:
        """What one pass over a kind goes through: numbers of rows, or of files, as often as these are to be seen."""
        if kind == "given":
            return range(len(self.given.rows))
        return [n for n, file in enumerate(self.files) for _ in range(file.weight)]


@dataclass(frozen=True, slots=True)
class Turn:
    """Shard `number` of the `of` shards of a stream."""

    stream: Stream
    number: int
    of: int

    def seed(self, style: Style, *parts: object) -> str:
        """The seed of a draw within this stream."""
        return ":".join(map(str, (style.seed, self.stream.name, *parts)))


@lru_cache(maxsize=8)
def _order(length: int, seed: str) -> tuple[int, ...]:
    order = list(range(length))
    random.Random(seed).shuffle(order)
    return tuple(order)


def places(turn: Turn, style: Style, kind: str, length: int) -> Iterator[tuple[int, int]]:
    """The endless row of (place, entry) that this shard goes through; a place belongs to one shard only."""
    for place in count(turn.number, turn.of):
        yield place, _order(length, turn.seed(style, kind, place // length))[place % length]


@dataclass(slots=True, eq=False)
class _Maker:
    """Makes the documents of one shard, entry by entry; the mix of fault classes is kept over all of them."""

    turn: Turn
    style: Style
    corpus: Corpus
    injector: Injector

    def documents(self, kind: str, place: int, entry: int) -> Iterator[Encoded]:
        """Those of one file, or of one given row, at one visit."""
        if kind == "given":
            return self.corpus.given.examples(self.corpus.given.rows[entry])
        file, seed = self.corpus.files[entry], self.turn.seed(self.style, kind, "at", place)
        return self.repairs(file, seed) if kind == "repair" else self.windows(file, random.Random(seed), kind)

    def windows(self, file: PackFile, draw: random.Random, kind: str) -> Iterator[Encoded]:
        row, encoder = self.style.row, self.corpus.encoder
        characters = round(self.style.window * draw.uniform(0.75, 1.25))  # so that each visit cuts at other places
        for window in windows(file.code, characters):
            plain = kind == "code" and draw.random() < self.style.plain_share
            made = encode_pieces(document(window, draw, plain=plain, holes=float(kind == "holes")), encoder)
            # code may end anywhere; an answer may not be lost
            yield Encoded(made.ids[:row], made.weights[:row]) if kind == "code" else made

    def repairs(self, file: PackFile, seed: str) -> Iterator[Encoded]:
        self.injector.seed = random.Random(seed).getrandbits(48)  # other faults at each visit
        for unit in condensed_units(file.code, lambda name: file.tests.get(name, "")):
            for example in self.injector.examples(unit, self.style.each):
                yield encode_example(example, self.corpus.encoder)


def _share(maker: _Maker, kind: str, tokens: float) -> list[Encoded]:
    """Documents of one kind, together `tokens` tokens or a little more. Raises InputError: nothing to make them of."""
    entries = maker.corpus.entries(kind)
    made: list[Encoded] = []
    size = idle = 0
    for place, entry in places(maker.turn, maker.style, kind, len(entries)) if entries else ():
        before = size
        for one in maker.documents(kind, place, entries[entry]):
            if len(one) <= maker.style.row:
                made.append(one)
                size += len(one)
            if size >= tokens:
                return made
        idle = idle + 1 if size == before else 0
        if idle > len(entries):
            break
    what = "the shards of --given" if kind == "given" else "the packs"
    raise InputError(
        f"stream {maker.turn.stream.name}: {what} hold nothing that gives a document of kind {kind} of at most "
        f"{maker.style.row} tokens",
        field="stream",
    )


def mixture(turn: Turn, style: Style, corpus: Corpus, tokens: int) -> tuple[list[Encoded], Mapping[str, int]]:
    """About `tokens` tokens of documents in random order, and how many of them are of each kind.

    Raises InputError when there is nothing to make a kind of.
    """
    maker = _Maker(turn, style, corpus, Injector(style.seed, style.clean_share, style.second_share))
    parts = {kind: _share(maker, kind, share * tokens) for kind, share in turn.stream.shares}
    made = [one for part in parts.values() for one in part]
    random.Random(turn.seed(style, "mixed", turn.number)).shuffle(made)
    return made, {kind: sum(map(len, part)) for kind, part in parts.items()}
