r"""Training shards made while a trainer reads them: `python -m data.arriving`, on a machine without network.

    python -m data.arriving out --packs code-0.jsonl.xz code-1.jsonl.xz --tokenizer tokenizer.json --jobs 14 \
        --stream a:250M:code=0.6,holes=0.4 --stream b:500M:code=0.25,holes=0.15,repair=0.6 \
        --stream c:100M:code=0.1,repair=0.75,given=0.15 --given "mined/*.ids.npy"

Writes `out/a-00000.ids.npy` … (see `data.pack`), streams and shards in order, and `out/a.end` (JSON: shards, rows,
tokens) when stream a is whole. The same command goes on where it was ended. Needs numpy, tokenizers, tree-sitter and
tree-sitter-python. Owns processes, files and the clock; what lies in a shard is `data.streams`'.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.pack import write_packed
from data.packs import read_packs
from data.shards import Shard, digest, room_needed, sha256_of
from data.store import write_text
from data.streams import Corpus, Given, Stream, Style, Turn, mixture, read_stream
from data.tokenizer import LineEncoder
from repair.errors import EmendError, InputError
from repair.executors import executor

FORMAT = 1  # of the shards; another one means that nothing of the output folder goes on
SHARD = 2_000_000  # tokens
_PARTS = ("ids", "weights", "segments")


@dataclass(frozen=True, slots=True)
class Material:
    """Where documents come from. `given`: the `.ids.npy` files of packed shards."""

    packs: tuple[Path, ...]
    tokenizer: Path
    given: tuple[Path, ...] = ()

    def digest(self) -> str:
        """Equal for equal contents. Raises InputError: a file is missing."""
        for path in (*self.packs, self.tokenizer, *self.given):
            if not path.is_file():
                raise InputError(f"{path}: no such file", field=str(path))
        return digest([sha256_of(path) for path in (*self.packs, self.tokenizer, *self.given)])


@dataclass(frozen=True, slots=True)
class Work:
    """All that makes the shards of some streams."""

    out: Path
    material: Material
    streams: tuple[Stream, ...]
    style: Style = field(default_factory=Style)
    shard: int = SHARD  # tokens, about

    def __post_init__(self) -> None:
        names = [stream.name for stream in self.streams]
        if not names or len(set(names)) < len(names):
            raise InputError("name one stream or several, each once", field="stream")
        if self.shard < self.style.row:
            raise InputError(f"a shard of {self.shard} tokens has no room for a row", field="shard")

    def turns(self) -> Iterator[Turn]:
        """The shards of all streams, in order."""
        for stream in self.streams:
            of = stream.shards(self.shard)
            yield from (Turn(stream, number, of) for number in range(of))


@dataclass(frozen=True, slots=True)
class Made:
    """A finished shard. `seconds` of processor time; 0 when it was there already."""

    turn: Turn
    counts: dict[str, int]
    seconds: float = 0.0


def _given(path: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]]:
    stem = path.name.removesuffix(".ids.npy")
    try:
        ids, weights, segments = (np.load(path.with_name(f"{stem}.{part}.npy"), mmap_mode="r") for part in _PARTS)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is no packed shard: {error}", field="given") from error
    if not ids.shape == weights.shape == segments.shape or ids.ndim != 2:
        raise InputError(f"{path}: ids, weights and segments do not have one shape", field="given")
    return ids, weights, segments


@lru_cache(maxsize=1)
def _corpus(material: Material) -> Corpus:
    """Read once in each process."""
    encoder = LineEncoder.read(material.tokenizer)
    given = Given(tuple(_given(path) for path in material.given))
    if any(int(ids.max(initial=0)) >= encoder.size for ids, _, _ in given.shards):
        raise InputError(f"the given shards hold tokens that {material.tokenizer} has not", field="given")
    return Corpus(tuple(read_packs(material.packs)), encoder, given)


def _shard(work: Work, key: str, turn: Turn) -> Shard:
    own = digest(key, asdict(turn.stream), turn.number, turn.of)
    return Shard(work.out, f"{turn.stream.name}-{turn.number:05d}", own)


def make_shard(work: Work, key: str, turn: Turn) -> Made:
    """Write one shard, or find it finished. Raises InputError: unusable material, a full disk."""
    shard = _shard(work, key, turn)
    known = shard.counts()
    if known is not None and all((work.out / f"{shard.name}.{part}.npy").is_file() for part in _PARTS):
        return Made(turn, known)
    corpus = _corpus(work.material)
    begun = time.process_time()
    documents, sizes = mixture(turn, work.style, corpus, -(-turn.stream.tokens // turn.of))
    with room_needed(work.out):
        counts = {**write_packed(work.out, shard.name, documents, work.style.row), **sizes}
    shard.finish(counts)
    return Made(turn, counts, time.process_time() - begun)


def _only_ours(work: Work, key: str) -> None:
    """Refuse a folder in which a trainer could take shards of other settings for these."""
    ours = {f"{shard.name}.json": shard for shard in (_shard(work, key, turn) for turn in work.turns())}
    for stream in work.streams:
        for path in work.out.glob(f"{stream.name}-[0-9]*.json"):
            if path.name not in ours or ours[path.name].counts() is None:
                raise InputError(
                    f"{path.with_suffix('')} was made with other settings; name an empty folder", field="out"
                )


def arrive(work: Work, jobs: int, report: Callable[[Made], None] | None = None) -> dict[str, dict[str, int]]:
    """Write the shards of all streams in order, by `jobs` processes; the totals of each stream.

    A process that was lost is replaced; when this one is killed, they end. Raises InputError (unusable material,
    a full disk, a folder with other shards) and BoundaryError (a shard cost two processes their lives).
    """
    key = digest(FORMAT, asdict(work.style), work.shard, work.material.digest())
    _only_ours(work, key)
    totals: dict[str, Counter[str]] = {stream.name: Counter() for stream in work.streams}
    with executor(jobs) as chosen:
        for made in chosen.map(partial(make_shard, work, key), work.turns()):
            turn = made.turn
            if report:
                report(made)
            totals[turn.stream.name].update(made.counts | {"shards": 1})
            if turn.number == turn.of - 1:
                text = json.dumps(dict(totals[turn.stream.name]), sort_keys=True)
                with room_needed(work.out):
                    write_text(work.out / f"{turn.stream.name}.end", f"{text}\n")
    return {name: dict(total) for name, total in totals.items()}


def _paths(patterns: Sequence[str], name: str) -> tuple[Path, ...]:
    found = sorted({Path(p) for pattern in patterns for p in glob.glob(pattern)})  # noqa: PTH207 - absolute patterns
    if patterns and not found:
        raise InputError(f"no file matches {', '.join(patterns)}", field=name)
    return tuple(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="data.arriving", description="Training shards, made while they are read.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--packs", nargs="+", required=True, metavar="PACK", help="text packs, also by pattern")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--stream", action="append", required=True, metavar="NAME:TOKENS:KIND=SHARE,...")
    parser.add_argument("--given", nargs="+", default=[], metavar="PATTERN", help="ids.npy of packed shards")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--shard", type=int, default=SHARD, help="tokens of a shard, about")
    for one in fields(Style):
        kind = type(one.default)
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default)
    return parser


def _work(options: argparse.Namespace) -> Work:
    return Work(
        options.out,
        Material(_paths(options.packs, "packs"), options.tokenizer, _paths(options.given, "given")),
        tuple(read_stream(text) for text in options.stream),
        Style(**{one.name: getattr(options, one.name) for one in fields(Style)}),
        options.shard,
    )


def main(arguments: Sequence[str]) -> int:
    """The command of the module docstring; a line on stderr for each shard. Exit status 0, or that of the error."""
    options = _parser().parse_args(arguments)
    begun, spent, tokens = time.monotonic(), 0.0, 0

    def told(made: Made) -> None:
        nonlocal spent, tokens
        spent += made.seconds
        tokens += made.counts["tokens"] if made.seconds else 0
        name = f"{made.turn.stream.name}-{made.turn.number:05d} of {made.turn.of}"
        rate = f"{tokens / (time.monotonic() - begun):,.0f} tokens/s, {tokens / max(spent, 1e-9):,.0f} a core"
        full = made.counts["tokens"] / (made.counts["rows"] * options.row)
        how = f"rows {full:.1%} full, {rate} so far" if made.seconds else "kept"
        sys.stderr.write(f"{name}: {made.counts['tokens']:,} tokens, {how}\n")

    try:
        arrive(_work(options), options.jobs, told)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on where it was\n")
        return 130
    except EmendError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one process a core already
    sys.exit(main(sys.argv[1:]))
